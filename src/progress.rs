//! Progress on stderr of whatever takes more than two seconds: a bar on a terminal, plain lines otherwise.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// Work that is over sooner shows nothing.
const QUIET: Duration = Duration::from_secs(2);
/// Time between plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// The bar in indicatif's language.
const TEMPLATE: &str = "{prefix} {bar:24} {pos}/{len} {msg} [{elapsed} passed, {left} left]";

/// Counts finished pieces of work, from any thread; the display goes away when it is dropped.
pub struct Progress {
    what: String,
    unit: &'static str,
    bar: ProgressBar,
    /// Pieces finished before the work began here.
    before: Arc<AtomicU64>,
    display: Mutex<Display>,
}

/// How the state reaches the eye.
enum Display {
    /// On a terminal; `shown` once the quiet time is over.
    Bar { shown: bool },
    /// Elsewhere: a line whenever `next` has passed.
    Lines { next: Instant },
}

impl Progress {
    /// Starts `total` pieces of work called `what`, counted in `unit` ("files", "steps").
    pub fn new(what: impl Into<String>, total: u64, unit: &'static str) -> Self {
        let what = what.into();
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let before = Arc::new(AtomicU64::new(0));
        bar.set_style(style(before.clone()));
        bar.set_prefix(what.clone());
        bar.set_message(unit);
        let display = if std::io::stderr().is_terminal() {
            Display::Bar { shown: false }
        } else {
            Display::Lines { next: Instant::now() + QUIET }
        };
        Progress { what, unit, bar, before, display: Mutex::new(display) }
    }

    /// `done` pieces were finished before the work began here: they count as done, but not for the time left.
    pub fn start_at(&self, done: u64) {
        self.before.store(done, Ordering::Relaxed);
        self.bar.set_position(done);
    }

    /// Counts `count` more pieces as finished.
    pub fn advance(&self, count: u64) {
        self.bar.inc(count);
        // A thread that panicked while drawing leaves nothing half-done that matters here.
        let mut display = self.display.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match &mut *display {
            Display::Bar { shown } => {
                if !*shown && self.bar.elapsed() >= QUIET {
                    *shown = true;
                    self.bar.set_draw_target(ProgressDrawTarget::stderr());
                    self.bar.enable_steady_tick(Duration::from_millis(500));
                }
            }
            Display::Lines { next } => {
                if Instant::now() >= *next {
                    *next = Instant::now() + PLAIN_EVERY;
                    say(&self.plain());
                }
            }
        }
    }

    /// Sets what stands beside the count (a loss, a file name).
    pub fn message(&self, text: impl Into<String>) {
        self.bar.set_message(format!("{} {}", self.unit, text.into()));
    }

    /// Writes a line to stderr without tearing the bar.
    pub fn line(&self, text: &str) {
        self.bar.suspend(|| say(text));
    }

    fn plain(&self) -> String {
        let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
        let share = 100 * done / total.max(1);
        let left = left(self.bar.elapsed(), self.before.load(Ordering::Relaxed), done, total).as_secs();
        format!("{}: {done} of {total} {} ({share} %), {left} s left", self.what, self.bar.message())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(before: Arc<AtomicU64>) -> ProgressStyle {
    let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("left", move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let before = before.load(Ordering::Relaxed);
        let left = left(state.elapsed(), before, state.pos(), state.len().unwrap_or(0));
        // A bar that cannot be written shows nothing: no error of the work.
        let _ = write!(out, "{}", HumanDuration(left));
    })
}

/// Time left at the mean pace so far. A mean over all that was done rather than over the last pieces: it includes in their share the
/// evaluations that come now and then.
fn left(elapsed: Duration, before: u64, done: u64, total: u64) -> Duration {
    let made = done.saturating_sub(before);
    if made == 0 {
        return Duration::ZERO;
    }
    elapsed.mul_f64(total.saturating_sub(done) as f64 / made as f64)
}

/// A line on stderr; nobody reading it is no error.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_counts_what_was_made_here() {
        let ten = Duration::from_secs(10);
        assert_eq!(left(ten, 0, 20, 100), Duration::from_secs(40));
        assert_eq!(left(ten, 50, 60, 100), Duration::from_secs(40));
        assert_eq!(left(ten, 50, 50, 100), Duration::ZERO);
        assert_eq!(left(ten, 0, 100, 100), Duration::ZERO);
    }

    #[test]
    fn counts_and_says_so() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
        let progress = Progress::new("rendering", 8, "files");
        progress.message("a.midi");
        progress.advance(2);
        assert!(progress.plain().starts_with("rendering: 2 of 8 files a.midi (25 %), "), "{}", progress.plain());
    }
}
