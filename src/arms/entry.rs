//! What an arm is made of.

use crate::descriptors::Descriptor;

/// How a descriptor enters an encoder (paper, section 3.5; FiLM: section C.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// LayerNorm(W·[h ‖ d] + b), the descriptor stretched to the encoder's length (eq. 7).
    Concat,
    /// The encoder's rows attend to the descriptor's (eq. 8).
    Cross,
    /// The descriptor's rows attend to the encoder's and replace them (eq. 9).
    Reverse,
    /// The pooled descriptor scales and shifts the output of every layer (eq. 17–18).
    Film,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Mechanism; 4] = [Mechanism::Concat, Mechanism::Cross, Mechanism::Reverse, Mechanism::Film];

    /// Name for tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Concat => "concat",
            Mechanism::Cross => "cross-attention",
            Mechanism::Reverse => "reverse cross-attention",
            Mechanism::Film => "FiLM",
        }
    }

    /// What it makes of the encoder's rows F and the descriptor's rows D.
    pub fn formula(self) -> &'static str {
        match self {
            Mechanism::Concat => "LayerNorm(W·[F ‖ D] + b), D stretched to F's length",
            Mechanism::Cross => "LayerNorm(F + attention(F, W·D + b))",
            Mechanism::Reverse => "Q = W·D + b + positions; LayerNorm(Q + attention(Q, F))",
            Mechanism::Film => {
                "(1 + γ)⊙F + β after every block, [γ ‖ β] = W₂·ReLU(W₁·d̄ + b₁) + b₂, d̄ = D pooled over its rows"
            }
        }
    }

    /// Where the paper defines it.
    pub fn source(self) -> &'static str {
        match self {
            Mechanism::Concat => "section 3.5, eq. 7",
            Mechanism::Cross => "section 3.5, eq. 8",
            Mechanism::Reverse => "section 3.5, eq. 9",
            Mechanism::Film => "section C.1, eq. 17 and 18",
        }
    }

    /// Word in settings.
    pub fn word(self) -> &'static str {
        match self {
            Mechanism::Concat => "concat",
            Mechanism::Cross => "cross",
            Mechanism::Reverse => "reverse",
            Mechanism::Film => "film",
        }
    }
}

/// A descriptor and how it enters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Injection {
    /// What enters; of the other side where an arm injects crosswise.
    pub descriptor: &'static dyn Descriptor,
    /// How.
    pub mechanism: Mechanism,
}

/// Experts in place of the feed-forward network of an encoder's last block (paper, section C.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moe {
    /// Experts.
    pub experts: usize,
    /// Experts a row is sent to.
    pub top_k: usize,
    /// Whether the weights of the chosen experts are made to sum to 1.
    pub renormalise: bool,
    /// In the audio encoder.
    pub audio: bool,
    /// In the MIDI encoder.
    pub midi: bool,
}

/// How the third tower enters the loss (paper, section C.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TowerLoss {
    /// VICReg between every two of the three (eq. 20).
    Weighted,
    /// VICReg between audio and MIDI; triplets around the tower.
    Triplet,
    /// VICReg of each side with the tower, none between them.
    Anchor,
}

/// What stands around the two encoders (paper, section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Nothing more.
    Plain,
    /// Mixture of experts.
    Moe(Moe),
    /// An encoder of its own for A4.
    ThirdTower(TowerLoss),
}

/// What replaces the descriptors in training and evaluation (paper, test 02).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Zeros.
    Zero,
    /// Random values, always the same for a segment.
    Random,
    /// The descriptor of another sample of the batch.
    Shuffled,
}

/// Schedules of the paper's long runs (table 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LongSchedule {
    /// Cosine over 30 epochs.
    Cosine30,
    /// Cosine over 60 epochs.
    Cosine60,
    /// Cosine over 30 epochs with a floor and a tail.
    CosineTail,
    /// Hold, then a linear fall.
    Trapezoid,
}

impl LongSchedule {
    /// Word in settings.
    pub fn word(self) -> &'static str {
        match self {
            LongSchedule::Cosine30 => "cosine-30",
            LongSchedule::Cosine60 => "cosine-60",
            LongSchedule::CosineTail => "cosine-tail",
            LongSchedule::Trapezoid => "trapezoid",
        }
    }
}

