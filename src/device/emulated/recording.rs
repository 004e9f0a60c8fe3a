//! A recorded step on the emulated device: what was asked for, in order, to be done again on whatever memory then holds.
//!
//! Where the lanes run side by side their work is interleaved anew at every replay, so that work which relies on an order that
//! no fork or join gives it does not stay unseen. Memory appears and vanishes as it did, unwritten each time.

use std::ffi::c_void;

use super::{Emulator, Lane, State};
use crate::device::launch::{Argument, Entry};
use crate::error::Result;
use crate::random::{Philox, site};

/// A kernel and its grid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub entry: &'static Entry,
    pub blocks: [u32; 3],
    pub shared: u32,
}

/// One thing asked of the device.
#[derive(Debug)]
pub(super) enum Event {
    Appear {
        start: u64,
        bytes: usize,
    },
    Vanish {
        start: u64,
    },
    Zero {
        start: u64,
        bytes: usize,
    },
    Launch {
        call: Call,
        /// The arguments' bytes, each from a word on.
        words: Vec<u64>,
        /// Where each argument starts.
        places: Vec<usize>,
    },
    Fork,
    Join,
}

impl Event {
    /// A launch with a copy of its arguments.
    pub fn launch(call: Call, arguments: &[Argument]) -> Self {
        let (mut words, mut places) = (Vec::new(), Vec::new());
        for argument in arguments {
            let place = words.len();
            places.push(place);
            words.resize(place + argument.bytes.div_ceil(8), 0u64);
            // SAFETY: an argument is so many bytes of plain data, and there are as many words.
            unsafe {
                let to = words[place..].as_mut_ptr().cast::<u8>();
                std::ptr::copy_nonoverlapping(argument.value.cast::<u8>(), to, argument.bytes);
            }
        }
        Event::Launch { call, words, places }
    }
}

/// A step as it was recorded.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    events: Vec<(Lane, Event)>,
}

impl Recorded {
    /// Launches in it.
    pub fn launches(&self) -> usize {
        self.events.iter().filter(|(_, event)| matches!(event, Event::Launch { .. })).count()
    }

    /// The events in an order that forks and joins allow.
    fn shuffled(&self, seed: u64) -> Vec<&Event> {
        let mut random = Philox::new(seed, site("emulated.replay")).stream(0);
        let mut order = Vec::with_capacity(self.events.len());
        let mut rest = &self.events[..];
        while let Some(fork) = rest.iter().position(|(_, event)| matches!(event, Event::Fork)) {
            let (before, beside) = rest.split_at(fork);
            let join = beside.iter().position(|(_, event)| matches!(event, Event::Join)).unwrap_or(beside.len() - 1);
            let (beside, after) = beside.split_at(join + 1);
            order.extend(before.iter().map(|(_, event)| event));
            let of = |lane| beside.iter().filter(move |(l, _)| *l == lane).map(|(_, event)| event);
            let (mut main, mut side) = (of(Lane::Main).peekable(), of(Lane::Side).peekable());
            // Fork and join are the main lane's first and last event here, and neither does anything.
            while let (Some(_), Some(_)) = (main.peek(), side.peek()) {
                order.extend(if random.uniform_f32() < 0.5 { main.next() } else { side.next() });
            }
            order.extend(main.chain(side));
            rest = after;
        }
        order.extend(rest.iter().map(|(_, event)| event));
        order
    }
}

impl State {
    /// Remembers an event where a step is being recorded; whether it is.
    pub(super) fn record(&mut self, lane: Lane, event: Event) -> bool {
        let recording = self.recorded.as_mut();
        recording.map(|recorded| recorded.events.push((lane, event))).is_some()
    }

    fn repeat(&mut self, seed: u64, event: &Event) -> Result<()> {
        match event {
            Event::Appear { start, bytes } => self.appear(*start, *bytes),
            Event::Vanish { start } => self.vanish(*start),
            // SAFETY: the memory has appeared and not vanished.
            Event::Zero { start, bytes } => unsafe { std::ptr::write_bytes(*start as *mut u8, 0, *bytes) },
            Event::Launch { call, words, places } => {
                let mut words = words.clone();
                let start = words.as_mut_ptr();
                // SAFETY: places lie within the words.
                let mut values: Vec<*mut c_void> = places.iter().map(|&p| unsafe { start.add(p) }.cast()).collect();
                self.run(seed, *call, &mut values)?;
            }
            Event::Fork | Event::Join => {}
        }
        Ok(())
    }
}

impl Emulator {
    pub(in crate::device) fn begin_recording(&self) {
        let state = &mut *self.state();
        state.heap.recording = true;
        state.recorded = Some(Recorded::default());
    }

    pub(in crate::device) fn end_recording(&self) -> Recorded {
        let state = &mut *self.state();
        state.heap.recording = false;
        state.recorded.take().unwrap_or_default()
    }

    pub(in crate::device) fn replay(&self, recorded: &Recorded) -> Result<()> {
        let state = &mut *self.state();
        let seed = self.seed ^ u64::from(state.blocks_run) << 32;
        recorded.shuffled(seed).into_iter().try_for_each(|event| state.repeat(self.seed, event))
    }
}
