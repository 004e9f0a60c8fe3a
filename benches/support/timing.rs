//! Time of work on a device: batches of calls between two synchronisations, after a warm-up.

use std::time::{Duration, Instant};

use descant::Result;
use descant::device::Device;
use serde::Serialize;

/// One call to be timed; what it needs beforehand was prepared outside the clock.
pub type Call<'a> = Box<dyn FnOnce() -> Result<()> + 'a>;

/// A sample lasts about this long, so that the two synchronisations (some ten microseconds) do not count.
const SAMPLE: Duration = Duration::from_millis(4);
/// Most calls of a sample: each may hold what its forward pass saved.
const MOST_CALLS: usize = 32;
const FEWEST_SAMPLES: usize = 5;
const MOST_SAMPLES: usize = 40;

/// Seconds of a call.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Timing {
    /// Over the samples.
    pub median_s: f64,
    /// Over the samples.
    pub min_s: f64,
    /// The host's share: time to launch everything, without waiting. Near the median, the device waited for the host.
    pub host_s: f64,
    /// Samples, and calls in each.
    pub samples: usize,
    pub calls: usize,
}

/// Waits for everything launched so far.
pub fn synchronize(device: &Device) -> Result<()> {
    match device {
        Device::Cuda(gpu) => gpu.synchronize(),
        Device::Cpu | Device::Emulated(_) => Ok(()),
    }
}

/// Times the calls that `prepare` makes, for about `budget`.
pub fn measure<'a>(device: &Device, budget: Duration, prepare: &mut dyn FnMut() -> Result<Call<'a>>) -> Result<Timing> {
    let mut sample = |calls: usize| -> Result<[f64; 2]> {
        let prepared = (0..calls).map(|_| prepare()).collect::<Result<Vec<_>>>()?;
        synchronize(device)?;
        let start = Instant::now();
        for call in prepared {
            call()?;
        }
        let launched = start.elapsed();
        synchronize(device)?;
        Ok([start.elapsed(), launched].map(|t| t.as_secs_f64() / calls as f64))
    };
    let began = Instant::now();
    sample(1)?;
    let [once, _] = sample(2)?;
    let calls = ((SAMPLE.as_secs_f64() / once).ceil() as usize).clamp(1, MOST_CALLS);
    let (mut total, mut host) = (Vec::new(), Vec::new());
    while total.len() < FEWEST_SAMPLES || (total.len() < MOST_SAMPLES && began.elapsed() < budget) {
        let [all, launched] = sample(calls)?;
        total.push(all);
        host.push(launched);
    }
    let min_s = total.iter().copied().fold(f64::INFINITY, f64::min);
    Ok(Timing { samples: total.len(), calls, median_s: median(total), min_s, host_s: median(host) })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
