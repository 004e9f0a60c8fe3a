//! THE declaration of every key of `engine train`: name, type, range, default (one, or paper, small, tiny), meaning.

use std::path::PathBuf;

use super::choices::*;
use super::keys::keys;
use super::span::Span;
use crate::eval::condition::Condition;

keys! {
    /// Everything that decides what a training run does; the same value and the same data give the same bytes.
    Config {
        /// Arm of the paper to train; `engine arms` lists them.
        arm: String = "a4r".into();
        /// What enters the audio encoder instead of what the arm has there: a descriptor and a mechanism.
        audio: InjectionChoice = InjectionChoice::AsArm;
        /// The same for the MIDI encoder.
        midi_injection as "midi": InjectionChoice = InjectionChoice::AsArm;
        /// Experts or a third tower around the encoders, instead of what the arm has.
        family: FamilyChoice = FamilyChoice::AsArm;
        /// Which defaults the size keys take; auto = small on the CPU, paper on a GPU.
        preset: Preset = Preset::Auto;
        /// Seed of everything random in training.
        seed: u64 = 42;
        /// Passes over the training segments.
        epochs: usize [1..=100_000] => 30, 4, 1;
        /// Stop after so many steps, whatever `epochs` says; 0 = no such limit.
        max_steps: usize [0..=1_000_000_000] = 0;
        /// Segments in a batch.
        batch: usize [2..=65_536] = 16;
        /// Base learning rate.
        lr: f64 [0.0..=10.0] => 2e-4, 1e-3, 1e-3;
        /// AdamW: decoupled weight decay, on all parameters.
        weight_decay: f64 [0.0..=10.0] = 0.01;
        /// Largest global norm of the gradient; 0 = not clipped.
        clip: f64 [0.0..=1e9] = 1.0;
        /// Steps of linear warm-up; a run shorter than 4,000 steps warms up for an eighth of it at most.
        warmup: usize [0..=1_000_000_000] = 500;
        /// Chance of an activation to be dropped in training.
        dropout: f64 [0.0..1.0] => 0.1, 0.0, 0.0;
        /// Where to compute; auto = a GPU where there is one, else the CPU.
        device: DeviceChoice = DeviceChoice::Auto;
        /// What activations and the matrices they meet are stored as; auto = bf16 on a GPU, f32 on the CPU.
        precision: Precision = Precision::Auto;
        /// CPU threads; 0 = one per core.
        threads: usize [0..=4096] = 0;
        /// Run folder to write; auto = runs/ARM-SEED.
        out: PathBuf = "auto".into();
        /// Run folder to go on with; it brings its own settings.
        resume: Option<PathBuf> = None;
        /// Safetensors file whose tensors replace the random start of the parameters with the same names.
        init: Option<PathBuf> = None;
    }
    sections {
        /// `adam.…`
        adam: AdamConfig,
        /// `schedule…`
        schedule: ScheduleConfig,
        /// `vicreg.…`
        vicreg: VicregConfig,
        /// `data…`
        data: DataConfig,
        /// `augment.…`
        augment: AugmentConfig,
        /// `midi.…`
        midi: MidiConfig,
        /// `model.…`
        model: ModelConfig,
        /// `inject.…`
        inject: InjectConfig,
        /// `film.…`
        film: FilmConfig,
        /// `moe.…`
        moe: MoeConfig,
        /// `tower.…`
        tower: TowerConfig,
        /// `stft.…`
        stft: StftConfig,
        /// `eval.…`
        eval: EvalConfig,
        /// `checkpoint.…`
        checkpoint: CheckpointConfig,
        /// `log.…`
        log: LogConfig,
        /// `cuda.…`
        cuda: CudaConfig,
    }
}

keys! {
    /// Moments of AdamW.
    AdamConfig {
        /// AdamW: decay of the first moment.
        beta1: f64 [0.0..1.0] = 0.9;
        /// AdamW: decay of the second moment.
        beta2: f64 [0.0..1.0] = 0.999;
        /// AdamW: added to the root of the second moment.
        eps: f64 [1e-30..=1.0] = 1e-8;
    }
}

keys! {
    /// The learning rate over time (paper, section D).
    ScheduleConfig {
        /// How the learning rate moves after the warm-up; arm = as in the arm's own long run (table 4), cosine where the paper made none.
        kind as "schedule": ScheduleKind = ScheduleKind::Cosine;
        /// Epochs after which the cosine ends; 0 = the whole run (cosine-tail: half of it; cosine-30 and cosine-60: as they say).
        ref_epochs: usize [0..=100_000] = 0;
        /// cosine-tail: smallest share of the base rate before the tail.
        floor: f64 [0.0..=1.0] = 0.10;
        /// cosine-tail: share of the base rate at the very end.
        tail_end: f64 [0.0..=1.0] = 0.02;
    }
}

