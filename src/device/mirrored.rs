//! Host data with copies on the devices that asked for it: indices, offsets and tables that kernels read.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use super::{Device, Memory};
use crate::error::Result;

/// Immutable host data; a device's copy is made when it is first asked for and shared by all clones.
pub struct Mirrored<X> {
    host: Arc<[X]>,
    copies: Arc<Mutex<Vec<Arc<Memory>>>>,
}

impl<X: bytemuck::Pod> Mirrored<X> {
    /// Host data whose copy is there already: memory of a device that its owner overwrites from step to step. `host` stands for
    /// what it may hold.
    pub fn placed(host: Vec<X>, copy: Memory) -> Self {
        Mirrored { host: host.into(), copies: Arc::new(Mutex::new(vec![Arc::new(copy)])) }
    }

    /// The copy on `device` (not the CPU).
    pub fn on(&self, device: &Device) -> Result<Arc<Memory>> {
        self.on_by(device, || Memory::upload(device, &self.host))
    }

    /// As [`Mirrored::on`], where `make` knows a better way than an upload.
    pub(crate) fn on_by(&self, device: &Device, make: impl FnOnce() -> Result<Memory>) -> Result<Arc<Memory>> {
        let mut copies = self.copies.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(known) = copies.iter().find(|copy| copy.device() == device) {
            return Ok(known.clone());
        }
        let made = Arc::new(make()?);
        copies.push(made.clone());
        Ok(made)
    }
}

impl<X> From<Vec<X>> for Mirrored<X> {
    fn from(host: Vec<X>) -> Self {
        Mirrored { host: host.into(), copies: Arc::default() }
    }
}

impl<X> From<Arc<[X]>> for Mirrored<X> {
    fn from(host: Arc<[X]>) -> Self {
        Mirrored { host, copies: Arc::default() }
    }
}

impl<X> FromIterator<X> for Mirrored<X> {
    fn from_iter<I: IntoIterator<Item = X>>(items: I) -> Self {
        items.into_iter().collect::<Vec<X>>().into()
    }
}

impl<X> Deref for Mirrored<X> {
    type Target = [X];

    fn deref(&self) -> &[X] {
        &self.host
    }
}

impl<X> Clone for Mirrored<X> {
    fn clone(&self) -> Self {
        Mirrored { host: self.host.clone(), copies: self.copies.clone() }
    }
}

impl<X: PartialEq> PartialEq for Mirrored<X> {
    fn eq(&self, other: &Self) -> bool {
        self.host == other.host
    }
}

impl<X: Eq> Eq for Mirrored<X> {}

impl<X: fmt::Debug> fmt::Debug for Mirrored<X> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.host.fmt(f)
    }
}
