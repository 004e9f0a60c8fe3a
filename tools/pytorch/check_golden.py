"""Does the PyTorch twin equal the golden vectors? Forward, loss, every gradient, BatchNorm buffers, five AdamW steps.

    python tools/pytorch/check_golden.py [FOLDER]      (default: tests/golden)

Prints the largest deviation of each file and precision, and exits with 1 where one is beyond its tolerance.
"""

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from model import ARMS, PRESETS, Model, build, vicreg

# File (after "tiny_"): arm, file the parameters lie in, and what differs from the golden files' common choices.
GOLDEN = {
    "a4r": ("a4r", "a4r", {}),
    "a4r_prenorm": ("a4r", "a4r", {"audio_pre_norm": True}),
    "a4r_pospre": ("a4r", "a4r", {"positions_before_injection": True}),
    "a4r_eq9": ("a4r", "a4r", {"cross_residual": False}),
    "a4r_pad5": ("a4r", "a4r", {"paddings": (5, 1, 1, 1)}),
    "d4a4": ("d4a4", "d4a4", {}),
    "d4a4_prenorm": ("d4a4", "d4a4", {"audio_pre_norm": True}),
    "d4a4_pad5": ("d4a4", "d4a4", {"paddings": (5, 1, 1, 1)}),
    "a4x": ("a4x", "a4x", {}),
    "d4r": ("d4r", "d4r", {}),
}

PRECISIONS = {"64": torch.float64, "32": torch.float32}

# Allowed deviation, relative to max(1, largest reference value): parameters whose true gradient is zero (key biases,
# biases before BatchNorm) hold rounding noise only.
TOLERANCE = {"64": 1e-11, "32": 2e-4}

# After AdamW steps in evaluation mode: AdamW turns that noise into full-sized moves, which running statistics,
# unlike batch statistics, do not cancel.
TRAINED_EVAL_TOLERANCE = {"64": 1e-6, "32": 5e-2}

PARAMETERS = {
    "d0": 74_194_432,
    "d4": 74_460_160,
    "a4": 75_254_272,
    "d4x": 75_248_640,
    "a4x": 78_404_096,
    "d4r": 76_297_216,
    "a4r": 78_596_608,
    "d4a4": 75_520_000,
    "d4-a4r": 78_862_336,
}


