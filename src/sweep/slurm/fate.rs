//! How a job's cell fares, from what the queue, accounting and the cell's journal say of it.

use super::ask::{Account, Queued};
use super::journal::Entry;
use crate::sweep::state::State;

/// What the queue knows of a job.
#[derive(Debug, Clone, Copy)]
pub enum Queue<'a> {
    /// It could not be asked.
    Silent,
    /// Nothing, any more.
    Gone,
    /// This.
    Has(&'a Queued),
}

/// Kinds of SLURM's states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Waits,
    Runs,
    /// Ended by something that is not its own fault, or that a second job could outlive.
    Interrupted,
    Broken,
}

fn kind(state: &str) -> Kind {
    match state {
        "PENDING" | "CONFIGURING" | "REQUEUED" | "REQUEUE_FED" | "REQUEUE_HOLD" | "SPECIAL_EXIT" | "RESV_DEL_HOLD" => {
            Kind::Waits
        }
        "RUNNING" | "SUSPENDED" | "STOPPED" | "COMPLETING" | "RESIZING" | "SIGNALING" | "STAGE_OUT" => Kind::Runs,
        "CANCELLED" | "TIMEOUT" | "PREEMPTED" | "NODE_FAIL" | "BOOT_FAIL" | "REVOKED" => Kind::Interrupted,
        // COMPLETED too, because the journal of a job that trained to the end says so.
        _ => Kind::Broken,
    }
}

/// A cell's state, and why it failed or stopped or what it waits for. `entry` is what its job wrote last; `exit` puts in words that the
/// training ended with a code, `broken` that the job ended otherwise.
///
/// The journal tells how a training ended, the queue whether the job comes back, accounting how a job ended that could not write.
pub fn fate(
    queue: Queue,
    account: Option<&Account>,
    entry: Option<Entry>,
    exit: impl Fn(i32) -> String,
    broken: impl Fn(&str) -> String,
) -> (State, Option<String>) {
    if entry == Some(Entry::Ended(0)) {
        return (State::Done, None);
    }
    let alive = match queue {
        Queue::Has(job) => Some(kind(&job.state)).filter(|kind| matches!(kind, Kind::Waits | Kind::Runs)),
        Queue::Gone | Queue::Silent => None,
    };
    match (alive, queue, entry) {
        (Some(Kind::Waits), Queue::Has(job), _) => {
            let state = if entry.is_some() { State::Requeued } else { State::Queued };
            return (state, Some(job.reason.clone()).filter(|reason| !reason.is_empty() && reason != "None"));
        }
        (Some(_), _, None | Some(Entry::Begun)) => return (State::Running, None),
        (Some(_), _, Some(Entry::Stopped)) => return (State::Requeued, None),
        _ => {}
    }
    let word = match (queue, account) {
        (_, Some(account)) if !matches!(kind(&account.state), Kind::Waits | Kind::Runs) => Some(&account.state),
        (Queue::Has(job), _) => Some(&job.state),
        (_, account) => account.map(|account| &account.state),
    };
    match (entry, queue, word.map(|word| (kind(word), word.as_str()))) {
        (Some(Entry::Ended(_)), _, Some((_, "OUT_OF_MEMORY"))) => (State::Failed, Some(broken("OUT_OF_MEMORY"))),
        (Some(Entry::Ended(code)), ..) => (State::Failed, Some(exit(code))),
        (_, _, Some((Kind::Interrupted, word))) => (State::Stopped, Some(spoken(word))),
        (Some(Entry::Stopped), Queue::Gone | Queue::Has(_), _) => (State::Stopped, None),
        (Some(Entry::Begun) | None, _, Some((Kind::Broken, word))) => (State::Failed, Some(broken(word))),
        (_, Queue::Gone | Queue::Has(_), _) => (State::Stopped, Some("SLURM has its job no more".into())),
        (Some(Entry::Stopped), Queue::Silent, _) => (State::Requeued, None),
        (None, Queue::Silent, Some((Kind::Waits, _)) | None) => (State::Queued, None),
        (_, Queue::Silent, _) => (State::Running, None),
    }
}

