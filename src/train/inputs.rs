//! What a step reads, in one block of device memory at addresses that never change: recordings, notes, and the few numbers that
//! differ from step to step. One copy brings all of it.
//!
//! Notes are filled up to one of a few sizes, so that the shapes of steps recur ([`Bucket`]). The rows that fill up are a
//! sample of their own, which the mean over notes leaves out: no value and no gradient depends on them.

use std::sync::Arc;

use half::bf16;
use half::slice::HalfFloatSliceExt;

use crate::descriptors::Domain;
use crate::device::{DType, Device, Memory, Mirrored};
use crate::error::{Error, Result};
use crate::model::{AudioBatch, MidiBatch};
use crate::ops::Ragged;
use crate::ops::dropout::counter;
use crate::optim::RATES;
use crate::tensor::Tensor;

/// Notes are filled up to a multiple of a sixteenth of the next power of two, and of no less than this.
const LEAST_STEP: usize = 64;
/// Where pieces of the block start.
const ALIGNMENT: usize = 256;

/// The sizes that the shapes of a step depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket {
    /// Rows of notes.
    pub total: usize,
    /// Most notes of a sample.
    pub longest: usize,
}

impl Bucket {
    /// The smallest that holds samples of the given lengths, each from 1 to `max_notes`: at most an eighth of its rows fill up,
    /// or 64.
    pub fn of(rows: &Ragged, max_notes: usize) -> Self {
        let step = |n: usize| (n.next_power_of_two() / 16).max(LEAST_STEP).min(max_notes);
        let step = step(rows.total());
        let longest = rows.longest().max(step).next_power_of_two().min(max_notes);
        Bucket { total: rows.total().next_multiple_of(step), longest }
    }
}

/// A piece of the block.
#[derive(Debug, Clone, Copy)]
struct Piece {
    start: usize,
    bytes: usize,
}

impl Piece {
    fn of(self, block: &mut [u8]) -> &mut [u8] {
        &mut block[self.start..self.start + self.bytes]
    }
}

/// The sizes of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    /// Rows of a sample; `None`: as many as it has notes.
    frames: Option<usize>,
    /// Numbers in a row.
    dims: usize,
}

impl Slot {
    fn of(domain: Domain, (values, rows): &(Tensor, Ragged)) -> Self {
        let frames = match domain {
            Domain::Audio => Some(rows.longest()),
            Domain::Midi => None,
        };
        Slot { frames, dims: values.cols() }
    }

    /// Rows of a batch that holds `notes` rows of notes.
    fn rows(self, batch: usize, notes: usize) -> usize {
        self.frames.map_or(notes, |frames| batch * frames)
    }
}

/// Sizes that all batches of a run share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sizes {
    batch: usize,
    samples: usize,
    /// Descriptors of the audio and of the MIDI encoder.
    descriptors: [Option<Slot>; 2],
}

impl Sizes {
    fn of(batch: (&AudioBatch, &MidiBatch), domains: [Option<Domain>; 2]) -> Self {
        let [audio, midi] = descriptors(batch);
        let [for_audio, for_midi] = domains;
        let slot = |domain: Option<Domain>, given: Option<&(Tensor, Ragged)>| Some(Slot::of(domain?, given?));
        let samples = &batch.0.samples;
        let count = samples.shape()[0];
        Sizes {
            batch: count,
            samples: samples.len() / count,
            descriptors: [slot(for_audio, audio), slot(for_midi, midi)],
        }
    }
}

/// The descriptors of a batch: of the audio encoder, of the MIDI encoder.
fn descriptors<'a>((audio, midi): (&'a AudioBatch, &'a MidiBatch)) -> [Option<&'a (Tensor, Ragged)>; 2] {
    [audio.descriptor.as_ref(), midi.descriptor.as_ref()]
}

/// Where things lie in the block.
struct Layout {
    samples: Piece,
    descriptors: [Piece; 2],
    offsets: Piece,
    pitch: Piece,
    velocity: Piece,
    duration: Piece,
    onset: Piece,
    counter: Piece,
    rates: Piece,
}

