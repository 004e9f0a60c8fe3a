"""Times the PyTorch twin on the CPU: the forward pass and the whole training step, in f32, on random input.

    python tools/pytorch/bench_cpu.py --arm a4r --preset small --batch 16

Prints one JSON object with the median seconds of each. Every note position is valid, weights are at their
initialisation and the model is in training mode in both measurements (the forward pass without autograd).
"""

import argparse
import json
import platform
from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch

from model import A4_DIM, ARMS, D4_DIM, DURATIONS, PITCHES, PRESETS, VELOCITIES, Config, build, vicreg

SAMPLES_PER_FRAME = 40


def random_batch(config: Config, batch: int, notes: int) -> dict[str, torch.Tensor]:
    def ids(vocabulary: int) -> torch.Tensor:
        return torch.randint(vocabulary, (batch, notes))

    return {
        "audio": 0.1 * torch.randn(batch, SAMPLES_PER_FRAME * config.frames),
        "a4": torch.randn(batch, config.a4_frames, A4_DIM),
        "pitch": ids(PITCHES),
        "vel": ids(VELOCITIES),
        "dur": ids(DURATIONS),
        "mask": torch.ones(batch, notes, dtype=torch.bool),
        "d4": torch.randn(batch, notes, D4_DIM).clamp(-1, 1),
    }


def seconds(work: Callable[[], None], steps: int, warmup: int) -> list[float]:
    times = []
    for step in range(warmup + steps):
        start = perf_counter()
        work()
        if step >= warmup:
            times.append(perf_counter() - start)
    return times


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arm", choices=ARMS, default="a4r")
    parser.add_argument("--preset", choices=PRESETS, default="small")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--notes", type=int, default=128, help="valid notes per sample")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5, help="measured repetitions, after the warm-up")
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="torch.compile; needs a C++ compiler and more warm-up")
    parser.add_argument("--fused", action="store_true", help="AdamW(fused=True) instead of PyTorch's default loop")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    config = PRESETS[args.preset]
    model = build(args.arm, args.preset).train()
    batch = random_batch(config, args.batch, min(args.notes, config.midi.max_positions))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, fused=args.fused or None)
    embed = torch.compile(model) if args.compile else model

    def forward() -> None:
        with torch.no_grad():
            vicreg(*embed(batch)).loss().item()

    def step() -> None:
        optimizer.zero_grad()
        loss = vicreg(*embed(batch)).loss()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        loss.item()

    forward_seconds = seconds(forward, args.steps, args.warmup)
    step_seconds = seconds(step, args.steps, args.warmup)
    result = {
        **{key: getattr(args, key) for key in ("arm", "preset", "batch", "threads", "steps", "compile", "fused")},
        "notes": batch["pitch"].shape[1],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "forward_s": round(median(forward_seconds), 4),
        "forward_min_s": round(min(forward_seconds), 4),
        "step_s": round(median(step_seconds), 4),
        "step_min_s": round(min(step_seconds), 4),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
