//! What a launch is made of: a grid, typed pointers into device memory, and the entry point that build.rs found for them.

use std::ffi::{CStr, c_void};
use std::marker::PhantomData;

use half::bf16;

use super::{DType, Device};
use crate::error::{Error, Result};

/// A compiled kernel file.
#[derive(Debug)]
pub struct Module {
    /// File name without `.cu`.
    pub name: &'static str,
    /// Code for every supported GPU; `None` where the crate was built without nvcc.
    pub fatbin: Option<&'static [u8]>,
}

/// One instance of a kernel: what `cuModuleGetFunction` finds by name and the emulator calls.
#[derive(Debug)]
pub struct Entry {
    pub(crate) symbol: &'static CStr,
    /// Number over all modules.
    pub(crate) number: usize,
    /// Index into [`kernels::MODULES`](super::kernels::MODULES).
    pub(crate) module: usize,
    /// Threads of a block.
    pub(crate) threads: u32,
    pub(crate) emulated: Option<unsafe extern "C" fn(*mut *mut c_void)>,
}

impl Entry {
    pub(crate) fn name(&self) -> &'static str {
        self.symbol.to_str().unwrap_or("kernel")
    }
}

/// Element types that kernels store activations in; arithmetic is always `f32`.
pub trait Storage: bytemuck::Pod + Send + Sync {
    /// Tag.
    const DTYPE: DType;
    /// Position in the instance tables.
    const STORAGE: usize;
}

impl Storage for f32 {
    const DTYPE: DType = DType::F32;
    const STORAGE: usize = 0;
}

impl Storage for bf16 {
    const DTYPE: DType = DType::BF16;
    const STORAGE: usize = 1;
}

/// Device memory that a kernel reads, `const X*`.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct In<X> {
    address: u64,
    element: PhantomData<*const X>,
}

impl<X> In<X> {
    /// A null pointer, for an optional argument.
    pub const NULL: In<X> = In { address: 0, element: PhantomData };

    pub(crate) fn at(address: u64) -> Self {
        In { address, element: PhantomData }
    }

    /// Where it is.
    pub(crate) fn address(self) -> u64 {
        self.address
    }

    /// The memory from element `offset` on.
    pub(crate) fn shifted(self, offset: usize) -> Self {
        In::at(self.address + (offset * size_of::<X>()) as u64)
    }

    /// The same memory as elements of `Y`.
    pub(crate) fn cast<Y>(self) -> In<Y> {
        In::at(self.address)
    }
}

/// Device memory that a kernel writes, `X*`.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct Out<X> {
    address: u64,
    element: PhantomData<*mut X>,
}

impl<X> Out<X> {
    /// A null pointer, for an optional result.
    pub const NULL: Out<X> = Out { address: 0, element: PhantomData };

    pub(crate) fn at(address: u64) -> Self {
        Out { address, element: PhantomData }
    }

    /// The memory from element `offset` on.
    pub(crate) fn shifted(self, offset: usize) -> Self {
        Out::at(self.address + (offset * size_of::<X>()) as u64)
    }

    /// The same memory as elements of `Y`.
    pub(crate) fn cast<Y>(self) -> Out<Y> {
        Out::at(self.address)
    }

    /// The same memory, to be read.
    pub fn input(self) -> In<X> {
        In::at(self.address)
    }
}

/// A value that is passed to a kernel: where it lies, and how large it is.
#[derive(Debug)]
pub struct Argument {
    pub(crate) value: *mut c_void,
    pub(crate) bytes: usize,
}

impl Argument {
    pub(crate) fn scalar<X: Copy>(value: &X) -> Self {
        Argument { value: std::ptr::from_ref(value).cast_mut().cast(), bytes: size_of::<X>() }
    }

    pub(crate) fn pointer<P: Copy>(pointer: &P) -> Self {
        Self::scalar(pointer)
    }
}

/// Where and how wide to run a kernel. The block's size belongs to the kernel.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    pub(crate) device: &'a Device,
    pub(crate) blocks: [u32; 3],
    pub(crate) shared: u32,
}

impl<'a> Launch<'a> {
    /// `blocks` blocks along x.
    pub fn new(device: &'a Device, blocks: usize) -> Self {
        Self::grid(device, [blocks, 1, 1])
    }

    /// Blocks along x (up to 2³¹ − 1), y and z (up to 65,535).
    pub fn grid(device: &'a Device, blocks: [usize; 3]) -> Self {
        Launch { device, blocks: blocks.map(|n| u32::try_from(n).unwrap_or(u32::MAX)), shared: 0 }
    }

    /// Bytes of dynamic shared memory for each block.
    pub fn shared(mut self, bytes: usize) -> Self {
        self.shared = u32::try_from(bytes).unwrap_or(u32::MAX);
        self
    }

    /// Runs an entry point; an empty grid runs nothing.
    pub(crate) fn run(self, entry: &'static Entry, arguments: &[Argument]) -> Result<()> {
        let [x, y, z] = self.blocks;
        if x == 0 || y == 0 || z == 0 {
            return Ok(());
        }
        if x > i32::MAX as u32 || y > 65_535 || z > 65_535 {
            return Err(Error::op("launch", "blocks", "≤ [2147483647, 65535, 65535]", format!("{:?}", self.blocks)));
        }
        match self.device {
            Device::Cpu => Err(self.device.error(format!("{} is a kernel, the CPU runs none", entry.name()))),
            Device::Emulated(emulator) => emulator.launch(entry, self.blocks, self.shared, arguments),
            Device::Cuda(gpu) => {
                let mut values: Vec<*mut c_void> = arguments.iter().map(|argument| argument.value).collect();
                gpu.launch(entry, self.blocks, self.shared, &mut values)
            }
        }
    }

    /// Position of a template parameter's value among those that were built.
    pub(crate) fn choose(&self, kernel: &str, parameter: &str, value: usize, built: &[usize]) -> Result<usize> {
        let at = built.iter().position(|&v| v == value);
        at.ok_or_else(|| {
            self.device.error(format!("kernel {kernel} is built for {parameter} in {built:?}, not {value}"))
        })
    }
}
