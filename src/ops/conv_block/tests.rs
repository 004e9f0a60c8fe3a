//! What the gradient suite's small cases do not reach: several blocks of rows, threads, wrong arguments.

use super::*;
use crate::device::DType;

/// Both layers have several blocks of rows at this size.
fn blocks(batch: usize) -> Case {
    case(batch, 7_003, 1, &[(10, 5, 0, 64, 4), (3, 2, 1, 65, 5)], false)
}

/// One layer by its definition; x [time, inputs] in, z [rows, outputs] out.
fn by_definition(x: &[f64], inputs: usize, p: &[Vec<f64>], &(k, s, pad, outputs, groups): &Sizes) -> Vec<f64> {
    let (time, width) = (x.len() / inputs, outputs / groups);
    let rows = (time + 2 * pad - k) / s + 1;
    let mut y = vec![0.0; rows * outputs];
    for (i, y) in y.iter_mut().enumerate() {
        let (t, o) = (i / outputs, i % outputs);
        let taps = (0..k).filter(|tap| (pad..pad + time).contains(&(t * s + tap)));
        let terms = taps.flat_map(|tap| (0..inputs).map(move |c| (tap, c)));
        *y = p[1][o]
            + terms.map(|(tap, c)| p[0][(o * inputs + c) * k + tap] * x[(t * s + tap - pad) * inputs + c]).sum::<f64>();
    }
    let of_group = |i: usize, g: usize| i % outputs / width == g;
    let moments: Vec<(f64, f64)> = (0..groups)
        .map(|g| {
            let members: Vec<f64> = (0..y.len()).filter(|&i| of_group(i, g)).map(|i| y[i]).collect();
            let mean = members.iter().sum::<f64>() / members.len() as f64;
            (mean, members.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / members.len() as f64)
        })
        .collect();
    let activate = |(i, y): (usize, &f64)| {
        let (o, (mean, variance)) = (i % outputs, moments[i % outputs / width]);
        let n = p[2][o] * (y - mean) / (variance + 1e-5).sqrt() + p[3][o];
        0.5 * n * libm::erfc(-n * std::f64::consts::FRAC_1_SQRT_2)
    };
    y.iter().enumerate().map(activate).collect()
}

#[test]
fn blocks_of_rows_join_as_the_definition_says() {
    let case = blocks(2);
    let values = case.values();
    let (z, _) = case.run(&values, DType::F64).unwrap();
    let expected: Vec<f64> = values[0]
        .chunks_exact(7_003)
        .flat_map(|x| {
            let first = by_definition(x, 1, &values[1..5], &(10, 5, 0, 64, 4));
            by_definition(&first, 64, &values[5..], &(3, 2, 1, 65, 5))
        })
        .collect();
    assert_eq!(z.len(), expected.len());
    let error = z.iter().zip(&expected).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
    assert!(error < 1e-11, "{error:.1e}");
}

#[test]
fn gradients_over_several_blocks_predict_the_change_of_the_output() {
    const STEP: f64 = 1e-5;
    let case = blocks(1);
    let values = case.values();
    let (_, gradients) = case.run(&values, DType::F64).unwrap();
    let direction = |i: usize| (i as f64 * 0.7).cos();
    let objective = |step: f64| {
        let moved: Vec<Vec<f64>> =
            values.iter().map(|v| v.iter().enumerate().map(|(i, x)| x + step * direction(i)).collect()).collect();
        let (z, _) = case.run(&moved, DType::F64).unwrap();
        z.iter().enumerate().map(|(i, z)| z * (i as f64 + 0.5).cos()).sum::<f64>()
    };
    let change = (objective(STEP) - objective(-STEP)) / (2.0 * STEP);
    let predicted: f64 = gradients.iter().flat_map(|g| g.iter().enumerate().map(|(i, g)| g * direction(i))).sum();
    assert!((change - predicted).abs() < 1e-6 * change.abs(), "{change} against {predicted}");
}

#[test]
fn number_of_threads_changes_no_bit() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| blocks(5).run(&blocks(5).values(), DType::F32).unwrap())
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn single_precision_follows_double_on_several_blocks() {
    let error = blocks(2).single_precision_error().unwrap();
    assert!(error < 2e-5, "{error:.1e}");
}

#[test]
fn wrong_shapes_are_errors() {
    let tensor = |shape: &[usize]| Var::constant(Tensor::zeros(shape, DType::F32));
    let (weight, vector) = (tensor(&[4, 2, 3]), tensor(&[4]));
    let run = |x: &[usize], spec: ConvSpec| {
        conv_block(&Tape::inference(), &tensor(x), &weight, &vector, &vector, &vector, &spec)
    };
    let spec = ConvSpec { kernel: 3, stride: 2, padding: 1, groups: 2, eps: 1e-5 };
    assert_eq!(run(&[0, 5, 2], spec).unwrap().shape(), [0, 3, 4]);
    for x in [&[1, 5, 3][..], &[1, 0, 2], &[5, 2]] {
        assert!(run(x, spec).is_err(), "{x:?}");
    }
    for spec in [
        ConvSpec { kernel: 2, ..spec },
        ConvSpec { stride: 0, ..spec },
        ConvSpec { groups: 3, ..spec },
        ConvSpec { padding: usize::MAX, ..spec },
    ] {
        assert!(run(&[1, 5, 2], spec).is_err(), "{spec:?}");
    }
    assert!(run(&[1, 2, 2], ConvSpec { padding: 0, ..spec }).is_err());
}
