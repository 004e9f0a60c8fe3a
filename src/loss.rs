//! The training loss: VICReg between audio and MIDI (paper, eq. 3) and the terms that an arm's family adds to it.
//!
//! | family | loss |
//! |---|---|
//! | plain | L(z_a, z_m) |
//! | mixture of experts | … + `moe.balance`·balance + `moe.entropy`·entropy of each mixture (section C.2) |
//! | third tower, weighted | … + `tower.alpha`·L(z_a, z_d) + `tower.beta`·L(z_m, z_d) (eq. 20) |
//! | third tower, triplet | … + `tower.alpha`·T(z_d, z_a) + `tower.beta`·T(z_d, z_m) |
//! | third tower, anchor | `tower.alpha`·L(z_a, z_d) + `tower.beta`·L(z_m, z_d) alone |

use crate::device::{Memory, kernels};
use crate::error::Result;
use crate::ops::rowwise;
use crate::ops::vicreg::{self, Vicreg, VicregSpec};
use crate::ops::weighted_sum::weighted_sum;
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;

/// One of the two encoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Of recordings.
    Audio,
    /// Of notes.
    Midi,
}

/// A term beside the loss between audio and MIDI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term {
    /// Load balance of an encoder's experts.
    Balance(Side),
    /// How far from even an encoder's experts are used.
    Entropy(Side),
    /// Between an encoder's embeddings and those of the third tower.
    Tower(Side),
}

impl Term {
    /// Name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Term::Balance(Side::Audio) => "moe_balance_audio",
            Term::Balance(Side::Midi) => "moe_balance_midi",
            Term::Entropy(Side::Audio) => "moe_entropy_audio",
            Term::Entropy(Side::Midi) => "moe_entropy_midi",
            Term::Tower(Side::Audio) => "tower_audio",
            Term::Tower(Side::Midi) => "tower_midi",
        }
    }
}

/// Most terms an arm adds: two for each of two mixtures of experts.
pub const MOST_TERMS: usize = 4;

/// Weights and variants of everything in the loss.
#[derive(Debug, Clone, Copy)]
pub struct LossSpec {
    /// VICReg, between any two sides.
    pub vicreg: VicregSpec,
    /// Weight of load balance.
    pub balance: f64,
    /// Weight of utilisation entropy.
    pub entropy: f64,
    /// α and β: weights of the third tower's terms with audio and with MIDI.
    pub tower: [f64; 2],
    /// Margin of the third tower's triplets.
    pub margin: f64,
}

impl LossSpec {
    fn weight(&self, term: Term) -> f64 {
        match term {
            Term::Balance(_) => self.balance,
            Term::Entropy(_) => self.entropy,
            Term::Tower(Side::Audio) => self.tower[0],
            Term::Tower(Side::Midi) => self.tower[1],
        }
    }
}

/// A loss on a tape, with what it is made of.
pub struct Loss {
    /// What is minimised, a scalar (`f32` on a device).
    pub total: Var,
    /// Audio against MIDI: part of the total unless the arm leaves it out.
    pub direct: Vicreg,
    /// The other terms, unweighted.
    pub terms: Vec<(Term, Var)>,
}

/// Numbers that [`Loss::report`] writes.
pub const REPORTED: usize = vicreg::REPORTED + MOST_TERMS;

impl Loss {
    /// `direct`, unless the total is to be without it, plus the weighted terms.
    pub fn sum(
        tape: &Tape,
        direct: Vicreg,
        without_direct: bool,
        terms: Vec<(Term, Var)>,
        spec: &LossSpec,
    ) -> Result<Self> {
        if terms.is_empty() {
            return Ok(Loss { total: direct.loss.clone(), direct, terms });
        }
        let first = (!without_direct).then_some((&direct.loss, 1.0));
        let others = terms.iter().map(|(term, value)| (value, spec.weight(*term)));
        let weighted: Vec<(&Var, f64)> = first.into_iter().chain(others).collect();
        Ok(Loss { total: weighted_sum(tape, &weighted)?, direct, terms })
    }

    /// Writes total, VICReg's terms, standard deviations, the gradient's `norm` (as [`Vicreg::report`] does) and then each other
    /// term to the first of [`REPORTED`] f32 of a device. What follows the last term is left as it is.
    pub fn report(&self, norm: &Tensor, to: &Memory) -> Result<()> {
        self.direct.report(norm, to.output(0))?;
        if self.terms.is_empty() {
            return Ok(());
        }
        let places = self.terms.iter().map(|(_, value)| value).zip(vicreg::REPORTED..);
        for (value, place) in places.chain([(&self.total, 0)]) {
            let (from, one) = (value.value(), rowwise(to.device(), 1, 1));
            kernels::concat::copy::<f32>(one, from.input(), 1, 0, to.output(place), 1, 0, 1, 1)?;
        }
        Ok(())
    }
}
