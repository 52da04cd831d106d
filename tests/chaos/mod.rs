//! An upstream whose endpoints all fail alike, one fault after another, under an open-loop load of 500 requests a second.
//!
//! **What is counted.** Every request sent while a fault is in force has one of these ends:
//!
//! - *served*: a whole 2xx of the upstream itself, of the right content;
//! - *stood in*: a whole 2xx of a fallback, of the right content, marked `X-BFF-Fallback`;
//! - *cut*: a 2xx head of the upstream came, and then the connection closed before the end that `Content-Length` or the last chunk names;
//! - *lost*: anything else: an error status, no answer within five seconds, a broken fallback, no connection.
//!
//! A request whose failure came before the first response byte either was stood in for or is lost; one that a retry saved cannot be told
//! from a served one, and leaving those out makes the claim harder. So the claim reads: lost / (stood in + lost) is at most 0.008 %. Cut
//! ones are bounded apart: up to the circuit's opening, by `consecutive` plus the most that were in flight at once.
//!
//! Normal service is back when the upstream itself answers, and it stays back. How long that takes, from the end of the fault to the
//! sending of the last request that was not served, is said; it is bounded in a long run, which has the machine to itself.
//!
//! A fault lasts 2.5 s, and until the gateway has noticed it; with `FRONTGATE_CHAOS_SECONDS` that many, and with `FRONTGATE_LONG=1` thirty
//! minutes are shared by all of them.

pub mod faulty;
mod load;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::watch;

use crate::harness::{Process, until, yaml};
use faulty::{FAULTS, Fault, Faulty};
use load::{End, Load, RATE, Record, STAND_IN};

const CONSECUTIVE: usize = 5;
/// Within which normal service is back, in a long run.
const BACK: Duration = Duration::from_millis(2300);
/// How long recovery is watched in a long run.
const CALM: Duration = Duration::from_millis(2800);
/// Normal service is back when the upstream itself answered this many requests in a row.
const IN_A_ROW: usize = 250;

