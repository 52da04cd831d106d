//! Pools without sockets: ejection, slow start, and endpoints that come and go.

mod by_hand;
mod names;
mod parts;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64};

use serde_json::json;

use super::by_hand::Obeyed;
use super::*;
use crate::telemetry::EndpointState;

fn config(json: serde_json::Value) -> Upstream {
    serde_json::from_value(json).expect("an upstream")
}

fn found(json: serde_json::Value) -> Vec<Found> {
    Found::written(&config(json).endpoints)
}

fn addresses(numbers: impl IntoIterator<Item = u16>) -> Vec<String> {
    numbers.into_iter().map(|number| SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 80)).to_string()).collect()
}

fn pool(json: serde_json::Value) -> Arc<Pool> {
    Arc::new(Pool::new("shop", &config(json), None, &Metrics::new(), None))
}

/// Chooses so often, and says how often each endpoint was chosen, in the pool's order.
fn chosen(pool: &Arc<Pool>, times: usize, now: Instant) -> Vec<usize> {
    let members = pool.members.load_full();
    let mut counts = vec![0; members.endpoints.len()];
    for _ in 0..times {
        let pick = pool.choose(None, None, &[], now).expect("an endpoint");
        counts[members.endpoints.iter().position(|endpoint| endpoint.id() == pick.endpoint().id()).expect("a member")] += 1;
    }
    counts
}

fn fail(pool: &Arc<Pool>, index: usize, times: usize, now: Instant) {
    let endpoint = pool.members.load().endpoints[index].clone();
    (0..times).for_each(|_| pool.judge(&endpoint, Err(Cause::Status(503)), now));
}

fn after(now: Instant, seconds: u64) -> Instant {
    now + Duration::from_secs(seconds)
}

#[test]
fn an_endpoint_that_fails_so_often_in_a_row_gets_no_requests_for_a_while() {
    let pool = pool(json!({"endpoints": addresses(0..4), "outlier": {"consecutive": 3, "eject_for": "10s", "max_ejected": "50%"}}));
    let now = Instant::now();

    fail(&pool, 0, 2, now);
    let one = pool.members.load().endpoints[0].clone();
    pool.judge(&one, Ok(()), now);
    fail(&pool, 0, 2, now);
    assert_eq!(chosen(&pool, 400, now), [100, 100, 100, 100], "a success between failures starts the count anew");
    fail(&pool, 0, 1, now);

    assert_eq!(chosen(&pool, 300, now), [0, 100, 100, 100]);
    assert_eq!(chosen(&pool, 400, after(now, 11)), [100, 100, 100, 100]);
}

#[test]
fn no_more_than_the_share_is_ejected_and_one_of_two_always_may() {
    let terms = |share: &str| json!({"consecutive": 1, "eject_for": "10s", "max_ejected": share});
    let now = Instant::now();
    for (endpoints, share, most) in [(10, "20%", 2), (2, "10%", 1), (2, "100%", 1), (1, "100%", 0), (3, "10%", 1)] {
        let pool = pool(json!({"endpoints": addresses(0..endpoints), "outlier": terms(share)}));

        (0..usize::from(endpoints)).for_each(|index| fail(&pool, index, 1, now));

        let ejected = chosen(&pool, 1000, now).iter().filter(|count| **count == 0).count();
        assert_eq!(ejected, most, "{endpoints} endpoints, {share}");
    }
}

#[test]
fn a_second_ejection_lasts_twice_as_long_and_good_conduct_is_rewarded() {
    let pool = pool(json!({"endpoints": addresses(0..2), "outlier": {"consecutive": 1, "eject_for": "10s", "max_ejected": "50%"}}));
    let now = Instant::now();
    let is_ejected = |at| chosen(&pool, 10, at)[0] == 0;

    fail(&pool, 0, 1, now);
    assert!(is_ejected(after(now, 9)) && !is_ejected(after(now, 11)));
    let second = after(now, 12);
    fail(&pool, 0, 1, second);
    assert!(is_ejected(after(second, 19)) && !is_ejected(after(second, 21)));

    // Twenty seconds without an ejection, as long as the last one was.
    pool.tick(after(second, 42));
    let third = after(second, 43);
    fail(&pool, 0, 1, third);

    assert!(is_ejected(after(third, 9)) && !is_ejected(after(third, 11)));
}

#[test]
fn an_endpoint_that_comes_back_starts_slowly() {
    let pool = pool(json!({"endpoints": addresses(0..2), "slow_start": "100s"}));
    let now = Instant::now();
    let endpoint = pool.members.load().endpoints[0].clone();
    pool.found(&endpoint, Err(Cause::Refused), now);
    assert_eq!(chosen(&pool, 100, now), [0, 100]);

    pool.found(&endpoint, Ok(()), now);

    let share = |at| chosen(&pool, 4000, at)[0] as f64 / 2000.0;
    // A turn that it passes on is the other's next one, so that its own comes again sooner: of a warmth w it takes 2w / (1 + w).
    for (seconds, low, high) in [(1, 0.13, 0.235), (50, 0.58, 0.75), (101, 0.99, 1.01)] {
        let share = share(after(now, seconds));
        assert!((low..high).contains(&share), "{share} of its turns after {seconds} s");
    }
}