class Report:
    """Prints one line per check and remembers whether any failed."""

    def __init__(self) -> None:
        self.failed = False

    def line(self, name: str, ok: bool, text: str) -> None:
        self.failed |= not ok
        print(f"{'ok  ' if ok else 'FAIL'}  {name:24} {text}")

    def compare(self, name: str, found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
        if found.keys() != expected.keys():
            self.line(name, False, f"names differ: {sorted(found.keys() ^ expected.keys())}")
            return
        worst, where = max((deviation(found[key], expected[key]), key) for key in expected)
        text = f"{len(expected):3} tensors, largest deviation {worst:.1e} ({where}), allowed {tolerance:.0e}"
        self.line(name, worst <= tolerance, text)


def deviation(found: Tensor, expected: Tensor) -> float:
    scale = max(1.0, expected.abs().max().item())
    worst = (found.detach() - expected).abs().max().item() / scale
    return worst if worst == worst else float("inf")


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def cast(tensors: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {key: value.to(dtype) if value.is_floating_point() else value for key, value in tensors.items()}


def load_model(name: str, folder: Path, dtype: torch.dtype) -> Model:
    arm, source, overrides = GOLDEN[name]
    model = build(arm, "tiny", **{"positions_before_injection": False, **overrides}).to(dtype)
    given = under("param/", load_file(folder / f"tiny_{source}.safetensors"))
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            parameter.copy_(given[key])
    return model


def record_outputs(model: Model) -> dict[str, Tensor]:
    """Hooks that fill the returned dictionary, as the golden files name it, at the next forward pass."""
    out: dict[str, Tensor] = {}

    def keep(key: str, samples: int | None = None):
        return lambda _module, _inputs, output: out.update({key: output[:samples]})

    model.audio.cnn.register_forward_hook(keep("cnn", 2))
    model.audio.layers[-1].register_forward_hook(keep("audio_tf", 2))
    model.midi.layers[-1].register_forward_hook(keep("midi_tf"))
    model.audio.register_forward_hook(keep("za"))
    model.midi.register_forward_hook(keep("zm"))
    return out


def check_gradients(name: str, folder: Path, inputs: dict[str, Tensor], report: Report) -> None:
    golden = load_file(folder / f"tiny_{name}.safetensors")
    for precision, dtype in PRECISIONS.items():
        model = load_model(name, folder, dtype)
        out = record_outputs(model)
        ea, em = model(cast(inputs, dtype))
        terms = vicreg(ea, em)
        loss = terms.loss()
        loss.backward()
        out |= {"ea": ea, "em": em, "loss": loss, "inv": terms.inv, "var": terms.var, "cov": terms.cov}
        buffers = {key: value for key, value in model.named_buffers() if "running" in key}
        gradients = {key: parameter.grad for key, parameter in model.named_parameters()}
        tolerance = TOLERANCE[precision]
        report.compare(f"{name} f{precision} forward", out, under(f"{precision}/out/", golden), tolerance)
        report.compare(f"{name} f{precision} batchnorm", buffers, under(f"{precision}/bn/", golden), tolerance)
        if expected := under(f"{precision}/grad/", golden):  # variants hold f64 gradients only
            report.compare(f"{name} f{precision} gradients", gradients, expected, tolerance)


def check_training(name: str, folder: Path, inputs: dict[str, Tensor], report: Report) -> None:
    golden = load_file(folder / f"tiny_{name}.safetensors")
    for precision, dtype in PRECISIONS.items():
        expected = under(f"{precision}/train/", golden)
        model, batch = load_model(name, folder, dtype), cast(inputs, dtype)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, eps=1e-8)
        losses = []
        for _ in range(len(expected["loss"])):
            optimizer.zero_grad()
            loss = vicreg(*model(batch)).loss()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        with torch.no_grad():
            evaluated = dict(zip(("ea", "em"), model.eval()(batch), strict=True))
            trained = dict(zip(("ea_bn", "em_bn"), model.train()(batch), strict=True)) | {"loss": torch.stack(losses)}
        strict = {key: expected[key] for key in trained}
        loose = {key: expected[key] for key in evaluated}
        report.compare(f"{name} f{precision} five steps", trained, strict, TOLERANCE[precision])
        report.compare(f"{name} f{precision} … eval mode", evaluated, loose, TRAINED_EVAL_TOLERANCE[precision])


def check_vicreg(folder: Path, report: Report) -> None:
    golden = load_file(folder / "losses.safetensors")
    for precision, dtype in PRECISIONS.items():
        x, y = (golden[key].to(dtype).requires_grad_() for key in ("x", "y"))
        terms = vicreg(x, y)
        loss = terms.loss()
        loss.backward()
        found = {"loss": loss, "inv": terms.inv, "var": terms.var, "cov": terms.cov, "dx": x.grad, "dy": y.grad}
        report.compare(f"vicreg f{precision}", found, under(f"{precision}/code/", golden), TOLERANCE[precision])


def check_parameter_counts(report: Report) -> None:
    for arm in ARMS:
        with torch.device("meta"):
            found = sum(parameter.numel() for parameter in build(arm, "paper").parameters())
        report.line(f"{arm} parameters", found == PARAMETERS[arm], f"{found:,}, expected {PARAMETERS[arm]:,}")


def main() -> None:
    repository = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=repository / "tests" / "golden")
    folder = parser.parse_args().folder
    torch.manual_seed(0)
    report = Report()
    inputs = load_file(folder / "tiny_inputs.safetensors")
    assert inputs["a4"].shape[1] == PRESETS["tiny"].a4_frames
    for name in GOLDEN:
        check_gradients(name, folder, inputs, report)
    for name in ("a4r", "d4a4"):
        check_training(name, folder, inputs, report)
    check_vicreg(folder, report)
    check_parameter_counts(report)
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
