//! The training loop.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::batches::{Batch, Loader, Order};
use super::checkpoint;
use super::log::{EvalRecord, MetricsLog, Record, TrainRecord};
use super::meta::{Best, Meta};
use super::progress::{Pace, TrainProgress};
use super::step::{self, Figures};
use super::stepper::{BEHIND, Recipe, Stepper};
use super::study::Study;
use super::tensor_file::NamedTensor;
use crate::config::{CONFIG_FILE, Config};
use crate::data::maestro::Split;
use crate::data::segments::Segment;
use crate::device::{Device, Ticket};
use crate::error::{Error, Result};
use crate::eval::canonical;
use crate::eval::pools::Protocol;
use crate::io::write_atomic;
use crate::model::film;
use crate::nn::Mode;
use crate::optim::{AdamWSpec, Optimizer};
use crate::progress::say;
use crate::schedule::Schedule;

/// How training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are made.
    Finished,
    /// Asked to stop after this many steps; everything is saved.
    Stopped(u64),
}

impl Config {
    /// How this run draws queries and pools.
    pub fn protocol(&self) -> Protocol {
        Protocol::structured(self.eval.queries, self.eval.pool, self.eval.seed)
    }
}

/// A run in progress.
struct Trainer {
    study: Study,
    adam: Optimizer,
    /// Makes the steps where parameters are on a device that is not the CPU.
    stepper: Option<Stepper>,
    /// Steps made whose figures have not been looked at.
    open: VecDeque<Made>,
    schedule: Schedule,
    order: Order,
    best: Option<Best>,
    log: MetricsLog,
    run: PathBuf,
}

/// Trains as `config` says on `device`, from the start, into `config.out`; stops early and saves when `stop` is set.
pub fn start(config: Config, device: &Device, stop: &AtomicBool) -> Result<Outcome> {
    let run = config.out.clone();
    if checkpoint::exists(&run) {
        let text = format!(
            "{} already holds a run: out=… names another folder, resume=… goes on with this one",
            run.display()
        );
        return Err(Error::Usage(text));
    }
    begin(&run, config, device, stop)
}

/// Trains into the run folder `run` from the first step.
fn begin(run: &Path, config: Config, device: &Device, stop: &AtomicBool) -> Result<Outcome> {
    let mut study = Study::new(config, device)?;
    if let Some(init) = &study.config.init {
        let mut file = checkpoint::load_model(init)?.tensors;
        let taken = study.parameters.load_some(&mut file)?;
        say(&format!("{} tensors start from {}", taken.len(), init.display()));
    }
    std::fs::create_dir_all(run).map_err(|e| Error::io(run, "create", e))?;
    let json = study.config.to_json();
    write_atomic(&run.join(CONFIG_FILE), |file| std::io::Write::write_all(file, json.as_bytes()))?;
    let log = MetricsLog::create(run)?;
    Trainer::new(study, log, run.to_path_buf())?.train(0, stop)
}

/// Goes on with the run in folder `run` from its newest complete checkpoint, or from the start where it was killed before
/// the first; `config` is the run's own, adjusted at most
/// in what does not change the result.
pub fn resume(run: &Path, config: Config, device: &Device, stop: &AtomicBool) -> Result<Outcome> {
    if !checkpoint::reached(run)? {
        say("the run had not saved anything yet: it starts again");
        return begin(run, config, device, stop);
    }
    let mut saved = checkpoint::resume(run)?;
    saved.warnings.iter().for_each(|warning| say(warning));
    let mut study = Study::new(config, device)?;
    study.parameters.load(&mut saved.model)?;
    saved.model.finish()?;
    let log = MetricsLog::resume(run, saved.meta.step)?;
    let mut trainer = Trainer::new(study, log, run.to_path_buf())?;
    let mut moments = |prefix: &str| -> Result<Vec<f32>> {
        let flat = vec![0u8; trainer.study.parameters.len()];
        let names: Vec<(String, Vec<usize>)> = (trainer.study.parameters.named(&flat))
            .map(|(name, shape, _)| (format!("{prefix}{name}"), shape.to_vec()))
            .collect();
        let parts: Vec<Vec<f32>> =
            names.iter().map(|(name, shape)| saved.state.take(name, shape)).collect::<Result<_>>()?;
        Ok(parts.concat())
    };
    let (first, second) = (moments(FIRST_MOMENT)?, moments(SECOND_MOMENT)?);
    saved.state.finish()?;
    trainer.adam.restore(&trainer.study.parameters, first, second, saved.meta.step)?;
    trainer.best = saved.meta.best;
    say(&format!("going on after step {}", saved.meta.step));
    trainer.train(saved.meta.step, stop)
}

/// Prefixes of the optimizer's tensors in a state file.
const FIRST_MOMENT: &str = "m/";
const SECOND_MOMENT: &str = "v/";

/// A step that is made.
struct Made {
    /// Lacks the figures.
    record: TrainRecord,
    figures: Found,
    /// What it was made of, for messages.
    segments: Vec<Segment>,
}

