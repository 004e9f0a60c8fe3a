"""Seconds of repeated calls: by events on a GPU, by the clock on the CPU."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from statistics import median
from time import perf_counter

import torch

SAMPLE_S = 4e-3  # a sample lasts about this long
MOST_CALLS, FEWEST_SAMPLES, MOST_SAMPLES = 64, 5, 40


@dataclass(frozen=True)
class Timing:
    median_s: float
    min_s: float
    samples: int
    calls: int


def _sample(call: Callable[[], object], calls: int, device: str) -> float:
    if device == "cpu":
        start = perf_counter()
        for _ in range(calls):
            call()
        return (perf_counter() - start) / calls
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(calls):
        call()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1e3 / calls


def measure(call: Callable[[], object], device: str, budget_s: float = 0.06, warmup: int = 3) -> Timing:
    """Times `call` for about `budget_s` after `warmup` calls."""
    for _ in range(warmup):
        call()
    began = perf_counter()
    once = _sample(call, 1, device)
    calls = min(MOST_CALLS, max(1, ceil(SAMPLE_S / once)))
    seconds: list[float] = []
    while len(seconds) < FEWEST_SAMPLES or (len(seconds) < MOST_SAMPLES and perf_counter() - began < budget_s):
        seconds.append(_sample(call, calls, device))
    return Timing(median(seconds), min(seconds), len(seconds), calls)
