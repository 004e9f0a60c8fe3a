//! THE catalogue: every arm of the paper as one declarative entry (paper, table 13).
//!
//! An arm says which descriptor enters which encoder by which mechanism. Nothing else in the code knows an arm by name.

use crate::error::{Error, Result};

/// How a descriptor enters an encoder (paper, section 3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// LayerNorm(W·[h ‖ d] + b), the descriptor stretched to the encoder's length (eq. 7).
    Concat,
    /// The encoder's rows attend to the descriptor's (eq. 8).
    Cross,
    /// The descriptor's rows attend to the encoder's and replace them (eq. 9).
    Reverse,
}

impl Mechanism {
    /// Name for tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Concat => "concat",
            Mechanism::Cross => "cross-attention",
            Mechanism::Reverse => "reverse cross-attention",
        }
    }
}

/// A hand-crafted feature sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descriptor {
    /// Octave-band energy dynamics of audio (section 3.4.1).
    A4,
    /// Local pitch intervals of MIDI (section 3.4.2).
    D4,
}

impl Descriptor {
    /// Name for tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Descriptor::A4 => "A4",
            Descriptor::D4 => "D4",
        }
    }

    /// Features per row.
    pub fn dims(self) -> usize {
        match self {
            Descriptor::A4 => 8,
            Descriptor::D4 => 4,
        }
    }
}

/// A descriptor and how it enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injection {
    /// What enters.
    pub descriptor: Descriptor,
    /// How.
    pub mechanism: Mechanism,
}

/// One arm of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arm {
    /// Name in `arm=…`.
    pub name: &'static str,
    /// Injection into the audio encoder.
    pub audio: Option<Injection>,
    /// Injection into the MIDI encoder.
    pub midi: Option<Injection>,
    /// One line for the catalogue.
    pub about: &'static str,
}

const fn inject(descriptor: Descriptor, mechanism: Mechanism) -> Option<Injection> {
    Some(Injection { descriptor, mechanism })
}

use Descriptor::{A4, D4};
use Mechanism::{Concat, Cross, Reverse};

/// Every arm, in the order of the paper's table 13.
pub const ARMS: &[Arm] = &[
    Arm { name: "d0", audio: None, midi: None, about: "no descriptor: the VICReg baseline" },
    Arm { name: "d4", audio: None, midi: inject(D4, Concat), about: "D4 concatenated in the MIDI encoder" },
    Arm { name: "a4", audio: inject(A4, Concat), midi: None, about: "A4 concatenated in the audio encoder" },
    Arm { name: "d4x", audio: None, midi: inject(D4, Cross), about: "MIDI notes attend to D4" },
    Arm { name: "a4x", audio: inject(A4, Cross), midi: None, about: "audio frames attend to A4" },
    Arm { name: "d4r", audio: None, midi: inject(D4, Reverse), about: "D4 attends to MIDI notes" },
    Arm { name: "a4r", audio: inject(A4, Reverse), midi: None, about: "A4 attends to audio frames" },
    Arm { name: "d4a4", audio: inject(A4, Concat), midi: inject(D4, Concat), about: "D4 and A4, both concatenated" },
    Arm {
        name: "d4-a4r",
        audio: inject(A4, Reverse),
        midi: inject(D4, Concat),
        about: "D4 concatenated, A4 attends to audio frames",
    },
];

/// The arm of this name; [`Error::Usage`] names the nearest one otherwise.
pub fn find(name: &str) -> Result<&'static Arm> {
    ARMS.iter().find(|arm| arm.name == name).ok_or_else(|| {
        let nearest = ARMS.iter().max_by(|a, b| {
            let score = |arm: &Arm| strsim::jaro_winkler(name, arm.name);
            score(a).total_cmp(&score(b))
        });
        let nearest = nearest.map_or("d0", |arm| arm.name);
        Error::Usage(format!("unknown arm `{name}`; the nearest is `{nearest}` (engine arms lists them all)"))
    })
}
