//! What both ledgers allow: scenarios at the edges, and threads that race.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::count::stripe::Counter;
use crate::rate_limit::estimate::Estimate;
use crate::rate_limit::exact::Exact;
use crate::rate_limit::law::{Law, Ledger, Verdict};

pub fn law(rate: &str, burst: u32) -> Law {
    Law::new(rate.parse().expect("a rate"), burst).expect("a law")
}

pub fn exact(law: Law, start: Instant) -> Exact {
    Exact::new([law].into(), Exact::BUCKETS, evictions(), start)
}

pub fn evictions() -> Counter {
    Counter::new("evictions", "Evictions.").expect("a counter")
}

fn allowed(ledger: &dyn Ledger, key: u64, now: Instant) -> bool {
    ledger.take(key, 0, now).verdict == Verdict::Allowed
}

/// `count` requests at `at` milliseconds; how many pass where each is counted by itself, and where all are estimated.
type Step = (u64, u32, u32, u32);

/// name, rate, burst, steps.
const SCENARIOS: &[(&str, &str, u32, &[Step])] = &[
    ("a burst passes at once, and then nothing", "10/s", 20, &[(0, 25, 20, 20), (50, 5, 0, 0)]),
    ("tokens come back one by one", "10/s", 20, &[(0, 20, 20, 20), (99, 1, 0, 0), (101, 1, 1, 0), (102, 1, 0, 0)]),
    ("a burst at a window's end is not followed by one at the next one's begin", "10/s", 20, &[(1_990, 30, 20, 20), (2_010, 30, 0, 0)]),
    ("a burst at a window's begin is remembered to its end", "10/s", 20, &[(0, 30, 20, 20), (1_950, 30, 19, 0), (2_050, 30, 1, 0)]),
    ("after two spans of silence everything is back", "10/s", 20, &[(0, 30, 20, 20), (4_100, 30, 20, 20)]),
    ("what was not used is not saved", "10/s", 20, &[(60_000, 50, 20, 20), (120_000, 50, 20, 20)]),
    ("a clock that goes backwards gives nothing away", "10/s", 20, &[(5_000, 20, 20, 20), (1_000, 20, 0, 0), (5_000, 1, 0, 0)]),
    ("a clock that went backwards comes back", "10/s", 20, &[(5_000, 20, 20, 20), (0, 5, 0, 0), (9_100, 30, 20, 20)]),
    ("by the minute", "60/m", 60, &[(0, 100, 60, 60), (500, 1, 0, 0), (120_500, 100, 60, 60)]),
];

#[test]
fn every_scenario_admits_what_the_law_says() {
    for (name, rate, burst, steps) in SCENARIOS {
        let (law, start) = (law(rate, *burst), Instant::now());
        let (exact, estimate) = (exact(law, start), Estimate::new(&[law], start));
        for (at, count, by_exact, by_estimate) in *steps {
            let now = start + Duration::from_millis(*at);
            let passed = |ledger: &dyn Ledger| (0..*count).filter(|_| allowed(ledger, 7, now)).count() as u32;
            assert_eq!(passed(&exact), *by_exact, "exact: {name}, at {at} ms");
            assert_eq!(passed(&estimate), *by_estimate, "estimated: {name}, at {at} ms");
        }
    }
}

#[test]
fn no_span_of_time_holds_more_than_the_law_allows() {
    let (law, start) = (law("50/s", 75), Instant::now());
    let ledgers: [Box<dyn Ledger>; 2] = [Box::new(exact(law, start)), Box::new(Estimate::new(&[law], start))];
    for ledger in ledgers {
        // Irregular arrivals, far more than may pass.
        let mut passed: Vec<u64> = Vec::new();
        let mut at = 0;
        for number in 0_u64..60_000 {
            at += (number * 7919 % 13) * u64::from(number % 997 != 0) + u64::from(number % 997 == 0) * 1_700;
            if allowed(&*ledger, 7, start + Duration::from_millis(at)) {
                passed.push(at);
            }
        }
        assert!(passed.len() > 5_000);
        for (first, from) in passed.iter().enumerate() {
            for (last, to) in passed.iter().enumerate().skip(first).step_by(17) {
                let most = 75.0 + 50.0 * (to - from) as f64 / 1000.0;
                assert!((last - first + 1) as f64 <= most + 1e-9, "{} in {} ms", last - first + 1, to - from);
            }
        }
    }
}

