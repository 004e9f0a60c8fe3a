//! What a training run shows while it goes: how far, the loss terms, the last S, how fast.

use std::time::Instant;

use crate::progress::Progress;
use crate::train::log::TrainRecord;

/// Steps the pace is averaged over.
const PACE_STEPS: f64 = 20.0;

/// How fast training goes, without evaluations and saving.
#[derive(Debug, Clone)]
pub struct Pace {
    batch: u64,
    total_steps: u64,
    measured: u64,
    seconds_per_step: f64,
    mark: Instant,
}

impl Pace {
    /// A run of `total_steps` steps of `batch` samples; the clock starts.
    pub fn new(total_steps: u64, batch: u64) -> Self {
        Pace { batch, total_steps, measured: 0, seconds_per_step: 0.0, mark: Instant::now() }
    }

    /// A step is done, `done` in all: (samples per second, expected seconds to the end), over the last 20 steps or so.
    pub fn step(&mut self, done: u64) -> (f64, f64) {
        let seconds = self.mark.elapsed().as_secs_f64();
        self.skip();
        self.measure(seconds, done)
    }

    /// The time since the last step (an evaluation, saving) does not count.
    pub fn skip(&mut self) {
        self.mark = Instant::now();
    }

    fn measure(&mut self, seconds: f64, done: u64) -> (f64, f64) {
        self.measured += 1;
        // A plain mean at first, then an exponential one.
        let weight = (1.0 / self.measured as f64).max(1.0 / PACE_STEPS);
        self.seconds_per_step += weight * (seconds - self.seconds_per_step);
        let left = self.total_steps.saturating_sub(done) as f64;
        (self.batch as f64 / self.seconds_per_step.max(1e-9), self.seconds_per_step * left)
    }
}

/// The display of a training run.
pub struct TrainProgress {
    progress: Progress,
    epochs: f64,
    last_s: Option<f64>,
}

impl TrainProgress {
    /// A run of `total_steps` steps = `epochs` epochs, of which `done` steps were made before (on resume).
    pub fn new(total_steps: u64, epochs: f64, done: u64) -> Self {
        let progress = Progress::new("training", total_steps, "steps");
        progress.start_at(done);
        TrainProgress { progress, epochs, last_s: None }
    }

    /// Shows a step that is done.
    pub fn step(&mut self, record: &TrainRecord) {
        self.progress.message(describe(record, self.epochs, self.last_s));
        self.progress.advance(1);
    }

    /// Keeps S for the display, and writes a line that stays.
    pub fn evaluated(&mut self, epoch: f64, s: f64, best: f64) {
        self.last_s = Some(s);
        let (s, best) = (100.0 * s, 100.0 * best);
        self.progress
            .line(&format!("epoch {epoch:.2} of {:.0}: validation S {s:.1} % (best {best:.1} %)", self.epochs));
    }

    /// Writes a line to stderr without tearing the bar.
    pub fn line(&self, text: &str) {
        self.progress.line(text);
    }
}

fn describe(r: &TrainRecord, epochs: f64, last_s: Option<f64>) -> String {
    let s = last_s.map_or(String::new(), |s| format!(" S {:.1} %", 100.0 * s));
    let others: String = r.terms.iter().map(|(name, value)| format!(" {name} {value:.3}")).collect();
    format!(
        "epoch {:.2}/{epochs:.0} loss {:.3} (inv {:.3} var {:.3} cov {:.3}{others}){s} {:.1} samples/s",
        r.epoch, r.loss, r.inv, r.var, r.cov, r.samples_per_second
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pace_follows_a_change_and_counts_what_is_left() {
        let mut pace = Pace::new(100, 16);
        assert_eq!(pace.measure(0.5, 1), (32.0, 49.5));
        assert_eq!(pace.measure(1.5, 2), (16.0, 98.0));
        for done in 3..100 {
            pace.measure(2.0, done);
        }
        let (rate, left) = pace.measure(2.0, 100);
        assert!((rate - 8.0).abs() < 0.2 && left == 0.0, "{rate} {left}");
    }

    #[test]
    fn display_says_all_that_matters() {
        let record = TrainRecord {
            epoch: 1.256,
            loss: 12.3456,
            inv: 0.5,
            var: 0.25,
            cov: 2.0,
            samples_per_second: 33.31,
            ..Default::default()
        };
        assert_eq!(
            describe(&record, 6.0, Some(0.4567)),
            "epoch 1.26/6 loss 12.346 (inv 0.500 var 0.250 cov 2.000) S 45.7 % 33.3 samples/s"
        );
        let mut progress = TrainProgress::new(10, 6.0, 4);
        progress.step(&record);
    }
}