/// A step's figures.
enum Found {
    Now(Figures),
    /// On their way from a device.
    Later(Ticket),
}

impl Trainer {
    fn new(study: Study, log: MetricsLog, run: PathBuf) -> Result<Self> {
        let config = &study.config;
        let dataset = study.assembler.dataset();
        let performances = dataset.performances.iter().filter(|p| p.split == Split::Train).count();
        let segments = dataset.segments(Split::Train, config.data.train_per_performance.cap(performances));
        let order = Order::new(segments, config.batch, config.seed)?;
        let steps_per_epoch = order.steps_per_epoch();
        let whole = steps_per_epoch * config.epochs as u64;
        let total_steps = if config.max_steps == 0 { whole } else { whole.min(config.max_steps as u64) };
        let schedule =
            Schedule { shape: config.schedule.shape(), warmup: config.warmup as u64, steps_per_epoch, total_steps };
        let spec = AdamWSpec {
            beta1: config.adam.beta1,
            beta2: config.adam.beta2,
            eps: config.adam.eps,
            weight_decay: config.weight_decay,
        };
        let adam = Optimizer::new(spec, &study.parameters)?;
        let recipe = Recipe {
            loss: config.loss(),
            dropout: config.dropout as f32,
            seed: config.seed,
            clip: config.clip,
            max_notes: config.midi.max_notes,
            record: config.cuda.graph,
        };
        let device = study.parameters.device();
        let stepper = if device.is_cpu() { None } else { Some(Stepper::new(device, recipe)?) };
        say(&format!(
            "{}: {} parameters, {} training performances, {} steps an epoch, {total_steps} in all",
            study.arm.name,
            study.parameters.len(),
            performances,
            steps_per_epoch
        ));
        let caveats = [study.arm.audio, study.arm.midi].into_iter().flatten();
        caveats.filter_map(|injection| film::caveat(&injection, config.film.pool)).for_each(|caveat| say(&caveat));
        Ok(Trainer { study, adam, stepper, open: VecDeque::new(), schedule, order, best: None, log, run })
    }

    /// Steps `done..total`, with an evaluation and a checkpoint whenever one is due.
    fn train(mut self, done: u64, stop: &AtomicBool) -> Result<Outcome> {
        let config = self.study.config.clone();
        let (total, per_epoch) = (self.schedule.total_steps, self.schedule.steps_per_epoch);
        let mut loader = Loader::new(&self.study.assembler, &self.order, done, total, config.data.workers);
        let mut pace = Pace::new(total, config.batch as u64);
        let mut progress = TrainProgress::new(total, total as f64 / per_epoch as f64, done);
        for step in done..total {
            let Some(batch) = loader.next_batch() else {
                return Err(Error::op("train", "loader", format!("a batch for step {step}"), "a dead worker thread"));
            };
            self.step(step, batch)?;
            let made = step + 1;
            let epoch_ends = made % per_epoch == 0 || made == total;
            let every = config.checkpoint.every as u64;
            let save = if every == 0 { epoch_ends } else { made % every == 0 || made == total };
            // A device goes on while the figures of its last steps are on their way; before anything is saved or evaluated they
            // are looked at, so that no checkpoint holds what came after a step that diverged.
            let behind = if self.stepper.is_none() || epoch_ends || save { 0 } else { BEHIND };
            self.settle(behind, &mut pace, &mut progress)?;
            let epoch = made.div_ceil(per_epoch);
            let due = config.eval.every > 0 && (epoch % config.eval.every as u64 == 0 || made == total);
            let passed = made as f64 / per_epoch as f64;
            if epoch_ends
                && due
                && let Some(s) = self.validate(made, passed)?
            {
                progress.evaluated(passed, s, self.best.map_or(s, |b| b.s));
            }
            let stopping = stop.load(Ordering::Relaxed);
            if stopping {
                self.settle(0, &mut pace, &mut progress)?;
            }
            if save || stopping {
                self.save(made)?;
            }
            if save || stopping || epoch_ends && due {
                pace.skip();
            }
            if stopping && made < total {
                self.log.write(&Record::Event { step: made, message: "stopped on request".into() })?;
                self.log.sync()?;
                return Ok(Outcome::Stopped(made));
            }
        }
        let device = self.study.parameters.device();
        if let (Some(peak), Some(reserved)) = (device.peak_bytes(), device.reserved_bytes()) {
            say(&format!("memory of the device: {} MiB in use at most, {} MiB reserved", peak >> 20, reserved >> 20));
        }
        Ok(Outcome::Finished)
    }

