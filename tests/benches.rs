//! The kernel benches themselves: each of them launched once, on the emulated device and small shapes.

#[path = "../benches/kernels/suite/mod.rs"]
mod suite;

use descant::device::{DType, Device};

#[test]
fn emulated_benches_launch() {
    for (seed, dtype) in [(0, DType::F32), (1, DType::BF16)] {
        let device = Device::emulated(seed).unwrap();
        let ids = |benches: &[suite::Bench]| benches.iter().map(|b| b.id.clone()).collect::<Vec<_>>();
        let benches = suite::all(&suite::Sizes::tiny(dtype).unwrap());
        assert_eq!(ids(&benches), ids(&suite::all(&suite::Sizes::paper(dtype).unwrap())));
        for bench in benches {
            let (id, work) = (bench.id.clone(), bench.work);
            assert!(work.flops + work.bytes > 0.0, "{id} does nothing");
            bench.launch(&device).unwrap_or_else(|error| panic!("{id} in {dtype:?}: {error}"));
        }
    }
}
