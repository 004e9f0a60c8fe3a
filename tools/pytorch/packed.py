"""The MIDI encoder on packed notes: no padding is computed. Shares the parameters of the padded one.

Of the injections it knows none and concatenation, which is what arms d0, d4a4, a4r and d4-a4r need. Attention weights are not
dropped: PyTorch's attention of variable lengths cannot.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model import Attention, MidiEncoder, Model

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # before torch 2.10
    varlen_attn = None


def pack(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Adds the packed notes to a padded batch."""
    mask = batch["mask"]
    lengths = mask.sum(dim=1)
    offsets = F.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)
    sample = torch.repeat_interleave(torch.arange(len(mask), device=mask.device), lengths)
    mean = F.one_hot(sample, len(mask)).T / lengths[:, None]
    index = torch.arange(mask.shape[1], device=mask.device).expand(mask.shape)[mask]
    notes = {f"packed/{key}": batch[key][mask] for key in ("pitch", "vel", "dur", "d4")}
    return batch | notes | {"offsets": offsets, "index": index, "mean": mean.float()}


def _attend(q: Tensor, k: Tensor, v: Tensor, offsets: Tensor, longest: int) -> Tensor:
    """q, k, v [ΣN, heads, width]."""
    if q.is_cuda and varlen_attn is not None:
        return varlen_attn(q, k, v, offsets, offsets, longest, longest)
    ends = offsets.tolist()
    parts = []
    for start, end in zip(ends, ends[1:]):
        one = (x[start:end].transpose(0, 1)[None] for x in (q, k, v))
        parts.append(F.scaled_dot_product_attention(*one)[0].transpose(0, 1))
    return torch.cat(parts)


class PackedMidi(nn.Module):
    """[B, d] of the notes that `pack` has added to a batch."""

    def __init__(self, encoder: MidiEncoder, longest: int):
        super().__init__()
        self.encoder, self.longest = encoder, longest

    def _attention(self, att: Attention, x: Tensor, offsets: Tensor) -> Tensor:
        q, k, v = (linear(x).unflatten(-1, (att.heads, -1)) for linear in (att.q, att.k, att.v))
        return att.o(_attend(q, k, v, offsets, self.longest).flatten(1))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        e = self.encoder
        notes = [e.pitch(batch["packed/pitch"]), e.vel(batch["packed/vel"]), e.dur(batch["packed/dur"])]
        x = e.norm(e.lin(torch.cat(notes, dim=-1)))
        if e.inj is not None:
            x = e.inj(x[None], batch["packed/d4"][None])[0]
        x = x + e.sinusoids[batch["index"]].to(x.dtype)
        for layer in e.layers:
            x = x + layer.drop(self._attention(layer.att, layer.n1(x), batch["offsets"]))
            x = x + layer.drop(layer.ffn(layer.n2(x)))
        return e.final(batch["mean"].to(x.dtype) @ x)


class PackedModel(nn.Module):
    """`model` with its notes packed."""

    def __init__(self, model: Model, longest: int):
        super().__init__()
        self.model, self.midi = model, PackedMidi(model.midi, longest)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        za = self.model.audio(batch["audio"], batch["a4"])
        return self.model.ahead(za), self.model.mhead(self.midi(batch))
