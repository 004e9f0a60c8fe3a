"""The result of a run: one JSON, and a summary for people."""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from . import build, machine
from .results import kernels_beside, steps_beside, targets

if TYPE_CHECKING:
    from .run import Suite


def conclude(suite: "Suite") -> int:
    """Writes the JSON, prints the summary; the exit code."""
    about = build.about()
    now = datetime.now(UTC)
    result = {
        "schema": 1,
        "date": now.isoformat(timespec="seconds"),
        "commit": about["commit"],
        "built": about.get("built"),
        "dry": suite.dry,
        "machine": suite.machine,
        "parts": suite.results,
    }
    folder = Path(os.environ.get("OUT") or build.ROOT / "benches" / "results")
    name = f"{now:%Y-%m-%d}-{'dry' if suite.dry else machine.slug(suite.machine)}-{about['commit'].rstrip('+')}.json"
    # A dry run is no result: it stays out of the way unless a folder is named.
    if suite.dry and "OUT" not in os.environ:
        folder = build.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(result, indent=1) + "\n")
    failed = [part for part, found in suite.results.items() if found["status"] in ("failed", "overran")]
    try:
        summary(result)
    except ValueError as error:  # the two sides did not time the same work
        failed.append(f"comparison ({error})")
    print(f"\nwritten: {path}")
    if failed:
        print(f"not passed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def summary(result: dict) -> None:
    print("\n" + "part".ljust(12) + "status".ljust(10) + "seconds")
    for part, found in result["parts"].items():
        print(part.ljust(12) + found["status"].ljust(10) + f"{found['seconds']:7.1f}  {found.get('reason', '')[:100]}")
    if steps := steps_beside(result):
        print("\n" + "arm".ljust(8) + "engine ms".rjust(12) + "PyTorch ms".rjust(12) + "ratio".rjust(8) + "  PyTorch's best way")
        for row in steps:
            theirs = f"{row['pytorch_ms']:12.2f}{row['ratio']:8.2f}  {row['way']}" if row["pytorch_ms"] else ""
            print(row["arm"].ljust(8) + f"{row['engine_ms']:12.2f}" + theirs)
    if rows := kernels_beside(result):
        print("\n" + "operation".ljust(40) + "engine ms".rjust(12) + "PyTorch ms".rjust(12) + "ratio".rjust(8) + "  way")
        for row in rows:
            theirs = f"{row['pytorch_ms']:12.4f}{row['ratio']:8.2f}  {row['way']}" if row["pytorch_ms"] else ""
            print(row["id"].ljust(40) + f"{row['engine_ms']:12.4f}" + theirs)
    if found := targets(result):
        print()
        for text, met, by in found:
            print(f"{'met' if met else 'MISSED':8}{text} ({by})")