    /// One optimizer step, to be settled.
    fn step(&mut self, step: u64, batch: Batch) -> Result<()> {
        let Study { config, model, parameters, .. } = &mut self.study;
        let record = TrainRecord {
            step: step + 1,
            epoch: (step + 1) as f64 / self.schedule.steps_per_epoch as f64,
            lr: config.lr * self.schedule.multiplier(step),
            ..TrainRecord::default()
        };
        let inputs = (&batch.audio, &batch.midi);
        let figures = match &mut self.stepper {
            Some(stepper) => {
                Found::Later(stepper.step(model, parameters, &mut self.adam, inputs, (step, record.lr))?)
            }
            None => {
                let mode = Mode::Train { dropout: config.dropout as f32, seed: config.seed, step };
                let passed = step::pass(model, parameters, inputs, &config.loss(), mode)?;
                let figures = passed.figures()?;
                if figures.is_finite() {
                    passed.apply(parameters, &mut self.adam, record.lr, config.clip)?;
                }
                Found::Now(figures)
            }
        };
        self.open.push_back(Made { record, figures, segments: batch.segments });
        Ok(())
    }

    /// Looks at the figures of all steps but the last `behind`: shows and logs them, and ends training where one diverged.
    fn settle(&mut self, behind: usize, pace: &mut Pace, progress: &mut TrainProgress) -> Result<()> {
        while self.open.len() > behind
            && let Some(Made { mut record, figures, segments }) = self.open.pop_front()
        {
            let found = match (figures, &mut self.stepper) {
                (Found::Now(figures), _) => figures,
                (Found::Later(ticket), Some(stepper)) => stepper.figures(ticket)?,
                (Found::Later(_), None) => return Err(Error::op("train", "figures", "a device's", "none")),
            };
            found.enter(&mut record, self.study.model.terms());
            record.device_bytes = self.study.parameters.device().peak_bytes().map(|bytes| bytes as u64);
            if !found.is_finite() {
                return Err(self.diverged(&record, &segments));
            }
            (record.samples_per_second, record.eta_seconds) = pace.step(record.step);
            progress.step(&record);
            if record.step % self.study.config.log.every as u64 == 0 || record.step == self.schedule.total_steps {
                self.log.write(&Record::Train(record))?;
            }
        }
        Ok(())
    }

    /// The error of a step whose loss or gradient is not a number, with its batch; also noted in the log.
    fn diverged(&mut self, record: &TrainRecord, segments: &[Segment]) -> Error {
        let dataset = self.study.assembler.dataset();
        let names = segments.iter().map(|s| {
            let performance = &dataset.performances[s.performance as usize];
            format!("{} – {} at {} s", performance.composer, performance.title, s.start)
        });
        let message = format!(
            "step {}: loss {}, gradient norm {}: training has diverged, and the last checkpoint is kept in {}; the batch: {}",
            record.step,
            record.loss,
            record.grad_norm,
            self.run.display(),
            names.collect::<Vec<_>>().join("; ")
        );
        let event = Record::Event { step: record.step - 1, message: message.clone() };
        match self.log.write(&event).and_then(|()| self.log.sync()) {
            Ok(()) => Error::Diverged(message),
            Err(error) => Error::Diverged(format!("{message} (and the log could not be written: {error})")),
        }
    }

    /// S on the validation split, logged; `None` where the split is too small to rank anything.
    fn validate(&mut self, step: u64, epoch: f64) -> Result<Option<f64>> {
        let embedded = self.study.embed(Split::Validation)?;
        if embedded.items.len() < 2 {
            return Ok(None);
        }
        let figures = canonical::figures(embedded.embeddings(), &embedded.items, &self.study.config.protocol())?;
        let s = figures.s_unless_collapsed();
        if self.best.is_none_or(|best| s > best.s) {
            self.best = Some(Best { s, step });
        }
        let more = match serde_json::to_value(figures) {
            Ok(serde_json::Value::Object(mut map)) => {
                map.remove("s");
                map
            }
            _ => serde_json::Map::new(),
        };
        let best_s = self.best.map_or(s, |b| b.s);
        let record = EvalRecord { step, epoch, split: Split::Validation.name().into(), s, best_s, more };
        self.log.write(&Record::Eval(record))?;
        Ok(Some(s))
    }

    fn save(&mut self, step: u64) -> Result<()> {
        self.log.sync()?;
        let (study, config) = (&self.study, &self.study.config);
        let meta = Meta {
            arm: study.arm.name.clone(),
            preset: config.preset.name(),
            config: serde_json::from_str(&config.to_json()).unwrap_or_default(),
            step,
            best: self.best,
        };
        let snapshot = study.parameters.snapshot()?;
        let model = study.parameters.tensors(&snapshot);
        let [first, second] = self.adam.moments(&study.parameters)?;
        let names: Vec<String> = [FIRST_MOMENT, SECOND_MOMENT]
            .iter()
            .flat_map(|prefix| study.parameters.named(&first).map(move |(name, _, _)| format!("{prefix}{name}")))
            .collect();
        let slices = study.parameters.named(&first).chain(study.parameters.named(&second));
        let state: Vec<NamedTensor> =
            names.iter().zip(slices).map(|(name, (_, shape, data))| NamedTensor { name, shape, data }).collect();
        checkpoint::save(&self.run, &model, &state, &meta)
    }
}
