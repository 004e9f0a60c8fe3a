//! Named parameters and the layers that hold them.
//!
//! A layer declares its parameters on a [`Builder`] under its name and is applied within a [`Context`].

mod attention;
mod block;
mod context;
mod gradients;
mod layers;
mod parameters;

pub use attention::MultiHead;
pub use block::{Block, BlockSpec, FeedForward, Norm};
pub use context::{Context, Mode};
pub use gradients::FlatGradients;
pub use layers::{BatchNorm, Embedding, LayerNorm, Linear};
pub use parameters::{BufferId, Builder, Init, ParamId, Parameters, Snapshot};
