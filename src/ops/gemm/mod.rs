//! Matrix products on a device, over rows at any stride, with what follows the sum done before it is stored.
//!
//! | form | operands | result [m, n] | used for |
//! |---|---|---|---|
//! | [`x_wt`] | x [m, k], W [n, k] | x·Wᵀ | forward |
//! | [`dy_w`] | dy [m, k], W [k, n] | dy·W | gradient of the input |
//! | [`dyt_x`] | dy [k, m], x [k, n] | dyᵀ·x | gradient of the weight |
//!
//! Rows may overlap and come in groups ([`Layout`]): with the windows of a sequence as rows, these three are a convolution and its
//! gradients. Sums are f32 and formed in the same order every time.

mod layout;
mod library;
mod plan;
#[cfg(test)]
mod tests;

use half::bf16;

pub use layout::{Layout, View};
pub(super) use plan::shared_bytes;
use plan::{Engine, Plan};

use crate::device::{DType, Device, In, Launch, Out, Storage, kernels};
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use crate::with_storage;

/// Rows of the result that `finish` handles in a block, in units of eight columns.
const FINISH_BLOCK: usize = 256;

/// Which sides are contiguous along k; numbers are those of `kernels/gemm.cu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    /// x·Wᵀ: both.
    XWt = 0,
    /// dy·W: the left one.
    DyW = 1,
    /// dyᵀ·x: neither.
    DytX = 2,
}

/// x [m, k] · W[n, k]ᵀ.
pub fn x_wt<'a>(x: View<'a>, w: View<'a>) -> Product<'a> {
    Product::new(Form::XWt, x, w)
}

/// dy [m, k] · W [k, n].
pub fn dy_w<'a>(dy: View<'a>, w: View<'a>) -> Product<'a> {
    Product::new(Form::DyW, dy, w)
}

/// dy[k, m]ᵀ · x [k, n].
pub fn dyt_x<'a>(dy: View<'a>, x: View<'a>) -> Product<'a> {
    Product::new(Form::DytX, dy, x)
}

/// A product to be computed: operands, batch, and what follows the sum, in this order:
/// v = Σ + bias; v = GELU(v), keeping v from before; v = v·GELU′(slope); v = v + addend.
#[must_use]
pub struct Product<'a> {
    form: Form,
    a: View<'a>,
    b: View<'a>,
    batch: usize,
    bias: Option<&'a Tensor>,
    gelu: bool,
    pre: Option<&'a mut Tensor>,
    slope: Option<&'a Tensor>,
    addend: Option<&'a Tensor>,
    accumulate: bool,
    plan: Option<Plan>,
}

/// Sizes of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Size {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub batch: usize,
}

impl<'a> Product<'a> {
    fn new(form: Form, a: View<'a>, b: View<'a>) -> Self {
        Product {
            form,
            a,
            b,
            batch: 1,
            bias: None,
            gelu: false,
            pre: None,
            slope: None,
            addend: None,
            accumulate: false,
            plan: None,
        }
    }

    /// As many products, each operand and the result moving on by its layout's `batch`.
    pub fn batch(mut self, items: usize) -> Self {
        self.batch = items;
        self
    }

    /// Adds `bias [n]`, f32, to every row.
    pub fn bias(mut self, bias: &'a Tensor) -> Self {
        self.bias = Some(bias);
        self
    }

    /// GELU of the sum; what it was before goes to `pre`, laid out like the result, where that is given.
    pub fn gelu(mut self, pre: Option<&'a mut Tensor>) -> Self {
        (self.gelu, self.pre) = (true, pre);
        self
    }

    /// Times GELU′ of what [`Product::gelu`] kept: the product is then the gradient of the pre-activation.
    pub fn times_gelu_slope(mut self, pre: &'a Tensor) -> Self {
        self.slope = Some(pre);
        self
    }

    /// Adds a tensor laid out like the result: a residual connection.
    pub fn plus(mut self, addend: &'a Tensor) -> Self {
        self.addend = Some(addend);
        self
    }

    /// The result as a tensor of `dtype` (the operands' or f32) with shape [m, n], [batch, m, n] with a batch.
    pub fn run(self, dtype: DType) -> Result<Tensor> {
        let Size { m, n, batch, .. } = self.size();
        let shape = [batch, m, n];
        let mut out = Tensor::uninit_on(self.a.tensor.device(), &shape[usize::from(batch == 1)..], dtype)?;
        self.run_into(&mut out, Layout::dense(m, n))?;
        Ok(out)
    }

    /// Overwrites the part of `out` that `layout` covers.
    pub fn run_into(self, out: &mut Tensor, layout: Layout) -> Result<()> {
        let size = self.size();
        self.check(out, layout)?;
        if size.m * size.n * size.batch == 0 {
            return Ok(());
        }
        with_storage!(self.a.tensor.dtype(), T => with_storage!(out.dtype(), O => self.launch::<T, O>(out, layout)))
    }

