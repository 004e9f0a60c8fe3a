//! The script of a job array: what SLURM is asked for, which task trains which cell, and what happens on a signal.

use std::path::{Path, PathBuf};

use super::options::Options;
use crate::error::{Error, Result};
use crate::sweep::state::{Cell, Sweep};

/// Folder of scripts, and of what the jobs' shells and SLURM say, in the sweep's.
pub const FOLDER: &str = "slurm";

/// What a task does with its `cell`, whose `settings` the lines before it hold.
const TASK: &str = include_str!("task.sh");

/// What every script of a sweep has in common.
pub struct Setting<'a> {
    pub options: &'a Options,
    /// The program that trains.
    pub engine: PathBuf,
    /// The folder that paths of settings start from.
    pub directory: PathBuf,
}

impl Setting<'_> {
    /// This program, in the folder that it was started in.
    pub fn here(options: &Options) -> Result<Setting<'_>> {
        let engine = std::env::current_exe().map_err(|e| Error::io("engine", "find", e))?;
        let directory = std::env::current_dir().map_err(|e| Error::io(".", "find", e))?;
        Ok(Setting { options, engine, directory })
    }

    /// The script whose task `n` trains the `n`th of `cells`. It is to be submitted from the sweep's folder.
    ///
    /// # Errors
    /// [`Error::Input`] for a path that is not UTF-8.
    pub fn text(&self, sweep: &Sweep, cells: &[&Cell]) -> Result<String> {
        let folder = std::path::absolute(&sweep.folder).map_err(|e| Error::io(&sweep.folder, "find", e))?;
        let name = folder.file_name().map_or("sweep".into(), |name| name.to_string_lossy());
        let threads = match cells.iter().all(|cell| cell.settings.contains_key("threads")) {
            true => "",
            false => "\"threads=$SLURM_CPUS_PER_TASK\"",
        };
        let (engine, directory, folder) =
            (quoted_path(&self.engine)?, quoted_path(&self.directory)?, quoted_path(&folder)?);
        let setup = self.options.setup.as_deref().unwrap_or(":");
        let choices: String = cells.iter().enumerate().map(|(task, cell)| choice(task, cell)).collect();
        Ok(self.head(&name, cells.len())
            + &format!("engine={engine}\ndirectory={directory}\nsweep={folder}\nthreads=({threads})\n")
            + &format!("setup() {{\n    {setup}\n}}\n")
            + &format!("case $SLURM_ARRAY_TASK_ID in\n{choices}")
            + "    *) echo \"there is no cell $SLURM_ARRAY_TASK_ID\" >&2; exit 1 ;;\nesac\n"
            + TASK)
    }

    /// The options of sbatch.
    fn head(&self, name: &str, tasks: usize) -> String {
        let options = self.options;
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let at_most = if options.max_parallel > 0 { format!("%{}", options.max_parallel) } else { String::new() };
        let mut lines = vec![
            format!("--job-name=descant-{name}"),
            format!("--array=0-{}{at_most}", tasks - 1),
            // From the sweep's folder.
            format!("--output={FOLDER}/%A_%a.out"),
            "--open-mode=append".into(),
            "--requeue".into(),
            format!("--signal=B:USR1@{}", options.grace),
            "--nodes=1".into(),
            "--ntasks=1".into(),
            format!("--cpus-per-task={}", options.cpus),
        ];
        let asked = [
            ("--partition=", &options.partition),
            ("--account=", &options.account),
            ("--qos=", &options.qos),
            ("--time=", &options.time),
            ("--mem=", &options.mem),
            ("--gres=gpu:", &options.gpus),
            ("", &options.options),
        ];
        lines.extend(asked.iter().filter_map(|(option, value)| Some(format!("{option}{}", value.as_ref()?))));
        let lines: String = lines.iter().map(|line| format!("#SBATCH {line}\n")).collect();
        format!("#!/bin/bash\n{lines}")
    }
}

/// A task's line of the script.
fn choice(task: usize, cell: &Cell) -> String {
    let settings: Vec<String> = cell.settings().iter().map(|(key, value)| quoted(&format!("{key}={value}"))).collect();
    format!("    {task}) cell={} settings=({}) ;;\n", quoted(&cell.name), settings.join(" "))
}

fn quoted_path(path: &Path) -> Result<String> {
    let text = path.to_str().ok_or_else(|| Error::input(path, "path", "UTF-8, as scripts are", "other bytes"))?;
    Ok(quoted(text))
}

