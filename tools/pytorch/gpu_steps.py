"""Whole training steps of one arm in PyTorch, several ways; one line of JSON for each. `bench_gpu.py` calls this program.

A step is forward, VICReg, backward, clipping and AdamW, under bf16 autocast, with the fused optimizer, batch 16 and the paper's preset.
The attention backend is the fastest of those that run, measured here at the arm's own shapes. Segments have 64 to 192 notes, 128 on
average, and are padded to the longest or packed.
"""

import argparse
import json
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor

from model import A4_DIM, ARMS, D4_DIM, DURATIONS, PITCHES, PRESETS, VELOCITIES, Config, Model, build, vicreg
from packed import PackedModel, pack
from timing import measure

SAMPLES_PER_FRAME = 40


@dataclass(frozen=True)
class Variant:
    """One way to run a step: `compile` is a mode of torch.compile, `graph` captures the whole step as a CUDA graph."""

    compile: str | None
    graph: bool
    midi: str

    @property
    def name(self) -> str:
        how = "eager" if self.compile is None else f"compile {self.compile}"
        return f"{how}{' + whole-step graph' if self.graph else ''}, {self.midi} notes"


# The most promising first: time may run out.
VARIANTS = (
    Variant("default", True, "padded"),
    Variant("default", True, "packed"),
    Variant("reduce-overhead", False, "padded"),
    Variant("max-autotune-no-cudagraphs", True, "padded"),
    Variant(None, True, "padded"),
    Variant(None, False, "padded"),
)

BACKENDS = {
    "cudnn": torch.backends.cuda.enable_cudnn_sdp,
    "flash": torch.backends.cuda.enable_flash_sdp,
    "efficient": torch.backends.cuda.enable_mem_efficient_sdp,
}


