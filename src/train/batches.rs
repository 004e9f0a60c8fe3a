//! From segments to model inputs, and the threads that prepare them ahead of the training step.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::arms::{Arm, Descriptor};
use crate::data::augment::Augmenter;
use crate::data::note::Note;
use crate::data::segments::{Dataset, Segment, WINDOW_SAMPLES};
use crate::descriptors::a4::a4;
use crate::descriptors::d4::d4;
use crate::descriptors::duration::duration_bucket;
use crate::descriptors::stft::Padding;
use crate::device::PoolVec;
use crate::error::{Error, Result};
use crate::eval::condition::Condition;
use crate::model::{AudioBatch, MidiBatch};
use crate::ops::Ragged;
use crate::random::{Philox, site};
use crate::tensor::Tensor;

/// Random site of the training order.
const ORDER: u64 = site("train.order");
/// Batches each worker keeps ready.
const AHEAD: usize = 2;

/// Descriptors by performance and start of the window (its bits).
type DescriptorMemo = HashMap<(u32, u64), Arc<[f32]>>;

/// Makes the inputs of one arm from a data set's segments.
pub struct Assembler {
    dataset: Arc<Dataset>,
    arm: &'static Arm,
    padding: Padding,
    max_notes: usize,
    /// What is changed for an evaluation.
    condition: Condition,
    /// What is changed for training.
    augmenter: Option<Augmenter>,
    /// Audio descriptors made so far: 6 KB a segment, and each costs more than reading its audio.
    descriptors: Mutex<DescriptorMemo>,
}

impl Assembler {
    /// Inputs for `arm`; `padding` of the spectrogram, at most `max_notes` notes a segment.
    pub fn new(dataset: Arc<Dataset>, arm: &'static Arm, padding: Padding, max_notes: usize) -> Self {
        let (condition, augmenter, descriptors) = (Condition::Clean, None, Mutex::default());
        Assembler { dataset, arm, padding, max_notes, condition, augmenter, descriptors }
    }

    /// The same with training batches changed by `augmenter`.
    pub fn augmented(self, augmenter: Option<Augmenter>) -> Self {
        Assembler { augmenter, ..self }
    }

    /// The same inputs as they are under `condition`.
    pub fn under(&self, condition: Condition) -> Self {
        Assembler { condition, ..Self::new(self.dataset.clone(), self.arm, self.padding, self.max_notes) }
    }

    /// The data the segments are of.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The batch that training step number `step` learns from; a pure function of the segments, the seed and the step.
    pub fn batch(&self, step: u64, segments: Vec<Segment>) -> Batch {
        let (audio, midi) = match &self.augmenter {
            None => (self.audio(&segments), self.midi(&segments)),
            Some(augmenter) => {
                let sample = |(index, segment)| augmenter.sample(&self.dataset, segment, step, index);
                let (heard, mut played): (Vec<_>, Vec<_>) =
                    segments.iter().enumerate().map(sample).map(|sample| (sample.audio, sample.notes)).unzip();
                played.iter_mut().for_each(|notes| notes.truncate(self.max_notes));
                // What is drawn anew each step is described anew each step.
                let describe = |_, injected: Descriptor, window: &[f32]| self.describe(injected, window);
                (self.recordings(heard, describe), self.notes(&played))
            }
        };
        Batch { segments, audio, midi }
    }

    /// Recordings [B, 96000, 1] with the arm's audio descriptor.
    pub fn audio(&self, segments: &[Segment]) -> AudioBatch {
        let windows = segments.iter().map(|segment| self.condition.audio(&self.dataset, segment));
        self.recordings(windows, |i, descriptor, window| self.audio_descriptor(descriptor, &segments[i], window))
    }

    /// `windows` in one tensor, each described by `describe` (its number, the descriptor, its samples).
    fn recordings<W>(&self, windows: W, describe: impl Fn(usize, Descriptor, &[f32]) -> Arc<[f32]>) -> AudioBatch
    where
        W: IntoIterator<Item = Vec<f32>, IntoIter: ExactSizeIterator>,
    {
        let windows = windows.into_iter();
        let count = windows.len();
        let mut samples = PoolVec::<f32>::uninit(count * WINDOW_SAMPLES);
        let mut features = Vec::new();
        for (i, (window, out)) in windows.zip(samples.chunks_exact_mut(WINDOW_SAMPLES)).enumerate() {
            out.copy_from_slice(&window);
            if let Some(injection) = self.arm.audio {
                features.push(describe(i, injection.descriptor, out));
            }
        }
        let descriptor = self.arm.audio.map(|injection| {
            let dims = injection.descriptor.dims();
            let rows = Ragged::from_lengths(features.iter().map(|f| f.len() / dims));
            (Tensor::from_slice(&[rows.total(), dims], &features.concat()), rows)
        });
        AudioBatch { samples: Tensor::from_pool(&[count, WINDOW_SAMPLES, 1], samples), descriptor }
    }

    fn audio_descriptor(&self, descriptor: Descriptor, segment: &Segment, samples: &[f32]) -> Arc<[f32]> {
        let key = (segment.performance, segment.start.to_bits());
        let lock = || self.descriptors.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(known) = lock().get(&key) {
            return known.clone();
        }
        let made = self.describe(descriptor, samples);
        lock().insert(key, made.clone());
        made
    }

