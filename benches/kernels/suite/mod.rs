//! What the kernel benches time: every operation of the model at the shapes of the paper's preset and a batch of 16, those of arms
//! d0, d4a4, a4r and d4-a4r first of all.
//!
//! A bench has an id `operation/place/pass`, which `tools/pytorch` uses for the same work, and counts its floating-point
//! operations (multiply–add = 2) and the fewest bytes it can move: each input read once, each result written once.

mod attention;
mod convolution;
mod experts;
mod linear;
mod rows;
mod whole;

use std::sync::Arc;

use descant::Result;
use descant::config::Config;
use descant::device::{DType, Device, Memory};
use descant::model::ModelSpec;
use descant::ops::Ragged;
use descant::ops::conv_block::ConvSpec;
use descant::random::{Philox, site};
use descant::tape::{Tape, Var};
use descant::tensor::Tensor;
use half::bf16;

/// One call to be timed.
pub type Call<'a> = Box<dyn FnOnce() -> Result<()> + 'a>;
/// Makes calls: what a call needs beforehand happens here, outside the clock.
pub type Calls = Box<dyn FnMut() -> Result<Call<'static>>>;
/// Places the inputs on a device.
pub type Prepare = Box<dyn FnOnce(&Device) -> Result<Calls>>;

/// What a call cannot do without.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    pub flops: f64,
    pub bytes: f64,
}

/// One operation in one direction at one shape.
pub struct Bench {
    /// `operation/place/pass`.
    pub id: String,
    pub work: Work,
    pub prepare: Prepare,
}

impl Bench {
    /// One call, without a clock.
    pub fn launch(self, device: &Device) -> Result<()> {
        let call = (self.prepare)(device)?()?;
        call()
    }
}

/// Sizes of a batch and of the model.
pub struct Sizes {
    pub spec: ModelSpec,
    pub batch: usize,
    /// Samples of a recording.
    pub samples: usize,
    /// Rows of A4.
    pub descriptor: usize,
    /// Notes of each segment.
    pub notes: Ragged,
    /// How activations and matrices are stored.
    pub dtype: DType,
    /// Parameters that the optimizer updates.
    pub parameters: usize,
    /// Embeddings to rank, and samples of an alignment.
    pub embedded: usize,
    pub aligned: usize,
}

/// Kernel, stride and padding of the front end's convolutions.
pub use descant::model::audio::CONVOLUTIONS;

impl Sizes {
    /// The paper's preset at a batch of 16; segments of 64 to 192 notes, 128 on average.
    pub fn paper(dtype: DType) -> Result<Self> {
        let notes = Ragged::from_lengths((0..16).map(|i| 64 + 128 * i / 15));
        let (parameters, embedded, aligned) = (74_194_432, 4_000, 500);
        let spec = spec("paper")?;
        Ok(Sizes { spec, batch: 16, samples: 96_000, descriptor: 188, notes, dtype, parameters, embedded, aligned })
    }

    /// As small as every launch allows, for the emulated device.
    pub fn tiny(dtype: DType) -> Result<Self> {
        let notes = Ragged::from_lengths([5, 9]);
        let (parameters, embedded, aligned) = (1_000, 40, 12);
        let spec = spec("tiny")?;
        Ok(Sizes { spec, batch: 2, samples: 1_290, descriptor: 3, notes, dtype, parameters, embedded, aligned })
    }

    /// Rows after each convolution; the last is the number of frames.
    pub fn rows(&self) -> [usize; 4] {
        let mut time = self.samples;
        CONVOLUTIONS.map(|(kernel, stride, padding)| {
            let spec = ConvSpec { kernel, stride, padding, groups: self.spec.audio.groups, eps: 1e-5 };
            time = spec.output_rows(time).unwrap_or(0);
            time
        })
    }

    /// Frames of the whole batch.
    pub fn frames(&self) -> Ragged {
        Ragged::uniform(self.batch, self.rows()[3])
    }

    /// Rows of A4 of the whole batch.
    pub fn tokens(&self) -> Ragged {
        Ragged::uniform(self.batch, self.descriptor)
    }

    /// Bytes of `elements` activations.
    pub fn stored(&self, elements: usize) -> f64 {
        (elements * self.dtype.bytes()) as f64
    }
}

