//! Many keys in bounded memory: nobody's limit is reset, and nobody pays for others without need.

use std::time::{Duration, Instant};

use super::law::{evictions, exact, law};
use crate::rate_limit::estimate::Estimate;
use crate::rate_limit::exact::Exact;
use crate::rate_limit::in_flight::InFlight;
use crate::rate_limit::law::{Ledger, Verdict};

/// Keys as the secret hash makes them: spread over all bits.
fn spread(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^= mixed >> 31;
    mixed = mixed.wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 29
}

#[test]
fn a_flood_of_a_million_addresses_resets_nobodys_limit() {
    let (law, start) = (law("10/m", 10), Instant::now());
    let ledgers: [Box<dyn Ledger>; 2] = [Box::new(exact(law, start)), Box::new(Estimate::new(&[law], start))];
    for ledger in ledgers {
        let spent = |now| (0..20).filter(|_| ledger.take(spread(0), 0, now).verdict == Verdict::Allowed).count();
        assert_eq!(spent(start), 10);

        // Within four seconds, less than it takes one request to come back.
        for number in 1..1_000_000 {
            let now = start + Duration::from_micros(number * 4);
            ledger.take(spread(number), 0, now);
        }

        assert_eq!(spent(start + Duration::from_secs(5)), 0);
    }
}

#[test]
fn idle_keys_make_room_and_lose_nothing() {
    let (law, start, evicted) = (law("100/s", 100), Instant::now(), evictions());
    let ledger = Exact::new([law].into(), 1 << 6, evicted.clone(), start);

    // Fifty keys live at any moment, fifty thousand in all.
    for number in 0..50_000 {
        let now = start + Duration::from_micros(number * 200);
        assert_eq!(ledger.take(spread(number), 0, now).verdict, Verdict::Allowed, "{number}");
    }

    assert!(evicted.get() > 49_000, "{} evictions", evicted.get());
}

#[test]
fn keys_that_find_no_room_share_one_account_and_take_its_debt_along() {
    let (law, start, evicted) = (law("1/s", 5), Instant::now(), evictions());
    let ledger = Exact::new([law].into(), 2, evicted.clone(), start);
    let take = |number, now| ledger.take(spread(number), 0, now).verdict;

    // Two places of seven are full of keys in debt; then a thousand more knock.
    let passed = (0..1_000).filter(|number| take(*number, start) == Verdict::Allowed).count();
    assert_eq!(passed, 2 * 7 + 2 * 5);
    assert_eq!(take(5_000, start), Verdict::Crowded);
    assert_eq!(evicted.get(), 0);

    // After a second the first keys can go, and who comes in owes what the shared account does: one of five is back.
    let later = start + Duration::from_millis(1_001);
    let passed = (10_000..10_014).filter(|number| take(*number, later) == Verdict::Allowed).count();
    assert!(passed >= 2, "{passed}");
    assert_eq!(take(10_000, later), Verdict::Limited);

    // And later still everybody has a place of his own again.
    let rest = start + Duration::from_secs(60);
    assert_eq!((20_000..20_005).filter(|number| take(*number, rest) == Verdict::Allowed).count(), 5);
}

#[test]
fn fifty_thousand_clients_cost_a_new_one_next_to_nothing() {
    let (law, start) = (law("100/s", 100), Instant::now());
    let ledger = Estimate::new(&[law], start);
    for number in 0..50_000 {
        ledger.take(spread(number), 0, start + Duration::from_micros(number * 10));
    }

    let now = start + Duration::from_millis(600);
    let read: u32 = (0..1_000).map(|number| 100 - ledger.peek(spread(1_000_000 + number), 0, now).remaining).sum();

    assert!(read < 500, "a new client reads {} requests of others", f64::from(read) / 1000.0);
}

#[test]
fn places_in_flight_are_counted_by_key_and_forgotten_when_none_is_left() {
    let in_flight = InFlight::new(2);
    assert!(in_flight.enter(7) && in_flight.enter(7));
    assert!(!in_flight.enter(7));
    assert!(in_flight.enter(7 + 64), "another key has its own");

    in_flight.leave(7);

    assert!(in_flight.enter(7) && !in_flight.enter(7));
    in_flight.leave(7);
    in_flight.leave(7);
    assert_eq!(in_flight.count(7), 0);
}