    fn describe(&self, descriptor: Descriptor, samples: &[f32]) -> Arc<[f32]> {
        match descriptor {
            Descriptor::A4 => a4(samples, self.padding).into(),
            Descriptor::D4 => unreachable!("D4 is not a descriptor of audio: the catalogue pairs it with MIDI"),
        }
    }

    /// Notes of the segments, packed, with the arm's MIDI descriptor.
    pub fn midi(&self, segments: &[Segment]) -> MidiBatch {
        let notes: Vec<Vec<Note>> = segments
            .iter()
            .map(|segment| {
                let mut notes = self.condition.notes(&self.dataset, segment);
                notes.truncate(self.max_notes);
                notes
            })
            .collect();
        self.notes(&notes)
    }

    /// Notes of samples, each by onset then pitch with onsets from the start of its window, packed.
    pub fn notes(&self, samples: &[Vec<Note>]) -> MidiBatch {
        let all = || samples.iter().flatten();
        let rows = Ragged::from_lengths(samples.iter().map(Vec::len));
        let descriptor = self.arm.midi.map(|injection| {
            let features: Vec<f32> = match injection.descriptor {
                Descriptor::D4 => samples.iter().flat_map(|notes| d4(&pitches(notes))).collect(),
                Descriptor::A4 => unreachable!("A4 is not a descriptor of MIDI: the catalogue pairs it with audio"),
            };
            Tensor::from_slice(&[rows.total(), injection.descriptor.dims()], &features)
        });
        MidiBatch {
            rows,
            pitch: all().map(|n| n.pitch.into()).collect(),
            velocity: all().map(|n| n.velocity.into()).collect(),
            duration: all().map(|n| duration_bucket(n.duration as f32).into()).collect(),
            onset: all().map(|n| n.onset as f32).collect(),
            descriptor,
        }
    }
}

fn pitches(notes: &[Note]) -> Vec<u8> {
    notes.iter().map(|n| n.pitch).collect()
}

/// Which segments each step trains on: a pure function of (seed, step).
#[derive(Clone)]
pub struct Order {
    segments: Arc<[Segment]>,
    batch: usize,
    source: Philox,
}

impl Order {
    /// A fresh permutation of `segments` each epoch, cut into whole batches; what is left over waits for the next epoch.
    pub fn new(segments: Vec<Segment>, batch: usize, seed: u64) -> Result<Self> {
        if segments.len() < batch {
            let got = format!("{} in the train split", segments.len());
            return Err(Error::op("train", "segments", format!("at least batch={batch}"), got));
        }
        Ok(Order { segments: segments.into(), batch, source: Philox::new(seed, ORDER) })
    }

    /// Whole batches in an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        (self.segments.len() / self.batch) as u64
    }

    /// Segments of an epoch in order.
    fn epoch(&self, epoch: u64) -> Vec<usize> {
        self.source.stream(epoch).permutation(self.segments.len())
    }

    /// Segments of `step` (from 0).
    pub fn segments(&self, step: u64) -> Vec<Segment> {
        let within = (step % self.steps_per_epoch()) as usize * self.batch;
        let epoch = self.epoch(step / self.steps_per_epoch());
        epoch[within..within + self.batch].iter().map(|&i| self.segments[i]).collect()
    }
}

/// One training batch.
pub struct Batch {
    /// What it is made of, for messages.
    pub segments: Vec<Segment>,
    /// Recordings.
    pub audio: AudioBatch,
    /// Their notes.
    pub midi: MidiBatch,
}

/// Worker threads that prepare the batches of coming steps; `next_batch` hands them out in order.
pub struct Loader {
    workers: Vec<Receiver<Batch>>,
    next: usize,
}

impl Loader {
    /// Prepares steps `from..to` on `workers` threads, which end when the loader is dropped.
    pub fn new(assembler: &Arc<Assembler>, order: &Order, from: u64, to: u64, workers: usize) -> Self {
        let workers = (0..workers as u64).map(|worker| {
            let (send, receive) = sync_channel(AHEAD);
            let (assembler, order) = (assembler.clone(), order.clone());
            let steps = (from + worker..to).step_by(workers);
            thread::spawn(move || {
                for step in steps {
                    if send.send(assembler.batch(step, order.segments(step))).is_err() {
                        return;
                    }
                }
            });
            receive
        });
        Loader { workers: workers.collect(), next: 0 }
    }

    /// The batch of the next step; `None` after the last (or if its worker died).
    pub fn next_batch(&mut self) -> Option<Batch> {
        let batch = self.workers[self.next].recv().ok();
        self.next = (self.next + 1) % self.workers.len();
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_a_function_of_seed_and_step_and_covers_an_epoch() {
        let segments: Vec<Segment> = (0..10).map(|i| Segment { performance: i, start: 0.0 }).collect();
        let order = Order::new(segments.clone(), 3, 7).unwrap();
        assert_eq!(order.steps_per_epoch(), 3);
        let epoch =
            |e: u64| -> Vec<u32> { (0..3).flat_map(|s| order.segments(3 * e + s)).map(|s| s.performance).collect() };
        let mut seen = epoch(0);
        assert_ne!(seen, epoch(1));
        assert_eq!(seen, epoch(0));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 9);
        assert!(Order::new(segments, 11, 7).is_err());
    }
}
