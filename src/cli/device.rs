//! Which device a verb computes on, and why.

use crate::config::DeviceChoice;
use crate::device::Device;
use crate::error::{Error, Result};

/// An open device.
pub(super) struct Chosen {
    pub device: Device,
    /// For the user: which GPU it is, or why there is none where `auto` might have found one.
    pub note: Option<String>,
}

/// Opens what `device=…` asks for; an error only where a GPU was asked for by name.
pub(super) fn open(choice: DeviceChoice) -> Result<Chosen> {
    if choice == DeviceChoice::Cpu {
        return Ok(Chosen { device: Device::Cpu, note: None });
    }
    match (Device::cuda(), choice) {
        (Ok(device), DeviceChoice::Auto) => {
            let note = format!("device=auto: cuda, {}", device.product()?);
            Ok(Chosen { device, note: Some(note) })
        }
        (Ok(device), _) => {
            let note = format!("device=cuda: {}", device.product()?);
            Ok(Chosen { device, note: Some(note) })
        }
        (Err(Error::Device { reason, .. }), DeviceChoice::Auto) => {
            let note = format!("device=auto: cpu, because no GPU can be used ({reason})");
            Ok(Chosen { device: Device::Cpu, note: Some(note) })
        }
        (Err(error), _) => Err(error),
    }
}
