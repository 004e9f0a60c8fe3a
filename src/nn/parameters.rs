//! Named parameters in one flat buffer, and the buffers (running statistics) beside them.

use std::collections::BTreeMap;

use super::gradients::Gather;
use crate::device::{DType, Device, Out, PoolVec, Real, kernels};
use crate::error::{Error, Result};
use crate::random::{Philox, site};
use crate::tape::{Gradients, Tape, Var};
use crate::tensor::Tensor;
use crate::train::tensor_file::{NamedTensor, TensorFile};
use crate::with_real;

/// How a parameter starts (PyTorch's layer defaults, spec "Initialisation").
#[derive(Debug, Clone, Copy)]
pub enum Init {
    /// Uniform in ±bound.
    Uniform(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// One value everywhere.
    Constant(f64),
    /// What the function says of each element's index.
    By(fn(usize) -> f64),
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
    /// As `offset`, on a device: a multiple of [`ALIGNMENT`].
    place: usize,
    init: Init,
}

/// Elements that a parameter's start on a device is a multiple of: 128 bytes of bf16, which every vector access may assume.
const ALIGNMENT: usize = 64;

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
    flat_len: usize,
}

impl Builder {
    /// Declares a parameter. Names are unique and stable: they are the checkpoint's.
    pub fn parameter(&mut self, name: impl Into<String>, shape: &[usize], init: Init) -> ParamId {
        let entry = Entry { name: name.into(), shape: shape.to_vec(), offset: self.len, place: self.flat_len, init };
        self.len += entry.len();
        self.flat_len += entry.len().next_multiple_of(ALIGNMENT);
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
                for (i, x) in flat[entry.offset..entry.offset + entry.len()].iter_mut().enumerate() {
                    *x = F::of(match entry.init {
                        Init::Uniform(bound) => bound * (2.0 * stream.uniform_f64() - 1.0),
                        Init::Normal(sd) => sd * stream.normal(),
                        Init::Constant(value) => value,
                        Init::By(value) => value(i),
                    });
                }
            }
            Tensor::from_pool(&[self.len], flat)
        });
        let buffers = self.buffers.into_iter().map(|(name, data)| (name, Tensor::from_slice(&[data.len()], &data)));
        let (len, flat_len) = (self.len, self.len);
        Parameters {
            entries: self.entries,
            len,
            flat_len,
            values,
            working: None,
            buffers: buffers.collect(),
            gather: None,
        }
    }
}

/// All parameters of a model in one flat tensor, plus its buffers.
///
/// On the CPU parameters lie one after the other. On a device each starts at a multiple of 128 bytes; values are `f32`, and
/// where activations are stored as bf16 a second flat tensor holds a bf16 copy for the matrices to be read from.
pub struct Parameters {
    entries: Vec<Entry>,
    len: usize,
    /// Elements of `values`, with what aligns them.
    flat_len: usize,
    values: Tensor,
    working: Option<Tensor>,
    buffers: Vec<(String, Tensor)>,
    pub(super) gather: Option<Gather>,
}

/// A host copy of all values and buffers.
pub struct Snapshot {
    /// Values of the parameters in their order.
    pub values: Vec<f32>,
    buffers: Vec<Vec<f32>>,
    shapes: Vec<[usize; 1]>,
}

impl Parameters {
    /// Number of trainable values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Elements of a flat array of this layout on the parameters' device.
    pub fn flat_len(&self) -> usize {
        self.flat_len
    }

    /// Whether there is nothing to train.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the values are.
    pub fn device(&self) -> &Device {
        self.values.device()
    }

    /// Element type of matrices and activations: that of the model's inputs.
    pub fn dtype(&self) -> DType {
        self.working.as_ref().unwrap_or(&self.values).dtype()
    }

