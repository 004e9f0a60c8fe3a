//! Which rows go to which experts: a stable counting sort of the k·T choices.

use std::sync::Arc;

use crate::device::{Memory, kernels};
use crate::error::{Error, Result};

/// Sorted rows of a device come in tiles that belong to one expert: the products' tile.
pub(super) const TILE: usize = 64;
/// Choices that a block of the sorting kernels takes.
const PER_BLOCK: usize = 256;
/// Most experts that the kernels sort by.
pub(super) const MOST_EXPERTS: usize = 64;

/// Where each of a batch's rows is sent.
///
/// Choice c = t·k + j is the j-th expert of row t. Sorted rows stand by expert, then by choice; on a device each expert's
/// are filled up with empty rows to whole tiles, so that their number depends on nothing but shapes.
#[derive(Clone)]
pub struct Routing {
    /// Rows that were routed.
    pub(super) rows: usize,
    /// Experts there are.
    pub(super) experts: usize,
    /// Experts of each row.
    pub(super) top_k: usize,
    pub(super) place: Arc<Place>,
}

pub(super) enum Place {
    Host {
        /// Expert of each choice.
        chosen: Vec<u32>,
        /// Sorted row of each choice.
        slot: Vec<u32>,
        /// Choice of each sorted row.
        source: Vec<u32>,
        /// First sorted row of each expert, and the end.
        starts: Vec<usize>,
    },
    /// The same as `u32`; an empty sorted row has source `u32::MAX`.
    Device { chosen: Memory, slot: Memory, source: Memory, starts: Memory },
}

impl Routing {
    /// Sorts the choices `chosen` [rows, k] of the CPU.
    pub(super) fn host(chosen: Vec<u32>, rows: usize, experts: usize) -> Self {
        let top_k = chosen.len() / rows.max(1);
        let mut starts = vec![0; experts + 1];
        chosen.iter().for_each(|&e| starts[e as usize + 1] += 1);
        (0..experts).for_each(|e| starts[e + 1] += starts[e]);
        let mut next = starts.clone();
        let (mut slot, mut source) = (vec![0; chosen.len()], vec![0; chosen.len()]);
        for (c, &e) in chosen.iter().enumerate() {
            let place = &mut next[e as usize];
            (slot[c], source[*place]) = (*place as u32, c as u32);
            *place += 1;
        }
        Routing { rows, experts, top_k, place: Arc::new(Place::Host { chosen, slot, source, starts }) }
    }

    /// Sorts the choices `chosen` [rows, k] on their device, without a word to the host.
    pub(super) fn device(chosen: Memory, rows: usize, experts: usize, top_k: usize) -> Result<Self> {
        let device = chosen.device().clone();
        let choices = rows * top_k;
        let blocks = choices.div_ceil(PER_BLOCK);
        let memory = |numbers: usize| Memory::uninit(&device, numbers.max(1) * 4);
        let sorted = padded(choices, experts);
        let (counts, slot, source, starts) =
            (memory(blocks * experts)?, memory(choices)?, memory(sorted)?, memory(experts + 1)?);
        let [n, e, b] = [choices, experts, blocks].map(|size| size as i32);
        kernels::routing::clear(device.launch(sorted.div_ceil(PER_BLOCK)), source.output(0), sorted as i32)?;
        kernels::routing::histogram(device.launch(blocks), chosen.input(0), counts.output(0), n, e)?;
        kernels::routing::scan(device.launch(1), counts.output(0), starts.output(0), e, b, TILE as i32)?;
        kernels::routing::place(
            device.launch(blocks),
            chosen.input(0),
            counts.input(0),
            slot.output(0),
            source.output(0),
            n,
            e,
        )?;
        Ok(Routing { rows, experts, top_k, place: Arc::new(Place::Device { chosen, slot, source, starts }) })
    }

    /// Sorted rows, empty ones included.
    pub fn sorted(&self) -> usize {
        match &*self.place {
            Place::Host { source, .. } => source.len(),
            Place::Device { .. } => padded(self.rows * self.top_k, self.experts),
        }
    }
}

/// Enough rows for any split of `choices` among experts into whole tiles.
fn padded(choices: usize, experts: usize) -> usize {
    choices.div_ceil(TILE) * TILE + experts * TILE
}

impl Routing {
    fn memory<'a>(&'a self, which: impl Fn(&'a Place) -> Option<&'a Memory>) -> Result<&'a Memory> {
        which(&self.place).ok_or_else(|| Error::op("routing", "rows", "routed on a device", "routed on the CPU"))
    }

    /// Expert of each choice.
    pub(super) fn chosen(&self) -> Result<&Memory> {
        self.memory(|place| if let Place::Device { chosen, .. } = place { Some(chosen) } else { None })
    }

    /// Sorted row of each choice.
    pub(super) fn slot(&self) -> Result<&Memory> {
        self.memory(|place| if let Place::Device { slot, .. } = place { Some(slot) } else { None })
    }

    /// Choice of each sorted row.
    pub(super) fn source(&self) -> Result<&Memory> {
        self.memory(|place| if let Place::Device { source, .. } = place { Some(source) } else { None })
    }

    /// First sorted row of each expert, and the end.
    pub(super) fn starts(&self) -> Result<&Memory> {
        self.memory(|place| if let Place::Device { starts, .. } = place { Some(starts) } else { None })
    }

    /// Sorted row of each choice, on the CPU.
    #[cfg(test)]
    pub(super) fn host_slots(&self) -> Vec<u32> {
        match &*self.place {
            Place::Host { slot, .. } => slot.clone(),
            Place::Device { .. } => Vec::new(),
        }
    }
}
