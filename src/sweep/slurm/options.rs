//! What the user asks SLURM for: the keys `slurm.…`.

use crate::config::keys::{Keyed, keys};
use crate::config::setting::json_text;
use crate::error::{Error, Result};

keys! {
    /// What a cell's job asks for; what is `none` is left to the cluster.
    Options {
        /// slurm: partition of the jobs.
        partition: Option<String> = None;
        /// slurm: account that pays for the jobs.
        account: Option<String> = None;
        /// slurm: quality of service of the jobs.
        qos: Option<String> = None;
        /// slurm: longest time of a job as sbatch takes it (`4:00:00`, `1-12`); a cell that takes longer goes on in the next.
        time: Option<String> = None;
        /// slurm: main memory of a job as sbatch takes it (`8G`).
        mem: Option<String> = None;
        /// slurm: CPU cores of a job, and threads of its cell unless `threads` says otherwise.
        cpus: usize [1..=4096] = 4;
        /// slurm: GPU of a job, as `--gres=gpu:…` takes it (`1`, `a100:1`).
        gpus: Option<String> = None;
        /// slurm: most cells of a job array that run at the same time; 0 = what the cluster allows.
        max_parallel: usize [0..=100_000] = 0;
        /// slurm: seconds before the end of its time at which a job saves and goes back to the queue.
        grace: usize [1..=65_535] = 60;
        /// slurm: shell command that goes before every training (`module load cuda`).
        setup: Option<String> = None;
        /// slurm: more options of sbatch, as on its command line.
        options: Option<String> = None;
    }
}

/// Keys whose value may hold spaces.
const FREE: [&str; 2] = ["setup", "options"];

impl Options {
    /// [`Error::Usage`] where a value would be more than one word, or one line, of the script.
    pub fn check(&self) -> Result<()> {
        for (key, value) in self.json() {
            let text = json_text(&value);
            let breaks = |c: char| c.is_control() || c.is_whitespace() && !FREE.contains(&key.as_str());
            if text.contains(breaks) {
                let expected = if FREE.contains(&key.as_str()) { "one line" } else { "one word" };
                return Err(Error::Usage(format!("slurm.{key}: expected {expected}; found `{}`", text.escape_debug())));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::parse;

    #[test]
    fn a_value_cannot_become_a_line_of_the_script() {
        let check = |setting: &str| parse::<Options>(&[setting.to_string()]).and_then(|options| options.check());
        assert!(check("options=--exclusive --constraint=a100").is_ok() && check("setup=module load cuda").is_ok());
        for (setting, said) in [
            ("partition=a --wrap=b", "slurm.partition: expected one word; found `a --wrap=b`"),
            ("setup=a\nb", "slurm.setup: expected one line; found `a\\nb`"),
        ] {
            let error = check(setting).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.exit_code()), (said, 2));
        }
    }
}
