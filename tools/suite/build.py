"""Collects the programs that the suite runs: stripped, in one archive small enough to be carried to another machine.

Test programs and benches share most of their bytes (kernels for every GPU among them), so one archive with a window as large as
several of them is many times smaller than the files.
"""

import json
import lzma
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "target" / "gpu-suite"
ARCHIVE, ABOUT = FOLDER / "programs.tar.xz", FOLDER / "about.json"

# Test files that hold cases named `cuda`, beside the library's own; the benches.
TEST_FILES = sorted(path.stem for path in (ROOT / "tests").glob("*.rs") if "fn cuda" in path.read_text())
TESTS = ("test-lib", *(f"test-{name}" for name in TEST_FILES))
BENCHES = ("kernels", "step", "agreement")
PROGRAMS = (*TESTS, *(f"bench-{name}" for name in BENCHES), "engine")

# Bytes that an archive may have to be carried.
LIMIT = 60 << 20
WINDOW = 256 << 20


def cargo(*arguments: str) -> dict[tuple[str, str], Path]:
    """Builds, and returns the executables by kind and name of their target."""
    command = ("cargo", *arguments, "--release", "--message-format=json-render-diagnostics")
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed")
    found = {}
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable"):
            target = message["target"]
            found[target["kind"][0], target["name"]] = Path(message["executable"])
    return found


def built() -> dict[str, Path]:
    """Every program, by the name it has in the archive."""
    tests = cargo("test", "--no-run", "--lib", *(word for name in TEST_FILES for word in ("--test", name)))
    others = cargo("build", "--bin", "engine", *(word for name in BENCHES for word in ("--bench", name)))
    programs = {"test-lib": tests["lib", "descant"], "engine": others["bin", "engine"]}
    programs |= {f"test-{name}": tests["test", name] for name in TEST_FILES}
    return programs | {f"bench-{name}": others["bench", name] for name in BENCHES}


def commit() -> str:
    """The commit, with a + where the working tree differs from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "--short=10", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def collect() -> int:
    """`--build`."""
    programs = built()
    FOLDER.mkdir(parents=True, exist_ok=True)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": WINDOW}]
    plain = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        lzma.open(ARCHIVE, "wb", format=lzma.FORMAT_XZ, filters=filters) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name in PROGRAMS:
            stripped = Path(folder) / name
            subprocess.run(("strip", "-o", str(stripped), str(programs[name])), check=True)
            archive.add(stripped, name)
            plain += stripped.stat().st_size
    size = ARCHIVE.stat().st_size
    about = {"commit": commit(), "built": datetime.now(UTC).isoformat(timespec="seconds"), "bytes": size, "unpacked": plain}
    ABOUT.write_text(json.dumps(about, indent=1) + "\n")
    print(f"{ARCHIVE.relative_to(ROOT)}: {len(PROGRAMS)} programs, {plain / 2**20:.0f} MiB packed to {size / 2**20:.1f} MiB")
    if size > LIMIT:
        print(f"more than the {LIMIT >> 20} MiB that can be carried", file=sys.stderr)
        return 1
    return 0


def about() -> dict:
    """What `--build` noted: the commit above all."""
    return json.loads(ABOUT.read_text()) if ABOUT.exists() else {"commit": "unknown"}


@contextmanager
def unpacked(given: Path | None) -> Iterator[Path]:
    """A folder with the programs, for as long as they run."""
    if given is not None:
        yield given.resolve()
        return
    if not ARCHIVE.exists():
        sys.exit(f"{ARCHIVE.relative_to(ROOT)} is not there: tools/gpu-suite --build makes it")
    with tempfile.TemporaryDirectory(prefix="gpu-suite-") as folder:
        with tarfile.open(ARCHIVE) as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder)
