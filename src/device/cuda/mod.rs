//! An NVIDIA GPU through its driver, loaded at run time: the same binary runs where there is none.

mod graph;
mod memory;
mod staging;
mod streams;

use std::ffi::c_void;
use std::sync::atomic::AtomicU8;
use std::sync::{Mutex, OnceLock};

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;

use super::heap::Heap;
use super::kernels;
use super::launch::Entry;
use crate::error::{Error, Result};
pub(super) use graph::Graph;
pub(super) use staging::{Arrival, Pinned, Slot};
use streams::Streams;

/// Shared memory that a kernel may use without being asked for more.
const DEFAULT_SHARED: u32 = 48 * 1024;
/// The kernels are built for this compute capability and later ones.
const CAPABILITY: (i32, i32) = (8, 0);

/// A GPU: its context, its streams, its memory and the kernels loaded so far.
pub struct Cuda {
    device: sys::CUdevice,
    context: sys::CUcontext,
    streams: Streams,
    /// The current [`super::Lane`], for whoever does not hold the heap.
    lane: AtomicU8,
    heap: Mutex<Heap>,
    modules: Vec<OnceLock<Handle<sys::CUmodule>>>,
    functions: Vec<OnceLock<Handle<sys::CUfunction>>>,
    loading: Mutex<()>,
}

/// A driver handle; the driver's functions may be called from any thread.
#[derive(Clone, Copy)]
struct Handle<H>(H);

// SAFETY: the driver's handles are tokens that it checks itself; its functions are thread-safe.
unsafe impl<H> Send for Handle<H> {}
// SAFETY: as above.
unsafe impl<H> Sync for Handle<H> {}
// SAFETY: as above.
unsafe impl Send for Cuda {}
// SAFETY: as above; the caches lock.
unsafe impl Sync for Cuda {}

fn failed(reason: impl Into<String>) -> Error {
    Error::Device { device: "cuda".into(), reason: reason.into() }
}

/// Attaches what was being done to a driver error.
fn driver<X>(action: &str, result: std::result::Result<X, DriverError>) -> Result<X> {
    result.map_err(|e| {
        let text = e.error_string().map_or_else(|_| format!("{:?}", e.0), |s| s.to_string_lossy().into_owned());
        failed(format!("cannot {action}: {text}"))
    })
}

impl Cuda {
    /// GPU number `ordinal`, or what is missing.
    pub fn open(ordinal: i32) -> Result<Self> {
        if kernels::MODULES.iter().any(|m| m.fatbin.is_none()) {
            return Err(failed("built without CUDA kernels: run tools/cuda-toolchain and build again"));
        }
        // SAFETY: only looks for the library.
        if !unsafe { sys::is_culib_present() } {
            return Err(failed("no NVIDIA driver found (libcuda.so.1)"));
        }
        driver("start the driver", result::init())?;
        let count = driver("count the GPUs", result::device::get_count())?;
        if ordinal >= count {
            return Err(failed(format!("GPU {ordinal} of {count}")));
        }
        let device = driver("open the GPU", result::device::get(ordinal))?;
        // SAFETY: the device was just opened; the primary context is kept until drop.
        let context = driver("open a context", unsafe { result::primary_ctx::retain(device) })?;
        // SAFETY: the context is live.
        driver("enter the context", unsafe { result::ctx::set_current(context) })?;
        let functions = std::iter::repeat_with(OnceLock::new).take(kernels::ENTRIES).collect();
        let modules = std::iter::repeat_with(OnceLock::new).take(kernels::MODULES.len()).collect();
        let (streams, lane, heap) = (Streams::new()?, AtomicU8::new(0), Mutex::default());
        let gpu = Cuda { device, context, streams, lane, heap, modules, functions, loading: Mutex::new(()) };
        gpu.check()?;
        Ok(gpu)
    }

    /// Whether the GPU and its driver can run the kernels: better said now than in the middle of a step.
    fn check(&self) -> Result<()> {
        let ((major, minor), (least, least_minor)) = (self.capability()?, CAPABILITY);
        if (major, minor) < CAPABILITY {
            let name = self.name()?;
            let text = format!("{name} has compute capability {major}.{minor}, the kernels need {least}.{least_minor}");
            return Err(failed(text));
        }
        self.module(0).map(drop).map_err(|error| match (error, driver_version()) {
            (Error::Device { reason, .. }, Some((major, minor))) => failed(format!(
                "{reason}; the driver supports CUDA up to {major}.{minor}: a newer driver may be needed"
            )),
            (error, _) => error,
        })
    }