    /// Adds to the part of `out` that `layout` covers.
    pub fn accumulate_into(mut self, out: &mut Tensor, layout: Layout) -> Result<()> {
        self.accumulate = true;
        self.run_into(out, layout)
    }

    /// Whether at most an addition follows the sum.
    fn only_adds(&self) -> bool {
        self.bias.is_none() && !self.gelu && self.slope.is_none()
    }

    /// Whether Hopper's copy engine finds both operands.
    fn is_mappable(&self) -> bool {
        self.a.is_mappable(self.batch) && self.b.is_mappable(self.batch)
    }

    /// The sums alone, by `plan`.
    fn bare(&self, plan: Plan) -> Product<'a> {
        Product { batch: self.batch, plan: Some(plan), ..Product::new(self.form, self.a, self.b) }
    }

    fn size(&self) -> Size {
        let (m, k) = if self.form == Form::DytX { self.a.transposed() } else { self.a.size() };
        let n = if self.form == Form::XWt { self.b.rows } else { self.b.cols };
        Size { m, n, k, batch: self.batch }
    }

    fn check(&self, out: &Tensor, layout: Layout) -> Result<()> {
        let Size { m, n, k, batch } = self.size();
        let inner = if self.form == Form::XWt { self.b.cols } else { self.b.rows };
        if inner != k {
            return Err(Error::op("gemm", "b", format!("k = {k}"), inner.to_string()));
        }
        let dtype = self.a.tensor.dtype();
        if self.b.tensor.dtype() != dtype || (out.dtype() != dtype && out.dtype() != DType::F32) {
            let got = format!("{:?} and {:?}", self.b.tensor.dtype(), out.dtype());
            return Err(Error::op("gemm", "b and result", format!("{dtype:?}, the result may be f32"), got));
        }
        self.a.check("a", batch)?;
        self.b.check("b", batch)?;
        layout.check("result", out.len(), m, n, batch)?;
        if let Some(bias) = self.bias.filter(|b| b.len() != n) {
            return Err(Error::op("gemm", "bias", format!("[{n}]"), format!("{:?}", bias.shape())));
        }
        let beside = [self.pre.as_deref(), self.slope, self.addend].into_iter().flatten();
        match beside.into_iter().find(|t| t.len() != out.len() || t.dtype() != out.dtype()) {
            Some(t) => {
                let expected = format!("{:?} {:?} like the result", out.shape(), out.dtype());
                Err(Error::op("gemm", "epilogue", expected, format!("{t:?}")))
            }
            None => Ok(()),
        }
    }

    /// `T`: storage of the operands; `O`: of the result.
    fn launch<T: Storage, O: Storage>(mut self, out: &mut Tensor, layout: Layout) -> Result<()> {
        let size = self.size();
        let plan = match self.plan {
            Some(plan) => plan,
            None => plan::choose(&self, O::DTYPE)?,
        };
        let device = self.a.tensor.device().clone();
        let to = out.output::<O>().shifted(layout.offset);
        let bare = self.only_adds() && self.addend.is_none();
        let at = layout.offset;
        let epilogue = Epilogue::<O> {
            out: to,
            bias: self.bias.map_or(In::NULL, |b| b.input()),
            addend: if self.accumulate {
                to.input()
            } else {
                self.addend.map_or(In::NULL, |t| t.input::<O>().shifted(at))
            },
            pre: self.pre.as_deref_mut().map_or(Out::NULL, |t| t.output::<O>().shifted(at)),
            slope: self.slope.map_or(In::NULL, |t| t.input::<O>().shifted(at)),
            gelu: i32::from(self.gelu),
            layout,
        };
        if self.accumulate && self.addend.is_some() {
            return Err(Error::op("gemm", "addend", "none where the result accumulates", "one"));
        }
        if let Engine::Library { algorithm } = plan.engine {
            let signature = library::signature(self.form, size, self.a, self.b, layout, O::DTYPE);
            let Some(signature) = signature.filter(|_| self.only_adds()) else {
                return Err(Error::op("gemm", "engine", "a product that cuBLASLt takes", format!("{size:?}")));
            };
            let (a, b) = (self.a.input::<T>().address(), self.b.input::<T>().address());
            let addresses = [a, b, epilogue.addend.address(), to.input().address()];
            return library::run(&device, &signature, algorithm, addresses);
        }
        if plan.splits == 1 && T::DTYPE == O::DTYPE {
            return self.sums::<T>(plan, Out::NULL, epilogue.cast());
        }
        let dense = layout.is_dense(size.m, size.n, size.batch);
        if plan.splits == 1 && O::DTYPE == DType::F32 && bare && !self.accumulate && dense {
            return self.sums::<T>(plan, to.cast(), Epilogue::none());
        }
        let mut partial = Tensor::uninit_on(&device, &[size.batch * plan.splits, size.m, size.n], DType::F32)?;
        self.sums::<T>(plan, partial.output(), Epilogue::none())?;
        finish(&device, size, &partial, plan.splits, epilogue)
    }

    /// The sums themselves: bare to `partial` [batch, splits, m, n] where that is given, otherwise through the epilogue.
    fn sums<T: Storage>(&self, plan: Plan, partial: Out<f32>, e: Epilogue<T>) -> Result<()> {
        let Size { m, n, k, batch } = self.size();
        let tiles = m.div_ceil(plan.engine.tile()) * n.div_ceil(plan.engine.tile());
        let grid = Launch::grid(self.a.tensor.device(), [tiles, 1, batch * plan.splits]);
        let (la, lb, l) = (self.a.layout, self.b.layout, e.layout);
        let (m, n, k, splits) = (m as i32, n as i32, k as i32, plan.splits as i32);
        match plan.engine {
            Engine::Tensor { tile } => {
                let e = e.cast::<bf16>();
                kernels::gemm::tensor(
                    grid.shared(shared_bytes(tile)),
                    self.form as usize,
                    tile,
                    self.a.input(),
                    self.b.input(),
                    e.out,
                    partial,
                    e.bias,
                    e.addend,
                    e.pre,
                    e.slope,
                    e.gelu,
                    m,
                    n,
                    k,
                    la.stride as i32,
                    la.group as i32,
                    la.jump as i32,
                    lb.stride as i32,
                    lb.group as i32,
                    lb.jump as i32,
                    l.stride as i32,
                    l.group as i32,
                    l.jump as i32,
                    la.batch,
                    lb.batch,
                    l.batch,
                    splits,
                )
            }
            Engine::Library { .. } => unreachable!("the library stores its sums itself: Product::launch"),
            Engine::Hopper => {
                let e = e.cast::<bf16>();
                // Tiles of 128 rows of m or n where those are rows, of a stage's k where k is.
                let rows = |along_k: bool| if along_k { plan.engine.tile() } else { plan::HOPPER_DEPTH };
                kernels::gemm_sm90a::tensor(
                    grid.shared(plan::HOPPER_SHARED),
                    self.form as usize,
                    self.a.map(batch, rows(self.form != Form::DytX))?,
                    self.b.map(batch, rows(self.form == Form::XWt))?,
                    e.out,
                    partial,
                    e.bias,
                    e.addend,
                    e.pre,
                    e.slope,
                    e.gelu,
                    m,
                    n,
                    k,
                    l.stride as i32,
                    l.group as i32,
                    l.jump as i32,
                    l.batch,
                    splits,
                )
            }
            Engine::Plain => kernels::gemm::plain::<T>(
                grid,
                self.a.input(),
                self.b.input(),
                e.out,
                partial,
                e.bias,
                e.addend,
                e.pre,
                e.slope,
                e.gelu,
                m,
                n,
                k,
                la.stride as i32,
                la.group as i32,
                la.jump as i32,
                lb.stride as i32,
                lb.group as i32,
                lb.jump as i32,
                l.stride as i32,
                l.group as i32,
                l.jump as i32,
                la.batch,
                lb.batch,
                l.batch,
                splits,
                i32::from(self.form != Form::DytX),
                i32::from(self.form == Form::XWt),
            ),
        }
    }
}

