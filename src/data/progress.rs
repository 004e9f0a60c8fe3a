//! Progress of work that may take long: a bar where stderr is a terminal, a plain line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Work shorter than this shows nothing.
const QUIET: Duration = Duration::from_secs(2);
/// Between plain lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// Counts items done, from any thread; silent if the work is done within two seconds.
pub struct Progress {
    label: &'static str,
    total: u64,
    began: Instant,
    state: Mutex<State>,
}

struct State {
    done: u64,
    spoke: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// `label` says what is done, e.g. "decoding audio".
    pub fn new(label: &'static str, total: usize) -> Self {
        let began = Instant::now();
        let state = Mutex::new(State { done: 0, spoke: began, bar: None });
        Progress { label, total: total as u64, began, state }
    }

    /// One more item is done.
    pub fn advance(&self) {
        let Ok(mut state) = self.state.lock() else { return };
        state.done += 1;
        if self.began.elapsed() < QUIET {
            return;
        }
        if std::io::stderr().is_terminal() {
            let done = state.done;
            state.bar.get_or_insert_with(|| self.bar()).set_position(done);
        } else if state.spoke.elapsed() >= INTERVAL || state.done == self.total {
            state.spoke = Instant::now();
            eprintln!("{}: {} of {}, {:.0} s", self.label, state.done, self.total, self.began.elapsed().as_secs_f64());
        }
    }

    fn bar(&self) -> ProgressBar {
        let bar = ProgressBar::new(self.total).with_elapsed(self.began.elapsed());
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {elapsed} (left: {eta})") {
            bar.set_style(style);
        }
        bar.with_message(self.label)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Ok(State { bar: Some(bar), .. }) = self.state.get_mut() {
            bar.finish_and_clear();
        }
    }
}
