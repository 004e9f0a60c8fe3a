//! Gradients of all parameters in one flat array, and their norm: `kernels/optim.cu` on a device.

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

/// Where the gradients of a device's parameters come from and go to. The addresses are uploaded only where they changed: with
/// stable addresses a step reads no host memory.
pub(super) struct Gather {
    /// Starts of the parameters in the flat array and its end; elements of each.
    places: Memory,
    sizes: Memory,
    sources: Memory,
    known: Vec<u64>,
    count: usize,
}

/// Elements of a block of `optim::gather`.
const PER_BLOCK: usize = 8192;

impl Gather {
    /// `places` has one entry more than `sizes`: the length of the flat array.
    pub fn new(device: &Device, places: &[u64], sizes: &[u64]) -> Result<Self> {
        let count = places.last().copied().unwrap_or(0) as usize;
        let sources = Memory::zeros(device, size_of_val(sizes))?;
        let (places, known) = (Memory::upload(device, places)?, vec![0; sizes.len()]);
        Ok(Gather { places, sizes: Memory::upload(device, sizes)?, sources, known, count })
    }

    /// One flat array of the parameters' gradients, and its norm.
    pub fn run(&mut self, sources: &[Option<Tensor>]) -> Result<FlatGradients> {
        let addresses: Vec<u64> =
            sources.iter().map(|g| g.as_ref().map_or(0, |g| g.input::<f32>().address())).collect();
        if addresses != self.known {
            self.sources.write(0, &addresses)?;
            self.known = addresses;
        }
        let device = self.places.device();
        let blocks = self.count.div_ceil(PER_BLOCK).max(1);
        let mut values = Tensor::uninit_on(device, &[self.count], DType::F32)?;
        let mut partial = Tensor::uninit_on(device, &[blocks], DType::F32)?;
        let mut norm = Tensor::uninit_on(device, &[1], DType::F32)?;
        let (values_out, partial_out) = (values.output(), partial.output());
        kernels::optim::gather(
            device.launch(blocks),
            self.sources.input(0),
            self.places.input(0),
            self.sizes.input(0),
            values_out,
            partial_out,
            self.known.len() as i32,
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
