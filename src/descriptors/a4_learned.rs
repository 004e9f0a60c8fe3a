//! A4 whose bands and temporal difference are trained (the paper's future work 2): what is computed here is the log-magnitude
//! spectrogram; [`crate::model::learned`] makes the eight features of it.

use super::a4::{A4, log_magnitudes};
use super::stft::N_FFT;
use super::{Descriptor, Domain, Source};

/// Bins of a frame.
pub const BINS: usize = N_FFT / 2 + 1;

/// A4, learned.
pub struct A4Learned;

/// The one.
pub static A4_LEARNED: A4Learned = A4Learned;

impl Descriptor for A4Learned {
    fn name(&self) -> &'static str {
        "A4-learned"
    }

    fn domain(&self) -> Domain {
        Domain::Audio
    }

    fn columns(&self) -> Vec<String> {
        A4.columns()
    }

    fn about(&self) -> &'static str {
        "A4 whose filterbank and temporal difference are trained, from A4 on (section 6.7)"
    }

    fn is_standardised(&self) -> bool {
        true
    }

    fn compute(&self, source: Source<'_>) -> Vec<f32> {
        log_magnitudes(source.samples, source.padding)
    }

    fn raw_dims(&self) -> usize {
        BINS
    }
}
