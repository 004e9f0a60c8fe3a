//! Training: the loop, and what it leaves behind.
pub mod checkpoint;
pub mod log;
pub mod meta;
pub mod progress;
pub mod signal;
pub mod tensor_file;
pub mod tensorboard;
