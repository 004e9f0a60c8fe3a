//! Learning-rate schedules (paper, Training and section D): what the base rate is multiplied with at each step.

use std::f64::consts::PI;

/// A run shorter than this many steps shortens its warm-up to an eighth of itself.
const SHORT_RUN: u64 = 4_000;
/// The trapezoid falls over the last fifth of the run.
const TRAPEZOID_DECAY: f64 = 0.2;

/// The shape of the learning rate after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// Half a cosine from 1 at the end of the warm-up to 0 at the reference period's end; 0 afterwards.
    Cosine {
        /// Epochs of the reference period; `None` = the whole run.
        ref_epochs: Option<f64>,
    },
    /// max(`floor`, cosine), and in the last epoch a straight line from `floor` to `tail_end`. (In a run of one
    /// epoch the line takes its second half.)
    CosineTail {
        /// Epochs of the cosine's reference period; `None` = half the run (the paper: 30 of 60).
        ref_epochs: Option<f64>,
        /// Least share of the base rate before the tail (the paper: 0.1).
        floor: f64,
        /// Share of the base rate at the last step (the paper: 0.02).
        tail_end: f64,
    },
    /// Hold, then a straight line to 0 over the last 20 % of the run.
    Trapezoid,
}

/// A schedule laid over a run of known length. Steps count from 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// The shape after the warm-up.
    pub shape: Shape,
    /// Steps of linear warm-up as asked for (the paper: 500); see [`Schedule::warmup_steps`].
    pub warmup: u64,
    /// Optimizer steps in one epoch.
    pub steps_per_epoch: u64,
    /// Optimizer steps in the whole run.
    pub total_steps: u64,
}

impl Schedule {
    /// Steps of warm-up really made: at most an eighth of a run shorter than 4,000 steps.
    pub fn warmup_steps(&self) -> u64 {
        if self.total_steps < SHORT_RUN { self.warmup.min(self.total_steps / 8) } else { self.warmup }
    }

    /// What the base learning rate is multiplied with at `step`: (step+1)/warm-up during the warm-up, then the shape.
    pub fn multiplier(&self, step: u64) -> f64 {
        let warmup = self.warmup_steps();
        if step < warmup {
            return (step + 1) as f64 / warmup as f64;
        }
        let left = self.total_steps.saturating_sub(step + 1) as f64;
        match self.shape {
            Shape::Cosine { ref_epochs } => self.cosine(step, self.reference(ref_epochs, 1.0)),
            Shape::CosineTail { ref_epochs, floor, tail_end } => {
                let tail = self.tail_steps() as f64;
                if left < tail {
                    floor + (tail_end - floor) * (1.0 - left / tail)
                } else {
                    floor.max(self.cosine(step, self.reference(ref_epochs, 0.5)))
                }
            }
            Shape::Trapezoid => (left / (TRAPEZOID_DECAY * self.total_steps as f64)).min(1.0),
        }
    }

    /// What a drawing marks: name and step, in the order of steps; only what lies within the run.
    pub fn marks(&self) -> Vec<(&'static str, u64)> {
        let whole = |steps: f64| steps.round() as u64;
        let reference = |epochs, share| ("reference period ends", whole(self.reference(epochs, share)));
        let mut marks = vec![("warm-up ends", self.warmup_steps())];
        match self.shape {
            Shape::Cosine { ref_epochs } => marks.push(reference(ref_epochs, 1.0)),
            Shape::CosineTail { ref_epochs, .. } => {
                marks.push(reference(ref_epochs, 0.5));
                marks.push(("tail begins", self.total_steps - self.tail_steps()));
            }
            Shape::Trapezoid => marks.push(("fall begins", whole((1.0 - TRAPEZOID_DECAY) * self.total_steps as f64))),
        }
        marks.retain(|&(_, step)| step > 0 && step <= self.total_steps);
        marks.sort_by_key(|&(_, step)| step);
        marks
    }

    /// Steps of the cosine-tail's straight end: an epoch, and no more than half of the run.
    fn tail_steps(&self) -> u64 {
        self.steps_per_epoch.min(self.total_steps.div_ceil(2))
    }

    /// Steps of the cosine's reference period, which counts the warm-up in.
    fn reference(&self, epochs: Option<f64>, share_of_run: f64) -> f64 {
        epochs.map_or(share_of_run * self.total_steps as f64, |e| e * self.steps_per_epoch as f64)
    }

    /// (1 + cos πt)/2 with t from 0 at the end of the warm-up to 1 at step `reference`.
    fn cosine(&self, step: u64, reference: f64) -> f64 {
        let warmup = self.warmup_steps() as f64;
        let length = reference - warmup;
        let t = if length > 0.0 { ((step as f64 - warmup) / length).min(1.0) } else { 1.0 };
        0.5 * (1.0 + (PI * t).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::Golden;

    const TAIL: Shape = Shape::CosineTail { ref_epochs: Some(30.0), floor: 0.1, tail_end: 0.02 };

    fn run(shape: Shape, steps_per_epoch: u64, total_steps: u64) -> Schedule {
        Schedule { shape, warmup: 500, steps_per_epoch, total_steps }
    }

    #[test]
    fn equals_the_reference() {
        let golden = Golden::open("optim");
        let steps = golden.usize("sched/steps");
        assert_eq!(steps.len(), 72);
        for (name, shape) in [
            ("cosine60", Shape::Cosine { ref_epochs: None }),
            ("cosine30", Shape::Cosine { ref_epochs: Some(30.0) }),
            ("tail_last", TAIL),
            ("tail_last", Shape::CosineTail { ref_epochs: None, floor: 0.1, tail_end: 0.02 }),
            ("trapezoid", Shape::Trapezoid),
        ] {
            let schedule = run(shape, 812, 812 * 60);
            for (&step, want) in steps.iter().zip(golden.f64(&format!("sched/{name}"))) {
                let got = schedule.multiplier(step as u64);
                assert!((got - want).abs() < 1e-14, "{name} at {step}: {got} instead of {want}");
            }
        }
    }

    #[test]
    fn short_runs_warm_up_over_an_eighth_and_stay_in_range() {
        assert_eq!(run(TAIL, 248, 1_488).warmup_steps(), 186);
        assert_eq!(run(TAIL, 248, 4_000).warmup_steps(), 500);
        assert_eq!(Schedule { warmup: 10, ..run(TAIL, 248, 1_488) }.warmup_steps(), 10);
        for shape in
            [TAIL, Shape::Cosine { ref_epochs: None }, Shape::Cosine { ref_epochs: Some(0.0) }, Shape::Trapezoid]
        {
            for (per_epoch, total) in [(1, 1), (7, 7), (100, 3), (5, 10), (248, 1_488), (0, 0)] {
                // A step past the end is nobody's intention, but it must not become NaN or negative.
                for step in 0..total + 2 {
                    let m = run(shape, per_epoch, total).multiplier(step);
                    assert!((0.0..=1.0).contains(&m), "{shape:?} {per_epoch} {total} {step}: {m}");
                }
            }
        }
        // One epoch: warm up, fall to the floor by half-time, then the tail.
        let one = run(Shape::CosineTail { ref_epochs: None, floor: 0.1, tail_end: 0.02 }, 800, 800);
        assert_eq!(one.multiplier(99), 1.0);
        assert!((one.multiplier(399) - 0.1).abs() < 1e-9);
        assert!((one.multiplier(799) - 0.02).abs() < 1e-9);
    }
}
