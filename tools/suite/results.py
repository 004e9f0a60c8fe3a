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
    ways = (_data(result, "pytorch").get("kernels") or {}).get("ways", [])
    fastest: dict[str, dict] = {}
    for row in ways:
        known = fastest.get(row["id"])
        if "timing" in row and (known is None or row["timing"]["median_s"] < known["timing"]["median_s"]):
            fastest[row["id"]] = row
    benches = _data(result, "kernels").get("benches", [])
    same_shapes(benches, ways)
    rows = []
    for row in benches:
        # A dry run has no times, and one that failed neither.
        if "timing" not in row:
            continue
        theirs = fastest.get(row["id"])
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


def same_shapes(benches: list[dict], ways: list[dict]) -> None:
    """Both sides say how many operations they count: these are equal, or the shapes are not."""
    counted = {row["id"]: row["flops"] for row in ways if row["flops"]}
    for row in benches:
        theirs = counted.get(row["id"], row.get("flops"))
        if "flops" in row and abs(theirs - row["flops"]) > 1e-6 * row["flops"]:
            raise ValueError(f"{row['id']}: {row['flops']:.6g} operations here, {theirs:.6g} in PyTorch: not the same shape")


# What the engine is meant to reach on an H100, preset `paper`, batch 16, bf16.
STEP_MS = {"d0": 45.0, "a4r": 15.0}
MEMORY_GB = 24.0
ATTENTION_RATIO = 1.1


def targets(result: dict) -> list[tuple[str, bool, str]]:
    """Each target with whether it is met and by what; none where nothing was measured for it."""
    found = []
    for row in steps_beside(result):
        arm = row["arm"]
        if arm in STEP_MS:
            found.append((f"{arm}: a step in {STEP_MS[arm]:.0f} ms", row["engine_ms"] <= STEP_MS[arm], f"{row['engine_ms']:.2f} ms"))
        if row["ratio"]:
            found.append((f"{arm}: ahead of PyTorch", row["ratio"] < 1, f"{row['ratio']:.2f} of its time"))
        found.append((f"{arm}: below {MEMORY_GB:.0f} GB", row["memory_gb"] < MEMORY_GB, f"{row['memory_gb']:.1f} GB"))
    for row in kernels_beside(result):
        if row["id"].startswith("attention/") and row["ratio"]:
            found.append((f"{row['id']}: within 10 % of {row['way']}", row["ratio"] <= ATTENTION_RATIO, f"{row['ratio']:.2f} of its time"))
    return found
