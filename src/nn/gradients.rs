//! Gradients of all parameters in one flat array, and their norm: `kernels/optim.cu` on a device.

use std::sync::Arc;

use super::Parameters;
use crate::device::{DType, Device, Memory, PoolVec, kernels};
use crate::error::Result;
use crate::optim::global_norm;
use crate::tape::{Gradients, Var};
use crate::tensor::Tensor;

/// Gradients of all parameters in their flat order (zero where none flowed).
pub enum FlatGradients {
    /// Of the CPU.
    Host {
        /// Gradients.
        values: PoolVec<f32>,
        /// Their Euclidean norm.
        norm: f64,
    },
    /// Of another device, `f32`.
    Device {
        /// Gradients, padded as the parameters are.
        values: Tensor,
        /// Their Euclidean norm, one element.
        norm: Tensor,
    },
}

impl FlatGradients {
    /// Euclidean norm; waits for a device.
    pub fn norm(&self) -> Result<f64> {
        match self {
            FlatGradients::Host { norm, .. } => Ok(*norm),
            FlatGradients::Device { norm, .. } => Ok(norm.to_host()?.item()),
        }
    }

    /// The gradients in host memory, in the order of [`Parameters::named`]; waits for a device.
    pub fn to_host(&self, parameters: &Parameters) -> Result<Vec<f32>> {
        match self {
            FlatGradients::Host { values, .. } => Ok(values.to_vec()),
            FlatGradients::Device { values, .. } => parameters.to_host_order(values),
        }
    }

    /// The norm on the device; `None` on the CPU.
    pub fn device_norm(&self) -> Option<&Tensor> {
        match self {
            FlatGradients::Host { .. } => None,
            FlatGradients::Device { norm, .. } => Some(norm),
        }
    }
}

/// Where the gradients of a device's parameters come from and go to.
pub(super) struct Gather {
    /// Starts of the parameters in the flat array and its end; elements of each.
    places: Memory,
    sizes: Memory,
    entries: usize,
    count: usize,
    /// Addresses of the gradients in steps so far, and their copies on the device: equal steps have equal addresses, and a
    /// recorded one goes on reading its own copy.
    sources: Vec<(Vec<u64>, Arc<Memory>)>,
}

/// Elements of a block of `optim::gather`.
const PER_BLOCK: usize = 8192;

impl Gather {
    /// `places` has one entry more than `sizes`: the length of the flat array.
    pub fn new(device: &Device, places: &[u64], sizes: &[u64]) -> Result<Self> {
        let count = places.last().copied().unwrap_or(0) as usize;
        let (entries, sources) = (sizes.len(), Vec::new());
        let (places, sizes) = (Memory::upload(device, places)?, Memory::upload(device, sizes)?);
        Ok(Gather { places, sizes, entries, count, sources })
    }

    /// One flat array of the parameters' gradients, and its norm.
    pub fn run(&mut self, sources: &[Option<Tensor>]) -> Result<FlatGradients> {
        let addresses: Vec<u64> =
            sources.iter().map(|g| g.as_ref().map_or(0, |g| g.input::<f32>().address())).collect();
        let device = self.places.device();
        let copied = match self.sources.iter().find(|(known, _)| *known == addresses) {
            Some((_, copy)) => copy.clone(),
            None => {
                let copy = Arc::new(Memory::upload(device, &addresses)?);
                if device.is_in_step() {
                    self.sources.push((addresses, copy.clone()));
                }
                copy
            }
        };
        let blocks = self.count.div_ceil(PER_BLOCK).max(1);
        let mut values = Tensor::uninit_on(device, &[self.count], DType::F32)?;
        let mut partial = Tensor::uninit_on(device, &[blocks], DType::F32)?;
        let mut norm = Tensor::uninit_on(device, &[1], DType::F32)?;
        let (values_out, partial_out) = (values.output(), partial.output());
        kernels::optim::gather(
            device.launch(blocks),
            copied.input(0),
            self.places.input(0),
            self.sizes.input(0),
            values_out,
            partial_out,
            self.entries as i32,
            self.count,
        )?;
        kernels::optim::norm(device.launch(1), partial.input(), norm.output(), blocks as i32)?;
        Ok(FlatGradients::Device { values, norm })
    }
}

impl Parameters {
    /// Gradients of all parameters, flat, with their norm; nothing waits for a device.
    pub fn gather(&mut self, vars: &[Var], gradients: &mut Gradients) -> Result<FlatGradients> {
        if let Some(gather) = &mut self.gather {
            let sources: Vec<Option<Tensor>> = vars.iter().map(|var| gradients.take(var)).collect();
            return gather.run(&sources);
        }
        let values = self.flatten::<f32>(vars, gradients);
        let norm = global_norm(&values);
        Ok(FlatGradients::Host { values, norm })
    }
}