    /// A copy on `device`; on one that is not the CPU, matrices and activations are stored as `dtype` (`f32` or `bf16`).
    pub fn to_device(&self, device: &Device, dtype: DType) -> Result<Parameters> {
        let snapshot = self.snapshot()?;
        let place = |(name, _): &(String, Tensor), data: &Vec<f32>| {
            let host = Tensor::from_slice(&[data.len()], data);
            Ok((name.clone(), host.to_device(device, DType::F32)?))
        };
        let buffers = self.buffers.iter().zip(&snapshot.buffers).map(|(b, data)| place(b, data));
        let buffers = buffers.collect::<Result<Vec<_>>>()?;
        let host = |values| Parameters {
            entries: self.entries.clone(),
            len: self.len,
            flat_len: self.len,
            values,
            working: None,
            buffers,
            gather: None,
        };
        let mut parameters = host(Tensor::from_slice(&[self.len], &snapshot.values));
        if device.is_cpu() {
            return Ok(parameters);
        }
        let end = self.entries.last().map_or(0, |e| e.place + e.len().next_multiple_of(ALIGNMENT));
        parameters.flat_len = end;
        parameters.values = Tensor::uninit_on(device, &[end], DType::F32)?;
        if dtype == DType::BF16 {
            parameters.working = Some(Tensor::uninit_on(device, &[end], DType::BF16)?);
        }
        let places: Vec<u64> = self.entries.iter().map(|e| e.place).chain([end]).map(|n| n as u64).collect();
        let sizes: Vec<u64> = self.entries.iter().map(|e| e.len() as u64).collect();
        parameters.gather = Some(Gather::new(device, &places, &sizes)?);
        parameters.set(&snapshot.values)?;
        Ok(parameters)
    }

    /// Puts every parameter on a tape, in order of their ids. On a device matrices come in [`Parameters::dtype`], vectors in
    /// `f32`.
    pub fn on(&self, tape: &Tape) -> Vec<Var> {
        let leaf = |e: &Entry| {
            let matrix = e.shape.len() > 1;
            let source = self.working.as_ref().filter(|_| matrix).unwrap_or(&self.values);
            tape.leaf(source.view(self.start(e), &e.shape))
        };
        self.entries.iter().map(leaf).collect()
    }

    /// Where a parameter starts in the flat values.
    fn start(&self, e: &Entry) -> usize {
        if self.device().is_cpu() { e.offset } else { e.place }
    }

    /// The flat values of a device and their bf16 copy (or null) for the optimizer; `None` while a tape still holds them.
    pub(crate) fn outputs(&mut self) -> Option<(Out<f32>, Out<half::bf16>)> {
        if !self.values.is_exclusive() || self.working.as_mut().is_some_and(|w| !w.is_exclusive()) {
            return None;
        }
        Some((self.values.output(), self.working.as_mut().map_or(Out::NULL, |w| w.output())))
    }

    /// A flat f32 tensor of the device's layout, in host order.
    pub(crate) fn to_host_order(&self, flat: &Tensor) -> Result<Vec<f32>> {
        let host = flat.to_host()?.to_f32();
        if self.device().is_cpu() {
            return Ok(host);
        }
        Ok(self.entries.iter().flat_map(|e| &host[e.place..e.place + e.len()]).copied().collect())
    }

    /// A flat f32 tensor of the device's layout from values in host order; padding is 0.
    pub(crate) fn in_device_order(&self, values: &[f32]) -> Result<Tensor> {
        if values.len() != self.len {
            return Err(Error::op("parameters", "values", self.len.to_string(), values.len().to_string()));
        }
        let mut flat = vec![0.0f32; self.flat_len];
        for e in &self.entries {
            let start = self.start(e);
            flat[start..start + e.len()].copy_from_slice(&values[e.offset..e.offset + e.len()]);
        }
        Tensor::from_slice(&[self.flat_len], &flat).to_device(self.device(), DType::F32)
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

    /// Parameters and buffers for a checkpoint, from a [`Parameters::snapshot`].
    pub fn tensors<'a>(&'a self, snapshot: &'a Snapshot) -> Vec<NamedTensor<'a>> {
        let parameters = self.named(&snapshot.values).map(|(name, shape, data)| NamedTensor { name, shape, data });
        let buffers = self.buffers.iter().zip(snapshot.buffers.iter().zip(&snapshot.shapes));
        parameters.chain(buffers.map(|((name, _), (data, shape))| NamedTensor { name, shape, data })).collect()
    }

    /// A host copy of everything, after everything launched before.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let buffers = self.buffers.iter().map(|(_, data)| Ok(data.to_host()?.to_f32()));
        let shapes = self.buffers.iter().map(|(_, data)| [data.len()]).collect();
        Ok(Snapshot { values: self.to_host_order(&self.values)?, buffers: buffers.collect::<Result<_>>()?, shapes })
    }