keys! {
    /// Weights of the loss (paper, eq. 3).
    VicregConfig {
        /// Weight of the invariance term.
        inv: f64 [0.0..=1e6] = 10.0;
        /// Weight of the variance term.
        var: f64 [0.0..=1e6] = 10.0;
        /// Weight of the covariance term.
        cov: f64 [0.0..=1e6] = 1.0;
        /// How the terms are normalised: code = the authors' code; sum = variance summed over the two sides; bardes = the article's formula.
        variant: Variant = Variant::Code;
    }
}

keys! {
    /// What is learned from.
    DataConfig {
        /// Folder in MAESTRO's layout; synth = the corpus the engine composes itself.
        source as "data": Source = Source::Synth;
        /// Size of the composed corpus.
        synth: Size = Size::Default;
        /// Seed of the composed corpus.
        seed: u64 = 42;
        /// Folder the composed corpus is kept in; auto = data/synth-SIZE-SEED.
        synth_dir: PathBuf = "auto".into();
        /// Folder for decoded audio, which may be deleted at any time; auto = beside the data, or the user's cache folder.
        cache: PathBuf = "auto".into();
        /// Leave out performances of a piece that also stands in a split that is evaluated later.
        disjoint_pieces: bool = true;
        /// Training segments of each performance, evenly spread; auto = 13,000 shared out, 14 at least.
        train_per_performance: PerPerformance = PerPerformance::Auto;
        /// Sustain pedal: ignore = a note lasts while its key is held; extend = until the dampers fall.
        pedal: PedalMode = PedalMode::Ignore;
        /// Threads that prepare batches ahead of the training step.
        workers: usize [1..=256] = 2;
        /// Draw each training sample from any recording of its performance: the one in the metadata and those at the same path below renderings/*/.
        renderings: bool = false;
    }
}

keys! {
    /// Random changes of training samples, drawn anew for each from (seed, step, place in the batch); all are off by default.
    AugmentConfig {
        /// Chance of each augmentation that is on to change a sample.
        chance: f64 [0.0..=1.0] = 1.0;
        /// Velocities times a factor from 1/(1+x) to 1+x, one for a sample.
        velocity: f64 [0.0..=4.0] = 0.0;
        /// Semitones by which a sample is transposed at most, up or down.
        transpose: usize [0..=24] = 0;
        /// What is transposed: midi = the notes, against the recording; both = the recording too, resampled, so that both run as much faster or slower.
        transpose_of: TransposeOf = TransposeOf::Midi;
        /// Octaves by which the notes are moved against the recording at most, up or down.
        octave: usize [0..=4] = 0;
        /// Seconds by which the recording is moved against the notes at most, earlier or later.
        shift: f64 [0.0..=4.0] = 0.0;
        /// Both sides played at another tempo, by a factor from 1/(1+x) to 1+x; pitch stays.
        stretch: f64 [0.0..=1.0] = 0.0;
        /// The notes alone at another tempo, by a factor from 1/(1+x) to 1+x.
        tempo: f64 [0.0..=1.0] = 0.0;
        /// Another room: seconds in which it fades by 60 dB.
        room: Option<Span> [0.05..=5.0] = None;
        /// Another tone: decibels at most, up or down, of two shelves and two bells.
        equalise: f64 [0.0..=24.0] = 0.0;
        /// Another level: decibels at most, up or down.
        level: f64 [0.0..=60.0] = 0.0;
        /// White noise: decibels by which the recording is above it.
        noise: Option<Span> [-20.0..=100.0] = None;
        /// Seconds that are left of a sample, the same on both sides; the rest is silent.
        crop: Option<Span> [0.1..=4.0] = None;
    }
}

keys! {
    /// How notes enter the MIDI encoder.
    MidiConfig {
        /// What a note's position encodes: its index (the paper) or its onset in seconds.
        onset: Onset = Onset::Index;
        /// Notes of a segment that are kept, the first in time.
        max_notes: usize [1..=2048] = 2048;
    }
}

keys! {
    /// Sizes of the model.
    ModelConfig {}
    sections {
        /// `model.audio.…`
        audio: AudioModelConfig,
        /// `model.midi.…`
        midi: MidiModelConfig,
        /// `model.head.…`
        head: HeadConfig,
    }
}

