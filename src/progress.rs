//! Progress on stderr of whatever takes more than two seconds: a bar on a terminal, plain lines otherwise.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that is over sooner shows nothing.
const QUIET: Duration = Duration::from_secs(2);
/// Time between plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// The bar in indicatif's language.
const TEMPLATE: &str = "{prefix} {bar:24} {pos}/{len} {msg} [{elapsed} passed, {eta} left]";

/// Counts finished pieces of work, from any thread; the display goes away when it is dropped.
pub struct Progress {
    what: String,
    unit: &'static str,
    bar: ProgressBar,
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
        bar.set_style(ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what.clone());
        bar.set_message(unit);
        let display = if std::io::stderr().is_terminal() {
            Display::Bar { shown: false }
        } else {
            Display::Lines { next: Instant::now() + QUIET }
        };
        Progress { what, unit, bar, display: Mutex::new(display) }
    }

    /// `done` pieces were finished before the work began here: they count as done, but not for the time left.
    pub fn start_at(&self, done: u64) {
        self.bar.set_position(done);
        self.bar.reset_eta();
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
        let left = self.bar.eta().as_secs();
        format!("{}: {done} of {total} {} ({share} %), {left} s left", self.what, self.bar.message())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A line on stderr; nobody reading it is no error.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_says_so() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
        let progress = Progress::new("rendering", 8, "files");
        progress.message("a.midi");
        progress.advance(2);
        assert!(progress.plain().starts_with("rendering: 2 of 8 files a.midi (25 %), "), "{}", progress.plain());
    }
}