    /// Takes every parameter and buffer from a model file; an error names the first that is missing or misshapen.
    pub fn load(&mut self, file: &mut TensorFile) -> Result<()> {
        let mut flat = vec![0.0f32; self.len()];
        for e in &self.entries {
            flat[e.offset..e.offset + e.len()].copy_from_slice(&file.take(&e.name, &e.shape)?);
        }
        for (name, data) in &mut self.buffers {
            *data = taken_buffer(file, name, data)?;
        }
        self.set(&flat)
    }

    /// Takes those parameters and buffers that the file has (`init=FILE`); returns their names.
    pub fn load_some(&mut self, file: &mut TensorFile) -> Result<Vec<String>> {
        let mut flat = self.to_host_order(&self.values)?;
        let mut taken = Vec::new();
        for e in self.entries.iter().filter(|e| file.tensors.contains_key(&e.name)).cloned().collect::<Vec<_>>() {
            flat[e.offset..e.offset + e.len()].copy_from_slice(&file.take(&e.name, &e.shape)?);
            taken.push(e.name);
        }
        for (name, data) in &mut self.buffers {
            if file.tensors.contains_key(name) {
                *data = taken_buffer(file, name, data)?;
                taken.push(name.clone());
            }
        }
        self.set(&flat)?;
        Ok(taken)
    }

    /// Replaces values by name from `f64` data (golden vectors), on the CPU; every parameter must be there.
    pub fn set_named(&mut self, mut values: BTreeMap<String, Vec<f64>>) -> Result<(), String> {
        let mut flat = vec![0.0; self.len()];
        for e in &self.entries {
            let data = values.remove(&e.name).filter(|d| d.len() == e.len()).ok_or_else(|| e.name.clone())?;
            flat[e.offset..e.offset + e.len()].copy_from_slice(&data);
        }
        self.values = Tensor::from_f64(&[flat.len()], &flat, self.values.dtype());
        values.into_keys().next().map_or(Ok(()), Err)
    }

    /// Replaces all values by `flat`, which is in host order.
    fn set(&mut self, flat: &[f32]) -> Result<()> {
        if self.device().is_cpu() {
            let wide: Vec<f64> = flat.iter().map(|&x| f64::from(x)).collect();
            self.values = Tensor::from_f64(&[flat.len()], &wide, self.values.dtype());
            return Ok(());
        }
        self.values = self.in_device_order(flat)?;
        if self.working.is_some() {
            let mut working = Tensor::uninit_on(self.device(), &[self.flat_len], DType::BF16)?;
            let grid = self.device().launch(self.flat_len.div_ceil(PER_BLOCK));
            kernels::optim::narrow(grid, self.values.input(), working.output(), self.flat_len)?;
            self.working = Some(working);
        }
        Ok(())
    }

    /// A buffer's values, `f32` on the parameters' device.
    pub fn buffer(&self, id: BufferId) -> &Tensor {
        &self.buffers[id.0].1
    }

    /// Two buffers' values, for updating.
    pub fn buffers_mut(&mut self, ids: [BufferId; 2]) -> Option<[&mut Tensor; 2]> {
        let [(_, a), (_, b)] = self.buffers.get_disjoint_mut(ids.map(|id| id.0)).ok()?;
        Some([a, b])
    }
}

/// Elements of a block of an element-wise kernel.
const PER_BLOCK: usize = 2048;

/// A buffer's new values from a file, on the device of `like`.
fn taken_buffer(file: &mut TensorFile, name: &str, like: &Tensor) -> Result<Tensor> {
    let data = file.take(name, &[like.len()])?;
    Tensor::from_slice(like.shape(), &data).to_device(like.device(), DType::F32)
}

impl ParamId {
    /// This parameter among [`Parameters::on`].
    pub fn of(self, vars: &[Var]) -> &Var {
        &vars[self.0]
    }
}
