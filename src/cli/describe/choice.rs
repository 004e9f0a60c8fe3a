//! `descriptor=…`: one of the registry, or the one of the file's kind.

use serde_json::Value;

use crate::config::setting::{Limits, Setting};
use crate::descriptors::{self, A4, D4, Descriptor, Domain};
use crate::error::{Error, Result};

/// The descriptor that is asked for; `None` = the one of the file's kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DescriptorChoice(Option<&'static dyn Descriptor>);

impl DescriptorChoice {
    /// a4 of audio, d4 of MIDI.
    pub const AUTO: Self = DescriptorChoice(None);

    /// The descriptor for a file of this domain, which `file` names; [`Error::Usage`] where it is of the other.
    pub fn of(self, domain: Domain, file: &std::path::Path) -> Result<&'static dyn Descriptor> {
        let usual: &'static dyn Descriptor = if domain == Domain::Audio { &A4 } else { &D4 };
        let chosen = self.0.unwrap_or(usual);
        let name = chosen.name().to_lowercase();
        if chosen.raw_dims() != chosen.dims() {
            return Err(Error::Usage(format!(
                "descriptor={name} is trained: before training it is that of descriptor={}",
                usual.name().to_lowercase()
            )));
        }
        if chosen.domain() == domain {
            return Ok(chosen);
        }
        let [of, kind] = [chosen.domain(), domain].map(|domain| if domain == Domain::Audio { "audio" } else { "MIDI" });
        let (file, usual) = (file.display(), usual.name().to_lowercase());
        Err(Error::Usage(format!("descriptor={name} is of {of}, and {file} is {kind}: try descriptor={usual}")))
    }
}

impl Setting for DescriptorChoice {
    fn kind(&self, _: &Limits) -> String {
        let names = descriptors::ALL.iter().map(|descriptor| descriptor.name().to_lowercase());
        ["auto".to_string()].into_iter().chain(names).collect::<Vec<_>>().join("|")
    }

    fn set(&mut self, text: &str, _: &Limits) -> bool {
        let found = descriptors::find(text).ok();
        *self = DescriptorChoice(found);
        found.is_some() || text == "auto"
    }

    fn json(&self) -> Value {
        Value::from(self.0.map_or("auto".to_string(), |descriptor| descriptor.name().to_lowercase()))
    }
}
