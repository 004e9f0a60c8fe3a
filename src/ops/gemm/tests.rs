//! Products on the emulated device against sums in f64.

use half::bf16;

use super::plan::{Engine, Plan};
use super::{Form, Layout, Product, View};
use crate::device::{DType, Device};
use crate::tensor::Tensor;

/// Values that bf16 holds exactly, different everywhere.
fn values(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bf16::from_f64((state >> 11) as f64 / (1u64 << 52) as f64 - 1.0).to_f64()
    };
    (0..n).map(|_| next()).collect()
}

fn upload(device: &Device, values: &[f64], dtype: DType) -> Tensor {
    Tensor::from_f64(&[values.len()], values, DType::F64).to_device(device, dtype).unwrap()
}

fn at(layout: Layout, item: usize, row: usize) -> usize {
    layout.offset + item * layout.batch + row / layout.group * layout.jump + row % layout.group * layout.stride
}

#[derive(Clone, Copy)]
struct Trial {
    form: Form,
    m: usize,
    n: usize,
    k: usize,
    batch: usize,
    /// Extra elements between rows; negative: rows overlap.
    gap: isize,
    /// Rows of a group; 0: one group.
    group: usize,
    plan: Option<Plan>,
    dtype: DType,
    seed: u64,
}

const TRIAL: Trial =
    Trial { form: Form::XWt, m: 5, n: 3, k: 7, batch: 1, gap: 0, group: 0, plan: None, dtype: DType::BF16, seed: 0 };

fn layout(t: &Trial, rows: usize, cols: usize) -> (Layout, usize) {
    let stride = cols.checked_add_signed(t.gap).unwrap();
    let group = if t.group == 0 { rows } else { t.group };
    let jump = group * stride + 16;
    let batch = (rows.div_ceil(group) + 1) * jump;
    let layout = Layout { offset: 8, stride, group, jump, batch };
    (layout, 8 + t.batch * batch + cols)
}

/// Runs `t` with everything an epilogue can do (`extras`) or bare, into an f32 or a like-typed result that has gaps.
fn largest_error(device: &Device, t: Trial, extras: bool, out_dtype: DType) -> f64 {
    let Trial { m, n, k, batch, .. } = t;
    let (a_rows, a_cols) = if t.form == Form::DytX { (k, m) } else { (m, k) };
    let (b_rows, b_cols) = if t.form == Form::XWt { (n, k) } else { (k, n) };
    let ((la, a_len), (lb, b_len)) = (layout(&t, a_rows, a_cols), layout(&t, b_rows, b_cols));
    let (lc, c_len) = layout(&Trial { gap: 8, ..t }, m, n);
    let (a, b) = (values(a_len, t.seed + 1), values(b_len, t.seed + 2));
    let (bias, slope, addend) = (values(n, t.seed + 3), values(c_len, t.seed + 4), values(c_len, t.seed + 5));

    let (at_device, b_device) = (upload(device, &a, t.dtype), upload(device, &b, t.dtype));
    let bias_device = upload(device, &bias, DType::F32);
    let mut out = upload(device, &addend, out_dtype);
    let addend_device = upload(device, &addend, out_dtype);
    let mut pre = upload(device, &addend, out_dtype);
    let slope_device = upload(device, &slope, out_dtype);
    let views = (View::with(&at_device, a_rows, a_cols, la), View::with(&b_device, b_rows, b_cols, lb));
    let mut product = Product::new(t.form, views.0, views.1).batch(batch);
    product.plan = t.plan;
    if extras {
        product = product.bias(&bias_device).gelu(Some(&mut pre)).times_gelu_slope(&slope_device);
        // In place or out of place, the same sum.
        match t.seed % 2 {
            0 => product.accumulate_into(&mut out, lc).unwrap(),
            _ => product.plus(&addend_device).run_into(&mut out, lc).unwrap(),
        }
    } else {
        product.run_into(&mut out, lc).unwrap();
    }

    let (mut expected, mut expected_pre) = (addend.clone(), addend.clone());
    let (mut scale, erf) = (1.0f64, |x: f64| x * 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2));
    for item in 0..batch {
        for i in 0..m {
            for (j, bias) in bias.iter().enumerate() {
                let left = |p: usize| if t.form == Form::DytX { at(la, item, p) + i } else { at(la, item, i) + p };
                let right = |p: usize| if t.form == Form::XWt { at(lb, item, j) + p } else { at(lb, item, p) + j };
                let mut v: f64 = (0..k).map(|p| a[left(p)] * b[right(p)]).sum();
                let to = at(lc, item, i) + j;
                if extras {
                    v += bias;
                    expected_pre[to] = v;
                    let s = slope[to];
                    let pdf = (-0.5 * s * s).exp() * 0.398_942_280_401_432_7;
                    v = erf(v) * (0.5 * libm::erfc(-s * std::f64::consts::FRAC_1_SQRT_2) + s * pdf) + addend[to];
                }
                expected[to] = v;
                scale = scale.max(v.abs());
            }
        }
    }
    // What lies between the rows must not change.
    let error = |got: Vec<f64>, expected: &[f64]| {
        let far = |d: f64| if d.is_nan() { f64::INFINITY } else { d };
        got.iter().zip(expected).fold(0.0f64, |worst, (x, y)| worst.max(far((x - y).abs()))) / scale
    };
    let worst = error(out.to_f64(), &expected);
    if extras { worst.max(error(pre.to_f64(), &expected_pre)) } else { worst }
}

fn check(t: Trial) {
    check_on(&Device::emulated(t.seed).unwrap(), t);
}

