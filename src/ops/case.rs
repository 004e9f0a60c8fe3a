//! Test cases of operations, and the checks that every one of them goes through.

use crate::device::{DType, Device};
use crate::error::Result;
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;

/// A random input of a case.
#[derive(Debug, Clone)]
pub struct Input {
    /// Shape of the tensor.
    pub shape: Vec<usize>,
    /// Values are uniform in this range.
    pub range: (f64, f64),
    /// Whether it stays `f32` on a device that stores activations and matrices as `bf16`.
    pub vector: bool,
}

impl Input {
    /// Uniform in ±1.
    pub fn new(shape: &[usize]) -> Self {
        Self::within(shape, -1.0, 1.0)
    }

    /// Uniform in [low, high).
    pub fn within(shape: &[usize], low: f64, high: f64) -> Self {
        Input { shape: shape.to_vec(), range: (low, high), vector: false }
    }

    /// A vector of parameters (bias, scale): `f32` on every device.
    pub fn vector(mut self) -> Self {
        self.vector = true;
        self
    }
}

type Apply = Box<dyn Fn(&Tape, &[Var]) -> Result<Var>>;

/// One configuration of one operation: random inputs and how to apply it to them.
pub struct Case {
    /// Operation and configuration, for messages.
    pub name: String,
    /// Inputs, all of which get gradients.
    pub inputs: Vec<Input>,
    /// Applies the operation.
    pub apply: Apply,
    /// Operations one after the other: what rounding to a storage type costs adds up.
    pub depth: usize,
}

impl Case {
    /// A case named `name`.
    pub fn new(
        name: impl Into<String>,
        inputs: Vec<Input>,
        apply: impl Fn(&Tape, &[Var]) -> Result<Var> + 'static,
    ) -> Self {
        Case { name: name.into(), inputs, apply: Box::new(apply), depth: 1 }
    }

    /// The same case, as `depth` operations one after the other.
    pub fn of_depth(self, depth: usize) -> Self {
        Case { depth, ..self }
    }

    /// Deterministic input values in `f64`.
    pub fn values(&self) -> Vec<Vec<f64>> {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut uniform = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        self.inputs
            .iter()
            .map(|i| {
                let n = i.shape.iter().product();
                (0..n).map(|_| i.range.0 + (i.range.1 - i.range.0) * uniform()).collect()
            })
            .collect()
    }

    /// Output and input gradients for inputs `values`, with upstream gradient cos(i) at output element i.
    pub fn run(&self, values: &[Vec<f64>], dtype: DType) -> Result<(Vec<f64>, Vec<Vec<f64>>)> {
        self.run_with(values, dtype, upstream)
    }

    fn run_with(
        &self,
        values: &[Vec<f64>],
        dtype: DType,
        upstream: impl Fn(usize) -> f64,
    ) -> Result<(Vec<f64>, Vec<Vec<f64>>)> {
        let tape = Tape::recording();
        let vars: Vec<Var> =
            self.inputs.iter().zip(values).map(|(i, v)| tape.leaf(Tensor::from_f64(&i.shape, v, dtype))).collect();
        let y = (self.apply)(&tape, &vars)?;
        let output = y.value().to_f64();
        let seed: Vec<f64> = (0..output.len()).map(upstream).collect();
        let mut grads = tape.backward(&y, Tensor::from_f64(y.shape(), &seed, dtype))?;
        let gradients =
            vars.iter().map(|v| grads.take(v).map_or_else(|| vec![0.0; v.value().len()], |g| g.to_f64())).collect();
        Ok((output, gradients))
    }

    /// Output and input gradients on a device that stores activations as `dtype`.
    fn run_on(&self, values: &[Vec<f64>], device: &Device, dtype: DType) -> Result<(Vec<f64>, Vec<Vec<f64>>)> {
        let tape = Tape::recording();
        let place = |(input, values): (&Input, &Vec<f64>)| {
            let host = Tensor::from_f64(&input.shape, values, DType::F32);
            Ok(tape.leaf(host.to_device(device, if input.vector { DType::F32 } else { dtype })?))
        };
        let vars: Vec<Var> = self.inputs.iter().zip(values).map(place).collect::<Result<_>>()?;
        let y = (self.apply)(&tape, &vars)?;
        let output = y.value().to_f64();
        let seed: Vec<f64> = (0..output.len()).map(|i| nearest(upstream(i), dtype)).collect();
        let seed = Tensor::from_f64(y.shape(), &seed, DType::F32).to_device(device, y.dtype())?;
        let mut grads = tape.backward(&y, seed)?;
        let gradient = |v: &Var| grads.take(v).map_or_else(|| vec![0.0; v.value().len()], |g| g.to_f64());
        Ok((output, vars.iter().map(gradient).collect()))
    }

