//! What a verb says: data on stdout, errors on stderr, and a quiet end when nobody reads on.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::progress::say;

/// Writes `text` to stdout. A reader that has gone (`engine … | head`) ends the process quietly.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        outcome => outcome.map_err(|source| Error::io("standard output", "write", source)),
    }
}

/// Writes `value` to stdout, indented, with a final newline.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::io("standard output", "encode", e.into()))?;
    print(&(text + "\n"))
}

/// The exit code of a verb; says why on stderr where it failed.
pub fn conclude(outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match &error {
                Error::Stopped(message) => say(message),
                error => say(&format!("error: {error}")),
            }
            ExitCode::from(error.exit_code())
        }
    }
}

/// Makes a panic, which would be a bug of the engine, ask for a report instead of only showing its trace.
pub fn apologise_for_panics() {
    let standard = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        standard(panic);
        say("error: this is a bug in engine, sorry. Please report it with the lines above and the command you ran.");
    }));
}
