//! Steps of a program on a device: memory that passes with them, work on two lanes, and steps that are recorded once and
//! repeated.

use super::emulated::Recorded;
use super::heap::Heap;
use super::{Device, Lane, cuda};
use crate::error::{Error, Result};

impl Device {
    /// Runs `work` as a step: memory that it makes comes from the same addresses as that of an equal step before, and has to be
    /// dropped by its end. On the CPU, runs `work`.
    pub fn step<R>(&self, work: impl FnOnce() -> Result<R>) -> Result<R> {
        if self.heap(|heap| std::mem::replace(&mut heap.in_step, true)) == Some(true) {
            return work();
        }
        let result = work();
        // A step that failed between fork and join leaves the lanes apart; its own error is the one that matters.
        let joined = if self.is_forked() { self.join() } else { Ok(()) };
        self.heap(|heap| heap.in_step = false);
        result.and_then(|result| joined.map(|()| result))
    }

    /// From here to [`Device::join`] the side lane may run beside the main one, both after everything before.
    pub fn fork(&self) -> Result<()> {
        match self {
            Device::Cpu => Ok(()),
            Device::Emulated(emulator) => {
                emulator.fork();
                Ok(())
            }
            Device::Cuda(gpu) => gpu.fork(),
        }
    }

    /// From here on everything is after all of both lanes.
    pub fn join(&self) -> Result<()> {
        match self {
            Device::Cpu => Ok(()),
            Device::Emulated(emulator) => {
                emulator.join();
                Ok(())
            }
            Device::Cuda(gpu) => gpu.join(),
        }
    }

    /// Whether the lanes run side by side.
    pub fn is_forked(&self) -> bool {
        self.heap(|heap| heap.is_forked()) == Some(true)
    }

    /// The lane of what is launched next.
    pub fn lane(&self) -> Lane {
        match self {
            Device::Cpu => Lane::Main,
            Device::Emulated(emulator) => emulator.lane(),
            Device::Cuda(gpu) => gpu.lane(),
        }
    }

    /// What is launched next is of `lane`, the side lane only between a fork and a join; returns the one before.
    pub fn switch(&self, lane: Lane) -> Lane {
        let before = self.lane();
        self.heap(|heap| heap.switch(lane));
        before
    }

    /// Whether a step's memory is being handed out.
    pub(crate) fn is_in_step(&self) -> bool {
        self.heap(|heap| heap.in_step) == Some(true)
    }

    pub(super) fn is_recording(&self) -> bool {
        self.heap(|heap| heap.recording) == Some(true)
    }

    /// Most bytes ever in use at once; `None` on the CPU.
    pub fn peak_bytes(&self) -> Option<usize> {
        self.heap(|heap| heap.peak())
    }

    /// Bytes set aside, in use or not; `None` on the CPU.
    pub fn reserved_bytes(&self) -> Option<usize> {
        self.heap(|heap| heap.segments().map(|(_, bytes)| bytes).sum())
    }

    fn give_kept(&self, kept: &[u64]) {
        match self {
            Device::Cpu => {}
            Device::Emulated(emulator) => emulator.give_kept(kept),
            Device::Cuda(gpu) => gpu.heap(|heap| heap.give_kept(kept)),
        }
    }

    fn heap<R>(&self, f: impl FnOnce(&mut Heap) -> R) -> Option<R> {
        match self {
            Device::Cpu => None,
            Device::Emulated(emulator) => Some(emulator.heap(f)),
            Device::Cuda(gpu) => Some(gpu.heap(f)),
        }
    }
}

/// A step's launches, to be repeated on whatever its inputs then hold: a CUDA graph, or its twin on the emulated device.
///
/// Nothing of the host is read again: sizes, addresses and plain arguments are those of the recording. What changes from step to
/// step has to lie in device memory that outlives the step. Host memory that is uploaded within it goes into the recording.
pub struct Recording {
    device: Device,
    kind: Kind,
    /// Memory that was dropped while recording and that the launches use.
    kept: Vec<u64>,
}

enum Kind {
    Emulated(Recorded),
    Cuda(cuda::Graph),
}

