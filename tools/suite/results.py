"""What a result says, side by side: the engine and PyTorch at its best, in the same run."""


def _data(result: dict, *path: str) -> dict:
    """The data of a part (and of one of its runs), empty where there is none."""
    found = result["parts"].get(path[0]) or {}
    for name in path[1:]:
        found = (found.get("of") or {}).get(name) or {}
    return found.get("data") or {}


def steps_beside(result: dict) -> list[dict]:
    """Training steps in bf16, by arm."""
    pytorch = {row["arm"]: row for row in _data(result, "pytorch").get("steps", [])}
    rows = []
    for row in _data(result, "step", "bf16").get("rows", []):
        best = (pytorch.get(row["arm"]) or {}).get("best")
        theirs = best and 1e3 * best["step"]["median_s"]
        ours = 1e3 * row["step"]["median_s"]
        rows.append(
            {
                **{key: row[key] for key in ("arm", "batch", "samples_per_s", "tflops", "memory_gb")},
                "engine_ms": ours,
                "pytorch_ms": theirs,
                "pytorch_memory_gb": best and best["memory_gb"],
                "ratio": theirs and ours / theirs,
                "way": best and best["variant"],
            }
        )
    return rows


def kernels_beside(result: dict) -> list[dict]:
    """Operations, by id: the engine's, and the fastest of PyTorch's ways."""
    fastest: dict[str, dict] = {}
    for row in (_data(result, "pytorch").get("kernels") or {}).get("ways", []):
        known = fastest.get(row["id"])
        if "timing" in row and (known is None or row["timing"]["median_s"] < known["timing"]["median_s"]):
            fastest[row["id"]] = row
    rows = []
    for row in _data(result, "kernels").get("benches", []):
        if "timing" not in row:
            continue
        theirs = fastest.get(row["id"])
        if theirs and theirs["flops"] and abs(theirs["flops"] / row["flops"] - 1) > 1e-6:
            raise ValueError(f"{row['id']}: {row['flops']:.4g} operations here, {theirs['flops']:.4g} in PyTorch: not the same shape")
        ours, other = row["timing"]["median_s"], theirs and theirs["timing"]["median_s"]
        rows.append(
            {
                "id": row["id"],
                "engine_ms": 1e3 * ours,
                "share_of_floor": row["share_of_floor"],
                "limit": row["limit"],
                "pytorch_ms": other and 1e3 * other,
                "ratio": other and ours / other,
                "way": theirs and theirs["way"],
            }
        )
    return rows
