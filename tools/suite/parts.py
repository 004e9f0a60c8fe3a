"""The parts of the suite: what each runs, and what it makes of it."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from . import build

if TYPE_CHECKING:
    from .run import Ended, Suite

ARMS = ("d0", "a4r", "d4a4", "d4-a4r")
TAIL = 4000  # characters of a program's last words that are kept


def python(program: str, *arguments: str) -> list[str]:
    """A program of tools/pytorch."""
    return [sys.executable, str(build.ROOT / "tools" / "pytorch" / program), *arguments]


def told(ended: "Ended", **data: object) -> dict:
    """A part's result: passed where its program ended with 0, with the program's last words where it did not."""
    if ended.code == 0:
        return {"status": "passed", **data}
    reason = "stopped: out of time" if ended.code is None else f"ended with {ended.code}"
    return {"status": "overran" if ended.code is None else "failed", "reason": reason, "output": ended.output[-TAIL:], **data}


def skipped(reason: str) -> dict:
    return {"status": "skipped", "reason": reason}


def worst(results: dict[str, dict]) -> dict:
    """One result of several."""
    for status in ("failed", "overran", "skipped"):
        if names := [name for name, result in results.items() if result["status"] == status]:
            return {"status": status, "reason": f"{', '.join(names)}: {results[names[0]]['reason']}", "of": results}
    return {"status": "passed", "of": results}


def read(path: Path) -> dict | None:
    """A JSON file that a program may or may not have come to write."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def doctor(suite: "Suite", seconds: float) -> dict:
    ended = suite.start([suite.program("engine"), "doctor"], seconds)
    if ended.code == 2:
        return skipped("this engine has no verb `doctor`")
    # Without a GPU the doctor rightly finds fault.
    if suite.dry and ended.code is not None:
        return {"status": "passed", "output": ended.output[-TAIL:]}
    return told(ended) | {"output": ended.output[-TAIL:]}


def tests(suite: "Suite", seconds: float) -> dict:
    """Every test named `cuda`."""
    end = monotonic() + seconds
    results = {}
    for i, name in enumerate(build.TESTS):
        command = [suite.program(name), "cuda", "--test-threads=1", "--show-output"]
        ended = suite.start(command, (end - monotonic()) / (len(build.TESTS) - i))
        outcomes = dict(re.findall(r"^test (\S+) \.\.\. (\w+)", ended.output, re.MULTILINE))
        without = sorted(set(re.findall(r"SKIPPED \(visible\): (.*)", ended.output)))
        results[name] = told(ended, tests=outcomes, skipped=without)
        if without and not suite.dry and ended.code == 0:
            results[name] |= skipped(without[0])
    return worst(results)


def sanitizer(tool: str) -> Callable[["Suite", float], dict]:
    """compute-sanitizer over the same tests, whose shapes are small."""

    def part(suite: "Suite", seconds: float) -> dict:
        if shutil.which("compute-sanitizer") is None:
            return skipped("no compute-sanitizer on the PATH")
        if suite.dry:
            return skipped("needs a GPU")
        end = monotonic() + seconds
        results = {}
        for i, name in enumerate(build.TESTS):
            command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9", suite.program(name), "cuda", "--test-threads=1"]
            ended = suite.start(command, (end - monotonic()) / (len(build.TESTS) - i))
            summary = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: .*", ended.output)
            results[name] = told(ended, summary=summary)
        return worst(results)

    return part


def agreement(suite: "Suite", seconds: float) -> dict:
    """Embeddings and gradients beside PyTorch's, from the same weights."""
    if suite.machine["pytorch"] is None:
        return skipped("no PyTorch in this Python")
    out = suite.scratch / "agreement.json"
    program = ("agreement.py", "--program", suite.program("bench-agreement"), "--json", str(out))
    if suite.dry:
        options = ("--preset", "tiny", "--arms", "a4r", "d4a4", "--tolerance", "1e-3")
    else:
        options = ("--preset", "paper", "--arms", *ARMS, "--device", "cuda", "--dtypes", "f32", "bf16")
    return told(suite.start(python(*program, *options), seconds), data=read(out))


def step(suite: "Suite", seconds: float) -> dict:
    """Whole training steps, in bf16 first."""
    if suite.dry:
        out = suite.scratch / "step.json"
        ended = suite.start([suite.program("bench-step"), "a4r", "small", "2", "--json", str(out)], seconds)
        return told(ended, data=read(out))
    end = monotonic() + seconds
    results = {}
    for dtype in ("bf16", "f32"):
        out = suite.scratch / f"step-{dtype}.json"
        command = [suite.program("bench-step"), "--device", "cuda", "--dtype", dtype, "--json", str(out)]
        results[dtype] = told(suite.start(command, end - monotonic()), data=read(out))
    return worst(results)


def kernels(suite: "Suite", seconds: float) -> dict:
    """Each operation at the paper's shapes."""
    out = suite.scratch / "kernels.json"
    how = ("--device", "emulated", "--tiny") if suite.dry else ("--device", "cuda")
    return told(suite.start([suite.program("bench-kernels"), *how, "--json", str(out)], seconds), data=read(out))


def pytorch(suite: "Suite", seconds: float) -> dict:
    """PyTorch at its best, steps and operations."""
    if suite.machine["pytorch"] is None:
        return skipped("no PyTorch in this Python")
    out = suite.scratch / "pytorch.json"
    # The program watches its own time; it is stopped only where it does not.
    options = ["--json", str(out), "--budget", f"{0.9 * seconds:.0f}"]
    if suite.dry:
        options += ["--device", "cpu", "--tiny", "--arms", "a4r"]
    return told(suite.start(python("bench_gpu.py", *options), seconds), data=read(out))


@dataclass(frozen=True)
class Part:
    run: Callable[["Suite", float], dict]
    # Of the time for all parts, in proportion.
    share: float


PARTS = {
    "doctor": Part(doctor, 15),
    "tests": Part(tests, 50),
    "agreement": Part(agreement, 90),
    "memcheck": Part(sanitizer("memcheck"), 55),
    "racecheck": Part(sanitizer("racecheck"), 55),
    "step": Part(step, 60),
    "kernels": Part(kernels, 45),
    "pytorch": Part(pytorch, 140),
    "synccheck": Part(sanitizer("synccheck"), 20),
    "initcheck": Part(sanitizer("initcheck"), 20),
}

# Parts that measure time: nothing else may run beside them.
TIMED = ("step", "kernels", "pytorch")