/// `upstream` and `breaker` are further keys of the upstream and of its breaker.
fn configuration(endpoints: &str, upstream: &str, breaker: &str) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
          admin: 127.0.0.1:0
        upstreams:
          main:
            endpoints: [$ENDPOINTS]
            $UPSTREAM
        filters:
          guard:
            circuit_breaker:
              consecutive: $CONSECUTIVE
              fallback: [{cached: {max_age: 1h}}, {respond: {json: $STAND_IN}}]
              $BREAKER
        routes:
          - {name: all, path: /**, upstream: main, filters: [guard]}
        ",
        &[
            ("$ENDPOINTS", &endpoints),
            ("$UPSTREAM", &upstream),
            ("$CONSECUTIVE", &CONSECUTIVE),
            ("$STAND_IN", &STAND_IN),
            ("$BREAKER", &breaker),
        ],
    )
}

fn first_byte(process: &Process) -> u64 {
    process.ask("GET", "/healthz?full=1").json()["upstreams"]["main"]["first_byte_ms"].as_u64().unwrap()
}

fn metric(process: &Process, series: &str) -> u64 {
    let text = process.ask("GET", "/metrics").text();
    text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse::<f64>().ok()).unwrap_or(0.0) as u64
}

fn is_long() -> bool {
    std::env::var_os("FRONTGATE_LONG").is_some()
}

fn fault_length() -> Duration {
    let seconds = std::env::var("FRONTGATE_CHAOS_SECONDS").ok().map(|text| text.parse().expect("FRONTGATE_CHAOS_SECONDS is a number"));
    let long = is_long().then(|| 1800.0 / FAULTS.len() as f64 - CALM.as_secs_f64());
    Duration::from_secs_f64(seconds.or(long).unwrap_or(2.5))
}

/// Whether the last requests, in the order in which they were sent, were all served.
fn is_back(after: &[Record]) -> bool {
    after.len() >= IN_A_ROW && after.iter().rev().take(IN_A_ROW).all(|record| record.end == End::Served)
}

#[test]
fn every_fault_is_answered_for_and_passes() {
    let faulty = Faulty::start();
    let upstream = "
health: {path: /healthz, interval: 500ms, timeout: 400ms, unhealthy_after: 2, healthy_after: 1}
timeouts: {connect: 200ms, first_byte: {adaptive: {min: 100ms, max: 1s}}, between_bytes: 500ms, total: 1500ms}
retry: {attempts: 2, when: [connect_failure, timeout, 503], budget: 20%}";
    let breaker = "
window: 5s
open_for: 500ms
max_open_for: 1s";
    let process = Process::start("chaos", &configuration(&faulty.list(), upstream, breaker));
    let load = Load::new(process.address);
    let (stop, stopped) = watch::channel(false);
    let clients = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    clients.spawn(load.clone().run(stopped));
    until("every item to be kept and the timeout to follow", || {
        load.records.lock().unwrap().len() > 3 * RATE as usize / 2 && first_byte(&process) < 1000
    });

    for fault in FAULTS {
        let timeout = first_byte(&process);
        faulty.late.store(timeout + 200, Ordering::Relaxed);
        let opened = "frontgate_circuit_transitions_total{filter=\"guard\",to=\"open\",upstream=\"main\"}";
        let openings = metric(&process, opened);
        let from = load.began.elapsed();
        faulty.set(fault);
        std::thread::sleep(fault_length());
        until("the fault to be noticed", || {
            let during = load.sent(from, Duration::MAX);
            count(&during, |end| matches!(end, End::StoodIn { .. })) > 0 && (!fault.cuts() || opening(&during).is_some())
        });
        let to = load.began.elapsed();
        faulty.set(Fault::None);
        until("normal service to be back", || is_back(&load.sent(to, Duration::MAX)));
        if is_long() {
            std::thread::sleep(CALM.saturating_sub(load.began.elapsed() - to));
        }
        let calm = load.began.elapsed();
        until("what was sent under the fault to end", || load.in_flight.load(Ordering::SeqCst) < 50);
        let openings = metric(&process, opened) - openings;

        let (during, after) = (load.sent(from, to), load.sent(to, calm));
        report(fault, &during, &after, to, openings, timeout);
        judge(fault, &during, openings);
        assert!(!after.iter().any(|record| matches!(record.end, End::Mistaken | End::Lost(_))), "{fault:?}: {after:?}");
        if is_long() {
            let failing = after.iter().filter(|record| record.end != End::Served && record.sent >= to + BACK).collect::<Vec<_>>();
            assert!(failing.is_empty(), "{fault:?}: after {BACK:?} of health still {failing:?}");
            assert!(after.iter().any(|record| record.sent >= to + BACK), "{fault:?}: nothing was sent in the end");
        }
        load.records.lock().unwrap().retain(|record| record.sent >= calm);
    }
    stop.send_replace(true);
    drop(faulty.runtime);
}

fn count(records: &[Record], is: impl Fn(&End) -> bool) -> usize {
    records.iter().filter(|record| is(&record.end)).count()
}

/// The first opening, as clients see it: the end of the first answer that an open circuit gave.
fn opening(during: &[Record]) -> Option<Duration> {
    during.iter().filter(|record| record.end == End::StoodIn { open: true }).map(|record| record.ended).min()
}

/// Those cut before the first opening, and the most in flight until then.
fn cut_before_opening(during: &[Record]) -> (usize, usize) {
    let open = opening(during).unwrap_or(Duration::MAX);
    let before: Vec<Record> = during.iter().filter(|record| record.sent < open).cloned().collect();
    (count(&before, |end| *end == End::Cut), before.iter().map(|record| record.beside).max().unwrap_or(0))
}

fn report(fault: Fault, during: &[Record], after: &[Record], to: Duration, openings: u64, timeout: u64) {
    let back =
        after.iter().filter(|record| record.end != End::Served).map(|record| record.sent).max().map_or(Duration::ZERO, |last| last - to);
    let (early, beside) = cut_before_opening(during);
    eprintln!(
        "{fault:?}: {} sent, {} served, {} stood in, {} lost, {} cut ({early} before the circuit opened, at most {beside} in flight), {openings} openings, back after {back:?}, first_byte was {timeout} ms",
        during.len(),
        count(during, |end| *end == End::Served),
        count(during, |end| matches!(end, End::StoodIn { .. })),
        count(during, |end| matches!(end, End::Lost(_))),
        count(during, |end| *end == End::Cut),
    );
    for record in during.iter().filter(|record| matches!(record.end, End::Lost(_))) {
        eprintln!("  {record:?}");
    }
}

fn judge(fault: Fault, during: &[Record], openings: u64) {
    let lost: Vec<&Record> = during.iter().filter(|record| matches!(record.end, End::Lost(_))).collect();
    let stood_in = count(during, |end| matches!(end, End::StoodIn { .. }));
    assert!(stood_in > 0, "{fault:?}: nobody noticed the fault");
    assert!(lost.len() as f64 <= 0.00008 * (stood_in + lost.len()) as f64, "{fault:?}: {lost:?}");
    assert_eq!(count(during, |end| *end == End::Mistaken), 0, "{fault:?}: a cut body was taken for a whole one");
    let cut = count(during, |end| *end == End::Cut);
    if !fault.cuts() {
        assert_eq!(cut, 0, "{fault:?}");
        return;
    }
    assert!(openings > 0 && opening(during).is_some(), "{fault:?}: the circuit never opened");
    let (early, beside) = cut_before_opening(during);
    assert!(cut > 0 && early <= CONSECUTIVE + beside, "{fault:?}: {early} cut with at most {beside} in flight");
}

#[test]
fn a_hundred_faults_leave_nothing_behind() {
    let faulty = Faulty::start();
    let upstream = "
health: {path: /healthz, interval: 500ms, timeout: 100ms, unhealthy_after: 2, healthy_after: 1}
timeouts: {connect: 100ms, first_byte: 100ms, between_bytes: 100ms, total: 200ms, idle: 300ms}
retry: {attempts: 2, when: [connect_failure, timeout, 503], budget: 20%}";
    let breaker = "
open_for: 20ms
max_open_for: 40ms";
    let process = Process::start("leaks", &configuration(&faulty.list(), upstream, breaker));
    let clients = Builder::new_current_thread().enable_all().build().unwrap();
    // Retries save most of what every other answer fails.
    let opening: Vec<Fault> = FAULTS.into_iter().filter(|fault| *fault != Fault::Half).collect();
    let cycles = |from: usize, to: usize| {
        faulty.late.store(150, Ordering::Relaxed);
        for cycle in from..to {
            let load = Load::new(process.address);
            let fault = opening[cycle % opening.len()];
            faulty.set(fault);
            clients.block_on(rounds(&load, &format!("{fault:?} to open the circuit"), |end| *end == End::StoodIn { open: true }));
            faulty.set(Fault::None);
            clients.block_on(rounds(&load, &format!("the end of {fault:?}"), |end| *end == End::Served));
        }
        until("nothing to be in flight", || is_quiet(&process));
    };
    // Kept answers tell an open circuit from a failed try.
    clients.block_on(rounds(&Load::new(process.address), "every item to be kept", |end| *end == End::Served));
    cycles(0, 21);
    let mut descriptors = usize::MAX;
    until("idle connections to be let go", || {
        let before = std::mem::replace(&mut descriptors, process.descriptors());
        std::thread::sleep(Duration::from_millis(400));
        before == descriptors
    });
    let memory = process.memory();

    cycles(21, 121);

    until("every connection to be let go", || process.descriptors() <= descriptors);
    let grown = process.memory().saturating_sub(memory);
    eprintln!("{descriptors} descriptors, {memory} KiB, and {grown} KiB more after a hundred faults");
    assert!(grown < 8 * 1024, "{memory} KiB have grown by {grown} KiB");
}

/// Eight requests at once, again and again, until one ends this way and, where it is to be served, all do.
async fn rounds(load: &Arc<Load>, what: &str, is: impl Fn(&End) -> bool) {
    for _ in 0..400 {
        load.records.lock().unwrap().clear();
        let one: Vec<_> = (0..8).map(|number| tokio::spawn(load.clone().one(number))).collect();
        for one in one {
            one.await.unwrap();
        }
        let records = load.records.lock().unwrap().clone();
        assert_eq!(count(&records, |end| matches!(end, End::Mistaken | End::Lost(_))), 0, "{what}: {records:?}");
        let wanted = count(&records, &is);
        if wanted == records.len() || wanted > 0 && !is(&End::Served) {
            return;
        }
    }
    panic!("{what} did not come about");
}

/// Whether every permit, place and count is given back.
fn is_quiet(process: &Process) -> bool {
    let full = process.ask("GET", "/healthz?full=1").json();
    let (circuit, upstream) = (&full["circuits"][0], &full["upstreams"]["main"]);
    let endpoints = upstream["endpoints"].as_array().unwrap();
    circuit["state"] == "closed"
        && circuit["probes"] == 0
        && upstream["in_flight"] == 0
        && upstream["retrying"] == 0
        && endpoints.iter().all(|endpoint| endpoint["in_flight"] == 0 && endpoint["state"] == "healthy")
}
