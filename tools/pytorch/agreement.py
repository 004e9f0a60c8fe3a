"""Does the engine agree with PyTorch? Embeddings, loss and every parameter's gradient, from the same weights and batch.

    python tools/pytorch/agreement.py --program target/release/deps/agreement-… --preset small --device cpu
    python tools/pytorch/agreement.py --program … --preset paper --device cuda --dtypes f32 bf16

The reference is PyTorch in f64. Against it stand the engine and PyTorch itself, in f32 (without TF32) and bf16 (autocast). Errors are
relative, ‖x − reference‖ / ‖reference‖, of each tensor; `all` is that of all gradients as one vector. f32 passes where every error of
the engine is at most `--tolerance` (or PyTorch's own, where that is larger); bf16 where embeddings and `all` are at most PyTorch's own.
On the CPU, whose sums over 2,400 frames run in one order, ask for 1e-3: what is wrong is wrong by far more.
Exit code 1 where something does not pass, 3 where the engine cannot run here.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model import A4_DIM, A4_FRAMES, ARMS, D4_DIM, DURATIONS, PITCHES, PRESETS, VELOCITIES, Model, build, vicreg

SAMPLES, FRAMES = 96_000, 2400

# A gradient whose share of all gradients is below this is zero but for rounding: those of keys' biases (softmax takes a common
# shift away), and of biases that only shift what a BatchNorm centres. Their error is measured against all gradients.
ZERO_SHARE = 1e-8


def build_full(arm: str, preset: str) -> Model:
    """The model at the engine's sequence lengths (`tiny` here has those of the golden files), without dropout."""
    config = PRESETS[preset]
    return build(
        arm,
        preset,
        frames=FRAMES,
        a4_frames=A4_FRAMES,
        audio=replace(config.audio, max_positions=6000),
        midi=replace(config.midi, max_positions=2048),
        dropout=0.0,
    ).train()


def make_batch(batch: int, notes: int) -> dict[str, Tensor]:
    """Segments of `notes`/2 to `notes`·3/2 notes."""
    lengths = torch.linspace(notes / 2, notes * 3 / 2, batch).round().long().clamp(min=1)
    longest = int(lengths.max())
    mask = torch.arange(longest) < lengths[:, None]

    def ids(vocabulary: int) -> Tensor:
        return torch.randint(vocabulary, (batch, longest)) * mask

    time = torch.arange(SAMPLES) / 24_000.0
    pitch = 110.0 * 2.0 ** torch.rand(batch, 1).mul(3)
    return {
        "audio": 0.3 * torch.sin(2 * torch.pi * pitch * time) + 0.05 * torch.randn(batch, SAMPLES),
        "a4": torch.randn(batch, A4_FRAMES, A4_DIM),
        "pitch": ids(PITCHES),
        "vel": ids(VELOCITIES),
        "dur": ids(DURATIONS),
        "mask": mask,
        "d4": torch.randn(batch, longest, D4_DIM).clamp(-1, 1) * mask[..., None],
    }