impl Layout {
    /// For up to `most` rows of notes; also the size of the block.
    fn new(sizes: Sizes, most: usize, dtype: DType) -> (Self, usize) {
        let Sizes { batch, samples, descriptors } = sizes;
        let (mut end, stored) = (0, dtype.bytes());
        let mut piece = |count: usize, bytes: usize| {
            let start = end;
            end = (start + (count * bytes).max(1)).next_multiple_of(ALIGNMENT);
            Piece { start, bytes: count * bytes }
        };
        let layout = Layout {
            samples: piece(batch * samples, stored),
            descriptors: descriptors
                .map(|slot| piece(slot.map_or(0, |slot| slot.rows(batch, most) * slot.dims), stored)),
            offsets: piece(batch + 2, 4),
            pitch: piece(most, 4),
            velocity: piece(most, 4),
            duration: piece(most, 4),
            onset: piece(most, 4),
            counter: piece(1, 8),
            rates: piece(RATES, 4),
        };
        (layout, end)
    }
}

/// The block.
pub struct Inputs {
    block: Arc<Memory>,
    layout: Layout,
    sizes: Sizes,
    dtype: DType,
    domains: [Option<Domain>; 2],
    max_notes: usize,
    /// Rows of the descriptors; `None` where they are those of the notes.
    frame_rows: [Option<Ragged>; 2],
}

impl Inputs {
    /// Room on `device` for batches like this one with up to `max_notes` notes a sample; activations are stored as `dtype`.
    /// `domains` tells what the descriptors of the audio and of the MIDI encoder are of.
    pub fn new(
        device: &Device,
        dtype: DType,
        batch: (&AudioBatch, &MidiBatch),
        domains: [Option<Domain>; 2],
        max_notes: usize,
    ) -> Result<Self> {
        let sizes = Sizes::of(batch, domains);
        let most = Bucket::of(&Ragged::uniform(sizes.batch, max_notes), max_notes).total;
        let (layout, bytes) = Layout::new(sizes, most, dtype);
        let uniform = |slot: Slot| slot.frames.map(|frames| Ragged::uniform(sizes.batch, frames));
        let frame_rows = sizes.descriptors.map(|slot| slot.and_then(uniform));
        for rows in frame_rows.iter().flatten() {
            // Made now, so that it is not a step's.
            rows.on(device)?;
        }
        let block = Arc::new(Memory::uninit(device, bytes)?);
        Ok(Inputs { block, layout, sizes, dtype, domains, max_notes, frame_rows })
    }

    /// Bytes of the block, a multiple of 256.
    pub fn bytes(&self) -> usize {
        self.block.bytes()
    }

    /// The block, to be written as [`Inputs::fill`] says.
    pub fn block(&self) -> &Memory {
        &self.block
    }

    /// The shapes that a batch is filled up to.
    pub fn bucket(&self, midi: &MidiBatch) -> Bucket {
        Bucket::of(&midi.rows, self.max_notes)
    }

    /// Writes the block for one step: its batch, its number (from 0) and its rates.
    pub fn fill(
        &self,
        bytes: &mut [u8],
        batch: (&AudioBatch, &MidiBatch),
        step: u64,
        rates: [f32; RATES],
    ) -> Result<()> {
        let ((audio, midi), sizes) = (batch, Sizes::of(batch, self.domains));
        if sizes != self.sizes || midi.rows.longest() > self.max_notes {
            let got = format!("{sizes:?}, notes up to {}", midi.rows.longest());
            return Err(Error::op("inputs", "batch", format!("{:?}, up to {}", self.sizes, self.max_notes), got));
        }
        let (bucket, layout) = (self.bucket(midi), &self.layout);
        self.store(layout.samples.of(bytes), audio.samples.as_slice());
        for ((given, slot), piece) in descriptors(batch).into_iter().zip(sizes.descriptors).zip(layout.descriptors) {
            let (Some((values, _)), Some(slot)) = (given, slot) else { continue };
            let expected = slot.rows(sizes.batch, midi.rows.total());
            if values.rows() != expected {
                let got = values.rows().to_string();
                return Err(Error::op("inputs", "rows of a descriptor", expected.to_string(), got));
            }
            let filled = slot.rows(sizes.batch, bucket.total) * slot.dims * self.dtype.bytes();
            let (used, rest) = piece.of(bytes)[..filled].split_at_mut(values.len() * self.dtype.bytes());
            self.store(used, values.as_slice());
            rest.fill(0);
        }
        let offsets: &mut [u32] = bytemuck::cast_slice_mut(layout.offsets.of(bytes));
        for (b, offset) in offsets.iter_mut().enumerate().take(self.sizes.batch) {
            *offset = midi.rows.range(b).start as u32;
        }
        offsets[self.sizes.batch] = midi.rows.total() as u32;
        offsets[self.sizes.batch + 1] = bucket.total as u32;
        for (piece, symbols) in
            [(layout.pitch, &midi.pitch), (layout.velocity, &midi.velocity), (layout.duration, &midi.duration)]
        {
            fill_up(piece.of(bytes), symbols, bucket.total);
        }
        fill_up(layout.onset.of(bytes), &midi.onset, bucket.total);
        layout.counter.of(bytes).copy_from_slice(bytemuck::bytes_of(&counter(step)));
        layout.rates.of(bytes).copy_from_slice(bytemuck::bytes_of(&rates));
        Ok(())
    }