/// `text` as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::config::keys::parse;
    use crate::sweep::grid::expand;
    use crate::sweep::state::Sweep;

    fn script(folder: &Path, options: &[&str], grid: &[&str]) -> String {
        let own = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
        let options: Options = parse(&own(options)).unwrap();
        let sweep = Sweep::of(&folder.join("a sweep"), expand(&own(grid)).unwrap()).unwrap();
        let setting = Setting { options: &options, engine: folder.join("bin/engine"), directory: folder.to_path_buf() };
        setting.text(&sweep, &sweep.cells.iter().collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn options_and_cells_stand_in_the_script() {
        let options = ["partition=gpu", "mem=8G", "gpus=a100:1", "max_parallel=3", "options=--exclusive --nice=5"];
        let text = script(Path::new("/x"), &options, &["arm=d0,a4r", "seed=1,2", "init=it's/m"]);
        let head = "#!/bin/bash\n#SBATCH --job-name=descant-a-sweep\n#SBATCH --array=0-3%3\n#SBATCH --output=slurm/%A_%a.out\n\
                    #SBATCH --open-mode=append\n#SBATCH --requeue\n#SBATCH --signal=B:USR1@60\n#SBATCH --nodes=1\n\
                    #SBATCH --ntasks=1\n#SBATCH --cpus-per-task=4\n#SBATCH --partition=gpu\n#SBATCH --mem=8G\n\
                    #SBATCH --gres=gpu:a100:1\n#SBATCH --exclusive --nice=5\nengine='/x/bin/engine'\n\
                    directory='/x'\nsweep='/x/a sweep'\nthreads=(\"threads=$SLURM_CPUS_PER_TASK\")\nsetup() {\n    :\n}\n";
        assert!(text.starts_with(head), "{text}");
        assert!(text.contains("\n    2) cell='a4r-1' settings=('arm=a4r' 'seed=1' 'init=it'\\''s/m') ;;\n"), "{text}");
        let own = script(Path::new("/x"), &["setup=module load cuda", "grace=120"], &["threads=2"]);
        assert!(own.contains("\n    module load cuda\n") && own.contains("USR1@120\n") && own.contains("threads=()\n"));
    }

    /// A folder with a sweep's, and an engine and a scontrol that write down what they are called with.
    fn stage(engine: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["bin", "a sweep"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        for (name, text) in [("engine", engine), ("scontrol", "#!/bin/bash\necho \"$@\" >>scontrol.said")] {
            let path = dir.path().join("bin").join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(dir.path().join("script"), script(dir.path(), &[], &["arm=d0,a4r", "seed=7"])).unwrap();
        dir
    }

    fn task(dir: &Path, task: &str) -> Command {
        let path = format!("{}:{}", dir.join("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command.arg(dir.join("script")).env("PATH", path).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("SLURM_ARRAY_JOB_ID", "8").env("SLURM_ARRAY_TASK_ID", task).env("SLURM_CPUS_PER_TASK", "3");
        command
    }

    fn read(dir: &Path, name: &str) -> String {
        fs::read_to_string(dir.join(name)).unwrap_or_default()
    }

    #[test]
    fn a_task_trains_its_cell_and_writes_how_it_ended() {
        let dir = stage("#!/bin/bash\necho \"$@\" >&2\nexit 3");
        let dir = dir.path();
        assert_eq!(task(dir, "1").status().unwrap().code(), Some(3));
        let out = format!("out={}/a sweep/a4r-7", dir.display());
        assert_eq!(read(dir, "a sweep/a4r-7.log"), format!("train arm=a4r seed=7 {out} threads=3\n"));
        assert_eq!(read(dir, "a sweep/a4r-7.journal"), "8_1 begun\n8_1 ended 3 0\n");
        fs::create_dir(dir.join("a sweep/a4r-7")).unwrap();
        fs::write(dir.join("a sweep/a4r-7/config.json"), "{}").unwrap();
        assert_eq!(task(dir, "1").status().unwrap().code(), Some(3));
        assert!(
            read(dir, "a sweep/a4r-7.log").contains(&format!("train {} threads=3", out.replace("out=", "resume=")))
        );
        assert_eq!(task(dir, "2").status().unwrap().code(), Some(1));
        assert!(!dir.join("scontrol.said").exists());
    }

    #[test]
    fn a_signal_stops_the_training_once_and_only_usr1_queues_it_again() {
        let engine = "#!/bin/bash\ntrap 'echo TERM >>terms; sleep 0.1; exit 1' TERM\necho $$ >ready\n\
                      while :; do sleep 0.02; done";
        let dir = stage(engine);
        let dir = dir.path();
        let signalled = |signal: &str| {
            let _ = fs::remove_file(dir.join("ready"));
            let mut child = task(dir, "0").spawn().unwrap();
            while !read(dir, "ready").ends_with('\n') {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            // As SLURM does, which sends USR1 to the shell and TERM to all of a job.
            let training = if signal == "TERM" { read(dir, "ready") } else { String::new() };
            let kill = format!("kill -{signal} {} {training}", child.id());
            assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
            assert_eq!(child.wait().unwrap().code(), Some(1));
        };
        signalled("USR1");
        assert_eq!(read(dir, "terms"), "TERM\n");
        assert_eq!(read(dir, "scontrol.said"), "requeue 8_0\n");
        signalled("TERM");
        assert_eq!(read(dir, "terms"), "TERM\nTERM\n");
        assert_eq!(read(dir, "scontrol.said"), "requeue 8_0\n");
        let journal = read(dir, "a sweep/d0-7.journal");
        let words: Vec<&str> = journal.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
        assert_eq!(words, ["begun", "stopped", "begun", "stopped"]);
    }
}
