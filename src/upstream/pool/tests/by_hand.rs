//! What operators set for endpoints, without sockets, and tables that follow what becomes known.

use super::*;

fn text(number: u16) -> String {
    addresses([number]).remove(0)
}

#[test]
fn who_is_taken_out_is_not_chosen_even_where_none_is_well() {
    for balance in [json!("round_robin"), json!("random"), json!("least_request"), json!({"consistent_hash": "client_ip"})] {
        let pool = pool(json!({"endpoints": addresses(0..3), "balance": balance}));
        let now = Instant::now();
        let members = pool.members.load_full();
        members.endpoints.iter().for_each(|endpoint| pool.found(endpoint, Err(Cause::Refused), now));

        assert_eq!(pool.obey(&text(1), Order::Drain(None), now), Ok(Obeyed { endpoints: 1, usable: false }));

        let counts = chosen(&pool, 600, now);
        assert!(counts[0] > 0 && counts[1] == 0 && counts[2] > 0, "{balance}: {counts:?}");
        for number in [0, 2] {
            assert_eq!(pool.obey(&text(number), Order::Drain(None), now), Ok(Obeyed { endpoints: 1, usable: false }));
        }
        assert_eq!(pool.choose(Some(1), None, &[], now).err(), Some(NoPick::NoEndpoint));
        assert_eq!(pool.held(now), (3, 0));
    }
}

#[test]
fn each_order_holds_for_its_own_time() {
    let pool = pool(json!({"endpoints": [{"address": text(0), "weight": 2}, text(1)]}));
    let now = Instant::now();
    let seconds = |seconds| Some(Duration::from_secs(seconds));

    assert_eq!(pool.obey(&text(0), Order::Weight(1, seconds(100)), now), Ok(Obeyed { endpoints: 1, usable: true }));
    assert_eq!(pool.obey(&text(1), Order::Drain(seconds(10)), now), Ok(Obeyed { endpoints: 1, usable: true }));
    assert_eq!(pool.obey(&text(1), Order::Weight(3, None), now), Ok(Obeyed { endpoints: 1, usable: true }));

    for (at, counts) in [(0, [40, 0]), (9, [40, 0]), (11, [10, 30]), (99, [10, 30]), (101, [16, 24])] {
        assert_eq!(chosen(&pool, 40, after(now, at)), counts, "after {at} s");
    }
    let late = after(now, 102);
    assert_eq!(pool.held(late), (0, 1));
    assert_eq!(pool.obey(&text(1), Order::Ready, late), Ok(Obeyed { endpoints: 1, usable: true }));
    assert_eq!((pool.held(late), chosen(&pool, 30, late)), ((0, 0), vec![20, 10]));
}

#[test]
fn who_is_not_there_cannot_be_ordered_about_but_what_was_set_can_be_taken_back() {
    let pool = pool(json!({"endpoints": addresses(0..2)}));
    let now = Instant::now();
    for whom in [&*text(9), "nobody", "", "10.0.0.1"] {
        assert_eq!(pool.obey(whom, Order::Drain(None), now), Err(NotObeyed::NoEndpoint), "{whom}");
        assert_eq!(pool.obey(whom, Order::Ready, now), Err(NotObeyed::NoEndpoint), "{whom}");
    }

    pool.obey(&text(1), Order::Drain(None), now).expect("it is there");
    pool.change(&found(json!({"endpoints": addresses([0])})), now);
    assert_eq!(pool.obey(&text(1), Order::Weight(2, None), now), Err(NotObeyed::NoEndpoint));
    pool.change(&found(json!({"endpoints": addresses(0..2)})), now);
    assert_eq!(chosen(&pool, 10, now), [10, 0], "it comes back as it left");
    pool.change(&found(json!({"endpoints": addresses([0])})), now);
    assert_eq!(pool.obey(&text(1), Order::Ready, now), Ok(Obeyed { endpoints: 1, usable: true }));
    pool.change(&found(json!({"endpoints": addresses(0..2)})), now);

    assert_eq!(chosen(&pool, 10, now), [5, 5]);
}