    fn store(&self, to: &mut [u8], values: &[f32]) {
        match self.dtype {
            DType::BF16 => bytemuck::cast_slice_mut::<u8, bf16>(to).convert_from_f32_slice(values),
            DType::F32 | DType::F64 => to.copy_from_slice(bytemuck::cast_slice(values)),
        }
    }

    fn part(&self, piece: Piece, bytes: usize) -> Result<Memory> {
        Memory::part(&self.block, piece.start, bytes.min(piece.bytes))
    }

    fn tensor(&self, piece: Piece, shape: &[usize]) -> Result<Tensor> {
        let bytes = shape.iter().product::<usize>() * self.dtype.bytes();
        Ok(Tensor::from_memory(shape, self.part(piece, bytes)?, self.dtype))
    }

    /// The batch of the given shapes as the block holds it.
    pub fn batch(&self, bucket: Bucket) -> Result<(AudioBatch, MidiBatch)> {
        let (Sizes { batch, samples, descriptors }, layout) = (self.sizes, &self.layout);
        let Bucket { total, longest } = bucket;
        let rows = Ragged::placed(batch, total, longest, self.part(layout.offsets, usize::MAX)?);
        let descriptor = |side: usize| -> Result<Option<(Tensor, Ragged)>> {
            let Some(slot) = descriptors[side] else { return Ok(None) };
            let values = self.tensor(layout.descriptors[side], &[slot.rows(batch, total), slot.dims])?;
            Ok(Some((values, self.frame_rows[side].as_ref().unwrap_or(&rows).clone())))
        };
        let (samples, for_audio) = (self.tensor(layout.samples, &[batch, samples, 1])?, descriptor(0)?);
        let for_midi = descriptor(1)?;
        let symbols = |piece| Ok(Mirrored::placed(vec![0u32; total], self.part(piece, total * 4)?));
        let midi = MidiBatch {
            rows,
            pitch: symbols(layout.pitch)?,
            velocity: symbols(layout.velocity)?,
            duration: symbols(layout.duration)?,
            onset: Mirrored::placed(vec![0.0; total], self.part(layout.onset, total * 4)?),
            descriptor: for_midi,
        };
        Ok((AudioBatch { samples, descriptor: for_audio }, midi))
    }

    /// Where the step's dropout masks start to be counted.
    pub fn counter(&self) -> Result<Mirrored<u64>> {
        Ok(Mirrored::placed(vec![0], self.part(self.layout.counter, usize::MAX)?))
    }

    /// The optimizer's rates.
    pub fn rates(&self) -> Result<Memory> {
        self.part(self.layout.rates, usize::MAX)
    }
}

/// Writes `values` and zeros up to `total` of them.
fn fill_up<X: bytemuck::Pod>(to: &mut [u8], values: &[X], total: usize) {
    let to: &mut [X] = bytemuck::cast_slice_mut(&mut to[..total * size_of::<X>()]);
    let (used, rest) = to.split_at_mut(values.len());
    used.copy_from_slice(values);
    rest.fill(X::zeroed());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_shapes_hold_every_batch() {
        let mut seen = std::collections::BTreeSet::new();
        for total in 16..4000 {
            let lengths: Vec<usize> = (0..16).map(|b| (total + b) / 16).collect();
            let rows = Ragged::from_lengths(lengths);
            let bucket = Bucket::of(&rows, 2048);
            let rest = bucket.total - rows.total();
            assert!(rest < LEAST_STEP.max(rows.total() / 8 + 1) && rest <= bucket.longest, "{total}: {bucket:?}");
            assert!(bucket.longest >= rows.longest());
            seen.insert(bucket);
        }
        assert!(seen.len() < 60, "{} shapes", seen.len());
        // Never more rows than the table of positions has.
        let few = Bucket::of(&Ragged::from_lengths([5, 3, 1]), 6);
        assert_eq!(few, Bucket { total: 12, longest: 6 });
    }
}
