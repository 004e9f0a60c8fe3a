"""Runs parts one after the other, each within its share of the time."""

import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from . import build, parts


SHOWN = 60  # lines of a program's output that are shown


@dataclass(frozen=True)
class Ended:
    """How a program ended; `code` is `None` where it was stopped."""

    code: int | None
    output: str
    seconds: float


def run(command: list[str], seconds: float) -> Ended:
    """Runs a program, its whole family stopped after `seconds`. Output goes through a file, so that a stopped one keeps its own."""
    began = monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            cwd=build.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=max(1.0, seconds))
        except subprocess.TimeoutExpired:
            stop(process)
            code = None
        log.seek(0)
        output = log.read().decode(errors="replace")
    return Ended(code, output, monotonic() - began)


def stop(process: subprocess.Popen) -> None:
    """Ends a process and what it started: they are a session of their own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


class Suite:
    """A run of the suite: what it runs on, and what it found so far."""

    def __init__(self, programs: Path, machine: dict, dry: bool, seconds: float):
        self.programs, self.machine, self.dry, self.seconds = programs, machine, dry, seconds
        self.scratch = Path()  # for what parts write, while they run
        self.results: dict[str, dict] = {}

    def program(self, name: str) -> str:
        return str(self.programs / name)

    def start(self, command: list[str], seconds: float) -> Ended:
        """Runs a program and shows what it said."""
        try:
            ended = run(command, seconds)
        except OSError as error:
            ended = Ended(127, f"{error}\n", 0.0)
        print("".join(f"   | {line}\n" for line in ended.output.splitlines()[-SHOWN:]), end="", flush=True)
        return ended

    def run(self, names: list[str]) -> None:
        """Parts in order of importance; what one leaves of its time is shared among the rest."""
        with tempfile.TemporaryDirectory(prefix="gpu-suite-") as folder:
            self.scratch = Path(folder)
            self.run_all(names)

    def run_all(self, names: list[str]) -> None:
        chosen = [name for name in parts.PARTS if name in names]
        deadline = monotonic() + self.seconds
        warming = self.warm_up(chosen)
        for i, name in enumerate(chosen):
            if name in parts.TIMED and warming is not None:
                stop(warming)
                warming = None
            weights = [parts.PARTS[later].share for later in chosen[i:]]
            self.part(name, (deadline - monotonic()) * weights[0] / sum(weights))
        if warming is not None:
            stop(warming)

    def warm_up(self, chosen: list[str]) -> subprocess.Popen | None:
        """While correctness is checked PyTorch compiles what it will be timed with."""
        idle = any(name not in parts.TIMED for name in chosen)
        if self.dry or "pytorch" not in chosen or not idle or self.machine["pytorch"] is None:
            return None
        command = parts.python("bench_gpu.py", "--warm", "--budget", str(self.seconds))
        return subprocess.Popen(
            command, cwd=build.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def part(self, name: str, seconds: float) -> None:
        began = monotonic()
        print(f"== {name} (at most {seconds:.0f} s)", flush=True)
        try:
            result = parts.PARTS[name].run(self, seconds)
        except (OSError, ValueError, KeyError) as error:
            result = {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
        result["seconds"] = round(monotonic() - began, 1)
        self.results[name] = result
        print(f"   {result['status']}{': ' + result['reason'] if result.get('reason') else ''} ({result['seconds']} s)", flush=True)
