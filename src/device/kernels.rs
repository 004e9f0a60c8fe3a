//! One function for each kernel, by kernel file: `kernels::layernorm::forward::<T>(launch, …)`. Made by build.rs from the
//! kernels' own signatures, so that a misspelt kernel or a wrong argument does not compile.

use std::ffi::c_void;

use half::bf16;

use super::TensorMap;
use super::launch::{Argument, Entry, In, Launch, Module, Out, Storage};
use crate::error::Result;

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
