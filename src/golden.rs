//! Reads the golden vectors of `tests/golden` (see its README) for unit tests.

use safetensors::{Dtype, SafeTensors};

/// One golden file, held in memory.
pub(crate) struct Golden {
    bytes: Vec<u8>,
}

impl Golden {
    /// Opens `tests/golden/{name}.safetensors`.
    pub(crate) fn open(name: &str) -> Self {
        let path = format!("{}/tests/golden/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        Golden { bytes }
    }

    /// Every key of the file, sorted.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.tensors().names().into_iter().map(str::to_owned).collect();
        keys.sort();
        keys
    }

    /// Shape of `key`.
    pub(crate) fn shape(&self, key: &str) -> Vec<usize> {
        self.tensors().tensor(key).unwrap_or_else(|e| panic!("{key}: {e}")).shape().to_vec()
    }

    /// Values of `key`, whatever its stored type, as f64 (exact for every type but 64-bit integers beyond 2^53).
    pub(crate) fn f64(&self, key: &str) -> Vec<f64> {
        let tensors = self.tensors();
        let view = tensors.tensor(key).unwrap_or_else(|e| panic!("{key}: {e}"));
        let data = view.data();
        match view.dtype() {
            Dtype::F64 => decode(data, f64::from_le_bytes),
            Dtype::F32 => decode(data, |b| f32::from_le_bytes(b).into()),
            Dtype::I64 => decode(data, |b| i64::from_le_bytes(b) as f64),
            Dtype::I32 => decode(data, |b| i32::from_le_bytes(b).into()),
            Dtype::I16 => decode(data, |b| i16::from_le_bytes(b).into()),
            Dtype::I8 => decode(data, |b| i8::from_le_bytes(b).into()),
            Dtype::BOOL => decode(data, |[b]| b.into()),
            other => panic!("{key}: no reader for {other:?}"),
        }
    }

    /// Values of `key` as f32.
    pub(crate) fn f32(&self, key: &str) -> Vec<f32> {
        self.f64(key).into_iter().map(|x| x as f32).collect()
    }

    /// Values of `key` as indices.
    pub(crate) fn usize(&self, key: &str) -> Vec<usize> {
        self.f64(key).into_iter().map(|x| x as usize).collect()
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).expect("golden files are valid safetensors")
    }
}

fn decode<const N: usize>(data: &[u8], one: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    data.as_chunks::<N>().0.iter().map(|chunk| one(*chunk)).collect()
}

/// Largest |got - expected|; panics where lengths differ or a value is not finite.
pub(crate) fn max_abs_diff(got: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    got.iter().zip(expected).fold(0.0, |worst: f64, (&g, &e)| {
        assert!(g.is_finite() && e.is_finite(), "{g} against {e}");
        worst.max((f64::from(g) - e).abs())
    })
}

#[test]
fn every_golden_value_is_readable_and_finite() {
    for name in ["descriptors", "losses", "metrics", "optim", "tiny_inputs", "tiny_a4r", "tiny_d4a4"] {
        let golden = Golden::open(name);
        for key in golden.keys() {
            let values = golden.f64(&key);
            assert_eq!(values.len(), golden.shape(&key).iter().product::<usize>(), "{name}: {key}");
            assert!(values.iter().all(|x| x.is_finite()), "{name}: {key}");
        }
    }
}