/// A long run of the paper (table 4); S in per cent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LongRun {
    /// Its schedule.
    pub schedule: LongSchedule,
    /// Its length.
    pub epochs: usize,
    /// Best S.
    pub s: f64,
    /// When it was reached.
    pub best_epoch: usize,
}

/// What the paper reports of an arm, in per cent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paper {
    /// S after 5 epochs (tables 2 and 3).
    pub screening: Option<f64>,
    /// Hard negatives won after 5 epochs (table 2).
    pub hard_won: Option<f64>,
    /// S of a control of test 02 (section 6.6).
    pub control: Option<f64>,
    /// Long runs (table 4); the first is the arm's own setting.
    pub long: &'static [LongRun],
    /// Mean and SD of S over five seeds (table 12).
    pub replication: Option<(f64, f64)>,
}

/// An entry of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry {
    /// Name in `arm=…`.
    pub name: &'static str,
    /// Injection into the audio encoder.
    pub audio: Option<Injection>,
    /// Injection into the MIDI encoder.
    pub midi: Option<Injection>,
    /// What stands around the encoders.
    pub family: Family,
    /// What replaces its descriptors, if anything does.
    pub control: Option<Control>,
    /// What the paper reports of it.
    pub paper: Paper,
    /// One line for the catalogue.
    pub about: &'static str,
}

/// What a model is built from: an entry, or a user's own combination.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// Name for run folders, tables and checkpoints.
    pub name: String,
    /// Injection into the audio encoder.
    pub audio: Option<Injection>,
    /// Injection into the MIDI encoder.
    pub midi: Option<Injection>,
    /// What stands around the encoders.
    pub family: Family,
    /// What replaces its descriptors, if anything does.
    pub control: Option<Control>,
}

pub(super) const fn inject(descriptor: &'static dyn Descriptor, mechanism: Mechanism) -> Injection {
    Injection { descriptor, mechanism }
}

/// The baseline under another name, to be added to.
pub(super) const fn arm(name: &'static str, about: &'static str) -> Entry {
    let paper = Paper { screening: None, hard_won: None, control: None, long: &[], replication: None };
    Entry { name, audio: None, midi: None, family: Family::Plain, control: None, paper, about }
}

impl Entry {
    /// What its model is built from.
    pub fn arm(&self) -> Arm {
        let &Entry { name, audio, midi, family, control, .. } = self;
        Arm { name: name.to_string(), audio, midi, family, control }
    }

    /// The schedule of its own long run (table 4), where the paper made one.
    pub fn schedule(&self) -> Option<LongSchedule> {
        self.paper.long.first().map(|run| run.schedule)
    }

    pub(super) const fn audio(self, injection: Injection) -> Self {
        Entry { audio: Some(injection), ..self }
    }

    pub(super) const fn midi(self, injection: Injection) -> Self {
        Entry { midi: Some(injection), ..self }
    }

    pub(super) const fn family(self, family: Family) -> Self {
        Entry { family, ..self }
    }

    /// Table 2.
    pub(super) const fn screened(self, s: f64, hard_won: f64) -> Self {
        Entry { paper: Paper { screening: Some(s), hard_won: Some(hard_won), ..self.paper }, ..self }
    }

    /// Table 3.
    pub(super) const fn tried(self, s: f64) -> Self {
        Entry { paper: Paper { screening: Some(s), ..self.paper }, ..self }
    }

    /// Table 4.
    pub(super) const fn long(self, long: &'static [LongRun]) -> Self {
        Entry { paper: Paper { long, ..self.paper }, ..self }
    }

    /// Table 12.
    pub(super) const fn replicated(self, mean: f64, sd: f64) -> Self {
        Entry { paper: Paper { replication: Some((mean, sd)), ..self.paper }, ..self }
    }

    /// Test 02.
    pub(super) const fn controlled(self, control: Control, s: f64) -> Self {
        Entry { control: Some(control), paper: Paper { control: Some(s), ..self.paper }, ..self }
    }
}

impl Arm {
    /// Whether a side can be embedded without the other: no descriptor of one enters the other's encoder.
    pub fn sides_stand_alone(&self) -> bool {
        use crate::descriptors::Domain;
        let own = |injection: Option<Injection>, domain| injection.is_none_or(|i| i.descriptor.domain() == domain);
        own(self.audio, Domain::Audio) && own(self.midi, Domain::Midi)
    }
}
