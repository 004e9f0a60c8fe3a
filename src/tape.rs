//! Reverse-mode automatic differentiation: operations append closures, [`Tape::backward`] runs them in reverse.

use std::cell::RefCell;

use crate::device::{DType, Device, Lane};
use crate::error::Result;
use crate::tensor::Tensor;

/// Maps the gradient of an operation's output to the gradients of its inputs, in the order they were recorded with;
/// `None` for an input that needs none.
pub type Backward = Box<dyn FnOnce(&Tensor) -> Result<Vec<Option<Tensor>>>>;

struct Node {
    inputs: Vec<Option<usize>>,
    backward: Option<Backward>,
    /// Of the value, and so of the gradients.
    lane: Lane,
}

/// A value on a tape.
#[derive(Debug, Clone)]
pub struct Var {
    value: Tensor,
    id: Option<usize>,
}

impl Var {
    /// A value that needs no gradient.
    pub fn constant(value: Tensor) -> Self {
        Var { value, id: None }
    }

    /// The value.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// Sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        self.value.shape()
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.value.dtype()
    }

    /// Whether a gradient will flow here: lets backward passes skip work.
    pub fn needs_grad(&self) -> bool {
        self.id.is_some()
    }

    /// Same value and gradient under another shape of equal size.
    pub fn reshape(&self, shape: &[usize]) -> Self {
        Var { value: self.value.reshape(shape), id: self.id }
    }
}

/// The record of one forward pass.
pub struct Tape {
    nodes: Option<RefCell<Vec<Node>>>,
}

impl Tape {
    /// A tape that remembers what [`Tape::backward`] needs.
    pub fn recording() -> Self {
        Tape { nodes: Some(RefCell::new(Vec::new())) }
    }

    /// A tape that remembers nothing: values are freed as soon as they are used.
    pub fn inference() -> Self {
        Tape { nodes: None }
    }

    /// Whether gradients will be asked for.
    pub fn is_recording(&self) -> bool {
        self.nodes.is_some()
    }

    fn push(&self, node: Node) -> Option<usize> {
        let nodes = self.nodes.as_ref()?;
        let mut nodes = nodes.borrow_mut();
        nodes.push(node);
        Some(nodes.len() - 1)
    }

    /// A value whose gradient is wanted (a parameter).
    pub fn leaf(&self, value: Tensor) -> Var {
        let id = self.push(Node { inputs: Vec::new(), backward: None, lane: value.device().lane() });
        Var { value, id }
    }

    /// Appends an operation: its output, its inputs and how gradients flow back. `backward` may assume that at least one
    /// input needs a gradient.
    pub fn record(
        &self,
        value: Tensor,
        inputs: &[&Var],
        backward: impl FnOnce(&Tensor) -> Result<Vec<Option<Tensor>>> + 'static,
    ) -> Var {
        if !inputs.iter().any(|v| v.needs_grad()) {
            return Var::constant(value);
        }
        let inputs = inputs.iter().map(|v| v.id).collect();
        let id = self.push(Node { inputs, backward: Some(Box::new(backward)), lane: value.device().lane() });
        Var { value, id }
    }

    /// Gradients of all leaves, given that of `output` (same shape). Consumes the tape: saved activations are freed as the
    /// pass walks over them. What was recorded on the side lane runs back on it, beside what was recorded before the fork.
    pub fn backward(self, output: &Var, gradient: Tensor) -> Result<Gradients> {
        let device = gradient.device().clone();
        let gradients = self.walk_back(output, gradient, &device);
        device.switch(Lane::Main);
        if device.is_forked() {
            device.join()?;
        }
        gradients
    }

    fn walk_back(self, output: &Var, gradient: Tensor, device: &Device) -> Result<Gradients> {
        let mut nodes = self.nodes.map(RefCell::into_inner).unwrap_or_default();
        let mut grads: Vec<Option<Tensor>> = (0..nodes.len()).map(|_| None).collect();
        if let Some(id) = output.id {
            grads[id] = Some(gradient);
        }
        for id in (0..nodes.len()).rev() {
            let node = &mut nodes[id];
            let Some(backward) = node.backward.take() else { continue };
            let Some(dy) = grads[id].take() else { continue };
            if node.lane == Lane::Side && !device.is_forked() {
                device.fork()?;
            }
            device.switch(node.lane);
            for (input, dx) in node.inputs.iter().zip(backward(&dy)?) {
                if let (Some(input), Some(dx)) = (*input, dx) {
                    match &mut grads[input] {
                        Some(sum) => sum.add_assign(&dx)?,
                        empty => *empty = Some(dx),
                    }
                }
            }
        }
        Ok(Gradients { grads })
    }
}

/// What [`Tape::backward`] found.
pub struct Gradients {
    grads: Vec<Option<Tensor>>,
}

impl Gradients {
    /// Gradient of a leaf, if it took part in the output.
    pub fn take(&mut self, leaf: &Var) -> Option<Tensor> {
        self.grads[leaf.id?].take()
    }
}
