"""Results as Markdown: the newest of every GPU in full, and the steps of all of them by commit."""

from .results import kernels_beside, steps_beside, targets

EMPTY = """Not yet measured. On a machine with an NVIDIA GPU, Python and PyTorch this command measures it all and writes one JSON:

```sh
tools/gpu-suite --build && tools/gpu-suite && tools/benchmarks-table
```
"""


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def section(results: list[dict]) -> str:
    results = [result for result in results if not result["dry"] and result["machine"]["gpu"]]
    if not results:
        return EMPTY
    newest = {result["machine"]["gpu"]["name"]: result for result in sorted(results, key=lambda r: r["date"])}
    return "\n".join([*(in_full(result) for result in newest.values()), history(results)])


def in_full(result: dict) -> str:
    gpu = result["machine"]["gpu"]
    parts = [
        f"### {gpu['name']}\n",
        f"Commit {result['commit']}, {result['date'][:10]}; driver {gpu['driver_version']}, PyTorch {result['machine']['pytorch']}.\n",
        verdicts(result),
        steps(result),
        aims(result),
        agreement(result),
        kernels(result),
    ]
    return "\n".join(part for part in parts if part)


def verdicts(result: dict) -> str:
    return table(
        ["part", "outcome"],
        [[name, f"{found['status']}{': ' + found['reason'] if found.get('reason') else ''}"] for name, found in result["parts"].items()],
    )


def steps(result: dict) -> str:
    rows = [
        [
            row["arm"],
            number(row["engine_ms"], 2),
            number(row["pytorch_ms"], 2),
            number(row["ratio"], 2),
            number(row["samples_per_s"], 0),
            number(row["tflops"], 0),
            number(row["memory_gb"], 1),
            number(row["pytorch_memory_gb"], 1),
            row["way"] or "–",
        ]
        for row in steps_beside(result)
    ]
    head = ["arm", "step, ms", "PyTorch, ms", "ratio", "samples/s", "TFLOP/s", "GB", "PyTorch, GB", "PyTorch's best way"]
    return rows and "Training steps, preset `paper`, batch 16, bf16:\n\n" + table(head, rows)


def aims(result: dict) -> str:
    rows = [[text, "yes" if met else "no", by] for text, met, by in targets(result)]
    return rows and "Targets (set for an H100):\n\n" + table(["target", "met", "by"], rows)


def agreement(result: dict) -> str:
    found = (result["parts"].get("agreement") or {}).get("data") or {}
    rows = []
    for row in found.get("results", []):
        if "engine" not in row:
            rows.append([row["arm"], row["dtype"], row["error"], "", "", ""])
            continue
        both = [f"{row['engine'][key]:.1e} ({row['pytorch'][key]:.1e})" for key in ("ea", "em", "all")]
        rows.append([row["arm"], row["dtype"], *both, "yes" if row["passed"] else "no"])
    head = ["arm", "precision", "audio embeddings", "MIDI embeddings", "all gradients", "passes"]
    return rows and "Relative errors against PyTorch in f64, ours (PyTorch's own):\n\n" + table(head, rows)


def kernels(result: dict) -> str:
    rows = [
        [
            f"`{row['id']}`",
            number(row["engine_ms"], 4),
            f"{100 * row['share_of_floor']:.0f} % of {row['limit']}",
            number(row["pytorch_ms"], 4),
            number(row["ratio"], 2),
            row["way"] or "–",
        ]
        for row in kernels_beside(result)
    ]
    head = ["operation", "ms", "share of the floor", "PyTorch, ms", "ratio", "PyTorch's way"]
    return rows and "Operations, preset `paper`, batch 16, bf16:\n\n" + table(head, rows)


def history(results: list[dict]) -> str:
    rows = []
    for result in sorted(results, key=lambda r: r["date"]):
        found = {row["arm"]: number(row["engine_ms"], 2) for row in steps_beside(result)}
        cells = [found.get(arm, "–") for arm in ("d0", "d4a4", "a4r", "d4-a4r")]
        rows.append([result["date"][:10], result["commit"], result["machine"]["gpu"]["name"], *cells])
    return "### By commit\n\nTraining steps in bf16, ms:\n\n" + table(["date", "commit", "GPU", "d0", "d4a4", "a4r", "d4-a4r"], rows)
