//! Ranking on a device: `kernels/retrieval.cu`, in f32 where the CPU takes f64.

use super::pools::{Kind, Pools};
use super::retrieval::{Outcome, Ranking};
use crate::device::{DType, Memory, kernels};
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use crate::with_storage;

/// Rows of a block that measures lengths; counts of a query.
const WARPS: usize = 8;
const COUNTS: usize = 6;

impl Ranking {
    /// As [`Ranking::new`] for embeddings [n, dim] on a device. Cosines are rounded to f32, so that near ties may fall otherwise;
    /// equal embeddings tie exactly.
    pub fn on_device(audio: &Tensor, midi: &Tensor, pools: &Pools) -> Result<Ranking> {
        let fits = audio.shape() == midi.shape() && audio.shape().len() == 2 && audio.dtype() == midi.dtype();
        let largest = pools.candidates.iter().chain(&pools.queries).max().map_or(0, |&i| i as usize + 1);
        if !fits || audio.rows() < largest || audio.device() != midi.device() {
            let got = format!("{:?} and {:?}", audio.shape(), midi.shape());
            return Err(Error::op("retrieval", "embeddings", format!("both [at least {largest}, dim]"), got));
        }
        let device = audio.device();
        let kind = |kind: &Kind| match kind {
            Kind::Match => 0u8,
            Kind::Hard => 1,
            Kind::SemiHard => 2,
            Kind::Random => 3,
        };
        let kinds: Vec<u8> = pools.kinds.iter().map(kind).collect();
        let (queries, candidates) =
            (Memory::upload(device, &pools.queries)?, Memory::upload(device, &pools.candidates)?);
        let kinds = Memory::upload(device, &kinds)?;
        let (n, dim, asked) = (audio.rows(), audio.cols(), pools.queries.len());
        let direction = |from: &Tensor, to: &Tensor| -> Result<Vec<Outcome>> {
            let mut inverse = Tensor::uninit_on(device, &[n], DType::F32)?;
            let counts = Memory::uninit(device, asked * COUNTS * 4)?;
            with_storage!(from.dtype(), T => {
                let grid = device.launch(n.div_ceil(WARPS));
                kernels::retrieval::lengths::<T>(grid, to.input(), inverse.output(), n as i32, dim as i32)?;
                kernels::retrieval::rank::<T>(
                    device.launch(asked), from.input(), to.input(), inverse.input(), queries.input(0),
                    candidates.input(0), kinds.input(0), counts.output(0), pools.size as i32, dim as i32,
                )?;
            });
            let mut found = vec![0u32; asked * COUNTS];
            counts.read(0, &mut found)?;
            let outcome =
                |c: &[u32; COUNTS]| Outcome { rank: 1 + c[0], hard: [c[1], c[2]], semi_hard: [c[3], c[4]], ties: c[5] };
            Ok(found.as_chunks().0.iter().map(outcome).collect())
        };
        Ok(Ranking { pool: pools.size, audio_to_midi: direction(audio, midi)?, midi_to_audio: direction(midi, audio)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::eval::canonical::tests::planted;
    use crate::eval::pools::Protocol;

    #[test]
    fn emulated_ranks_equal_the_cpu() {
        let (mut pairs, items) = planted(120, 0.7);
        // A collapsed pair, and one of zeros.
        pairs.midi.copy_within(8..16, 0);
        pairs.audio[24..32].fill(0.0);
        let protocol = Protocol { queries: 40, pool: 32, ..Protocol::default() };
        let pools = Pools::draw(&items, &protocol).unwrap();
        let expected = Ranking::new(pairs.embeddings(), &pools).unwrap();
        let device = Device::emulated(5).unwrap();
        let place = |x: &[f32]| Tensor::from_slice(&[120, 8], x).to_device(&device, DType::F32).unwrap();
        assert_eq!(Ranking::on_device(&place(&pairs.audio), &place(&pairs.midi), &pools).unwrap(), expected);
        let mut fewer = Tensor::zeros_on(&device, &[3, 8], DType::F32).unwrap();
        fewer = fewer.reshape(&[3, 8]);
        assert!(Ranking::on_device(&fewer, &fewer, &pools).is_err());
    }
}
