//! Training: the loop, and what it leaves behind.
pub mod checkpoint;
pub mod meta;
pub mod tensor_file;
