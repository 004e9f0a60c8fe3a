//! What a test of the battery is.

use super::findings::Findings;
use super::subject::Subject;
use crate::error::Result;

/// One question to a trained model. A test is a file of its own; it stands in [`ALL`](super::ALL) in one line.
pub trait Test: Sync {
    /// The paper's number, as `tests=` and files write it: "01".
    fn number(&self) -> &'static str;

    /// What it is called.
    fn name(&self) -> &'static str;

    /// What it asks, in a sentence.
    fn asks(&self) -> &'static str;

    /// Raised whenever the same model would get other findings: what was kept of an earlier version is not used.
    fn version(&self) -> u32 {
        1
    }

    /// What else the findings depend on beside model and data, where they do: part of the key they are kept by.
    fn depends(&self, _subject: &Subject) -> String {
        String::new()
    }

    /// Why there is nothing to ask of this model, where there is not.
    fn skips(&self, _subject: &Subject) -> Option<String> {
        None
    }

    /// Asks.
    ///
    /// # Errors
    /// Where the data or the device fail; what is merely not applicable is a row without a number, or a note.
    fn run(&self, subject: &Subject) -> Result<Findings>;
}