keys! {
    /// The audio encoder (paper, tables 15 and 16).
    AudioModelConfig {
        /// Channels of the four convolutions; the last equals model.audio.d.
        cnn: [usize; 4] [1..=16_384] => [512, 512, 512, 1024], [64, 64, 64, 128], [8, 8, 8, 16];
        /// Groups of the GroupNorm after each convolution.
        groups: usize [1..=16_384] => 32, 32, 4;
        /// Width of the audio Transformer.
        d: usize [1..=16_384] => 1024, 128, 16;
        /// Attention heads of the audio Transformer.
        heads: usize [1..=1024] => 8, 4, 2;
        /// Layers of the audio Transformer.
        layers: usize [1..=256] => 4, 2, 1;
        /// Feed-forward width of the audio Transformer.
        ff: usize [1..=65_536] => 4096, 512, 32;
        /// LayerNorm after the residual sum (post) or before each sub-layer (pre).
        norm: Norm = Norm::Post;
        /// Frame positions are added before or after the descriptor is injected.
        positions: Positions = Positions::Before;
        /// Learnable frame positions; a 4-s segment has 2,400 frames.
        max_frames: usize [2400..=1_000_000] = 6000;
    }
}

keys! {
    /// The MIDI encoder (paper, tables 17 and 18).
    MidiModelConfig {
        /// Width of the MIDI Transformer.
        d: usize [4..=16_384] => 512, 128, 16;
        /// Attention heads of the MIDI Transformer.
        heads: usize [1..=1024] => 8, 4, 2;
        /// Layers of the MIDI Transformer.
        layers: usize [1..=256] => 4, 2, 1;
        /// Feed-forward width of the MIDI Transformer.
        ff: usize [1..=65_536] => 2048, 512, 32;
    }
}

keys! {
    /// The projection heads: three linear layers each.
    HeadConfig {
        /// Width of both hidden layers.
        hidden: usize [1..=65_536] => 512, 512, 24;
        /// Dimensions of the shared embedding space.
        out: usize [2..=65_536] => 256, 256, 16;
    }
}

keys! {
    /// How descriptors enter the encoders.
    InjectConfig {
        /// Heads of the injecting attention; a divisor of both encoders' widths.
        heads: usize [1..=1024] => 8, 8, 2;
        /// Residual connection around the injecting attention; false = eq. 9 literally.
        residual: bool = true;
    }
}

keys! {
    /// FiLM (paper, section C.1).
    FilmConfig {
        /// How the descriptor's rows become one: mean (eq. 18), or rms = the root of their mean square.
        pool: Pool = Pool::Mean;
    }
}

keys! {
    /// Mixtures of experts (paper, section C.2).
    MoeConfig {
        /// Weight of the load balance of the experts in the loss.
        balance: f64 [0.0..=1e6] = 0.01;
        /// Weight in the loss of how far from even the experts are used.
        entropy: f64 [0.0..=1e6] = 0.01;
    }
}

keys! {
    /// The third tower (paper, section C.3).
    TowerConfig {
        /// Width of the third tower.
        d: usize [1..=16_384] => 256, 64, 8;
        /// Attention heads of the third tower.
        heads: usize [1..=1024] => 4, 4, 2;
        /// Layers of the third tower.
        layers: usize [1..=256] => 2, 2, 1;
        /// Feed-forward width of the third tower.
        ff: usize [1..=65_536] => 1024, 256, 16;
        /// Weight of the third tower's term with audio.
        alpha: f64 [0.0..=1e6] = 0.5;
        /// Weight of the third tower's term with MIDI.
        beta: f64 [0.0..=1e6] = 0.5;
        /// Margin of the third tower's triplets, in the units of the embeddings.
        margin: f64 [0.0..=1e6] = 1.0;
    }
}

keys! {
    /// The spectrogram under the audio descriptors.
    StftConfig {
        /// What the STFT sees beyond the ends of a segment.
        padding: Padding = Padding::Reflect;
    }
}

keys! {
    /// The canonical evaluation.
    EvalConfig {
        /// Split that is evaluated after training and by `engine eval`, where `split=` stands for it too.
        split: Split = Split::Test;
        /// Queries drawn from the split.
        queries: usize [1..=10_000_000] = 500;
        /// Candidates of each query, the match included.
        pool: usize [2..=1_000_000] = 256;
        /// Seed of the queries and pools.
        seed: u64 = 42;
        /// What is changed before `engine eval` embeds a split: clean = nothing; transposed = MIDI a semitone up; misaligned = audio a second off; clips = a second of both; all = each in turn. `condition=` stands for it too.
        condition: Conditions = Conditions::Only(Condition::Clean);
        /// Epochs between evaluations on the validation split; 0 = none during training.
        every: usize [0..=100_000] = 1;
    }
}

keys! {
    /// When checkpoints are written.
    CheckpointConfig {
        /// Steps between checkpoints; 0 = one at the end of each epoch.
        every: usize [0..=1_000_000_000] = 0;
    }
}

keys! {
    /// How much is told during training.
    LogConfig {
        /// Steps between lines of metrics.jsonl.
        every: usize [1..=1_000_000_000] = 10;
    }
}

keys! {
    /// How a GPU is used.
    CudaConfig {
        /// A GPU repeats whole recorded steps (CUDA graphs) rather than launching kernel by kernel; the results are the same.
        graph: bool = true;
    }
}
