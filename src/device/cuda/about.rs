//! What can be said of a GPU: its name, its driver, its memory, and which of the compiled code it runs.

use cudarc::driver::{result, sys};
use serde::Serialize;

use super::{Cuda, driver};
use crate::device::kernels;
use crate::error::Result;

/// A GPU, for a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct About {
    /// Product name.
    pub name: String,
    /// Version of the kernel driver, `570.86.15`, where the system tells it.
    pub driver: Option<String>,
    /// Newest CUDA version that the driver runs, `13.0`.
    pub cuda: String,
    /// `9.0`
    pub compute_capability: String,
    /// Multiprocessors.
    pub multiprocessors: i32,
    /// Bytes of memory that nobody uses, and all of them.
    pub memory_free: usize,
    /// Bytes of memory.
    pub memory_total: usize,
    /// What the driver chose from the fatbins: `sm_90a`, or `PTX, compiled by the driver`.
    pub code: String,
}

/// Targets of build/nvcc.rs, by the compute capability they are reported as.
const TARGETS: [(i32, &str); 4] = [(80, "sm_80"), (86, "sm_86"), (89, "sm_89"), (90, "sm_90a")];

impl Cuda {
    /// Asks the driver.
    pub fn about(&self) -> Result<About> {
        use sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        let (major, minor) = self.capability()?;
        let (memory_free, memory_total) = self.memory()?;
        Ok(About {
            name: self.name()?,
            driver: kernel_driver(),
            cuda: driver_version()?,
            compute_capability: format!("{major}.{minor}"),
            multiprocessors: self.attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            memory_free,
            memory_total,
            code: self.code()?,
        })
    }

    /// Which code the driver took for the kernels: that of a target, or what it made of the PTX.
    fn code(&self) -> Result<String> {
        use sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_BINARY_VERSION;
        let function = self.function(&kernels::probe::REDUCE[0])?;
        // SAFETY: the function is loaded.
        let version = unsafe { result::function::get_function_attribute(function, CU_FUNC_ATTRIBUTE_BINARY_VERSION) };
        let version = driver("read a kernel's attribute", version)?;
        let target = TARGETS.iter().find(|(number, _)| *number == version).map(|(_, name)| (*name).to_owned());
        Ok(target.unwrap_or_else(|| format!("PTX, compiled for sm_{version} by the driver")))
    }
}

/// `13.0` of 13000.
fn driver_version() -> Result<String> {
    let mut version = 0;
    // SAFETY: writes one integer; the library is loaded.
    driver("read the driver's version", unsafe { sys::cuDriverGetVersion(&mut version) }.result())?;
    Ok(format!("{}.{}", version / 1000, version % 1000 / 10))
}

/// As Linux tells it.
fn kernel_driver() -> Option<String> {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    let numbered = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    text.lines().next()?.split_whitespace().find(numbered).map(str::to_owned)
}