#[test]
fn what_is_set_holds_in_the_pools_that_come_after() {
    let metrics = Metrics::new();
    let old = Arc::new(Pool::new("shop", &config(json!({"endpoints": addresses(0..3)})), None, &metrics, None));
    let now = Instant::now();
    old.obey(&text(0), Order::Drain(None), now).expect("it is there");
    old.obey(&text(1), Order::Weight(3, None), now).expect("it is there");

    let new = Arc::new(Pool::new("shop", &config(json!({"endpoints": addresses(0..3), "slow_start": "1s"})), None, &metrics, Some(&old)));

    assert_eq!(chosen(&new, 40, now), [0, 30, 10]);
    new.obey(&text(0), Order::Ready, now).expect("it is there");
    assert_eq!(chosen(&new, 50, now), [10, 30, 10]);
}

#[test]
fn an_endpoint_that_is_weighed_by_hand_changes_no_place_of_the_others_on_a_ring() {
    let pool = pool(json!({"endpoints": addresses(0..10), "balance": {"consistent_hash": "client_ip"}}));
    let now = Instant::now();
    let place = |hash: u64| {
        pool.choose(Some(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15)), None, &[], now).expect("one").endpoint().address.to_string()
    };
    let before: Vec<String> = (0..2000).map(place).collect();

    pool.obey(&text(4), Order::Drain(None), now).expect("it is there");
    let moved = (0..2000).map(place).zip(&before).filter(|(now, before)| now != *before && **before != text(4)).count();
    assert_eq!(moved, 0, "those of the others stay");
    pool.obey(&text(4), Order::Ready, now).expect("it is there");
    assert!((0..2000).map(place).zip(&before).all(|(now, before)| now == *before));
    pool.obey(&text(4), Order::Weight(3, None), now).expect("it is there");

    assert!((0..2000).map(place).zip(&before).all(|(now, before)| now == *before || now == text(4)), "it takes from the others alone");
}

#[test]
fn large_tables_are_made_again_ten_times_a_second_and_no_choice_waits_for_them() {
    const ALL: u16 = 10_000;
    let pool = pool(json!({"endpoints": addresses(0..ALL), "panic": false}));
    let now = Instant::now();
    let endpoints = pool.members.load().endpoints.clone();
    let listed = || pool.members.load().whole.usable.weights().iter().filter(|weight| **weight > 0).count();
    pool.found(&endpoints[0], Err(Cause::Refused), now);
    assert_eq!(listed(), usize::from(ALL), "not by whoever has found it");
    pool.settle(now + PACE);
    assert_eq!(listed(), usize::from(ALL) - 1);
    let now = now + PACE;

    for endpoint in &endpoints[1..usize::from(ALL) - 10] {
        pool.found(endpoint, Err(Cause::Refused), now);
    }
    assert_eq!(listed(), usize::from(ALL) - 1, "no further time within a tenth of a second");
    pool.settle(now + PACE - Duration::from_millis(1));
    assert_eq!(listed(), usize::from(ALL) - 1);
    pool.settle(now + PACE);
    assert_eq!(listed(), 10);

    let later = now + PACE;
    for _ in 0..100 {
        let pick = pool.choose(None, None, &[], later).expect("an endpoint");
        assert!(endpoints[usize::from(ALL) - 10..].iter().any(|endpoint| endpoint.id() == pick.endpoint().id()));
    }
    // One that comes back is there without a request that waits for it.
    pool.found(&endpoints[5], Ok(()), later);
    assert_eq!(listed(), 10);
    pool.choose(None, None, &[], later + PACE * 4).expect("an endpoint");
    assert_eq!(listed(), 11, "where nobody keeps time a request does, once it is overdue");
}

#[test]
fn what_is_known_decides_before_the_tables_follow() {
    const ALL: u16 = 10_000;
    for panic in [true, false] {
        let pool = pool(json!({"endpoints": addresses(0..ALL), "panic": panic}));
        let now = Instant::now();
        let endpoints = pool.members.load().endpoints.clone();
        pool.found(&endpoints[0], Err(Cause::Refused), now);
        for endpoint in endpoints.iter().skip(1).step_by(2) {
            pool.found(endpoint, Err(Cause::Refused), now);
        }

        for _ in 0..2000 {
            let pick = pool.choose(None, None, &[], now).expect("an endpoint");
            assert!(!pick.endpoint().known.unhealthy.load(Ordering::Relaxed), "half of the table is unhealthy, and none of it is chosen");
        }
    }
}