#[test]
fn a_refused_client_that_waits_as_it_is_told_passes() {
    for (rate, burst) in [("10/s", 20), ("3/s", 3), ("7/s", 100), ("1/s", 1), ("90/m", 200), ("1000/s", 1000)] {
        let (law, start) = (law(rate, burst), Instant::now());
        let ledgers: [Box<dyn Ledger>; 2] = [Box::new(exact(law, start)), Box::new(Estimate::new(&[law], start))];
        for ledger in ledgers {
            let mut now = start;
            for round in 0..20_u64 {
                now += Duration::from_millis(round * 173 % 411);
                let refused = loop {
                    let ruling = ledger.take(7, 0, now);
                    if ruling.verdict != Verdict::Allowed {
                        break ruling;
                    }
                };
                assert_eq!(refused, ledger.peek(7, 0, now), "to look takes nothing");
                now += Duration::from_secs(refused.retry_after());
                assert!(allowed(&*ledger, 7, now), "{rate}, burst {burst}, round {round}: {}", refused.retry_after());
            }
        }
    }
}

#[test]
fn remaining_is_what_then_passes() {
    let (law, start) = (law("10/s", 20), Instant::now());
    let ledgers: [Box<dyn Ledger>; 2] = [Box::new(exact(law, start)), Box::new(Estimate::new(&[law], start))];
    for ledger in ledgers {
        for (at, count) in [(0, 5), (700, 3), (2_400, 4), (3_900, 1)] {
            let now = start + Duration::from_millis(at);
            let left = (0..count).map(|_| ledger.take(7, 0, now).remaining).last().expect("some");
            assert_eq!(ledger.peek(7, 0, now).remaining, left);
            let passed = (0..100).filter(|_| allowed(&*ledger, 7, now)).count() as u32;
            assert_eq!(passed, left, "at {at}");
        }
    }
}

#[test]
fn a_hundred_threads_on_one_key_get_what_the_law_allows_and_no_more() {
    let law = law("20000/s", 20_000);
    let start = Instant::now();
    let ledgers: [Box<dyn Ledger>; 2] = [Box::new(exact(law, start)), Box::new(Estimate::new(&[law], start))];
    for (ledger, least) in ledgers.iter().zip([0.99, 0.99]) {
        let passed = AtomicU64::new(0);
        // The time is made, not waited for: all threads draw the next instant from one counter, 4 µs apart, for three seconds. They meet every
        // 10 ms of it: no clock falls as far behind another as one of a thread does that the machine leaves waiting.
        let drawn = AtomicU64::new(0);
        let meeting = std::sync::Barrier::new(100);
        std::thread::scope(|scope| {
            for _ in 0..100 {
                scope.spawn(|| {
                    for round in 0..300_u64 {
                        loop {
                            let micros = drawn.fetch_add(4, Ordering::Relaxed);
                            if micros >= (round + 1) * 10_000 {
                                break;
                            }
                            if allowed(&**ledger, 7, start + Duration::from_micros(micros)) {
                                passed.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        if meeting.wait().is_leader() {
                            drawn.store((round + 1) * 10_000, Ordering::Relaxed);
                        }
                        meeting.wait();
                    }
                });
            }
        });
        let (passed, most) = (passed.into_inner() as f64, 20_000.0 + 3.0 * 20_000.0);
        assert!(passed <= most, "{passed} passed, {most} may");
        // An estimate gives the first burst back only once its window has passed.
        let due = if std::ptr::eq(&**ledger, &*ledgers[0]) { most } else { most - 20_000.0 };
        assert!(passed >= least * due, "{passed} passed, {due} are due");
    }
}

#[test]
fn a_law_that_lasts_too_long_is_none() {
    assert!(Law::new("1/h".parse().expect("a rate"), 366 * 24).is_some());
    assert!(Law::new("1/h".parse().expect("a rate"), 366 * 24 + 1).is_none());
    assert!(Law::new("1/h".parse().expect("a rate"), u32::MAX).is_none());
    assert!(Law::new("4294967295/s".parse().expect("a rate"), u32::MAX).is_some());
}