/// The epilogue of sums in `partial` [batch, splits, m, n].
fn finish<O: Storage>(device: &Device, size: Size, partial: &Tensor, splits: usize, e: Epilogue<O>) -> Result<()> {
    let Size { m, n, batch, .. } = size;
    let blocks = (m * n.div_ceil(8)).div_ceil(FINISH_BLOCK);
    let l = e.layout;
    kernels::gemm::finish::<O>(
        Launch::grid(device, [blocks, 1, batch]),
        partial.input(),
        e.out,
        e.bias,
        e.addend,
        e.pre,
        e.slope,
        e.gelu,
        m as i32,
        n as i32,
        l.stride as i32,
        l.group as i32,
        l.jump as i32,
        l.batch,
        splits as i32,
    )
}

/// The pointers of `Epilogue` in `kernels/gemm_epilogue.cuh`.
#[derive(Clone, Copy)]
struct Epilogue<T> {
    out: Out<T>,
    bias: In<f32>,
    addend: In<T>,
    pre: Out<T>,
    slope: In<T>,
    gelu: i32,
    layout: Layout,
}

impl<T> Epilogue<T> {
    fn none() -> Self {
        let layout = Layout::dense(0, 0);
        Epilogue { out: Out::NULL, bias: In::NULL, addend: In::NULL, pre: Out::NULL, slope: In::NULL, gelu: 0, layout }
    }

    /// The same pointers for another name of the same storage type.
    fn cast<U>(self) -> Epilogue<U> {
        let Epilogue { out, bias, addend, pre, slope, gelu, layout } = self;
        Epilogue { out: out.cast(), bias, addend: addend.cast(), pre: pre.cast(), slope: slope.cast(), gelu, layout }
    }
}