fn spec(preset: &str) -> Result<ModelSpec> {
    Ok(ModelSpec::from_config(&Config::resolve(&[format!("preset={preset}"), "device=cpu".into()], false)?))
}

/// Every bench, by operation.
pub fn all(sizes: &Sizes) -> Vec<Bench> {
    [
        linear::benches(sizes),
        attention::benches(sizes),
        convolution::benches(sizes),
        experts::benches(sizes),
        rows::benches(sizes),
        whole::benches(sizes),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// An input of noise.
#[derive(Clone)]
pub struct Noise {
    shape: Vec<usize>,
    dtype: DType,
    /// Whether its gradient is wanted.
    leaf: bool,
}

impl Noise {
    pub fn of(shape: &[usize], dtype: DType) -> Self {
        Noise { shape: shape.to_vec(), dtype, leaf: true }
    }

    /// An activation or a matrix of parameters.
    pub fn stored(sizes: &Sizes, shape: &[usize]) -> Self {
        Self::of(shape, sizes.dtype)
    }

    /// A vector of parameters.
    pub fn vector(len: usize) -> Self {
        Self::of(&[len], DType::F32)
    }

    /// The same without a gradient.
    pub fn constant(self) -> Self {
        Noise { leaf: false, ..self }
    }

    /// Uniform in ±½ on `device`: a block of random values, repeated.
    pub fn tensor(&self, device: &Device) -> Result<Tensor> {
        /// A prime, so that no two rows are alike.
        const BLOCK: usize = 65_521;
        let mut random = Philox::new(1, site("noise")).stream(self.shape.len() as u64);
        let block: Vec<f32> = (0..BLOCK).map(|_| random.uniform_f32() - 0.5).collect();
        let len = self.shape.iter().product();
        let memory = match self.dtype {
            DType::BF16 => Memory::upload(device, &repeated(&block, len, bf16::from_f32))?,
            _ => Memory::upload(device, &repeated(&block, len, |x| x))?,
        };
        Ok(Tensor::from_memory(&self.shape, memory, self.dtype))
    }
}

/// The block as `T`, again and again.
fn repeated<T: Copy>(block: &[f32], len: usize, convert: impl Fn(f32) -> T) -> Vec<T> {
    let block: Vec<T> = block.iter().map(|&x| convert(x)).collect();
    let mut values = block.repeat(len / block.len());
    values.extend_from_slice(&block[..len % block.len()]);
    values
}

/// A differentiable operation: benches of its value and of its gradients, these given the value as upstream gradient.
pub fn passes(
    operation: &str,
    place: &str,
    [forward, backward]: [Work; 2],
    inputs: Vec<Noise>,
    apply: impl Fn(&Tape, &[Var]) -> Result<Var> + 'static,
) -> Vec<Bench> {
    let apply = Arc::new(apply);
    let bench = |pass: &str, work, prepare| Bench { id: format!("{operation}/{place}/{pass}"), work, prepare };
    let (apply_too, inputs_too) = (apply.clone(), inputs.clone());
    let value = move |device: &Device| -> Result<Calls> {
        let tensors = place_all(&inputs, device)?;
        Ok(Box::new(move || {
            let (tape, apply) = (Tape::recording(), apply.clone());
            let vars = on(&tape, &tensors);
            Ok(Box::new(move || apply(&tape, &vars).map(drop)))
        }))
    };
    let gradients = move |device: &Device| -> Result<Calls> {
        let tensors = place_all(&inputs_too, device)?;
        Ok(Box::new(move || {
            let tape = Tape::recording();
            let y = apply_too(&tape, &on(&tape, &tensors))?;
            let upstream = y.value().clone();
            Ok(Box::new(move || tape.backward(&y, upstream).map(drop)))
        }))
    };
    vec![bench("forward", forward, Box::new(value) as _), bench("backward", backward, Box::new(gradients) as _)]
}

type Placed = Vec<(Tensor, bool)>;

fn place_all(inputs: &[Noise], device: &Device) -> Result<Placed> {
    inputs.iter().map(|input| Ok((input.tensor(device)?, input.leaf))).collect()
}

fn on(tape: &Tape, tensors: &Placed) -> Vec<Var> {
    let var = |(tensor, leaf): &(Tensor, bool)| match leaf {
        true => tape.leaf(tensor.clone()),
        false => Var::constant(tensor.clone()),
    };
    tensors.iter().map(var).collect()
}
