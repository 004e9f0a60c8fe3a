//! D4, local pitch intervals (paper section 3.4.2, eq. 6).

use super::{Descriptor, Domain, Source};

/// Features per note.
pub const FEATURES: usize = 4;

/// What each column of [`d4`] holds.
pub const FEATURE_NAMES: [&str; FEATURES] = [
    "interval from previous / 24",
    "interval to next / 24",
    "from previous / 24, within ±1",
    "to next / 24, within ±1",
];

/// Local pitch intervals.
pub struct D4;

impl Descriptor for D4 {
    fn name(&self) -> &'static str {
        "D4"
    }

    fn domain(&self) -> Domain {
        Domain::Midi
    }

    fn columns(&self) -> Vec<String> {
        FEATURE_NAMES.map(String::from).to_vec()
    }

    fn about(&self) -> &'static str {
        "the intervals from each note to its neighbours (section 3.4.2)"
    }

    fn compute(&self, source: Source<'_>) -> Vec<f32> {
        d4(&source.notes.iter().map(|note| note.pitch).collect::<Vec<_>>())
    }
}

/// D4 of notes in order, row-major [N, 4].
///
/// With p the pitches in semitones: (p_i − p_{i−1}) / 24, (p_{i+1} − p_i) / 24, then the same two intervals in octaves,
/// clamped to ±2 and halved. The features of a neighbour that does not exist are 0.
pub fn d4(pitches: &[u8]) -> Vec<f32> {
    let mut out = vec![0.0; pitches.len() * FEATURES];
    for (i, pair) in pitches.windows(2).enumerate() {
        let interval = f32::from(pair[1]) - f32::from(pair[0]);
        let raw = interval / 24.0;
        let clamped = (interval / 12.0).clamp(-2.0, 2.0) / 2.0;
        let (left, right) = (i * FEATURES, (i + 1) * FEATURES);
        out[left + 1] = raw;
        out[left + 3] = clamped;
        out[right] = raw;
        out[right + 2] = clamped;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{Golden, max_abs_diff};

    #[test]
    fn equals_the_reference() {
        let golden = Golden::open("descriptors");
        let (pitch, mask) = (golden.usize("notes/pitch"), golden.usize("notes/mask"));
        let expected = golden.f64("64/d4/feature");
        for item in 0..3 {
            let row = item * 40..(item + 1) * 40;
            let valid = mask[row.clone()].iter().sum::<usize>();
            let pitches: Vec<u8> = pitch[row.clone()].iter().take(valid).map(|&p| p as u8).collect();
            let expected = &expected[row.start * FEATURES..][..valid * FEATURES];
            assert!(max_abs_diff(&d4(&pitches), expected) < 1e-7);
        }
        assert!(d4(&[]).is_empty());
        assert_eq!(d4(&[60]), [0.0; 4]);
        assert_eq!(d4(&[0, 127])[..4], [0.0, 127.0 / 24.0, 0.0, 1.0]);
    }
}
