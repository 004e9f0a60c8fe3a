//! A9, IDF-weighted rational attractor (paper section A.3): A7 in which intervals that sound all the time count little.

use super::a7::{EPSILON, activations, columns};
use super::{Descriptor, Domain, Source};

/// An interval sounds in a frame where its raw sum is above.
const THRESHOLD: f64 = 0.05;
/// Keeps the logarithm of an interval that never sounds finite.
const NEVER: f64 = 1e-3;
/// Largest weight.
const LARGEST: f64 = 5.0;

/// IDF-weighted rational attractor.
pub struct A9;

impl Descriptor for A9 {
    fn name(&self) -> &'static str {
        "A9"
    }

    fn domain(&self) -> Domain {
        Domain::Audio
    }

    fn columns(&self) -> Vec<String> {
        columns()
    }

    fn about(&self) -> &'static str {
        "A7, rare intervals weighted up by their inverse document frequency (section A.3)"
    }

    fn compute(&self, source: Source<'_>) -> Vec<f32> {
        let rows = activations(source.samples, source.padding);
        let weight: [f64; 12] = std::array::from_fn(|c| {
            let share = rows.iter().filter(|row| row[c] > THRESHOLD).count() as f64 / rows.len() as f64;
            (1.0 / (share + NEVER)).ln().clamp(0.0, LARGEST)
        });
        let weighted = |row: &[f64; 12]| {
            let row: [f64; 12] = std::array::from_fn(|c| row[c] * weight[c]);
            let sum = row.iter().sum::<f64>() + EPSILON;
            row.map(|w| (w / sum) as f32)
        };
        rows.iter().flat_map(weighted).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::a7::tests::equals_the_reference;
    use super::*;

    #[test]
    fn equals_the_reference_where_peaks_are_clear() {
        equals_the_reference(&A9, "64/a9/default", 5e-5);
    }
}
