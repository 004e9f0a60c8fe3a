//! The optimizer on a device: `kernels/optim.cu`.

use super::AdamWSpec;
use crate::device::{DType, In, Memory, kernels};
use crate::error::{Error, Result};
use crate::nn::Parameters;
use crate::tensor::Tensor;

/// AdamW over the flat f32 parameters of a device; what changes from step to step is read from device memory.
pub struct DeviceAdamW {
    spec: AdamWSpec,
    m: Tensor,
    v: Tensor,
    /// [`RATES`] of the last update.
    rates: Memory,
    /// Updates made.
    pub step: u64,
}

/// Numbers of an update that change from step to step: 1 − lr·decay, lr/(1 − β₁ᵗ), 1/√(1 − β₂ᵗ).
pub const RATES: usize = 3;

/// Elements of a block of an element-wise kernel.
const PER_BLOCK: usize = 2048;

impl DeviceAdamW {
    /// Moments at zero.
    pub fn new(spec: AdamWSpec, parameters: &Parameters) -> Result<Self> {
        let device = parameters.device();
        let zeros = || Tensor::zeros_on(device, &[parameters.flat_len()], DType::F32);
        Ok(DeviceAdamW { spec, m: zeros()?, v: zeros()?, rates: Memory::zeros(device, RATES * 4)?, step: 0 })
    }

    /// As [`super::AdamW::update`]; the gradient is clipped to norm `clip` by its `norm` (one f32 of the device).
    pub fn update(
        &mut self,
        parameters: &mut Parameters,
        gradients: &Tensor,
        norm: &Tensor,
        lr: f64,
        clip: f64,
    ) -> Result<()> {
        let rates = self.advance(lr);
        self.rates.write(0, &rates)?;
        let rates = self.rates.input(0);
        self.apply(parameters, gradients, norm, rates, clip)
    }

    /// Counts an update at rate `lr`; the [`RATES`] numbers that [`DeviceAdamW::apply`] reads for it.
    pub fn advance(&mut self, lr: f64) -> [f32; RATES] {
        let AdamWSpec { beta1, beta2, weight_decay, .. } = self.spec;
        self.step += 1;
        let correct = |beta: f64| 1.0 - beta.powf(self.step as f64);
        [1.0 - lr * weight_decay, lr / correct(beta1), 1.0 / correct(beta2).sqrt()].map(|x| x as f32)
    }

    /// An update by what [`DeviceAdamW::advance`] returned, in device memory: nothing of the host is read.
    pub fn apply(
        &mut self,
        parameters: &mut Parameters,
        gradients: &Tensor,
        norm: &Tensor,
        rates: In<f32>,
        clip: f64,
    ) -> Result<()> {
        let AdamWSpec { beta1, beta2, eps, .. } = self.spec;
        let count = gradients.len();
        let held = || Error::op("optimizer", "parameters", "no other holder during the update", "a tape still alive");
        let (values, working) = parameters.outputs().ok_or_else(held)?;
        kernels::optim::adamw(
            gradients.device().launch(count.div_ceil(PER_BLOCK)),
            gradients.input(),
            norm.input(),
            rates,
            values,
            self.m.output(),
            self.v.output(),
            working,
            beta1 as f32,
            beta2 as f32,
            eps as f32,
            clip as f32,
            count,
        )
    }

    /// Both moments in host order.
    pub(super) fn moments(&self, parameters: &Parameters) -> Result<[Vec<f32>; 2]> {
        Ok([parameters.to_host_order(&self.m)?, parameters.to_host_order(&self.v)?])
    }

    /// Goes on from saved moments in host order.
    pub(super) fn restore(&mut self, parameters: &Parameters, m: &[f32], v: &[f32], step: u64) -> Result<()> {
        (self.m, self.v) = (parameters.in_device_order(m)?, parameters.in_device_order(v)?);
        self.step = step;
        Ok(())
    }
}
