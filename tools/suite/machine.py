"""The machine a result belongs to."""

import os
import platform
import re
import shutil
import subprocess
import sys

QUERY = ("name", "driver_version", "memory.total", "compute_cap", "clocks.max.sm", "power.limit")


def said(*command: str, seconds: float = 20.0) -> str | None:
    """What a program prints, `None` where it is not there or fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def gpu() -> dict[str, str] | None:
    """The first GPU, `None` where there is none."""
    text = said("nvidia-smi", f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader")
    if not text:
        return None
    return dict(zip(QUERY, (field.strip() for field in text.splitlines()[0].split(",")), strict=False))


def pytorch() -> str | None:
    return said(sys.executable, "-c", "import torch; print(torch.__version__)", seconds=60.0)


def describe() -> dict:
    """GPU, driver and the versions of what is used."""
    version = said("nvcc", "--version")
    sanitizer = said("compute-sanitizer", "--version")
    return {
        "gpu": gpu(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.release(),
        "python": platform.python_version(),
        "pytorch": pytorch(),
        "nvcc": version and version.splitlines()[-1],
        "compute-sanitizer": sanitizer and sanitizer.splitlines()[-1],
    }


def slug(found: dict) -> str:
    """Short name for files: h100-80gb-hbm3, or cpu."""
    name = (found["gpu"] or {}).get("name", "cpu")
    return re.sub(r"[^a-z0-9]+", "-", name.lower().removeprefix("nvidia")).strip("-")
