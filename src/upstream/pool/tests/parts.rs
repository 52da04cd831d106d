//! Parts of a pool by version: who is chosen of each, whatever becomes of the endpoints.

use std::collections::BTreeSet;

use super::*;

fn versions<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

/// Ten endpoints: two of version v1, three of v2, the others without one.
fn written() -> Vec<serde_json::Value> {
    let version = |index: usize| ["v1", "v1", "v2", "v2", "v2"].get(index).copied();
    let endpoint = |(index, address): (usize, String)| match version(index) {
        Some(version) => json!({"address": address, "version": version}),
        None => json!(address),
    };
    addresses(0..10).into_iter().enumerate().map(endpoint).collect()
}

/// How often each endpoint of the pool was chosen of this part, in the pool's order.
fn of(pool: &Arc<Pool>, subset: &Arc<Subset>, times: u64, now: Instant) -> Vec<usize> {
    let members = pool.members.load_full();
    let mut counts = vec![0; members.endpoints.len()];
    for number in 0..times {
        let pick = pool.choose(Some(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)), Some(subset), &[], now).expect("an endpoint");
        counts[members.endpoints.iter().position(|endpoint| endpoint.id() == pick.endpoint().id()).expect("a member")] += 1;
    }
    counts
}

#[test]
fn a_part_has_the_endpoints_of_its_versions_and_the_rest_all_others() {
    for balance in [json!("round_robin"), json!("random"), json!("least_request"), json!({"consistent_hash": "client_ip"})] {
        let pool = pool(json!({"endpoints": written(), "balance": balance}));
        let now = Instant::now();
        for (subset, members) in [
            (Versions::Of(versions(["v1"])), 0..2),
            (Versions::Of(versions(["v1", "v2"])), 0..5),
            (Versions::Without(versions(["v1", "v2"])), 5..10),
            (Versions::Without(versions(["v1"])), 2..10),
            (Versions::Without(versions([])), 0..10),
        ] {
            let subset = pool.subset(subset);

            let counts = of(&pool, &subset, 4000, now);

            let fair = 4000 / members.len();
            for (index, count) in counts.into_iter().enumerate() {
                let expected = if members.contains(&index) { fair * 7 / 10..fair * 13 / 10 } else { 0..1 };
                assert!(expected.contains(&count), "{balance} {:?}: {count} at {index}", subset.versions());
            }
        }
    }
}

#[test]
fn a_part_without_endpoints_has_none_to_choose() {
    let pool = pool(json!({"endpoints": written()}));
    let nobody = pool.subset(Versions::Of(versions(["v9"])));

    assert!(!pool.has_usable(Some(&nobody)) && pool.has_usable(None));
    assert_eq!(pool.choose(None, Some(&nobody), &[], Instant::now()).err(), Some(NoPick::NoEndpoint));
}

#[test]
fn a_part_knows_whether_any_of_its_endpoints_takes_requests() {
    let pool = pool(json!({"endpoints": written(), "panic": false}));
    let (now, first) = (Instant::now(), pool.subset(Versions::Of(versions(["v1"]))));
    let endpoints = pool.members.load().endpoints.clone();

    pool.found(&endpoints[0], Err(Cause::Refused), now);
    assert!(pool.has_usable(Some(&first)));
    assert_eq!(of(&pool, &first, 10, now)[..2], [0, 10]);
    pool.found(&endpoints[1], Err(Cause::Refused), now);

    assert!(!pool.has_usable(Some(&first)) && pool.has_usable(None));
    assert_eq!(pool.choose(None, Some(&first), &[], now).err(), Some(NoPick::NoEndpoint), "no other endpoint takes its place");
    pool.found(&endpoints[1], Ok(()), now);
    assert!(pool.has_usable(Some(&first)));
}

#[test]
fn a_part_follows_the_endpoints_that_come_and_go() {
    let pool = pool(json!({"endpoints": written()}));
    let (now, second) = (Instant::now(), pool.subset(Versions::Of(versions(["v2"]))));
    assert_eq!(of(&pool, &second, 300, now)[2..5], [100, 100, 100]);

    let next =
        json!([addresses([50])[0], {"address": addresses([51])[0], "version": "v2"}, {"address": addresses([0])[0], "version": "v2"}]);
    pool.change(&found(json!({"endpoints": next})), now);
    assert_eq!(of(&pool, &second, 300, now), [0, 150, 150]);
    pool.change(&found(json!({"endpoints": addresses(0..3)})), now);

    assert!(!pool.has_usable(Some(&second)));
}

#[test]
fn those_who_ask_for_the_same_part_hold_the_same_one_and_its_tables_go_with_them() {
    let pool = pool(json!({"endpoints": written()}));
    let one = pool.subset(Versions::Of(versions(["v1"])));
    let other = pool.subset(Versions::Without(versions(["v1"])));
    assert!(Arc::ptr_eq(&one, &pool.subset(Versions::Of(versions(["v1"])))));
    assert_eq!(pool.members.load().parts.iter().flatten().count(), 2);

    drop(one);
    pool.tick(Instant::now());
    assert_eq!(pool.members.load().parts.iter().flatten().count(), 1);
    let third = pool.subset(Versions::Of(versions(["v2"])));

    assert_eq!(pool.members.load().parts.len(), 2, "the place that is free is taken again");
    assert_eq!(of(&pool, &third, 300, Instant::now())[2..5], [100, 100, 100]);
    assert_eq!(of(&pool, &other, 80, Instant::now())[..2], [0, 0]);
}

#[test]
fn a_part_of_another_pool_is_no_part_of_this_one() {
    let metrics = Metrics::new();
    let before = config(json!({"endpoints": written()}));
    let old = Arc::new(Pool::new("shop", &before, None, &metrics, None));
    let part = old.subset(Versions::Of(versions(["v1"])));
    let new = Arc::new(Pool::new("shop", &config(json!({"endpoints": written(), "slow_start": "1s"})), None, &metrics, Some(&old)));

    assert_eq!(new.choose(None, Some(&part), &[], Instant::now()).err(), Some(NoPick::NoEndpoint));
    assert!(!new.has_usable(Some(&part)) && old.has_usable(Some(&part)));
}

#[test]
fn an_attempt_of_a_part_counts_as_one_until_it_ends() {
    let pool = pool(json!({"endpoints": written(), "balance": {"consistent_hash": "client_ip"}}));
    let (now, part) = (Instant::now(), pool.subset(Versions::Of(versions(["v1"]))));

    // All of one hash: what is too much for one endpoint goes to the other one of the part.
    let picks: Vec<Pick> = (0..60).map(|_| pool.choose(Some(7), Some(&part), &[], now).expect("an endpoint")).collect();

    assert_eq!(part.in_flight.load(Ordering::Relaxed), 60);
    let mut held: Vec<u64> = pool.members.load().endpoints[..2].iter().map(|endpoint| endpoint.in_flight()).collect();
    held.sort_unstable();
    assert!(held[0] >= 20 && held[1] <= 40, "{held:?}");
    drop(picks);
    assert_eq!(part.in_flight.load(Ordering::Relaxed), 0);
}
