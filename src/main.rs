//! `engine`: the verbs of the command line.

use std::process::ExitCode;

use clap::Parser;
use descant::cli::{
    Cli, Verb, arms, compare, data, doctor, eval, output, reproduce, schedule, sweep, table, train, validate,
};

fn main() -> ExitCode {
    output::apologise_for_panics();
    output::conclude(match Cli::parse().verb {
        Verb::Train(settings) => train::run(&settings),
        Verb::Sweep(args) => sweep::run(&args),
        Verb::Eval(args) => eval::run(&args),
        Verb::Validate(args) => validate::run(&args),
        Verb::Compare(args) => compare::run(&args),
        Verb::Reproduce(args) => reproduce::run(&args),
        Verb::Table(args) => table::run(&args),
        Verb::Schedule(settings) => schedule::run(&settings),
        Verb::Arms(args) => arms::run(&args),
        Verb::Describe(args) => args.run(),
        Verb::Doctor(settings) => doctor::run(&settings),
        Verb::Data(data::Verb::Synth(settings)) => data::synth::run(&settings),
        Verb::Data(data::Verb::Render(settings)) => data::render::run(&settings),
        Verb::Data(data::Verb::Check(args)) => data::check::run(&args),
    })
}
