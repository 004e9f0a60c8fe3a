"""PyTorch at its best on this machine: whole training steps and single operations, as one JSON.

    python tools/pytorch/bench_gpu.py --json FILE                         everything: some minutes on a GPU
    python tools/pytorch/bench_gpu.py --parts steps --arms d0 --budget 120
    python tools/pytorch/bench_gpu.py --warm                              only compile, so that a later run finds it in the cache
    python tools/pytorch/bench_gpu.py --device cpu --tiny                 shows that everything runs

Each arm, and the operations, run in a process of their own (`gpu_steps.py`, `gpu_kernels.py`), so that one which dies or takes too
long loses no other; what it had said by then is kept.
"""

import argparse
import json
import platform
import subprocess
import sys
import threading
from pathlib import Path
from time import perf_counter

import torch

HERE = Path(__file__).parent
ARMS = ("d0", "a4r", "d4a4", "d4-a4r")
TINY = ("--device", "cpu", "--tiny", "--backend", "aot_eager", "--seconds", "0.01")


def lines_of(command: list[str], seconds: float) -> tuple[list[dict], str | None]:
    """What a program says line by line, and why it ended early if it did."""
    said: list[dict] = []
    log = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        timer = threading.Timer(max(1.0, seconds), process.kill)
        timer.start()
        for line in process.stdout:
            try:
                said.append(json.loads(line))
            except ValueError:
                continue  # a library's own chatter
        code = process.wait()
        overran = not timer.is_alive()
        timer.cancel()
    if overran:
        return said, f"stopped after {seconds:.0f} s"
    return said, None if code == 0 else f"ended with {code}"


def steps(args: argparse.Namespace, options: list[str], deadline: float) -> list[dict]:
    results = []
    for i, arm in enumerate(args.arms):
        share = (deadline - perf_counter()) / (len(args.arms) - i)
        command = [sys.executable, str(HERE / "gpu_steps.py"), "--arm", arm, "--batch", str(args.batch), *options]
        said, problem = lines_of(command, share)
        variants = [line for line in said if "variant" in line]
        timed = [line for line in variants if "step" in line]
        best = min(timed, key=lambda line: line["step"]["median_s"], default=None)
        head = {key: value for line in said if "variant" not in line for key, value in line.items()}
        results.append({**head, "arm": arm, "best": best, "variants": variants, "problem": problem})
        text = f"{1e3 * best['step']['median_s']:.2f} ms ({best['variant']})" if best else "nothing measured"
        print(f"{arm:8} {text}{f'; {problem}' if problem else ''}", file=sys.stderr, flush=True)
        for line in variants:
            outcome = f"{1e3 * line['step']['median_s']:.2f} ms" if "step" in line else line.get("error", "compiled")
            print(f"         {line['variant']}: {outcome}", file=sys.stderr, flush=True)
    return results


def warm(args: argparse.Namespace, options: list[str], seconds: float) -> None:
    """Compiles every arm at once."""
    command = [sys.executable, str(HERE / "gpu_steps.py"), "--warm", "--batch", str(args.batch), *options, "--arm"]
    threads = [threading.Thread(target=lines_of, args=([*command, arm], seconds)) for arm in args.arms]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def machine() -> dict:
    found = {"torch": torch.__version__, "python": platform.python_version(), "cuda": torch.version.cuda}
    if torch.cuda.is_available():
        found |= {"gpu": torch.cuda.get_device_name(), "cudnn": torch.backends.cudnn.version()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=("steps", "kernels"), default=["steps", "kernels"])
    parser.add_argument("--arms", nargs="+", default=list(ARMS))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small sizes: shows that everything runs")
    parser.add_argument("--warm", action="store_true", help="only compile everything")
    parser.add_argument("--budget", type=float, default=400.0, help="seconds in all")
    parser.add_argument("--json", type=Path, help="write the figures here rather than to standard output")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("no GPU that PyTorch can use; --device cpu --tiny shows that everything runs")
    options = list(TINY) if args.tiny else ["--device", args.device]
    deadline = perf_counter() + args.budget
    if args.warm:
        warm(args, options, args.budget)
        return
    result: dict = {"machine": machine(), "device": args.device, "tiny": args.tiny, "batch": args.batch}

    def save() -> None:
        text = json.dumps(result, indent=1)
        if args.json:
            args.json.write_text(text + "\n")

    if "kernels" in args.parts:
        share = args.budget if args.parts == ["kernels"] else args.budget / 4
        said, problem = lines_of([sys.executable, str(HERE / "gpu_kernels.py"), *options], share)
        result["kernels"] = {"ways": said, "problem": problem}
        save()
    if "steps" in args.parts:
        notes = ["--notes", "20"] if args.tiny else []
        result["steps"] = steps(args, [*options, *notes], deadline)
    save()
    if not args.json:
        print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
