"""The model in plain PyTorch: the twin that checks and times the engine.

Parameters carry the names of the golden files. Shapes in comments: B batch, T audio frames or tokens, N notes,
C channels, d model width.
"""

from dataclasses import dataclass, field, replace
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor, nn

A4_FRAMES, A4_DIM, D4_DIM = 188, 8, 4
PITCHES, VELOCITIES, DURATIONS = 128, 128, 32


@dataclass(frozen=True)
class Arm:
    """Which mechanism (None, "concat", "cross" or "reverse") injects A4 into audio and D4 into MIDI (section 3.5)."""

    audio: str | None = None
    midi: str | None = None


ARMS = {
    "d0": Arm(),
    "d4": Arm(midi="concat"),
    "a4": Arm(audio="concat"),
    "d4x": Arm(midi="cross"),
    "a4x": Arm(audio="cross"),
    "d4r": Arm(midi="reverse"),
    "a4r": Arm(audio="reverse"),
    "d4a4": Arm(audio="concat", midi="concat"),
    "d4-a4r": Arm(audio="reverse", midi="concat"),
}


@dataclass(frozen=True)
class TowerSize:
    """Width, depth and longest sequence of one Transformer encoder."""

    d: int
    heads: int
    layers: int
    ff: int
    max_positions: int


@dataclass(frozen=True)
class Config:
    """Every size and open choice of the model; the defaults are the paper's (tables 15 to 18)."""

    channels: tuple[int, ...] = (512, 512, 512, 1024)
    groups: int = 32
    paddings: tuple[int, ...] = (0, 1, 1, 1)
    frames: int = 2400  # the CNN's output is cut to this length
    audio: TowerSize = field(default=TowerSize(1024, 8, 4, 4096, 6000))
    midi: TowerSize = field(default=TowerSize(512, 8, 4, 2048, 2048))
    head: tuple[int, int, int] = (512, 512, 256)
    cross_heads: int = 8
    a4_frames: int = A4_FRAMES
    dropout: float = 0.1
    audio_pre_norm: bool = False  # otherwise post-norm; never a final norm on audio
    positions_before_injection: bool = True  # audio only: the injection then sees when each frame sounds
    cross_residual: bool = True  # off: cross-attention without residual and norm, eq. 8 and 9 literally


PRESETS = {
    "paper": Config(),
    "small": Config(
        channels=(64, 64, 64, 128),
        audio=TowerSize(128, 4, 2, 512, 6000),
        midi=TowerSize(128, 4, 2, 512, 2048),
        dropout=0.0,
    ),
    "tiny": Config(
        channels=(8, 8, 8, 16),
        groups=4,
        frames=100,
        audio=TowerSize(16, 2, 1, 32, 104),
        midi=TowerSize(16, 2, 1, 32, 64),
        head=(24, 24, 16),
        cross_heads=2,
        a4_frames=8,
        dropout=0.0,
    ),
}


def learned_positions(length: int, d: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(length, d) * 0.02)


def sinusoids(length: int, d: int) -> Tensor:
    """Sines in the even columns, cosines of the same angle in the odd ones: [length, d]."""
    frequency = torch.exp(torch.arange(0, d, 2, dtype=torch.float64) * (-log(10_000.0) / d))
    angle = torch.arange(length, dtype=torch.float64)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


