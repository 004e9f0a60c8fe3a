//! Host memory on its way to a device and back, without either waiting for the other: page-locked on a GPU, plain elsewhere.
//!
//! [`Outgoing`] writes ahead of the device: while the GPU works on one step, the next one's inputs cross the bus on a stream of
//! their own. [`Incoming`] reads behind it.

use super::cuda::{Arrival, Pinned, Slot};
use super::{Device, Memory};
use crate::error::{Error, Result};

/// Buffers in turn, so that one is filled while the other is copied.
const BUFFERS: usize = 2;

/// The way to a device, for blocks of one size.
pub struct Outgoing {
    device: Device,
    buffers: Buffers,
    turn: usize,
}

enum Buffers {
    /// Words, so that any number may start where a word does.
    Plain(Vec<u64>),
    Cuda(Vec<Slot>),
}

impl Outgoing {
    /// Blocks of `bytes`.
    pub fn new(device: &Device, bytes: usize) -> Result<Self> {
        let buffers = match device {
            Device::Cpu => return Err(device.error("the CPU's memory is where it is")),
            Device::Emulated(_) => Buffers::Plain(vec![0; bytes.div_ceil(8)]),
            Device::Cuda(gpu) => Buffers::Cuda((0..BUFFERS).map(|_| gpu.slot(bytes)).collect::<Result<_>>()?),
        };
        Ok(Outgoing { device: device.clone(), buffers, turn: 0 })
    }

    /// Lets `fill` write a block, which `to` then holds for whatever is launched next. Waits at most for the block before the last
    /// to have left the host.
    pub fn send(&mut self, to: &Memory, fill: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<()> {
        match (&mut self.buffers, &self.device) {
            (Buffers::Plain(words), _) => {
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(words);
                fill(bytes)?;
                to.write(0, bytes)
            }
            (Buffers::Cuda(slots), Device::Cuda(gpu)) => {
                let slot = &mut slots[self.turn];
                self.turn = (self.turn + 1) % BUFFERS;
                gpu.wait_until_sent(slot)?;
                fill(slot.bytes())?;
                if slot.len() > to.bytes() {
                    return Err(Error::op("send", "block", format!("≤ {} bytes", to.bytes()), slot.len().to_string()));
                }
                gpu.send(slot, to.output::<u8>(0).input().address())
            }
            _ => Err(self.device.error("staged for another device")),
        }
    }
}

/// What [`Incoming::start`] started; to be finished in the order of starts, at most `behind` of them at a time.
#[derive(Debug)]
pub struct Ticket(usize);

/// The way back from a device, for `N` numbers at a time.
pub struct Incoming<const N: usize> {
    device: Device,
    slots: Vec<Place<N>>,
    turn: usize,
}

enum Place<const N: usize> {
    Plain([f32; N]),
    Cuda(Pinned, Arrival),
}

impl<const N: usize> Incoming<N> {
    /// Room for `behind` copies that nobody has read yet.
    pub fn new(device: &Device, behind: usize) -> Result<Self> {
        let place = |_| match device {
            Device::Cpu | Device::Emulated(_) => Ok(Place::Plain([0.0; N])),
            Device::Cuda(gpu) => Ok(Place::Cuda(gpu.pinned(N * 4)?, gpu.arrival()?)),
        };
        Ok(Incoming { device: device.clone(), slots: (0..behind).map(place).collect::<Result<_>>()?, turn: 0 })
    }

    /// Copies `from` as it is after everything launched so far; does not wait.
    pub fn start(&mut self, from: &Memory) -> Result<Ticket> {
        let at = self.turn;
        self.turn = (at + 1) % self.slots.len();
        match (&mut self.slots[at], &self.device) {
            (Place::Plain(numbers), _) => from.read(0, numbers)?,
            (Place::Cuda(to, arrival), Device::Cuda(gpu)) => {
                gpu.receive(from.input::<u8>(0).address(), to, arrival)?;
            }
            _ => return Err(self.device.error("staged for another device")),
        }
        Ok(Ticket(at))
    }

    /// The numbers, once they are there.
    pub fn finish(&mut self, ticket: Ticket) -> Result<[f32; N]> {
        match (&mut self.slots[ticket.0], &self.device) {
            (Place::Plain(numbers), _) => Ok(*numbers),
            (Place::Cuda(bytes, arrival), Device::Cuda(gpu)) => {
                gpu.wait(arrival)?;
                let mut numbers = [0.0f32; N];
                bytemuck::cast_slice_mut(&mut numbers).copy_from_slice(bytes.bytes());
                Ok(numbers)
            }
            _ => Err(self.device.error("staged for another device")),
        }
    }
}