impl Recording {
    /// Records what `work` launches on `device`, as a [`Device::step`], without running any of it.
    pub fn of(device: &Device, work: impl FnOnce() -> Result<()>) -> Result<Self> {
        match device {
            Device::Cpu => return Err(device.error("the CPU records nothing")),
            Device::Emulated(emulator) => emulator.begin_recording(),
            Device::Cuda(gpu) => gpu.begin_recording()?,
        }
        let done = device.step(work);
        let kind = match device {
            Device::Cpu => return Err(device.error("the CPU records nothing")),
            Device::Emulated(emulator) => Kind::Emulated(emulator.end_recording()),
            // Ends the capture also where `work` failed.
            Device::Cuda(gpu) => match (gpu.end_recording(), &done) {
                (Ok(graph), _) => Kind::Cuda(graph),
                (Err(_), Err(_)) => return Err(done.expect_err("just matched")),
                (Err(error), Ok(())) => return Err(error),
            },
        };
        let kept = device.heap(|heap| heap.take_kept()).unwrap_or_default();
        let recording = Recording { device: device.clone(), kind, kept };
        done?;
        match device.heap(|heap| heap.passing()) {
            Some(0) | None => Ok(recording),
            Some(bytes) => {
                Err(Error::op("recording", "memory", "all of the step's dropped", format!("{bytes} bytes held")))
            }
        }
    }

    /// Does it all again.
    pub fn replay(&self) -> Result<()> {
        if self.device.is_in_step() || self.device.heap(|heap| heap.passing()) != Some(0) {
            return Err(Error::op("replay", "memory", "none of a step's in use", "some"));
        }
        match (&self.kind, &self.device) {
            (Kind::Emulated(recorded), Device::Emulated(emulator)) => emulator.replay(recorded),
            (Kind::Cuda(graph), Device::Cuda(gpu)) => gpu.replay(graph),
            _ => Err(self.device.error("a recording is of its own device")),
        }
    }

    /// Launches in it, where the device can tell.
    pub fn launches(&self) -> Option<usize> {
        match &self.kind {
            Kind::Emulated(recorded) => Some(recorded.launches()),
            Kind::Cuda(_) => None,
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if let (Kind::Cuda(graph), Device::Cuda(gpu)) = (&self.kind, &self.device) {
            gpu.forget(graph);
        }
        self.device.give_kept(&self.kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Memory, kernels};

    const N: usize = 100;

    /// z = x + y, where the side lane has made y = 1 with a join in between or after; x and z last.
    fn sum(device: &Device, x: &Memory, z: &Memory, joined: bool) -> Result<Recording> {
        Recording::of(device, || {
            let y = Memory::uninit(device, N * 4)?;
            device.fork()?;
            device.switch(Lane::Side);
            kernels::add::fill::<f32>(device.launch(1), y.output(0), 1.0, N)?;
            device.switch(Lane::Main);
            if joined {
                device.join()?;
            }
            kernels::add::forward::<f32>(device.launch(1), x.input(0), y.input(0), z.output(0), N)?;
            if device.is_forked() { device.join() } else { Ok(()) }
        })
    }

    /// How many of 20 replays, each on another x, give x + 1.
    fn right(device: &Device, joined: bool) -> usize {
        let (x, z) = (Memory::zeros(device, N * 4).unwrap(), Memory::zeros(device, N * 4).unwrap());
        let recording = sum(device, &x, &z, joined).unwrap();
        let replay = |i: usize| {
            x.write(0, &[i as f32; N]).unwrap();
            recording.replay().unwrap();
            let mut got = [0.0f32; N];
            z.read(0, &mut got).unwrap();
            got == [i as f32 + 1.0; N]
        };
        (0..20).filter(|&i| replay(i)).count()
    }

    #[test]
    fn emulated_replays_follow_their_inputs_and_find_a_missing_join() {
        let device = Device::emulated(4).unwrap();
        assert_eq!(right(&device, true), 20);
        let lucky = right(&device, false);
        assert!(0 < lucky && lucky < 20, "{lucky} of 20 in the order that was meant");
    }

    #[test]
    fn emulated_recordings_refuse_what_they_could_not_repeat() {
        let device = Device::emulated(4).unwrap();
        let x = Memory::zeros(&device, N * 4).unwrap();
        let refused = |work: &mut dyn FnMut() -> Result<()>| Recording::of(&device, work).err().unwrap().to_string();
        let write = refused(&mut || x.write(0, &[1.0f32]));
        assert!(write.contains("while a step is recorded"), "{write}");
        let read = refused(&mut || x.read(0, &mut [1.0f32]));
        assert!(read.contains("while a step is recorded"), "{read}");
        let mut held = None;
        let hold = refused(&mut || {
            held = Some(Memory::uninit(&device, 4)?);
            Ok(())
        });
        assert!(hold.contains("bytes held"), "{hold}");
        drop(held);
        assert_eq!(right(&device, true), 20, "and nothing is left of it");
    }
}
