//! Buckets of note durations: 32 equal steps of log time over 0.05 to 4 s.

/// Number of buckets.
pub const BUCKETS: usize = 32;
/// Durations up to this many seconds share bucket 0 with its first step.
pub const SHORTEST: f32 = 0.05;
/// Durations from this many seconds on share the last bucket.
pub const LONGEST: f32 = 4.0;

/// Bucket 0 to 31 of a note that lasts `seconds`: floor(32 · log(seconds / 0.05) / log(4 / 0.05)), clamped outside.
/// Zero, negative and NaN durations fall into bucket 0.
pub fn duration_bucket(seconds: f32) -> u8 {
    let octaves = (f64::from(seconds) / f64::from(SHORTEST)).ln() / (f64::from(LONGEST) / f64::from(SHORTEST)).ln();
    // A cast from float to integer saturates, and takes NaN to 0.
    ((octaves * BUCKETS as f64).floor() as u8).min(BUCKETS as u8 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::Golden;

    #[test]
    fn equals_the_reference() {
        let golden = Golden::open("descriptors");
        let got: Vec<usize> = golden.f32("dur/seconds").iter().map(|&s| duration_bucket(s).into()).collect();
        assert_eq!(got, golden.usize("dur/floor"));
    }

    #[test]
    fn every_float_has_a_bucket() {
        for (seconds, bucket) in [(f32::NAN, 0), (-1.0, 0), (0.0, 0), (0.05, 0), (4.0, 31), (f32::INFINITY, 31)] {
            assert_eq!(duration_bucket(seconds), bucket, "{seconds}");
        }
        assert_eq!((1..=400).map(|i| duration_bucket(i as f32 * 0.01)).max(), Some(31));
    }
}