#[test]
fn all_are_tried_where_none_is_healthy() {
    let pool = pool(json!({"endpoints": addresses(0..3), "health": {"tcp": true, "start": "unhealthy"}}));
    let now = Instant::now();
    assert!(!pool.is_alive(now));

    assert_eq!(chosen(&pool, 30, now), [10, 10, 10]);
}

#[test]
fn what_was_tried_is_not_chosen_while_another_is_left() {
    let pool = pool(json!({"endpoints": addresses(0..3)}));
    let now = Instant::now();
    let ids: Vec<u64> = pool.members.load().endpoints.iter().map(|endpoint| endpoint.id()).collect();

    for _ in 0..20 {
        assert_eq!(pool.choose(None, None, &ids[..2], now).expect("an endpoint").endpoint().id(), ids[2]);
    }
    assert!(pool.choose(None, None, &ids, now).is_ok());
}

#[test]
fn no_more_requests_than_allowed_are_in_flight() {
    let pool = pool(json!({"endpoints": addresses(0..3), "max_connections": 2}));
    let now = Instant::now();
    let held = [pool.choose(None, None, &[], now), pool.choose(None, None, &[], now)];

    assert_eq!(pool.choose(None, None, &[], now).err(), Some(NoPick::Full));
    drop(held);

    assert!(pool.choose(None, None, &[], now).is_ok());
}

#[test]
fn endpoints_that_stay_keep_what_is_known_of_them() {
    let pool = pool(json!({"endpoints": addresses(0..3), "outlier": {"consecutive": 1, "eject_for": "10s", "max_ejected": "90%"}}));
    let now = Instant::now();
    let busy: Vec<Pick> = (0..3).map(|_| pool.choose(None, None, &[], now).expect("an endpoint")).collect();
    fail(&pool, 1, 1, now);
    let before = pool.members.load_full();
    pool.found(&before.endpoints[2], Err(Cause::Refused), now);

    let heavier = json!({"address": addresses([2])[0], "weight": 5, "version": "v2"});
    let next = json!([addresses([7])[0], addresses([1])[0], heavier]);
    pool.change(&found(json!({"endpoints": next})), now);

    let members = pool.members.load_full();
    assert!(Arc::ptr_eq(&members.endpoints[1], &before.endpoints[1]), "what did not change is the same");
    assert_eq!(members.endpoints[2].id(), before.endpoints[2].id());
    assert_eq!(
        (members.endpoints[2].written_weight, members.endpoints[2].version.as_ref().map(HeaderValue::as_bytes)),
        (5, Some(&b"v2"[..]))
    );
    let states: Vec<EndpointState> = members.endpoints.iter().map(|endpoint| endpoint.state(pool.millis(now))).collect();
    assert_eq!(states, [EndpointState::Healthy, EndpointState::Ejected, EndpointState::Unhealthy]);
    assert_eq!(members.endpoints.iter().map(|endpoint| endpoint.in_flight()).collect::<Vec<_>>(), [0, 1, 1]);

    // Requests keep the endpoint they chose, also one that has left.
    assert!(busy.iter().any(|pick| pick.endpoint().address.to_string() == addresses([0])[0]));
    drop(busy);
    assert_eq!(before.endpoints[0].in_flight(), 0);
    assert!(members.endpoints.iter().all(|endpoint| endpoint.in_flight() == 0));
}

#[test]
fn one_that_left_and_comes_back_begins_anew() {
    let pool = pool(json!({"endpoints": addresses(0..2)}));
    let now = Instant::now();
    let endpoint = pool.members.load().endpoints[0].clone();
    pool.found(&endpoint, Err(Cause::Refused), now);

    pool.change(&found(json!({"endpoints": addresses([1])})), now);
    pool.change(&found(json!({"endpoints": addresses(0..2)})), now);

    assert_eq!(chosen(&pool, 10, now), [5, 5]);
    assert_ne!(pool.members.load().endpoints[0].id(), endpoint.id());
}

#[test]
fn other_settings_keep_endpoints_and_load_and_what_adapts() {
    let metrics = Metrics::new();
    let adaptive = json!({"first_byte": "adaptive"});
    let before = config(json!({"endpoints": addresses(0..3), "timeouts": adaptive, "max_connections": 2}));
    let old = Arc::new(Pool::new("shop", &before, None, &metrics, None));
    let now = Instant::now();
    let _held = old.choose(None, None, &[], now).expect("an endpoint");
    old.found(&old.members.load().endpoints[2], Err(Cause::Refused), now);

    let after = config(json!({"endpoints": addresses(1..4), "timeouts": adaptive, "max_connections": 1, "health": {"tcp": true}}));
    assert!(!old.has_settings(&after, None));
    let new = Arc::new(Pool::new("shop", &after, None, &metrics, Some(&old)));

    assert_eq!(new.choose(None, None, &[], now).err(), Some(NoPick::Full), "what is in flight counts against the new maximum");
    assert_eq!(new.members.load().endpoints[1].state(new.millis(now)), EndpointState::Unhealthy);
    assert!(Arc::ptr_eq(old.adaptive.as_ref().expect("adaptive"), new.adaptive.as_ref().expect("adaptive")));
}

