//! What the encoders read.

use crate::device::{DType, Device, Mirrored};
use crate::error::Result;
use crate::ops::Ragged;
use crate::tensor::Tensor;

/// Recordings of equal length.
#[derive(Clone)]
pub struct AudioBatch {
    /// Samples [B, T, 1] at 24 kHz.
    pub samples: Tensor,
    /// The descriptor the arm injects here, [ΣT_D, dims], and its rows per sample; `None` where it injects none.
    pub descriptor: Option<(Tensor, Ragged)>,
}

/// Notes of segments, packed.
#[derive(Clone)]
pub struct MidiBatch {
    /// Rows of each sample.
    pub rows: Ragged,
    /// MIDI pitches `[ΣN]`, 0–127.
    pub pitch: Mirrored<u32>,
    /// MIDI velocities `[ΣN]`, 0–127.
    pub velocity: Mirrored<u32>,
    /// Duration buckets `[ΣN]`, 0–31.
    pub duration: Mirrored<u32>,
    /// Onsets `[ΣN]` in seconds from the start of the segment.
    pub onset: Mirrored<f32>,
    /// The descriptor the arm injects here, [ΣT_D, dims], and its rows per sample: one of MIDI has a row for every note. `None`
    /// where the arm injects none.
    pub descriptor: Option<(Tensor, Ragged)>,
}

impl AudioBatch {
    /// The batch on `device`, stored as `dtype`.
    pub fn to_device(&self, device: &Device, dtype: DType) -> Result<Self> {
        let descriptor = placed(&self.descriptor, device, dtype)?;
        Ok(AudioBatch { samples: self.samples.to_device(device, dtype)?, descriptor })
    }
}

impl MidiBatch {
    /// The batch on `device`, its descriptor stored as `dtype`; indices and offsets are uploaded now rather than at their
    /// first use.
    pub fn to_device(&self, device: &Device, dtype: DType) -> Result<Self> {
        let mut batch = self.clone();
        batch.descriptor = placed(&self.descriptor, device, dtype)?;
        if !device.is_cpu() {
            batch.rows.on(device)?;
            for index in [&batch.pitch, &batch.velocity, &batch.duration] {
                index.on(device)?;
            }
        }
        Ok(batch)
    }
}

/// A descriptor on `device`.
fn placed(descriptor: &Option<(Tensor, Ragged)>, device: &Device, dtype: DType) -> Result<Option<(Tensor, Ragged)>> {
    let place = |(values, rows): &(Tensor, Ragged)| Ok((values.to_device(device, dtype)?, rows.clone()));
    descriptor.as_ref().map(place).transpose()
}
