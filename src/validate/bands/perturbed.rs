//! How far an embedding moves when one column of a descriptor is moved.

use std::sync::Arc;

use crate::data::segments::Segment;
use crate::error::Result;
use crate::eval::view::{Changes, View};
use crate::loss::Side;
use crate::validate::subject::Subject;

/// What is added to a column (paper, section 5.5), and in a second pass taken from it.
pub const EPSILON: f32 = 0.1;

/// One column of the descriptor that enters the encoder of `side`, raised by `by` in every row.
struct Perturbed {
    side: Side,
    column: usize,
    by: f32,
}

impl View for Perturbed {
    fn changes(&self) -> Changes {
        let mut descriptors = [false; 2];
        descriptors[self.side as usize] = true;
        Changes { descriptors, ..Changes::default() }
    }

    fn descriptor(&self, _side: Side, _segment: &Segment, own: Arc<[f32]>, dims: usize) -> Arc<[f32]> {
        own.iter().enumerate().map(|(i, &x)| if i % dims == self.column { x + self.by } else { x }).collect()
    }
}

/// Embeddings of one side of some segments, row-major [n, dim].
pub struct Clean {
    side: Side,
    chosen: Vec<usize>,
    dim: usize,
    /// Row-major [n, dim].
    pub rows: Vec<f32>,
}

impl Clean {
    /// Of the segments numbered `chosen`, as they are.
    pub fn of(subject: &Subject, side: Side, chosen: Vec<usize>) -> Result<Self> {
        let embedded = subject.embedded()?;
        let all = match side {
            Side::Audio => &embedded.audio,
            Side::Midi => &embedded.midi,
        };
        let dim = embedded.dim;
        let rows = chosen.iter().flat_map(|&i| all[i * dim..][..dim].iter().copied()).collect();
        Ok(Clean { side, chosen, dim, rows })
    }

    /// ‖z‖₂ of every segment.
    pub fn lengths(&self) -> Vec<f64> {
        self.rows.chunks_exact(self.dim).map(|z| distance(z, &vec![0.0; self.dim])).collect()
    }

    /// How far each segment is from the next, in their random order: a measure of how far apart segments are.
    pub fn apart(&self) -> Vec<f64> {
        let next = self.rows.chunks_exact(self.dim).skip(1);
        self.rows.chunks_exact(self.dim).zip(next).map(|(a, b)| distance(a, b)).collect()
    }

    /// ‖Δz‖₂ of every segment when `column` of its descriptor is moved by [`EPSILON`]: the mean over both directions.
    pub fn moved(&self, subject: &Subject, column: usize) -> Result<Vec<f64>> {
        let mut moved = vec![0.0; self.chosen.len()];
        for by in [EPSILON, -EPSILON] {
            let embedded = subject.embed_some(&self.chosen, Perturbed { side: self.side, column, by })?;
            let rows = match self.side {
                Side::Audio => embedded.audio,
                Side::Midi => embedded.midi,
            };
            let pairs = rows.chunks_exact(self.dim).zip(self.rows.chunks_exact(self.dim));
            moved.iter_mut().zip(pairs).for_each(|(sum, (a, b))| *sum += 0.5 * distance(a, b));
        }
        Ok(moved)
    }
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_column_of_every_row_is_raised() {
        let segment = Segment { performance: 0, start: 0.0 };
        let view = Perturbed { side: Side::Audio, column: 1, by: 0.5 };
        let put = view.descriptor(Side::Audio, &segment, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0].into(), 3);
        assert_eq!(&put[..], [1.0, 2.5, 3.0, 4.0, 5.5, 6.0]);
        assert_eq!((view.changes().descriptors, view.changes().recording), ([true, false], false));
        assert_eq!(distance(&[3.0, 0.0], &[0.0, 4.0]), 5.0);
    }
}
