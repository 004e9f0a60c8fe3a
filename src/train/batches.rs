//! From segments to model inputs, and the threads that prepare them ahead of the training step.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use super::controls::{self, Turn};
use crate::arms::{Arm, Injection};
use crate::data::augment::{Augmenter, Sample};
use crate::data::note::Note;
use crate::data::segments::{Dataset, Segment, WINDOW_SAMPLES};
use crate::descriptors::duration::duration_bucket;
use crate::descriptors::stft::Padding;
use crate::descriptors::{Descriptor, Domain, Source};
use crate::device::PoolVec;
use crate::error::{Error, Result};
use crate::eval::condition::Condition;
use crate::eval::view::View;
use crate::loss::Side;
use crate::model::{AudioBatch, MidiBatch};
use crate::ops::Ragged;
use crate::random::{Philox, site};
use crate::tensor::Tensor;

/// Random site of the training order.
const ORDER: u64 = site("train.order");
/// Batches each worker keeps ready.
const AHEAD: usize = 2;

/// Descriptors by name, performance and start of the window (its bits).
type DescriptorMemo = HashMap<(&'static str, u32, u64), Arc<[f32]>>;

/// Makes the inputs of one arm from a data set's segments.
pub struct Assembler {
    dataset: Arc<Dataset>,
    arm: Arm,
    padding: Padding,
    max_notes: usize,
    /// What is shown of a segment in an evaluation.
    view: Arc<dyn View>,
    /// What is changed for training.
    augmenter: Option<Augmenter>,
    /// Descriptors of audio made so far: 6 KB a segment, and each costs more than reading its audio.
    descriptors: Arc<Mutex<DescriptorMemo>>,
}

impl Assembler {
    /// Inputs for `arm`; `padding` of the spectrogram, at most `max_notes` notes a segment.
    pub fn new(dataset: Arc<Dataset>, arm: Arm, padding: Padding, max_notes: usize) -> Self {
        let (view, augmenter, descriptors) = (Arc::new(Condition::Clean), None, Arc::default());
        Assembler { dataset, arm, padding, max_notes, view, augmenter, descriptors }
    }

    /// The same with training batches changed by `augmenter`.
    pub fn augmented(self, augmenter: Option<Augmenter>) -> Self {
        Assembler { augmenter, ..self }
    }

    /// The same inputs as `view` shows them.
    pub fn through(&self, view: Arc<dyn View>) -> Self {
        let mut other = Self::new(self.dataset.clone(), self.arm.clone(), self.padding, self.max_notes);
        if !view.changes().recording {
            other.descriptors = self.descriptors.clone();
        }
        Assembler { view, ..other }
    }

    /// The data the segments are of.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// Recordings [B, 96000, 1] and notes of the segments, with what the arm injects: both sides are read whatever is asked of
    /// the batch, as a descriptor of one may enter the encoder of the other.
    pub fn batch(&self, segments: Vec<Segment>, turn: Turn) -> Batch {
        let mut samples = PoolVec::<f32>::uninit(segments.len() * WINDOW_SAMPLES);
        let mut notes = Vec::with_capacity(segments.len());
        for (i, (segment, out)) in segments.iter().zip(samples.chunks_exact_mut(WINDOW_SAMPLES)).enumerate() {
            let Sample { audio, notes: mut own } = self.read(segment, i, turn);
            out.copy_from_slice(&audio);
            own.truncate(self.max_notes);
            notes.push(own);
        }
        let made = Made { segments: &segments, samples: &samples, notes: &notes, turn };
        let [for_audio, for_midi] = [(Side::Audio, self.arm.audio), (Side::Midi, self.arm.midi)]
            .map(|(side, injection)| injection.map(|injection| self.injected(injection, side, &made)));
        let midi = packed(&notes, for_midi);
        let samples = Tensor::from_pool(&[segments.len(), WINDOW_SAMPLES, 1], samples);
        Batch { segments, audio: AudioBatch { samples, descriptor: for_audio }, midi }
    }

    /// What is heard and played of a segment, the `index`-th of its batch.
    fn read(&self, segment: &Segment, index: usize, turn: Turn) -> Sample {
        match (&self.augmenter, turn) {
            (Some(augmenter), Turn::Training { step, .. }) => augmenter.sample(&self.dataset, segment, step, index),
            _ => Sample {
                audio: self.view.recording(&self.dataset, segment),
                notes: self.view.notes(&self.dataset, segment),
            },
        }
    }

    /// What is injected into the encoder of one side, and its rows per sample.
    fn injected(&self, injection: Injection, side: Side, made: &Made) -> (Tensor, Ragged) {
        let (descriptor, dims) = (injection.descriptor, injection.descriptor.raw_dims());
        let recordings = made.samples.chunks_exact(WINDOW_SAMPLES);
        // What is drawn anew each step is described anew each step.
        let anew = self.augmenter.is_some() && matches!(made.turn, Turn::Training { .. });
        let mut features: Vec<Arc<[f32]>> = match descriptor.domain() {
            Domain::Audio => {
                let each = made.segments.iter().zip(recordings);
                each.map(|(segment, samples)| self.of_audio(descriptor, segment, samples, anew)).collect()
            }
            Domain::Midi => made.notes.iter().map(|notes| descriptor.compute(Source::midi(notes)).into()).collect(),
        };
        if let Some(control) = self.arm.control {
            features = controls::replaced(control, side, &features, dims, made.segments, made.turn);
        }
        if made.turn == Turn::Evaluation && self.view.changes().descriptors[side as usize] {
            let shown = |(own, segment)| self.shown(side, descriptor, segment, own);
            features = features.into_iter().zip(made.segments).map(shown).collect();
        }
        let rows = Ragged::from_lengths(features.iter().map(|f| f.len() / dims));
        (Tensor::from_slice(&[rows.total(), dims], &features.concat()), rows)
    }

    /// What the view shows in the place of a segment's `own` descriptor.
    fn shown(&self, side: Side, descriptor: &'static dyn Descriptor, segment: &Segment, own: Arc<[f32]>) -> Arc<[f32]> {
        let (other, dims) = (self.view.described(side, segment), descriptor.raw_dims());
        let rows = own.len() / dims;
        let described = match descriptor.domain() {
            _ if other == *segment => own,
            Domain::Audio => {
                let recording = self.view.recording(&self.dataset, &other);
                controls::stretched(&self.of_audio(descriptor, &other, &recording, false), dims, rows)
            }
            Domain::Midi => {
                let notes = self.view.notes(&self.dataset, &other);
                controls::stretched(&descriptor.compute(Source::midi(&notes)).into(), dims, rows)
            }
        };
        self.view.descriptor(side, segment, described, dims)
    }

    fn of_audio(
        &self,
        descriptor: &'static dyn Descriptor,
        segment: &Segment,
        samples: &[f32],
        anew: bool,
    ) -> Arc<[f32]> {
        let compute = || descriptor.compute(Source::audio(samples, self.padding)).into();
        if anew || descriptor.raw_dims() != descriptor.dims() {
            // What a trained front end reads is a whole spectrogram, 0.8 MB.
            return compute();
        }
        let key = (descriptor.name(), segment.performance, segment.start.to_bits());
        let lock = || self.descriptors.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(known) = lock().get(&key) {
            return known.clone();
        }
        let made: Arc<[f32]> = compute();
        lock().insert(key, made.clone());
        made
    }
}

/// What a batch is made of.
struct Made<'a> {
    segments: &'a [Segment],
    /// Of all segments, one after the other.
    samples: &'a [f32],
    notes: &'a [Vec<Note>],
    turn: Turn,
}

