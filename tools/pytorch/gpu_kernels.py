"""The operations of `benches/kernels` in PyTorch: same ids, same shapes, bf16; one line of JSON for each way to do one.

`cublas`, `cudnn`, `flash`, `efficient`, `varlen` name what PyTorch calls; `eager` is PyTorch's own kernels, `compile` what
torch.compile makes of them. Backward is timed alone, from a graph kept. `bench_gpu.py` calls this program.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from gpu_steps import BACKENDS
from model import PRESETS, Config, FrameCnn
from packed import varlen_attn
from timing import measure

PAPER_PARAMETERS = 74_194_432


@dataclass(frozen=True)
class Sizes:
    config: Config
    batch: int
    samples: int
    frames: int
    tokens: int
    notes: list[int]
    parameters: int


def sizes(tiny: bool) -> Sizes:
    if tiny:
        return Sizes(PRESETS["tiny"], 2, 1290, 33, 3, [5, 9], 1000)
    return Sizes(PRESETS["paper"], 16, 96_000, 2400, 188, [64 + 128 * i // 15 for i in range(16)], PAPER_PARAMETERS)


@dataclass(frozen=True)
class Work:
    """One operation, one way. `forward` gives the value, or does the whole work where `inputs` is empty."""

    id: str
    way: str
    flops: dict[str, float]
    forward: Callable[[], Tensor | None]
    inputs: tuple[Tensor, ...] = ()


class Bench:
    def __init__(self, device: str, seconds: float):
        self.device, self.seconds = device, seconds

    def noise(self, *shape: int, dtype: torch.dtype = torch.bfloat16, grad: bool = True) -> Tensor:
        return (torch.rand(shape, device=self.device) - 0.5).to(dtype).requires_grad_(grad)

    def say(self, id: str, way: str, flops: float, call: Callable[[], object]) -> None:
        try:
            outcome = {"timing": asdict(measure(call, self.device, self.seconds))}
        except Exception as error:  # whatever one way dies of, the others go on
            outcome = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps({"id": id, "way": way, "flops": flops, **outcome}), flush=True)

    def run(self, work: Work) -> None:
        """Value, then gradients of `inputs` given noise."""
        if not work.inputs:
            for name, flops in work.flops.items():
                self.say(f"{work.id}/{name}", work.way, flops, work.forward)
            return
        self.say(f"{work.id}/forward", work.way, work.flops["forward"], work.forward)

        def gradients() -> Callable[[], object]:
            y = work.forward()
            upstream = torch.randn_like(y)
            return lambda: torch.autograd.grad(y, work.inputs, upstream, retain_graph=True)

        try:
            backward = gradients()
        except Exception as error:
            text = f"{type(error).__name__}: {error}".splitlines()[0]
            print(json.dumps({"id": f"{work.id}/backward", "way": work.way, "flops": work.flops["backward"], "error": text}))
            return
        self.say(f"{work.id}/backward", work.way, work.flops["backward"], backward)


def linear(bench: Bench, s: Sizes) -> None:
    """The three products of every linear layer, as cuBLAS does them."""
    audio, midi = s.config.audio, s.config.midi
    frames, tokens, notes = s.batch * s.frames, s.batch * s.tokens, sum(s.notes)
    hidden, _, out = s.config.head
    layers = {
        "audio.frames.qkvo": (frames, audio.d, audio.d),
        "audio.frames.ffn.l1": (frames, audio.d, audio.ff),
        "audio.frames.ffn.l2": (frames, audio.ff, audio.d),
        "audio.frames.concat": (frames, audio.d + 8, audio.d),
        "audio.tokens.inp": (tokens, 8, audio.d),
        "audio.tokens.qkvo": (tokens, audio.d, audio.d),
        "audio.tokens.ffn.l1": (tokens, audio.d, audio.ff),
        "audio.tokens.ffn.l2": (tokens, audio.ff, audio.d),
        "midi.qkvo": (notes, midi.d, midi.d),
        "midi.ffn.l1": (notes, midi.d, midi.ff),
        "midi.ffn.l2": (notes, midi.ff, midi.d),
        "midi.concat": (notes, midi.d + 4, midi.d),
        "head.audio.0": (s.batch, audio.d, hidden),
        "head.3": (s.batch, hidden, hidden),
        "head.6": (s.batch, hidden, out),
    }
    for place, (rows, inputs, outputs) in layers.items():
        x, w, b = bench.noise(rows, inputs, grad=False), bench.noise(outputs, inputs, grad=False), bench.noise(outputs, grad=False)
        dy, flops = bench.noise(rows, outputs, grad=False), 2.0 * rows * inputs * outputs
        bench.say(f"linear/{place}/forward", "cublas", flops, lambda: F.linear(x, w, b))
        bench.say(f"linear/{place}/dx", "cublas", flops, lambda: dy @ w)
        bench.say(f"linear/{place}/dw", "cublas", flops, lambda: dy.T @ x)


def attention(bench: Bench, s: Sizes) -> None:
    audio, midi, frames, tokens = s.config.audio, s.config.midi, s.frames, s.tokens
    for place, d, heads, queries, keys, dropout in (
        ("audio.frames", audio.d, audio.heads, frames, frames, 0.0),
        ("audio.frames.dropout", audio.d, audio.heads, frames, frames, 0.1),
        ("audio.tokens", audio.d, audio.heads, tokens, tokens, 0.0),
        ("audio.reverse", audio.d, s.config.cross_heads, tokens, frames, 0.0),
        ("audio.cross", audio.d, s.config.cross_heads, frames, tokens, 0.0),
    ):
        for work in dense_attention(bench, place, s.batch, d, heads, queries, keys, dropout):
            bench.run(work)
    ragged_attention(bench, s, midi.d, midi.heads)


def product_flops(pairs: int, d: int) -> dict[str, float]:
    return {"forward": 4.0 * pairs * d, "backward": 10.0 * pairs * d}


def dense_attention(bench: Bench, place: str, batch: int, d: int, heads: int, queries: int, keys: int, dropout: float) -> Iterator[Work]:
    def split(rows: int) -> Tensor:  # as projections leave it: [B, T, heads · width]
        return bench.noise(batch, rows, d, grad=False).unflatten(-1, (heads, -1)).transpose(1, 2).requires_grad_()

    q, k, v = split(queries), split(keys), split(keys)
    flops = product_flops(batch * queries * keys, d)
    for name in BACKENDS if bench.device == "cuda" else ("math",):

        def forward(name: str = name) -> Tensor:
            with only(name):
                return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)

        yield Work(f"attention/{place}", name, flops, forward, (q, k, v))


class only:
    """Allows one attention backend alone."""

    def __init__(self, name: str):
        self.name = name

    def __enter__(self) -> None:
        for backend, enable in BACKENDS.items():
            enable(backend == self.name)
        torch.backends.cuda.enable_math_sdp(self.name == "math")

    def __exit__(self, *_: object) -> None:
        for enable in (*BACKENDS.values(), torch.backends.cuda.enable_math_sdp):
            enable(True)


def ragged_attention(bench: Bench, s: Sizes, d: int, heads: int) -> None:
    """Notes, padded with a mask and packed."""
    longest, lengths = max(s.notes), torch.tensor(s.notes)
    flops = product_flops(sum(n * n for n in s.notes), d)
    mask = (torch.arange(longest) < lengths[:, None]).to(bench.device)[:, None, None]

    def padded() -> Tensor:
        x = bench.noise(len(s.notes), longest, d, grad=False)
        return x.unflatten(-1, (heads, -1)).transpose(1, 2).requires_grad_()

    q, k, v = padded(), padded(), padded()
    for name in ("cudnn", "efficient") if bench.device == "cuda" else ("math",):

        def masked(name: str = name) -> Tensor:
            with only(name):
                return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

        bench.run(Work("attention/midi", f"{name}, padded", flops, masked, (q, k, v)))
    if bench.device == "cuda" and varlen_attn is not None:
        offsets = F.pad(lengths.cumsum(0), (1, 0)).to(bench.device, torch.int32)
        p, m, n = (bench.noise(sum(s.notes), heads, d // heads) for _ in range(3))

        def packed() -> Tensor:
            return varlen_attn(p, m, n, offsets, offsets, longest, longest)

        bench.run(Work("attention/midi", "varlen", flops, packed, (p, m, n)))


def rows(bench: Bench, s: Sizes, way: str, wrap: Callable) -> None:
    """LayerNorm of a sum, GELU, dropout, embedding lookups: what memory limits."""
    audio, frames, tokens = s.config.audio, s.batch * s.frames, s.batch * s.tokens
    none = {"forward": 0.0, "backward": 0.0}
    for place, count in (("audio.frames", frames), ("audio.tokens", tokens)):
        x, r = bench.noise(count, audio.d), bench.noise(count, audio.d)
        g, b = bench.noise(audio.d), bench.noise(audio.d)
        normed = wrap(lambda x, r, g, b: F.layer_norm(x + r, (x.shape[-1],), g, b))
        bench.run(Work(f"layernorm/{place}", way, none, lambda: normed(x, r, g, b), (x, r, g, b)))
    h, y = bench.noise(frames, audio.ff), bench.noise(frames, audio.d)
    gelu, dropout = wrap(F.gelu), wrap(lambda y: F.dropout(y, 0.1))
    bench.run(Work("gelu/audio.frames", way, none, lambda: gelu(h), (h,)))
    bench.run(Work("dropout/audio.frames", way, none, lambda: dropout(y), (y,)))


def convolutions(bench: Bench, s: Sizes, way: str, wrap: Callable) -> None:
    """conv1d, group_norm and gelu, [batch, channels, time] as PyTorch likes it."""
    cnn = FrameCnn(s.config).to(bench.device, torch.bfloat16)
    time = s.samples
    for i, (conv, norm) in enumerate(zip(cnn.convs, cnn.norms, strict=True)):
        x = bench.noise(s.batch, conv.in_channels, time, grad=i > 0)
        time = (time + 2 * conv.padding[0] - conv.kernel_size[0]) // conv.stride[0] + 1
        product = 2.0 * s.batch * time * prod(conv.weight.shape)
        layer = wrap(lambda x, conv=conv, norm=norm: F.gelu(norm(conv(x))))
        inputs = (*conv.parameters(), *norm.parameters(), *([x] if i else []))
        flops = {"forward": product, "backward": product * (2 if i else 1)}
        bench.run(Work(f"conv/{i}", way, flops, lambda layer=layer, x=x: layer(x), inputs))


def adamw(bench: Bench, s: Sizes) -> None:
    parameter = torch.nn.Parameter(bench.noise(s.parameters, dtype=torch.float32, grad=False))
    parameter.grad = torch.randn_like(parameter)
    optimizer = torch.optim.AdamW([parameter], lr=1e-4, weight_decay=0.01, fused=True)
    bench.run(Work("adamw/parameters", "fused", {"update": 0.0}, lambda: optimizer.step()))


def ceilings(bench: Bench, tiny: bool) -> None:
    n, copied = (64, 1 << 10) if tiny else (8192, 1 << 28)
    a, b = bench.noise(n, n, grad=False), bench.noise(n, n, grad=False)
    source = bench.noise(copied, grad=False)
    target = torch.empty_like(source)
    bench.say("ceiling/product", "cublas", 2.0 * n**3, lambda: a @ b)
    bench.say("ceiling/copy", "copy", 0.0, lambda: target.copy_(source))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small sizes: shows that everything runs")
    parser.add_argument("--seconds", type=float, default=0.06, help="measured time of each operation")
    parser.add_argument("--backend", default="inductor", help="of torch.compile")
    args = parser.parse_args()
    torch.backends.cudnn.benchmark = True
    if args.device == "cpu":
        torch.set_num_threads(1)  # small work that threads would only wait for
    bench, s = Bench(args.device, args.seconds), sizes(args.tiny)

    def compiled(function: Callable) -> Callable:
        torch._dynamo.reset()
        return torch.compile(function, backend=args.backend)

    def plain(function: Callable) -> Callable:
        return function

    # The most important first: time may run out.
    ceilings(bench, args.tiny)
    attention(bench, s)
    linear(bench, s)
    adamw(bench, s)
    for way, wrap in (("eager", plain), ("compile", compiled)):
        convolutions(bench, s, way, wrap)
        rows(bench, s, way, wrap)


if __name__ == "__main__":
    main()
