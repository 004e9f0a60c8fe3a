//! Asks runs the battery's questions, on one device for all.

use std::path::Path;

use super::eval::ADJUSTABLE;
use super::validate::{command, open};
use super::{device, use_threads};
use crate::config::{CONFIG_FILE, Config};
use crate::device::Device;
use crate::error::Result;
use crate::progress::say;
use crate::validate::battery::{self, Asked};
use crate::validate::subject::{Sizes, Subject};
use crate::validate::test::Test;

/// What is asked alike of every run.
pub(super) struct Asking {
    /// Settings of the battery, for commands.
    pub own: Vec<String>,
    /// Settings in which runs are evaluated otherwise than they say.
    pub adjusted: Vec<String>,
    /// How much is computed.
    pub sizes: Sizes,
    /// Whether everything is computed anew.
    pub fresh: bool,
    /// Opened for the first run, as it says.
    pub device: Option<Device>,
}

impl Asking {
    /// The subject of the run in `folder`, and its answers to `tests`.
    pub fn ask(&mut self, folder: &Path, tests: &[&'static dyn Test]) -> Result<(Subject, Vec<Asked>)> {
        let mut config = Config::load(&folder.join(CONFIG_FILE))?;
        config.adjust(&self.adjusted, ADJUSTABLE)?;
        let device = match &mut self.device {
            Some(device) => device,
            none => {
                let chosen = device::open(config.device)?;
                use_threads(config.threads)?;
                if let Some(note) = chosen.note {
                    say(&note);
                }
                none.insert(chosen.device)
            }
        };
        let subject = open(folder, config, device, self.sizes)?;
        let again = |number: &str| command(folder, Some(number), &self.own, &self.adjusted);
        let asked = battery::ask(&subject, tests, self.fresh, again)?;
        Ok((subject, asked))
    }
}
