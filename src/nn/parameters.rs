//! Named parameters in one flat buffer, and the buffers (running statistics) beside them.

use std::collections::BTreeMap;

use crate::device::{DType, PoolVec, Real};
use crate::error::Result;
use crate::random::{Philox, site};
use crate::tape::{Gradients, Tape, Var};
use crate::tensor::Tensor;
use crate::train::tensor_file::{NamedTensor, TensorFile};
use crate::with_real;

/// How a parameter starts (PyTorch's layer defaults, spec "Initialisation").
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Uniform in ±bound.
    Uniform(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// One value everywhere.
    Constant(f64),
}

impl Init {
    /// ±1/√fan_in: PyTorch's default for linear and convolution layers, weights and biases.
    pub fn fan_in(inputs: usize) -> Self {
        Init::Uniform(1.0 / (inputs as f64).sqrt())
    }
}

/// Handle of a parameter: its place in [`Parameters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParamId(usize);

/// Handle of a buffer that training updates without a gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferId(usize);

#[derive(Debug, Clone)]
struct Entry {
    name: String,
    shape: Vec<usize>,
    offset: usize,
    init: Init,
}

impl Entry {
    fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Collects the parameters of a model while its layers are being built.
#[derive(Debug, Default)]
pub struct Builder {
    entries: Vec<Entry>,
    buffers: Vec<(String, Vec<f32>)>,
    len: usize,
}

impl Builder {
    /// Declares a parameter. Names are unique and stable: they are the checkpoint's.
    pub fn parameter(&mut self, name: impl Into<String>, shape: &[usize], init: Init) -> ParamId {
        let entry = Entry { name: name.into(), shape: shape.to_vec(), offset: self.len, init };
        self.len += entry.len();
        self.entries.push(entry);
        ParamId(self.entries.len() - 1)
    }

    /// Declares a buffer that starts with `len` times `value`.
    pub fn buffer(&mut self, name: impl Into<String>, len: usize, value: f32) -> BufferId {
        self.buffers.push((name.into(), vec![value; len]));
        BufferId(self.buffers.len() - 1)
    }

    /// Parameter counts by the first `depth` parts of their names, in order of declaration.
    pub fn counts(&self, depth: usize) -> Vec<(String, usize)> {
        let mut counts: Vec<(String, usize)> = Vec::new();
        for entry in &self.entries {
            let key = entry.name.split('.').take(depth).collect::<Vec<_>>().join(".");
            match counts.iter_mut().find(|(name, _)| *name == key) {
                Some((_, count)) => *count += entry.len(),
                None => counts.push((key, entry.len())),
            }
        }
        counts
    }

    /// Number of trainable values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was declared.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Draws the starting values: each parameter from its own stream of `seed`, so that arms which share a layer start it alike.
    pub fn initialise(self, seed: u64, dtype: DType) -> Parameters {
        let values = with_real!(dtype, F => {
            let mut flat = PoolVec::<F>::uninit(self.len);
            for entry in &self.entries {
                let mut stream = Philox::new(seed, site(&format!("init.{}", entry.name))).stream(0);
                for x in &mut flat[entry.offset..entry.offset + entry.len()] {
                    *x = F::of(match entry.init {
                        Init::Uniform(bound) => bound * (2.0 * stream.uniform_f64() - 1.0),
                        Init::Normal(sd) => sd * stream.normal(),
                        Init::Constant(value) => value,
                    });
                }
            }
            Tensor::from_pool(&[self.len], flat)
        });
        Parameters { entries: self.entries, values, buffers: self.buffers }
    }
}

/// All parameters of a model in one flat tensor, plus its buffers.
pub struct Parameters {
    entries: Vec<Entry>,
    values: Tensor,
    buffers: Vec<(String, Vec<f32>)>,
}

impl Parameters {
    /// Number of trainable values.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is nothing to train.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Puts every parameter on a tape, in order of their ids.
    pub fn on(&self, tape: &Tape) -> Vec<Var> {
        self.entries.iter().map(|e| tape.leaf(self.values.view(e.offset, &e.shape))).collect()
    }

    /// The flat values, for the optimizer; `None` while a tape still holds them.
    pub fn values_mut(&mut self) -> Option<&mut [f32]> {
        self.values.as_mut_slice()
    }