    /// Largest difference between `device`, storing activations as `dtype`, and the CPU in `f64` on the same (rounded) inputs,
    /// over output and gradients, relative to the largest element of each (at least 1).
    pub fn device_error(&self, device: &Device, dtype: DType) -> Result<f64> {
        let round = |(input, values): (&Input, Vec<f64>)| {
            let dtype = if input.vector { DType::F32 } else { dtype };
            values.into_iter().map(|x| nearest(x, dtype)).collect()
        };
        let values: Vec<Vec<f64>> = self.inputs.iter().zip(self.values()).map(round).collect();
        let (y, g) = self.run_with(&values, DType::F64, |i| nearest(upstream(i), dtype))?;
        let (y_device, g_device) = self.run_on(&values, device, dtype)?;
        Ok(g.iter().zip(&g_device).fold(difference(&y, &y_device), |m, (a, b)| m.max(difference(a, b))))
    }

    /// Tolerated [`Case::device_error`] where activations are stored as `dtype`: f32 sums of a few hundred terms, or rounding to bf16
    /// (2⁻⁹) of values and of the intermediate results that kernels store.
    pub fn tolerance(&self, dtype: DType) -> f64 {
        self.depth as f64 * if dtype == DType::BF16 { 1.2e-2 } else { 2e-5 }
    }

    fn objective(&self, values: &[Vec<f64>]) -> Result<f64> {
        let tape = Tape::inference();
        let vars: Vec<Var> = self
            .inputs
            .iter()
            .zip(values)
            .map(|(i, v)| Var::constant(Tensor::from_f64(&i.shape, v, DType::F64)))
            .collect();
        let y = (self.apply)(&tape, &vars)?;
        Ok(y.value().to_f64().iter().enumerate().map(|(i, y)| y * upstream(i)).sum())
    }

    /// Largest difference between the tape's gradient and central finite differences in `f64`, relative to the gradient's
    /// largest element (at least 1).
    pub fn gradient_error(&self) -> Result<f64> {
        const STEP: f64 = 1e-5;
        const PROBES: usize = 300;
        let mut values = self.values();
        let (_, gradients) = self.run(&values, DType::F64)?;
        let mut worst = 0.0f64;
        for (i, gradient) in gradients.iter().enumerate() {
            let scale = gradient.iter().fold(1.0f64, |m, g| m.max(g.abs()));
            // Large inputs are probed at evenly spread elements: each costs two forward passes.
            for (j, g) in gradient.iter().enumerate().step_by(gradient.len().div_ceil(PROBES)) {
                let x = values[i][j];
                values[i][j] = x + STEP;
                let above = self.objective(&values)?;
                values[i][j] = x - STEP;
                let below = self.objective(&values)?;
                values[i][j] = x;
                worst = worst.max((g - (above - below) / (2.0 * STEP)).abs() / scale);
            }
        }
        Ok(worst)
    }

    /// Largest difference between `f32` and `f64` runs over output and gradients, relative to the largest element (at least 1).
    pub fn single_precision_error(&self) -> Result<f64> {
        let values: Vec<Vec<f64>> =
            self.values().into_iter().map(|v| v.into_iter().map(|x| f64::from(x as f32)).collect()).collect();
        let (y64, g64) = self.run(&values, DType::F64)?;
        let (y32, g32) = self.run(&values, DType::F32)?;
        Ok(g64.iter().zip(&g32).fold(difference(&y64, &y32), |m, (a, b)| m.max(difference(a, b))))
    }
}

/// Largest difference relative to the largest element of `a` (at least 1); a NaN anywhere is infinitely far.
fn difference(a: &[f64], b: &[f64]) -> f64 {
    let scale = a.iter().fold(1.0f64, |m, x| m.max(x.abs()));
    let far = |d: f64| if d.is_nan() { f64::INFINITY } else { d };
    a.iter().zip(b).fold(0.0f64, |m, (a, b)| m.max(far((a - b).abs()))) / scale
}

/// The value that `dtype` stores for `x`.
fn nearest(x: f64, dtype: DType) -> f64 {
    match dtype {
        DType::F64 => x,
        DType::F32 => f64::from(x as f32),
        DType::BF16 => half::bf16::from_f32(x as f32).to_f64(),
    }
}

fn upstream(i: usize) -> f64 {
    (i as f64 + 0.5).cos()
}

/// Every case of every operation.
pub fn all_cases() -> Vec<Case> {
    use super::*;
    [
        activation::cases(),
        add::cases(),
        attention::cases(),
        batchnorm::cases(),
        concat::cases(),
        conv_block::cases(),
        dropout::cases(),
        embedding::cases(),
        film::cases(),
        interpolate::cases(),
        layernorm::cases(),
        linear::cases(),
        moe::cases(),
        pool::cases(),
        positions::cases(),
        temporal::cases(),
        triplet::cases(),
        vicreg::cases(),
        weighted_sum::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
