//! How the shares cut the interval, and who is hit.

use proptest::prelude::*;

use super::super::chance;
use super::super::config::At;
use super::super::rule::{Act, Plan, Rules};
use super::config;

/// Rules of these shares in thousandths, by turns a delay and an abort.
fn rules(shares: &[u32]) -> Rules {
    let rule = |(index, share): (usize, &u32)| {
        let act = if index % 2 == 0 { "delay: 400ms" } else { "abort: {status: 503}" };
        format!("{{{act}, share: {}.{}%}}", share / 10, share % 10)
    };
    let all: Vec<String> = shares.iter().enumerate().map(rule).collect();
    Rules::new(&config(&format!("max_share: 100%, i_know: true, rules: [{}]", all.join(", "))))
}

#[test]
fn points_fall_to_the_rules_in_their_order() {
    let rules = rules(&[50, 10]);
    let taking = |point: f64| rules.taking(point).map(|rule| Act::KINDS[rule.act.kind()]);

    assert_eq!(
        [0.0, 0.049, 0.0501, 0.0599, 0.0601, 0.99].map(taking),
        [Some("delay"), Some("delay"), Some("abort"), Some("abort"), None, None]
    );
}

#[test]
fn what_is_for_the_other_side_or_for_grpc_happens_to_nobody_else() {
    let rules = Rules::new(&config(
        "max_share: 30%, rules: [{delay: 1s, share: 10%, at: client}, {abort: {grpc_status: UNAVAILABLE}, share: 10%}]",
    ));

    assert_ne!(rules.plan(0.05, At::Client, false), Plan::default());
    assert_eq!(rules.plan(0.05, At::Upstream, false), Plan::default());
    assert_ne!(rules.plan(0.15, At::Upstream, true), Plan::default());
    assert_eq!(rules.plan(0.15, At::Upstream, false), Plan::default());
}

#[test]
fn the_point_of_somebody_is_the_same_in_every_release() {
    // What the first release gave.
    for (by, thousandths) in [("alice", 259), ("192.0.2.1", 970)] {
        assert_eq!((chance::point_of(17, by.as_bytes()) * 1000.0) as u32, thousandths, "{by}");
    }
}

/// Pearson's chi-square of 100,000 users over three rules and nobody: below 16.3 with three degrees of freedom in 999 of 1,000 cases. The points
/// are fixed, so this either always holds or never.
#[test]
fn shares_are_kept_over_a_hundred_thousand_users() {
    let rules = rules(&[50, 10, 200]);
    let mut counts = [0_u32; 4];
    for number in 0..100_000 {
        let point = chance::point_of(7, format!("user-{number}").as_bytes());
        let place = rules.all.iter().position(|rule| rules.taking(point) == Some(rule)).unwrap_or(3);
        counts[place] += 1;
    }

    let expected = [5_000.0, 1_000.0, 20_000.0, 74_000.0];
    let chi: f64 = counts.iter().zip(expected).map(|(count, expected)| (f64::from(*count) - expected).powi(2) / expected).sum();
    assert!(chi < 16.3, "{counts:?}: {chi}");
}

proptest! {
    #[test]
    fn a_point_has_one_rule_at_most_and_a_plan_one_fault(shares in proptest::collection::vec(1_u32..200, 1..6), point in 0.0..1.0_f64) {
        let rules = rules(&shares);
        let sum = f64::from(shares.iter().sum::<u32>()) / 1000.0;
        let of_it = rules.all.iter().filter(|rule| (rule.from..rule.below).contains(&point)).count();

        prop_assert_eq!(of_it, usize::from(rules.taking(point).is_some()));
        prop_assert_eq!(rules.taking(point).is_some(), point < rules.total);
        prop_assert!((rules.total - sum).abs() < 1e-9, "together they hit their sum");
        let plan = rules.plan(point, At::Upstream, false);
        prop_assert_eq!(plan.kinds().count(), of_it);
    }

    #[test]
    fn a_rule_hits_as_many_as_it_says_whatever_comes_before_it(before in 1_u32..300, share in 1_u32..300) {
        let rules = rules(&[before, share]);
        let rule = &rules.all[1];

        prop_assert!((rule.below - rule.from - f64::from(share) / 1000.0).abs() < 1e-9);
        prop_assert_eq!(rule.from, rules.all[0].below);
    }

    #[test]
    fn a_plan_takes_one_delay_and_one_other_fault(first in 1_u64..1000, second in 1_u64..1000, status in 400_u16..600) {
        let delay = |millis: u64| Act::Delay(serde_json::from_str(&format!("\"{millis}ms\"")).expect("a delay"));
        let abort = |status: u16| Act::Abort(status.to_string().parse().expect("a status"));
        let acts = [delay(first), abort(status), delay(second), abort(599)];
        let plan = acts.into_iter().fold(Plan::default(), |plan, act| plan.with(act, 0.5));

        prop_assert_eq!(plan.delay, Some(std::time::Duration::from_millis(first)));
        prop_assert_eq!(plan.act, Some(abort(status)));
    }

    #[test]
    fn points_by_chance_are_points(_ in 0..100_u8) {
        prop_assert!((0.0..1.0).contains(&chance::point()));
    }
}