/// `OUT_OF_MEMORY` as "out of memory".
pub fn spoken(word: &str) -> String {
    word.to_lowercase().replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(queue: &str, account: &str, entry: Option<Entry>) -> (State, String) {
        let job = Queued { state: queue.into(), reason: if queue == "PENDING" { "Priority" } else { "None" }.into() };
        let queue = match queue {
            "silent" => Queue::Silent,
            "gone" => Queue::Gone,
            _ => Queue::Has(&job),
        };
        let account = Some(Account { state: account.into(), ..Account::default() }).filter(|a| !a.state.is_empty());
        let (state, reason) =
            fate(queue, account.as_ref(), entry, |code| format!("exit code {code}"), |word| format!("broken: {word}"));
        (state, reason.unwrap_or_default())
    }

    #[test]
    fn queue_accounting_and_journal_together_tell_the_state() {
        use Entry::{Begun, Ended, Stopped};
        for (queue, account, entry, state, reason) in [
            // Before, while and after a job runs.
            ("PENDING", "", None, State::Queued, "Priority"),
            ("RUNNING", "RUNNING", None, State::Running, ""),
            ("RUNNING", "RUNNING", Some(Begun), State::Running, ""),
            ("COMPLETING", "RUNNING", Some(Ended(0)), State::Done, ""),
            ("COMPLETED", "", Some(Ended(0)), State::Done, ""),
            ("gone", "COMPLETED", Some(Ended(0)), State::Done, ""),
            ("silent", "", Some(Ended(0)), State::Done, ""),
            // Its training failed.
            ("COMPLETING", "RUNNING", Some(Ended(3)), State::Failed, "exit code 3"),
            ("gone", "FAILED", Some(Ended(3)), State::Failed, "exit code 3"),
            ("gone", "OUT_OF_MEMORY", Some(Ended(137)), State::Failed, "broken: OUT_OF_MEMORY"),
            // Saved, and back in the queue.
            ("COMPLETING", "RUNNING", Some(Stopped), State::Requeued, ""),
            ("PENDING", "REQUEUED", Some(Stopped), State::Requeued, "Priority"),
            ("RUNNING", "REQUEUED", Some(Begun), State::Running, ""),
            // Queued again by an administrator.
            ("PENDING", "REQUEUED", Some(Ended(3)), State::Requeued, "Priority"),
            // Ended by someone or something else.
            ("CANCELLED", "", None, State::Stopped, "cancelled"),
            ("gone", "CANCELLED", Some(Stopped), State::Stopped, "cancelled"),
            ("gone", "", Some(Stopped), State::Stopped, ""),
            ("gone", "TIMEOUT", Some(Begun), State::Stopped, "timeout"),
            ("gone", "NODE_FAIL", Some(Begun), State::Stopped, "node fail"),
            ("gone", "OUT_OF_MEMORY", Some(Begun), State::Failed, "broken: OUT_OF_MEMORY"),
            ("FAILED", "RUNNING", None, State::Failed, "broken: FAILED"),
            // Without accounting, and without a queue to ask.
            ("gone", "", Some(Begun), State::Stopped, "SLURM has its job no more"),
            ("gone", "RUNNING", Some(Begun), State::Stopped, "SLURM has its job no more"),
            ("silent", "", None, State::Queued, ""),
            ("silent", "", Some(Begun), State::Running, ""),
            ("silent", "", Some(Stopped), State::Requeued, ""),
            ("silent", "RUNNING", None, State::Running, ""),
            ("silent", "PENDING", None, State::Queued, ""),
        ] {
            let (got, why) = told(queue, account, entry);
            assert_eq!((got, why.as_str()), (state, reason), "{queue} {account} {entry:?}");
        }
    }
}
