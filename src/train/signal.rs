//! Ctrl-C and SIGTERM: the first asks training to save and stop, the second leaves at once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};
use crate::progress::say;

/// Exit code after a second signal: 128 + SIGINT, as shells report it.
pub const INTERRUPTED: i32 = 130;

static STOP: AtomicBool = AtomicBool::new(false);

/// Catches the signals from now on; the flag turns true at the first. May be called again.
pub fn install() -> Result<&'static AtomicBool> {
    static OUTCOME: OnceLock<Result<(), String>> = OnceLock::new();
    let outcome = OUTCOME.get_or_init(|| ctrlc::set_handler(on_signal).map_err(|e| e.to_string()));
    match outcome {
        Ok(()) => Ok(&STOP),
        Err(e) => Err(Error::op("signals", "handler", "a process without one", e)),
    }
}

fn on_signal() {
    if STOP.swap(true, Ordering::SeqCst) {
        std::process::exit(INTERRUPTED);
    }
    say("\nstopping after this step and saving; once more leaves at once");
}