#[test]
fn each_endpoint_is_probed_by_one_pool_at_a_time() {
    let metrics = Metrics::new();
    let probed = config(json!({"endpoints": addresses(0..2), "health": {"tcp": true}}));
    let old = Pool::new("shop", &probed, None, &metrics, None);
    assert_eq!(old.to_be_probed().1.len(), 2);
    assert_eq!(old.to_be_probed().1.len(), 0);
    old.change(&found(json!({"endpoints": addresses(1..4)})), Instant::now());
    let (_, new) = old.to_be_probed();
    assert_eq!(new.iter().map(|endpoint| endpoint.text.to_string()).collect::<Vec<_>>(), addresses(2..4));

    let slower = config(json!({"endpoints": addresses(1..4), "health": {"tcp": true, "interval": "9s"}}));
    let next = Pool::new("shop", &slower, None, &metrics, Some(&old));
    assert_eq!(next.to_be_probed().1.len(), 3);
    assert!(!old.probes(&new[0]) && next.probes(&new[0]));

    next.found(&new[0], Err(Cause::Refused), Instant::now());
    let unprobed = Pool::new("shop", &config(json!({"endpoints": addresses(1..4)})), None, &metrics, Some(&next));
    assert!(unprobed.to_be_probed().0.is_none());
    assert!(!next.probes(&new[0]));
    assert_eq!(chosen(&Arc::new(unprobed), 30, Instant::now()), [10, 10, 10], "what nobody looks after is not unhealthy");
}

/// Ten thousand endpoints, up to a hundred changes, requests all the while: every one has an endpoint of the sets that there were, and at the end
/// nothing is in flight.
#[test]
fn endpoints_come_and_go_under_load() {
    const ALL: u16 = 10_000;
    let all = found(json!({"endpoints": addresses(0..ALL)}));
    for (balance, changes) in [(json!("round_robin"), 100), (json!("least_request"), 30), (json!({"consistent_hash": "client_ip"}), 30)] {
        let pool = pool(json!({"endpoints": addresses(0..ALL), "balance": balance}));
        let always: HashSet<SocketAddr> = addresses(changes as u16..ALL).iter().map(|text| text.parse().expect("an address")).collect();
        let over = AtomicBool::new(false);
        let made = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for seed in 0..2_u64 {
                let (pool, over, made) = (&pool, &over, &made);
                scope.spawn(move || {
                    let mut held = Vec::new();
                    let mut number = seed;
                    while !over.load(Ordering::Relaxed) {
                        number = number.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                        let pick = pool.choose(Some(number), None, &[], Instant::now()).expect("an endpoint");
                        assert!(pick.endpoint().in_flight() > 0);
                        held.push(pick);
                        if held.len() > 50 {
                            held.swap_remove((number >> 40) as usize % 50);
                        }
                        made.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            for change in 1..=changes {
                pool.change(&all[change..], Instant::now());
                let seen = made.load(Ordering::Relaxed);
                while made.load(Ordering::Relaxed) < seen + 10 {
                    std::thread::yield_now();
                }
            }
            over.store(true, Ordering::Relaxed);
        });

        let members = pool.members.load_full();
        assert_eq!(members.endpoints.iter().map(|endpoint| endpoint.address).collect::<HashSet<_>>(), always);
        assert_eq!(members.endpoints.iter().map(|endpoint| endpoint.in_flight()).sum::<u64>(), 0);
        assert_eq!(pool.load.in_flight.load(Ordering::Relaxed), 0);
        let last = pool.choose(Some(1), None, &[], Instant::now()).expect("an endpoint");
        assert!(always.contains(&last.endpoint().address));
    }
}

#[test]
fn operators_are_told_what_was_wrong_the_last_time() {
    let (pool, now) = (pool(json!({"endpoints": addresses([1, 2])})), Instant::now());
    let endpoint = pool.members.load().endpoints[1].clone();
    let last = || pool.status(now).endpoints.into_iter().map(|endpoint| endpoint.last_error).collect::<Vec<_>>();
    assert_eq!(last(), [None, None]);

    pool.judge(&endpoint, Err(Cause::Status(503)), now);
    assert_eq!(last(), [None, Some("status 503".to_owned())]);
    pool.probe_failed(&endpoint, Cause::Refused);
    pool.judge(&endpoint, Ok(()), now);

    assert_eq!(last(), [None, Some("connection refused".to_owned())]);
}