/// Notes of samples, each by onset then pitch with onsets from the start of its window, packed.
fn packed(samples: &[Vec<Note>], descriptor: Option<(Tensor, Ragged)>) -> MidiBatch {
    let all = || samples.iter().flatten();
    MidiBatch {
        rows: Ragged::from_lengths(samples.iter().map(Vec::len)),
        pitch: all().map(|n| n.pitch.into()).collect(),
        velocity: all().map(|n| n.velocity.into()).collect(),
        duration: all().map(|n| duration_bucket(n.duration as f32).into()).collect(),
        onset: all().map(|n| n.onset as f32).collect(),
        descriptor,
    }
}

/// Which segments each step trains on: a pure function of (seed, step).
#[derive(Clone)]
pub struct Order {
    segments: Arc<[Segment]>,
    batch: usize,
    seed: u64,
    source: Philox,
}

impl Order {
    /// A fresh permutation of `segments` each epoch, cut into whole batches; what is left over waits for the next epoch.
    pub fn new(segments: Vec<Segment>, batch: usize, seed: u64) -> Result<Self> {
        if segments.len() < batch {
            let got = format!("{} in the train split", segments.len());
            return Err(Error::op("train", "segments", format!("at least batch={batch}"), got));
        }
        Ok(Order { segments: segments.into(), batch, seed, source: Philox::new(seed, ORDER) })
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

/// One batch.
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
                    let turn = Turn::Training { seed: order.seed, step };
                    if send.send(assembler.batch(order.segments(step), turn)).is_err() {
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
