//! What a step reads, in one block of device memory at addresses that never change: recordings, notes, and the few numbers that
//! differ from step to step. One copy brings all of it.
//!
//! Notes are filled up to one of a few sizes, so that the shapes of steps recur ([`Bucket`]). The rows that fill up are a
//! sample of their own, which the mean over notes leaves out: no value and no gradient depends on them.

use std::sync::Arc;

use half::bf16;
use half::slice::HalfFloatSliceExt;

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

/// Sizes that all batches of a run share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sizes {
    batch: usize,
    samples: usize,
    /// Rows of a recording's descriptor, and its numbers a row; 0 where the arm has none.
    frames: usize,
    frame_dims: usize,
    /// Numbers of a note's descriptor; 0 where the arm has none.
    note_dims: usize,
}

impl Sizes {
    fn of(audio: &AudioBatch, midi: &MidiBatch) -> Self {
        let batch = audio.samples.shape()[0];
        let (frames, frame_dims) = audio.descriptor.as_ref().map_or((0, 0), |(x, rows)| (rows.longest(), x.cols()));
        let note_dims = midi.descriptor.as_ref().map_or(0, Tensor::cols);
        Sizes { batch, samples: audio.samples.len() / batch, frames, frame_dims, note_dims }
    }
}

/// Where things lie in the block.
struct Layout {
    samples: Piece,
    frames: Piece,
    offsets: Piece,
    pitch: Piece,
    velocity: Piece,
    duration: Piece,
    onset: Piece,
    notes: Piece,
    counter: Piece,
    rates: Piece,
}

impl Layout {
    /// For up to `most` rows of notes; also the size of the block.
    fn new(sizes: Sizes, most: usize, dtype: DType) -> (Self, usize) {
        let Sizes { batch, samples, frames, frame_dims, note_dims } = sizes;
        let (mut end, stored) = (0, dtype.bytes());
        let mut piece = |count: usize, bytes: usize| {
            let start = end;
            end = (start + (count * bytes).max(1)).next_multiple_of(ALIGNMENT);
            Piece { start, bytes: count * bytes }
        };
        let layout = Layout {
            samples: piece(batch * samples, stored),
            frames: piece(batch * frames * frame_dims, stored),
            offsets: piece(batch + 2, 4),
            pitch: piece(most, 4),
            velocity: piece(most, 4),
            duration: piece(most, 4),
            onset: piece(most, 4),
            notes: piece(most * note_dims, stored),
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
    max_notes: usize,
    /// Rows of the recordings' descriptors.
    frame_rows: Ragged,
}

impl Inputs {
    /// Room on `device` for batches like this one with up to `max_notes` notes a sample; activations are stored as `dtype`.
    pub fn new(
        device: &Device,
        dtype: DType,
        (audio, midi): (&AudioBatch, &MidiBatch),
        max_notes: usize,
    ) -> Result<Self> {
        let sizes = Sizes::of(audio, midi);
        let most = Bucket::of(&Ragged::uniform(sizes.batch, max_notes), max_notes).total;
        let (layout, bytes) = Layout::new(sizes, most, dtype);
        let frame_rows = Ragged::uniform(sizes.batch, sizes.frames);
        // Made now, so that it is not a step's.
        frame_rows.on(device)?;
        let block = Arc::new(Memory::uninit(device, bytes)?);
        Ok(Inputs { block, layout, sizes, dtype, max_notes, frame_rows })
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
        (audio, midi): (&AudioBatch, &MidiBatch),
        step: u64,
        rates: [f32; RATES],
    ) -> Result<()> {
        if Sizes::of(audio, midi) != self.sizes || midi.rows.longest() > self.max_notes {
            let got = format!("{:?}, notes up to {}", Sizes::of(audio, midi), midi.rows.longest());
            return Err(Error::op("inputs", "batch", format!("{:?}, up to {}", self.sizes, self.max_notes), got));
        }
        let (bucket, layout) = (self.bucket(midi), &self.layout);
        self.store(layout.samples.of(bytes), audio.samples.as_slice());
        if let Some((frames, _)) = &audio.descriptor {
            self.store(layout.frames.of(bytes), frames.as_slice());
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
        if let Some(notes) = &midi.descriptor {
            let piece = layout.notes.of(bytes);
            let (used, rest) = piece.split_at_mut(notes.len() * self.dtype.bytes());
            self.store(used, notes.as_slice());
            rest.fill(0);
        }
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
        let Sizes { batch, samples, frames, frame_dims, note_dims } = self.sizes;
        let layout = &self.layout;
        let descriptor = match frame_dims {
            0 => None,
            dims => Some((self.tensor(layout.frames, &[batch * frames, dims])?, self.frame_rows.clone())),
        };
        let audio = AudioBatch { samples: self.tensor(layout.samples, &[batch, samples, 1])?, descriptor };
        let Bucket { total, longest } = bucket;
        let rows = Ragged::placed(batch, total, longest, self.part(layout.offsets, usize::MAX)?);
        let symbols = |piece| Ok(Mirrored::placed(vec![0u32; total], self.part(piece, total * 4)?));
        let midi = MidiBatch {
            rows,
            pitch: symbols(layout.pitch)?,
            velocity: symbols(layout.velocity)?,
            duration: symbols(layout.duration)?,
            onset: Mirrored::placed(vec![0.0; total], self.part(layout.onset, total * 4)?),
            descriptor: match note_dims {
                0 => None,
                dims => Some(self.tensor(layout.notes, &[total, dims])?),
            },
        };
        Ok((audio, midi))
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