def segments(config: Config, batch: int, notes: int, device: str) -> dict[str, Tensor]:
    """A random batch; lengths from `notes`/2 to `notes`·3/2, evenly, as `benches/step.rs` has them."""
    lengths = torch.tensor([notes // 2 + notes * i // max(1, batch - 1) for i in range(batch)])
    longest = int(lengths.max())
    mask = torch.arange(longest) < lengths[:, None]

    def ids(vocabulary: int) -> Tensor:
        return torch.randint(vocabulary, (batch, longest)) * mask

    made = {
        "audio": torch.rand(batch, SAMPLES_PER_FRAME * config.frames) - 0.5,
        "a4": torch.randn(batch, config.a4_frames, A4_DIM),
        "pitch": ids(PITCHES),
        "vel": ids(VELOCITIES),
        "dur": ids(DURATIONS),
        "mask": mask,
        "d4": torch.randn(batch, longest, D4_DIM).clamp(-1, 1),
    }
    return pack({key: value.to(device) for key, value in made.items()})


def use_backend(name: str | None) -> None:
    """Allows one fused attention backend (all where None), and the memory-efficient one where a mask rules it out."""
    for backend, enable in BACKENDS.items():
        enable(name in (None, backend) or backend == "efficient")


def fastest_backend(arm: str, config: Config, batch: int) -> tuple[str, dict[str, float | str]]:
    """Forward and backward of the arm's audio attention: seconds, or why not, of each backend."""
    size, found = config.audio, {}
    shapes = [(config.frames, config.frames)]
    if ARMS[arm].audio == "reverse":
        shapes = [(config.a4_frames, config.a4_frames), (config.a4_frames, config.frames)]
    for name in BACKENDS:
        try:
            for backend, enable in BACKENDS.items():
                enable(backend == name)
            torch.backends.cuda.enable_math_sdp(False)
            found[name] = sum(attention_seconds(size.d, size.heads, batch, *shape, config.dropout) for shape in shapes)
        except RuntimeError as error:
            found[name] = str(error).splitlines()[0]
        finally:
            torch.backends.cuda.enable_math_sdp(True)
    timed = {name: s for name, s in found.items() if isinstance(s, float)}
    return min(timed, key=timed.__getitem__, default="efficient"), found


def attention_seconds(d: int, heads: int, batch: int, queries: int, keys: int, dropout: float) -> float:
    def rows(count: int) -> Tensor:
        x = torch.randn(batch, count, d, device="cuda", dtype=torch.bfloat16)
        return x.unflatten(-1, (heads, -1)).transpose(1, 2).requires_grad_()

    q, k, v = rows(queries), rows(keys), rows(keys)
    upstream = torch.randn_like(q)

    def both() -> None:
        torch.autograd.grad(F.scaled_dot_product_attention(q, k, v, dropout_p=dropout), (q, k, v), upstream)

    return measure(both, "cuda").median_s


def make_step(model: Model, batch: dict[str, Tensor], variant: Variant, device: str, backend: str) -> Callable[[], None]:
    """The step as a function of nothing."""
    capturable = variant.graph and device == "cuda"
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, fused=True, capturable=capturable)
    embed = PackedModel(model, int(batch["mask"].sum(1).max())) if variant.midi == "packed" else model
    if variant.compile is not None:
        torch._dynamo.reset()
        options = {"mode": None if variant.compile == "default" else variant.compile} if device == "cuda" else {}
        embed = torch.compile(embed, backend=backend, **options)
    parameters = list(model.parameters())

    def step() -> None:
        with torch.autocast(device, torch.bfloat16):
            ea, em = embed(batch)
        vicreg(ea.float(), em.float()).loss().backward()
        torch.nn.utils.clip_grad_norm_(parameters, max_norm=1.0, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    if not variant.graph:
        return step
    if device != "cuda":
        raise RuntimeError("CUDA graphs need a GPU")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def time_variant(arm: str, config_name: str, overrides: dict, variant: Variant, args: argparse.Namespace) -> dict:
    torch.manual_seed(0)
    model = build(arm, config_name, **overrides).to(args.device).train()
    batch = segments(replace(PRESETS[config_name], **overrides), args.batch, args.notes, args.device)
    if args.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    began = perf_counter()
    step = make_step(model, batch, variant, args.device, args.backend)
    step()
    if args.device == "cuda":
        torch.cuda.synchronize()
    prepared = perf_counter() - began
    if args.warm:
        return {"prepared_s": prepared}
    timing = measure(step, args.device, budget_s=args.seconds)
    memory = torch.cuda.max_memory_reserved() / 1e9 if args.device == "cuda" else None
    return {"step": asdict(timing), "samples_per_s": args.batch / timing.median_s, "memory_gb": memory, "prepared_s": prepared}


def packing_error(arm: str, config_name: str, overrides: dict, args: argparse.Namespace) -> float:
    """Largest difference of the MIDI embeddings between padded and packed notes, in evaluation mode, f32."""
    model = build(arm, config_name, **overrides).to(args.device).eval()
    batch = segments(replace(PRESETS[config_name], **overrides), args.batch, args.notes, args.device)
    packed = PackedModel(model, int(batch["mask"].sum(1).max()))
    with torch.no_grad(), torch.autocast(args.device, torch.bfloat16, enabled=args.device == "cuda"):
        return (model(batch)[1] - packed(batch)[1]).float().abs().max().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arm", choices=ARMS, required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--notes", type=int, default=128, help="notes of a segment on average")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small sizes: shows that everything runs")
    parser.add_argument("--seconds", type=float, default=2.0, help="measured time of each variant")
    parser.add_argument("--warm", action="store_true", help="only compile everything, so that a later run finds it in the cache")
    parser.add_argument("--backend", default="inductor", help="of torch.compile")
    args = parser.parse_args()
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    if args.device == "cpu":
        torch.set_num_threads(1)  # small work that threads would only wait for
    name, overrides = ("tiny", {"dropout": 0.1}) if args.tiny else ("paper", {})
    say = lambda **fields: print(json.dumps({"arm": args.arm, **fields}), flush=True)  # noqa: E731
    say(packing_error=packing_error(args.arm, name, overrides, args))
    if args.device == "cuda":
        backend, timed = fastest_backend(args.arm, replace(PRESETS[name], **overrides), args.batch)
        use_backend(backend)
        say(attention=backend, attention_backends=timed)
    for variant in VARIANTS:
        try:
            outcome = time_variant(args.arm, name, overrides, variant, args)
        except Exception as error:  # whatever one way dies of, the others go on
            outcome = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
            traceback.print_exc()
        say(variant=variant.name, midi=variant.midi, **outcome)


if __name__ == "__main__":
    main()
