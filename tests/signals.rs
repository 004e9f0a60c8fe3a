//! Signals need a process of their own: the test starts itself again as a child that waits to be asked to stop.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use descant::train::signal;

/// As a child: says when it is ready and when it was asked to stop, then lingers.
#[test]
#[ignore = "started by the test below"]
fn child() {
    let stop = signal::install().unwrap();
    signal::install().unwrap();
    assert!(!stop.load(Ordering::SeqCst));
    eprintln!("ready");
    while !stop.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(5));
    }
    eprintln!("saving");
    std::thread::sleep(Duration::from_secs(30));
}

#[test]
fn first_asks_second_leaves() {
    for signal in ["INT", "TERM"] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--ignored", "--nocapture"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let kill = format!("kill -{signal} {}", child.id());
        let send = || assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        assert!(lines.any(|line| line == "ready"));
        send();
        // The handler and the loop that sees its flag speak from two threads: either may be the first.
        let mut told = [false; 2];
        while told != [true; 2] {
            let line = lines.next().expect("both lines before the child ends");
            told[0] |= line.starts_with("stopping after this step and saving");
            told[1] |= line == "saving";
        }
        let began = Instant::now();
        send();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}