    /// Makes the context current on this thread.
    fn enter(&self) -> Result<()> {
        // SAFETY: the context is retained for the life of `self`.
        driver("enter the context", unsafe { result::ctx::set_current(self.context) })
    }

    /// Product name.
    pub fn name(&self) -> Result<String> {
        driver("read the GPU's name", result::device::get_name(self.device))
    }

    fn attribute(&self, attribute: sys::CUdevice_attribute) -> Result<i32> {
        // SAFETY: the device is valid.
        driver("read an attribute of the GPU", unsafe { result::device::get_attribute(self.device, attribute) })
    }

    /// Compute capability, as (9, 0).
    pub fn capability(&self) -> Result<(i32, i32)> {
        use sys::CUdevice_attribute_enum::*;
        Ok((
            self.attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            self.attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ))
    }

    /// Free and total bytes of memory.
    pub fn memory(&self) -> Result<(usize, usize)> {
        self.enter()?;
        driver("read the GPU's memory", result::mem_get_info())
    }

    pub(super) fn launch(
        &self,
        entry: &'static Entry,
        blocks: [u32; 3],
        shared: u32,
        arguments: &mut [*mut c_void],
    ) -> Result<()> {
        self.enter()?;
        let function = self.function(entry)?;
        // SAFETY: the arguments match the kernel: both come from one signature.
        let result = unsafe {
            result::launch_kernel(
                function,
                (blocks[0], blocks[1], blocks[2]),
                (entry.threads, 1, 1),
                shared,
                self.stream(),
                arguments,
            )
        };
        driver(&format!("launch {}", entry.name()), result)
    }

    /// Loads a kernel at its first use.
    fn function(&self, entry: &'static Entry) -> Result<sys::CUfunction> {
        if let Some(handle) = self.functions[entry.number].get() {
            return Ok(handle.0);
        }
        let module = self.module(entry.module)?;
        // SAFETY: the module stays loaded.
        let function = unsafe { result::module::get_function(module, entry.symbol.to_owned()) };
        let function = driver(&format!("find {}", entry.name()), function)?;
        self.allow_shared(function)?;
        Ok(self.functions[entry.number].get_or_init(|| Handle(function)).0)
    }

    /// The kernels of one file, loaded at their first use.
    fn module(&self, number: usize) -> Result<sys::CUmodule> {
        let _one_at_a_time = self.loading.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(handle) = self.modules[number].get() {
            return Ok(handle.0);
        }
        let module = &kernels::MODULES[number];
        let fatbin = module.fatbin.ok_or_else(|| failed("built without CUDA kernels"))?;
        // SAFETY: a complete fatbin, which carries its own length.
        let handle = unsafe { result::module::load_data(fatbin.as_ptr().cast()) };
        let handle = driver(&format!("load the kernels of {}", module.name), handle)?;
        Ok(self.modules[number].get_or_init(|| Handle(handle)).0)
    }

    /// Lets a kernel have all the dynamic shared memory that its static shared memory leaves.
    fn allow_shared(&self, function: sys::CUfunction) -> Result<()> {
        use sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
        use sys::CUfunction_attribute_enum::*;
        let most = self.attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?;
        // SAFETY: the function is loaded.
        unsafe {
            let fixed = result::function::get_function_attribute(function, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES);
            let rest = most - driver("read a kernel's attribute", fixed)?;
            if rest as u32 > DEFAULT_SHARED {
                let attribute = CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
                driver("grant shared memory", result::function::set_function_attribute(function, attribute, rest))?;
            }
        }
        Ok(())
    }
}

/// Newest CUDA version that the driver supports.
fn driver_version() -> Option<(i32, i32)> {
    let mut version = 0;
    // SAFETY: writes one integer.
    let result = unsafe { sys::cuDriverGetVersion(&mut version) };
    result.result().ok().map(|()| (version / 1000, version % 1000 / 10))
}

impl Drop for Cuda {
    fn drop(&mut self) {
        if self.synchronize().is_ok() {
            self.release_memory();
            self.streams.destroy();
            // SAFETY: nothing runs any more and nothing else holds the context.
            let _ = unsafe { result::primary_ctx::release(self.device) };
        }
    }
}