def pytorch_pass(model: Model, batch: dict[str, Tensor], device: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """Outputs and gradients as the engine's file names them, in f64 on the CPU."""
    held = torch.float64 if dtype == torch.float64 else torch.float32
    model = model.to(device, held)
    model.zero_grad()
    placed = {k: v.to(device, held) if v.is_floating_point() else v.to(device) for k, v in batch.items()}
    with torch.autocast(device, torch.bfloat16, enabled=dtype == torch.bfloat16):
        ea, em = model(placed)
    # The loss is f32 on either side.
    terms = vicreg(*(e if held == torch.float64 else e.float() for e in (ea, em)))
    loss = terms.loss()
    loss.backward()
    out = {"ea": ea, "em": em, "loss": loss, "inv": terms.inv, "var": terms.var, "cov": terms.cov}
    out |= {f"grad/{name}": parameter.grad for name, parameter in model.named_parameters()}
    return {name: value.detach().double().cpu().clone() for name, value in out.items()}


def engine_pass(args: argparse.Namespace, arm: str, dtype: str, folder: Path) -> dict[str, Tensor]:
    out = folder / "out.safetensors"
    out.unlink(missing_ok=True)
    options = {
        "--arm": arm,
        "--preset": args.preset,
        "--device": args.device,
        "--dtype": dtype,
        "--weights": folder / "weights.safetensors",
        "--batch": folder / "batch.safetensors",
        "--out": out,
    }
    command = [str(args.program), *(str(word) for pair in options.items() for word in pair)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"the engine ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return {name: value.double() for name, value in load_file(out).items()}


def errors(found: dict[str, Tensor], reference: dict[str, Tensor]) -> dict[str, float]:
    """Relative error of every tensor, and of all gradients together as `all`."""
    if found.keys() != reference.keys():
        raise RuntimeError(f"names differ: {sorted(found.keys() ^ reference.keys())[:5]}")
    together = [name for name in reference if name.startswith("grad/")]

    def norm(tensors: Iterable[Tensor]) -> float:
        return sum(tensor.square().sum().item() for tensor in tensors) ** 0.5

    whole = norm(reference[name] for name in together)

    def relative(name: str) -> float:
        scale = norm([reference[name]])
        error = norm([found[name] - reference[name]]) / (scale if scale > ZERO_SHARE * whole else whole)
        return error if error == error else float("inf")

    difference = norm(found[name] - reference[name] for name in together)
    return {"all": difference / whole} | {name: relative(name) for name in reference}


def judge(dtype: str, engine: dict[str, float], pytorch: dict[str, float], tolerance: float) -> list[str]:
    """Names of what does not pass."""
    if dtype == "f32":
        return [name for name in engine if not engine[name] <= max(tolerance, pytorch[name])]
    return [name for name in ("ea", "em", "all") if not engine[name] <= pytorch[name]]


def compare(args: argparse.Namespace, arm: str, folder: Path) -> list[dict]:
    torch.manual_seed(args.seed)
    model = build_full(arm, args.preset)
    batch = make_batch(args.batch, args.notes)
    state = {name: value for name, value in model.state_dict().items() if value.is_floating_point()}
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "weights.safetensors")
    save_file({name: value.float().contiguous() for name, value in batch.items()}, folder / "batch.safetensors")
    reference = pytorch_pass(model, batch, args.device, torch.float64)
    results = []
    for dtype in args.dtypes:
        own = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]
        pytorch = errors(pytorch_pass(model, batch, args.device, own), reference)
        try:
            engine = errors(engine_pass(args, arm, dtype, folder), reference)
        except RuntimeError as error:
            results.append({"arm": arm, "dtype": dtype, "passed": False, "error": str(error)})
            print(f"FAIL  {arm:7} {dtype:5} {error}", flush=True)
            continue
        failed = judge(dtype, engine, pytorch, args.tolerance)
        worst = max((name for name in engine if name.startswith("grad/")), key=engine.__getitem__)
        results.append(
            {
                **{"arm": arm, "dtype": dtype, "passed": not failed, "failed": failed, "tensors": len(reference)},
                "engine": {name: engine[name] for name in ("ea", "em", "loss", "all")} | {"worst": engine[worst]},
                "pytorch": {name: pytorch[name] for name in ("ea", "em", "loss", "all")} | {"worst": max(pytorch.values())},
                "worst_tensor": worst,
            }
        )
        print(
            f"{'FAIL' if failed else 'ok  '}  {arm:7} {dtype:5} engine (PyTorch): ea {engine['ea']:.1e} ({pytorch['ea']:.1e})"
            f"  em {engine['em']:.1e} ({pytorch['em']:.1e})  gradients {engine['all']:.1e} ({pytorch['all']:.1e})"
            f"  worst {engine[worst]:.1e} ({pytorch[worst]:.1e}, {worst.removeprefix('grad/')})"
            f"{'; beyond: ' + ', '.join(failed[:4]) if failed else ''}",
            flush=True,
        )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True, help="the built bench `agreement`")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--preset", choices=PRESETS, default="small")
    parser.add_argument("--batch", type=int, default=4, help="BatchNorm makes gradients of two samples all rounding")
    parser.add_argument("--notes", type=int, default=128, help="notes of a segment on average")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtypes", nargs="+", choices=("f32", "bf16"), default=["f32"])
    parser.add_argument("--tolerance", type=float, default=1e-4, help="relative error that f32 may have")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    results: list[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        for arm in args.arms:
            results += compare(args, arm, Path(folder))
            if args.json:
                args.json.write_text(json.dumps({"preset": args.preset, "batch": args.batch, "results": results}, indent=1))
    sys.exit(0 if all(result["passed"] for result in results) else 1)


if __name__ == "__main__":
    main()
