//! The source of the circuit breaker's state machine over atomics that another scheduler owns: it tries thousands of orders in which
//! threads may run.
//!
//! Its own binary, because shuttle speaks up at every panic of its process, whoever's it is.

#![allow(dead_code, unused_imports, reason = "the state machine has more to it than is used here")]

use std::sync::Arc;

use shuttle::thread;

use self::gate::*;

mod sync {
    pub use shuttle::sync::atomic::{AtomicU32, AtomicU64, Ordering};
}
mod pseudonym {
    pub use frontgate_filters::filter::pseudonym::Part;
}
#[path = "../src/filter/inspect.rs"]
pub mod inspect;
mod filter {
    pub use super::inspect;
}
#[path = "../src/circuit_breaker/gate/mod.rs"]
mod gate;
#[path = "../src/circuit_breaker/window.rs"]
mod window;

const ORDERS: usize = 2_000;
const BAD: Finding = Finding::Failure { slow: false, retry_after: None };
const FINE: Finding = Finding::Success { slow: false };

fn gate() -> Gate {
    Gate::new(rules())
}

fn rules() -> Rules {
    Rules {
        window: 10_000,
        min_requests: 2,
        failure_ratio: 0.5,
        consecutive: None,
        slow_ratio: None,
        open_for: 1_000,
        max_open_for: 60_000,
        probes: 1,
        successes: 2,
    }
}

/// Runs the test in many orders of its threads, each with three changes of priority at random places.
fn in_every_order(test: impl Fn() + Send + Sync + 'static) {
    shuttle::check_pct(test, ORDERS, 3);
}

/// Asks once; says how many of the changes of state were this request's, and whether it passed.
fn ask(gate: &Gate, finding: Finding, now: u64) -> (Vec<Change>, bool) {
    let (admission, change) = gate.admit(now);
    let mut changes: Vec<_> = change.into_iter().collect();
    let Admission::Pass(mut ticket) = admission else { return (changes, false) };
    assert!(!ticket.probe || gate.view(now).probes <= 1, "more probes than are allowed");
    changes.extend(gate.report(&mut ticket, finding, now, || 0.0));
    gate.release(&mut ticket);
    (changes, true)
}

fn together(gate: &Arc<Gate>, threads: usize, work: impl Fn(&Gate, usize) -> Vec<Change> + Copy + Send + 'static) -> Vec<Change> {
    let threads: Vec<_> = (0..threads)
        .map(|number| {
            let gate = gate.clone();
            thread::spawn(move || work(&gate, number))
        })
        .collect();
    threads.into_iter().flat_map(|thread| thread.join().expect("no thread panics")).collect()
}

#[test]
fn of_many_failures_at_once_one_opens_and_none_is_lost() {
    in_every_order(|| {
        let gate = Arc::new(gate());

        let changes = together(&gate, 3, |gate, _| ask(gate, BAD, 0).0);

        assert_eq!(changes.len(), 1, "{changes:?}");
        assert_eq!(gate.view(0).state, State::Open);
        assert!(gate.view(0).counts.requests >= 2);
        assert_eq!(gate.view(0).left, Some(1_000));
    });
}

#[test]
fn probes_at_once_are_never_more_than_allowed_and_all_come_back() {
    in_every_order(|| {
        let gate = Arc::new(gate());
        (0..2).for_each(|_| drop(ask(&gate, BAD, 0)));

        let changes = together(&gate, 3, |gate, number| ask(gate, if number == 0 { BAD } else { FINE }, 1_000).0);

        assert_eq!(gate.view(1_000).probes, 0);
        assert_eq!(changes.first().map(|_| ()), Some(()), "somebody began the probation");
        // Whatever they decided, a healthy upstream is taken back.
        for now in [60_000, 60_000, 120_000, 120_000] {
            ask(&gate, FINE, now);
        }
        assert_eq!(gate.view(120_000).state, State::Closed);
    });
}

#[test]
fn successes_at_once_close_it_once_and_leave_an_empty_window() {
    in_every_order(|| {
        let gate = Arc::new(gate());
        (0..2).for_each(|_| drop(ask(&gate, BAD, 0)));
        ask(&gate, FINE, 1_000);

        let changes = together(&gate, 2, |gate, _| ask(gate, FINE, 1_000).0);

        assert_eq!(changes.iter().filter(|change| change.to == State::Closed).count(), 1, "{changes:?}");
        assert_eq!(gate.view(1_000).counts.failures, 0);
    });
}

/// A gate on probation at 1,000 with `N` probes under way.
fn probing<const N: usize>() -> (Arc<Gate>, [Ticket; N]) {
    let gate = Arc::new(Gate::new(Rules { probes: N as u32, ..rules() }));
    (0..2).for_each(|_| drop(ask(&gate, BAD, 0)));
    let probes = std::array::from_fn(|_| match gate.admit(1_000).0 {
        Admission::Pass(ticket) => ticket,
        Admission::Refuse { .. } => panic!("it is time to probe"),
    });
    (gate, probes)
}

#[test]
fn the_place_of_a_probe_that_failed_is_nobodys() {
    in_every_order(|| {
        let (gate, [mut probe]) = probing();
        let other = gate.clone();
        let other = thread::spawn(move || ask(&other, FINE, 1_000).1);

        gate.report(&mut probe, BAD, 1_000, || 0.0);
        gate.release(&mut probe);

        assert!(!other.join().expect("no thread panics"), "a probe passed an open circuit");
        assert_eq!(gate.view(1_000).probes, 0);
    });
}

#[test]
fn a_success_beside_a_failure_does_not_close_it() {
    in_every_order(|| {
        let (gate, [mut bad, mut fine]) = probing();
        let other = gate.clone();
        let other = thread::spawn(move || other.report(&mut fine, FINE, 1_000, || 0.0));

        gate.report(&mut bad, BAD, 1_000, || 0.0);

        assert_eq!(other.join().expect("no thread panics"), None);
        assert_eq!(gate.view(1_000).state, State::Open);
    });
}

#[test]
fn a_bucket_loses_no_count_when_its_time_begins() {
    in_every_order(|| {
        let window = Arc::new(window::Window::new(10_000));
        window.record(0, true, false);
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let window = window.clone();
                thread::spawn(move || window.record(10_000, true, false))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));

        assert_eq!(window.counts(10_000).requests, 3);
    });
}

#[test]
fn an_operator_wins_over_whatever_runs() {
    in_every_order(|| {
        let gate = Arc::new(gate());

        together(&gate, 3, |gate, number| match number {
            0 => gate.force(Some(Forced::Open)).into_iter().collect(),
            _ => ask(gate, BAD, 0).0,
        });

        assert_eq!(gate.view(0).forced, Some(Forced::Open));
        assert!(!ask(&gate, FINE, 100_000).1);
    });
}