fn check_on(device: &Device, t: Trial) {
    for (extras, out_dtype) in [(false, t.dtype), (false, DType::F32), (true, t.dtype), (true, DType::F32)] {
        // The library has no epilogue.
        if extras && matches!(t.plan, Some(Plan { engine: Engine::Library { .. }, .. })) {
            continue;
        }
        let error = largest_error(device, t, extras, out_dtype);
        let tolerance = if out_dtype == DType::F32 { 2e-5 } else { 5e-3 };
        let Trial { form, m, n, k, batch, gap, group, plan, dtype, seed } = t;
        let what = format!(
            "{form:?} {m}x{n}x{k} batch {batch} gap {gap} group {group} {plan:?} {dtype:?} to {out_dtype:?} seed {seed}"
        );
        assert!(error < tolerance, "{what} extras {extras}: error {error:.2e}");
    }
}

const FORMS: [Form; 3] = [Form::XWt, Form::DyW, Form::DytX];

fn tensor(tile: usize, splits: usize) -> Option<Plan> {
    Some(Plan { engine: Engine::Tensor { tile }, splits })
}

#[test]
fn emulated_products_of_odd_sizes() {
    for (i, form) in FORMS.into_iter().enumerate() {
        for dtype in [DType::F32, DType::BF16] {
            for (m, n, k) in [(1, 1, 1), (33, 13, 17), (70, 66, 5)] {
                check(Trial { form, m, n, k, dtype, seed: i as u64, ..TRIAL });
            }
        }
    }
}

/// Sides that are contiguous have multiples of eight, the others are odd.
#[test]
fn emulated_tensor_core_products() {
    for (i, form) in FORMS.into_iter().enumerate() {
        let seed = 10 + i as u64;
        let (m, n, k) = match form {
            Form::XWt => (75, 67, 88),
            Form::DyW => (67, 72, 104),
            Form::DytX => (72, 80, 75),
        };
        check(Trial { form, m, n, k, gap: 16, plan: tensor(64, 1), seed, ..TRIAL });
        check(Trial { form, m, n, k, batch: 2, plan: tensor(64, 2), seed, ..TRIAL });
        check(Trial { form, m: m + 64, n: n + 64, k, plan: tensor(128, 1), seed, ..TRIAL });
    }
}

/// Tiles that end within a stage and within a tile, stages that go round the ring, splits of which some are empty.
#[test]
fn emulated_hopper_products() {
    let hopper = |splits| Some(Plan { engine: Engine::Hopper, splits });
    for (i, form) in FORMS.into_iter().enumerate() {
        let seed = 40 + i as u64;
        let (m, n, k) = match form {
            Form::XWt => (75, 133, 328),
            Form::DyW => (133, 72, 264),
            Form::DytX => (136, 80, 267),
        };
        check(Trial { form, m, n, k, gap: 16, plan: hopper(1), seed, ..TRIAL });
        check(Trial { form, m: 8, n: 16, k: 72, batch: 2, plan: hopper(3), seed, ..TRIAL });
    }
}

#[test]
fn emulated_products_of_overlapping_rows_in_groups() {
    for (i, form) in FORMS.into_iter().enumerate() {
        for group in [3, 19] {
            let t = Trial { form, m: 48, n: 40, k: 64, gap: -16, group, batch: 2, seed: 20 + i as u64, ..TRIAL };
            check(Trial { plan: tensor(64, 1), ..t });
            check(Trial { plan: tensor(64, 3), ..t });
            check(Trial { dtype: DType::F32, ..t });
        }
    }
}

#[test]
fn emulated_products_split_by_themselves() {
    let t = Trial { form: Form::DytX, m: 16, n: 24, k: 1100, seed: 30, ..TRIAL };
    check(t);
    check(Trial { dtype: DType::F32, ..t });
}

/// Every engine that the GPU has, in sizes that are a pleasure and in odd ones.
#[test]
fn cuda_products_of_every_engine() {
    let gpu = match Device::cuda() {
        Err(e) => return println!("SKIPPED (visible): {e}"),
        Ok(gpu) => gpu,
    };
    let mut engines = vec![Engine::Tensor { tile: 64 }, Engine::Tensor { tile: 128 }, Engine::Plain];
    engines.extend(gpu.is_hopper().then_some(Engine::Hopper));
    match super::library::version(&gpu) {
        0 => println!("SKIPPED (visible): no cuBLASLt"),
        _ => engines.push(Engine::Library { algorithm: 0 }),
    }
    for engine in engines {
        let splits = if matches!(engine, Engine::Library { .. }) { 1..2 } else { 1..4 };
        for (plan, form) in splits.flat_map(|splits| FORMS.map(|form| (Some(Plan { engine, splits }), form))) {
            for (m, n, k) in [(256, 384, 512), (264, 136, 328)] {
                check_on(&gpu, Trial { form, m, n, k, gap: 16, batch: 2, plan, seed: 50, ..TRIAL });
            }
        }
    }
}

#[test]
fn bad_products_are_refused() {
    let device = Device::emulated(0).unwrap();
    let x = upload(&device, &[0.0; 64], DType::BF16);
    let view = |rows, cols| View::with(&x, rows, cols, Layout::dense(rows, cols));
    assert!(super::x_wt(view(4, 8), view(4, 4)).run(DType::BF16).is_err());
    assert!(super::x_wt(view(9, 8), view(4, 8)).run(DType::BF16).is_err());
    assert!(super::x_wt(view(4, 8), view(4, 8)).batch(3).run(DType::BF16).is_err());
    assert!(super::x_wt(view(4, 8), view(4, 8)).bias(&x).run(DType::BF16).is_err());
    assert!(super::x_wt(view(4, 8), view(4, 8)).batch(2).run(DType::F32).is_ok());
}