    /// Gradients of all parameters in the flat order (zero where none flowed), of element type `F`.
    pub fn flatten<F: Real>(&self, vars: &[Var], gradients: &mut Gradients) -> PoolVec<F> {
        let mut flat = PoolVec::<F>::uninit(self.len());
        for (entry, var) in self.entries.iter().zip(vars) {
            let slot = &mut flat[entry.offset..entry.offset + entry.len()];
            match gradients.take(var) {
                Some(gradient) => slot.copy_from_slice(gradient.as_slice()),
                None => slot.fill(F::ZERO),
            }
        }
        flat
    }

    /// Slices of a flat array of this layout (gradients, moments) by name and shape.
    pub fn named<'a, T>(&'a self, flat: &'a [T]) -> impl Iterator<Item = (&'a str, &'a [usize], &'a [T])> {
        self.entries.iter().map(|e| (e.name.as_str(), &e.shape[..], &flat[e.offset..e.offset + e.len()]))
    }

    /// Parameters and buffers for a checkpoint; `values` is [`Tensor::to_f32`]-style flat data of [`Parameters::snapshot`].
    pub fn tensors<'a>(&'a self, snapshot: &'a [f32], shapes: &'a [[usize; 1]]) -> Vec<NamedTensor<'a>> {
        let parameters = self.named(snapshot).map(|(name, shape, data)| NamedTensor { name, shape, data });
        let buffers = self.buffers.iter().zip(shapes).map(|((name, data), shape)| NamedTensor { name, shape, data });
        parameters.chain(buffers).collect()
    }

    /// A host copy of the flat values.
    pub fn snapshot(&self) -> Vec<f32> {
        self.values.to_f32()
    }

    /// Shapes of the buffers, for [`Parameters::tensors`].
    pub fn buffer_shapes(&self) -> Vec<[usize; 1]> {
        self.buffers.iter().map(|(_, data)| [data.len()]).collect()
    }

    /// Takes every parameter and buffer from a model file; an error names the first that is missing or misshapen.
    pub fn load(&mut self, file: &mut TensorFile) -> Result<()> {
        let mut flat = vec![0.0f32; self.len()];
        for e in &self.entries {
            flat[e.offset..e.offset + e.len()].copy_from_slice(&file.take(&e.name, &e.shape)?);
        }
        for (name, data) in &mut self.buffers {
            *data = file.take(name, &[data.len()])?;
        }
        self.set(&flat);
        Ok(())
    }

    /// Takes those parameters and buffers that the file has (`init=FILE`); returns their names.
    pub fn load_some(&mut self, file: &mut TensorFile) -> Result<Vec<String>> {
        let mut flat = self.snapshot();
        let mut taken = Vec::new();
        for e in self.entries.iter().filter(|e| file.tensors.contains_key(&e.name)).cloned().collect::<Vec<_>>() {
            flat[e.offset..e.offset + e.len()].copy_from_slice(&file.take(&e.name, &e.shape)?);
            taken.push(e.name);
        }
        for (name, data) in &mut self.buffers {
            if file.tensors.contains_key(name) {
                *data = file.take(name, &[data.len()])?;
                taken.push(name.clone());
            }
        }
        self.set(&flat);
        Ok(taken)
    }

    /// Replaces values by name from `f64` data (golden vectors); every parameter must be there.
    pub fn set_named(&mut self, mut values: BTreeMap<String, Vec<f64>>) -> Result<(), String> {
        let mut flat = vec![0.0; self.len()];
        for e in &self.entries {
            let data = values.remove(&e.name).filter(|d| d.len() == e.len()).ok_or_else(|| e.name.clone())?;
            flat[e.offset..e.offset + e.len()].copy_from_slice(&data);
        }
        self.values = Tensor::from_f64(&[flat.len()], &flat, self.values.dtype());
        values.into_keys().next().map_or(Ok(()), Err)
    }

    fn set(&mut self, flat: &[f32]) {
        let wide: Vec<f64> = flat.iter().map(|&x| f64::from(x)).collect();
        self.values = Tensor::from_f64(&[flat.len()], &wide, self.values.dtype());
    }

    /// A buffer's values.
    pub fn buffer(&self, id: BufferId) -> &[f32] {
        &self.buffers[id.0].1
    }

    /// A buffer's values, for updating.
    pub fn buffer_mut(&mut self, id: BufferId) -> &mut [f32] {
        &mut self.buffers[id.0].1
    }
}

impl ParamId {
    /// This parameter among [`Parameters::on`].
    pub fn of(self, vars: &[Var]) -> &Var {
        &vars[self.0]
    }
}
