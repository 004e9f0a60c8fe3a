//! Projection head: three linear layers with BatchNorm and ReLU after each hidden one (paper, section 3.2).

use super::HeadSpec;
use crate::error::Result;
use crate::nn::{BatchNorm, Builder, Context, Linear};
use crate::tape::Var;

/// Linear → BatchNorm → ReLU → Linear → BatchNorm → ReLU → Linear.
pub struct Head {
    hidden: [(Linear, BatchNorm); 2],
    output: Linear,
}

impl Head {
    /// Declares `name.0`, `.1`, `.3`, `.4`, `.6`: places in a sequence that counts the activations too.
    pub fn new(b: &mut Builder, name: &str, inputs: usize, spec: &HeadSpec) -> Self {
        let mut layer = |at: usize, inputs: usize| {
            let linear = Linear::new(b, &format!("{name}.{at}"), inputs, spec.hidden);
            (linear, BatchNorm::new(b, &format!("{name}.{}", at + 1), spec.hidden))
        };
        let hidden = [layer(0, inputs), layer(3, spec.hidden)];
        Head { hidden, output: Linear::new(b, &format!("{name}.6"), spec.hidden, spec.out) }
    }

    /// [B, d] → [B, D].
    pub fn apply(&self, cx: &Context, x: &Var) -> Result<Var> {
        let mut x = x.clone();
        for (linear, norm) in &self.hidden {
            x = norm.apply_relu(cx, &linear.apply(cx, &x)?)?;
        }
        self.output.apply(cx, &x)
    }
}
