//! What works on the whole batch, on all parameters, or on all embeddings.

use std::cell::RefCell;
use std::rc::Rc;

use descant::Result;
use descant::descriptors::device::DeviceStft;
use descant::descriptors::stft::{HOP_LENGTH, N_FFT, Padding};
use descant::device::{DType, Device};
use descant::eval::cka::Gram;
use descant::eval::pools::{Item, Pools, Protocol};
use descant::eval::retrieval::Ranking;
use descant::nn::{Builder, FlatGradients, Init};
use descant::ops::batchnorm::batchnorm_relu;
use descant::ops::vicreg::{Variant, VicregSpec, vicreg};
use descant::optim::{AdamWSpec, Optimizer};

use super::{Bench, Calls, Noise, Sizes, Work, passes};

pub fn benches(sizes: &Sizes) -> Vec<Bench> {
    let (batch, head) = (sizes.batch, &sizes.spec.head);
    let stored = |rows, d| Noise::stored(sizes, &[rows, d]);
    let moves = |elements: usize| Work { flops: 0.0, bytes: sizes.stored(elements) };
    let (hidden, out) = (batch * head.hidden, batch * head.out);
    let normed = vec![stored(batch, head.hidden), Noise::vector(head.hidden), Noise::vector(head.hidden)];
    let loss = VicregSpec { invariance: 10.0, variance: 10.0, covariance: 1.0, variant: Variant::Code };
    let mut benches = passes("batchnorm_relu", "head", [moves(2 * hidden), moves(3 * hidden)], normed, |tape, v| {
        Ok(batchnorm_relu(tape, &v[0], &v[1], &v[2])?.0)
    });
    let embedded = vec![stored(batch, head.out); 2];
    benches.extend(passes("vicreg", "loss", [moves(2 * out), moves(4 * out)], embedded, move |tape, v| {
        Ok(vicreg(tape, &v[0], &v[1], &loss)?.loss)
    }));
    benches.extend([gram(sizes), a4(sizes), adamw(sizes), retrieval(sizes)]);
    benches
}

/// The centred Gram matrix of CKA.
fn gram(sizes: &Sizes) -> Bench {
    let (n, d) = (sizes.aligned, sizes.spec.audio.d);
    let bytes = sizes.stored(n * d) + (n * n * DType::F32.bytes()) as f64;
    let work = Work { flops: 2.0 * (n * n * d) as f64, bytes };
    let features = Noise::stored(sizes, &[n, d]);
    let prepare = move |device: &Device| -> Result<Calls> {
        let features = features.tensor(device)?;
        Ok(Box::new(move || {
            let features = features.clone();
            Ok(Box::new(move || Gram::new(&features).map(drop)))
        }))
    };
    Bench { id: "gram/cka/forward".into(), work, prepare: Box::new(prepare) }
}

/// Spectra and A4 of the batch's recordings.
fn a4(sizes: &Sizes) -> Bench {
    let (audio, dtype) = (Noise::of(&[sizes.batch, sizes.samples], DType::F32), sizes.dtype);
    let frames = sizes.batch * (1 + sizes.samples / HOP_LENGTH);
    // A real transform by its fast algorithm: 2.5·n·log₂ n.
    let flops = frames as f64 * 2.5 * N_FFT as f64 * (N_FFT as f64).log2();
    let bytes = (sizes.batch * sizes.samples * DType::F32.bytes()) as f64 + sizes.stored(frames * 8);
    let prepare = move |device: &Device| -> Result<Calls> {
        let shared = Rc::new((audio.tensor(device)?, DeviceStft::new(device, Padding::Reflect)?));
        Ok(Box::new(move || {
            let shared = shared.clone();
            Ok(Box::new(move || shared.1.a4(&shared.0, dtype).map(drop)))
        }))
    };
    Bench { id: "stft_a4/audio/forward".into(), work: Work { flops, bytes }, prepare: Box::new(prepare) }
}

/// One update of all parameters: reads gradient, value and both moments, writes the last three and the bf16 copy.
fn adamw(sizes: &Sizes) -> Bench {
    let (n, dtype) = (sizes.parameters, sizes.dtype);
    let copy = if dtype == DType::BF16 { DType::BF16.bytes() } else { 0 };
    let bytes = (n * (7 * DType::F32.bytes() + copy)) as f64;
    let prepare = move |device: &Device| -> Result<Calls> {
        let mut builder = Builder::default();
        builder.parameter("all", &[n], Init::Constant(0.5));
        let parameters = builder.initialise(1, DType::F32).to_device(device, dtype)?;
        let spec = AdamWSpec { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };
        let adam = Optimizer::new(spec, &parameters)?;
        let (values, norm) = (Noise::vector(parameters.flat_len()).tensor(device)?, Noise::vector(1).tensor(device)?);
        let shared = Rc::new((FlatGradients::Device { values, norm }, RefCell::new((parameters, adam))));
        Ok(Box::new(move || {
            let shared = shared.clone();
            Ok(Box::new(move || {
                let (parameters, adam) = &mut *shared.1.borrow_mut();
                adam.update(parameters, &shared.0, 1e-4, 1.0)
            }))
        }))
    };
    Bench { id: "adamw/parameters/update".into(), work: Work { flops: 0.0, bytes }, prepare: Box::new(prepare) }
}

/// Ranks of the canonical evaluation, with what is read back.
fn retrieval(sizes: &Sizes) -> Bench {
    let (n, dim) = (sizes.embedded, sizes.spec.head.out);
    let item = |i: usize| Item { piece: i as u32 / 20, composer: i as u32 / 200, performance: i as u32 / 10 };
    let items: Vec<Item> = (0..n).map(item).collect();
    let protocol = Protocol::structured(n / 8, 256.min(n / 2), 42);
    let asked = 2 * protocol.queries * (protocol.pool + 1);
    let work = Work { flops: 2.0 * (asked * dim) as f64, bytes: sizes.stored(asked * dim) };
    let embedded = Noise::stored(sizes, &[n, dim]);
    let prepare = move |device: &Device| -> Result<Calls> {
        let pools = Pools::draw(&items, &protocol)?;
        let shared = Rc::new((embedded.tensor(device)?, embedded.tensor(device)?, pools));
        Ok(Box::new(move || {
            let shared = shared.clone();
            Ok(Box::new(move || Ranking::on_device(&shared.0, &shared.1, &shared.2).map(drop)))
        }))
    };
    Bench { id: "retrieval/canonical/forward".into(), work, prepare: Box::new(prepare) }
}