class Attention(nn.Module):
    """Multi-head attention; `mask` [B, keys] is true where a key may be attended to."""

    def __init__(self, d: int, heads: int, dropout: float = 0.0):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.q, self.k, self.v, self.o = (nn.Linear(d, d) for _ in range(4))

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        def split(y: Tensor) -> Tensor:  # [B, T, d] -> [B, heads, T, d / heads]
            return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        y = F.scaled_dot_product_attention(
            split(self.q(x)),
            split(self.k(memory)),
            split(self.v(memory)),
            attn_mask=None if mask is None else mask[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.o(y.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    def __init__(self, d: int, ff: int, dropout: float):
        super().__init__()
        self.l1, self.l2 = nn.Linear(d, ff), nn.Linear(ff, d)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.l2(self.drop(F.gelu(self.l1(x))))


class Block(nn.Module):
    """One Transformer encoder layer, pre- or post-norm, dropout where PyTorch's own layer has it."""

    def __init__(self, size: TowerSize, dropout: float, pre_norm: bool):
        super().__init__()
        self.pre_norm = pre_norm
        self.att = Attention(size.d, size.heads, dropout)
        self.ffn = FeedForward(size.d, size.ff, dropout)
        self.n1, self.n2 = nn.LayerNorm(size.d), nn.LayerNorm(size.d)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if self.pre_norm:
            y = self.n1(x)
            x = x + self.drop(self.att(y, y, mask))
            return x + self.drop(self.ffn(self.n2(x)))
        x = self.n1(x + self.drop(self.att(x, x, mask)))
        return self.n2(x + self.drop(self.ffn(x)))


class Concat(nn.Module):
    """LayerNorm(W [h ; d] + b), eq. 7, the descriptor stretched linearly to the encoder's length."""

    def __init__(self, d: int, descriptor: int):
        super().__init__()
        self.proj, self.norm = nn.Linear(d + descriptor, d), nn.LayerNorm(d)

    def forward(self, x: Tensor, descriptor: Tensor, mask: Tensor | None = None) -> Tensor:
        if descriptor.shape[1] != x.shape[1]:
            stretched = F.interpolate(descriptor.transpose(1, 2), x.shape[1], mode="linear", align_corners=False)
            descriptor = stretched.transpose(1, 2)
        return self.norm(self.proj(torch.cat([x, descriptor], dim=-1)))


class Cross(nn.Module):
    """Encoder features attend to the projected descriptor (eq. 8); the sequence keeps its length."""

    def __init__(self, d: int, descriptor: int, heads: int, residual: bool):
        super().__init__()
        self.inp, self.mha = nn.Linear(descriptor, d), Attention(d, heads)
        self.norm = nn.LayerNorm(d) if residual else None

    def forward(self, x: Tensor, descriptor: Tensor, mask: Tensor | None = None) -> Tensor:
        y = self.mha(x, self.inp(descriptor), mask)
        return y if self.norm is None else self.norm(x + y)


class Reverse(nn.Module):
    """Descriptor tokens with learned positions attend to encoder features (eq. 9) and replace them."""

    def __init__(self, d: int, descriptor: int, heads: int, residual: bool, max_tokens: int):
        super().__init__()
        self.inp, self.mha = nn.Linear(descriptor, d), Attention(d, heads)
        self.pos = learned_positions(max_tokens, d)
        self.norm = nn.LayerNorm(d) if residual else None

    def forward(self, x: Tensor, descriptor: Tensor, mask: Tensor | None = None) -> Tensor:
        query = self.inp(descriptor) + self.pos[: descriptor.shape[1]]
        y = self.mha(query, x, mask)
        return y if self.norm is None else self.norm(query + y)


def injection(kind: str | None, d: int, descriptor: int, max_tokens: int, config: Config) -> nn.Module | None:
    match kind:
        case None:
            return None
        case "concat":
            return Concat(d, descriptor)
        case "cross":
            return Cross(d, descriptor, config.cross_heads, config.cross_residual)
        case "reverse":
            return Reverse(d, descriptor, config.cross_heads, config.cross_residual, max_tokens)
    raise ValueError(f"injection must be None, 'concat', 'cross' or 'reverse', found {kind!r}")


class FrameCnn(nn.Module):
    """Waveform to frames, 40 samples a frame: four convolutions, each with GroupNorm and GELU (table 15)."""

    KERNELS, STRIDES = (10, 3, 3, 3), (5, 2, 2, 2)

    def __init__(self, config: Config):
        super().__init__()
        inputs = (1, *config.channels)
        shape = zip(inputs, config.channels, self.KERNELS, self.STRIDES, config.paddings, strict=False)
        self.convs = nn.ModuleList(nn.Conv1d(i, o, k, s, p) for i, o, k, s, p in shape)
        self.norms = nn.ModuleList(nn.GroupNorm(config.groups, c) for c in config.channels)
        self.frames = config.frames

    def forward(self, audio: Tensor) -> Tensor:  # [B, samples] -> [B, T, C]
        x = audio[:, None]
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.gelu(norm(conv(x)))
        return x.transpose(1, 2)[:, : self.frames]


class AudioEncoder(nn.Module):
    """[B, samples], A4 [B, 188, 8] -> mean over the Transformer's tokens [B, d]."""

    def __init__(self, config: Config, mechanism: str | None):
        super().__init__()
        size = config.audio
        self.cnn = FrameCnn(config)
        self.pos = learned_positions(size.max_positions, size.d)
        self.inj = injection(mechanism, size.d, A4_DIM, config.a4_frames, config)
        self.layers = nn.ModuleList(Block(size, config.dropout, config.audio_pre_norm) for _ in range(size.layers))
        self.positions_first = config.positions_before_injection

    def forward(self, audio: Tensor, a4: Tensor) -> Tensor:
        x = self.cnn(audio)
        if self.positions_first:
            x = x + self.pos[: x.shape[1]]
        if self.inj is not None:
            x = self.inj(x, a4)
        if not self.positions_first:
            x = x + self.pos[: x.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return x.mean(dim=1)


class MidiEncoder(nn.Module):
    """Note ids [B, N] with a prefix mask, D4 [B, N, 4] -> LayerNorm of the mean over valid notes [B, d]."""

    def __init__(self, config: Config, mechanism: str | None):
        super().__init__()
        size = config.midi
        self.pitch = nn.Embedding(PITCHES, size.d // 2)
        self.vel = nn.Embedding(VELOCITIES, size.d // 4)
        self.dur = nn.Embedding(DURATIONS, size.d // 4)
        self.lin, self.norm = nn.Linear(size.d, size.d), nn.LayerNorm(size.d)
        self.inj = injection(mechanism, size.d, D4_DIM, size.max_positions, config)
        self.layers = nn.ModuleList(Block(size, config.dropout, pre_norm=True) for _ in range(size.layers))
        self.final = nn.LayerNorm(size.d)
        self.register_buffer("sinusoids", sinusoids(size.max_positions, size.d), persistent=False)

    def forward(self, pitch: Tensor, velocity: Tensor, duration: Tensor, mask: Tensor, d4: Tensor) -> Tensor:
        notes = torch.cat([self.pitch(pitch), self.vel(velocity), self.dur(duration)], dim=-1)
        x = self.norm(self.lin(notes))
        if self.inj is not None:
            x = self.inj(x, d4, mask)
        x = x + self.sinusoids[: x.shape[1]].to(x.dtype)
        for layer in self.layers:
            x = layer(x, mask)
        weight = mask[..., None].to(x.dtype)
        return self.final((x * weight).sum(dim=1) / weight.sum(dim=1))


def projection_head(d: int, sizes: tuple[int, int, int]) -> nn.Sequential:
    first, second, out = sizes
    return nn.Sequential(
        *(nn.Linear(d, first), nn.BatchNorm1d(first), nn.ReLU()),
        *(nn.Linear(first, second), nn.BatchNorm1d(second), nn.ReLU()),
        nn.Linear(second, out),
    )


class Model(nn.Module):
    """Both towers and their heads; `forward` gives the audio and the MIDI embedding, [B, 256] each."""

    def __init__(self, arm: Arm, config: Config):
        super().__init__()
        self.audio, self.midi = AudioEncoder(config, arm.audio), MidiEncoder(config, arm.midi)
        self.ahead = projection_head(config.audio.d, config.head)
        self.mhead = projection_head(config.midi.d, config.head)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        za = self.audio(batch["audio"], batch["a4"])
        zm = self.midi(batch["pitch"], batch["vel"], batch["dur"], batch["mask"], batch["d4"])
        return self.ahead(za), self.mhead(zm)


def build(arm: str, preset: str, **overrides) -> Model:
    """The model of a named arm and preset; `overrides` are fields of `Config`."""
    return Model(ARMS[arm], replace(PRESETS[preset], **overrides))


@dataclass(frozen=True)
class VicregTerms:
    """The three terms of eq. 3, unweighted."""

    inv: Tensor
    var: Tensor
    cov: Tensor

    def loss(self, inv: float = 10.0, var: float = 10.0, cov: float = 1.0) -> Tensor:
        return inv * self.inv + var * self.var + cov * self.cov


def vicreg(za: Tensor, zm: Tensor) -> VicregTerms:
    """VICReg of two batches of embeddings [B, D]: both variance hinges averaged, both covariance terms summed."""

    def variance(z: Tensor) -> Tensor:
        return F.relu(1.0 - torch.sqrt(z.var(dim=0) + 1e-4)).mean()

    def covariance(z: Tensor) -> Tensor:
        c = torch.cov(z.T)
        return (c.square().sum() - c.diagonal().square().sum()) / z.shape[1]

    return VicregTerms(
        inv=F.mse_loss(za, zm),
        var=(variance(za) + variance(zm)) / 2,
        cov=covariance(za) + covariance(zm),
    )
