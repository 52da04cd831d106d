use proptest::prelude::*;

use super::super::gate::*;

pub fn rules() -> Rules {
    Rules {
        window: 10_000,
        min_requests: 4,
        failure_ratio: 0.5,
        consecutive: None,
        slow_ratio: None,
        open_for: 1_000,
        max_open_for: 3_000,
        probes: 2,
        successes: 2,
    }
}

const FINE: Finding = Finding::Success { slow: false };
const SLOW: Finding = Finding::Success { slow: true };
const BAD: Finding = Finding::Failure { slow: false, retry_after: None };

fn steady() -> f64 {
    0.0
}

/// Lets a request through, says what came of it, and names the state that it leaves behind.
fn one(gate: &Gate, finding: Finding, now: u64) -> &'static str {
    if let (Admission::Pass(mut ticket), _) = gate.admit(now) {
        gate.report(&mut ticket, finding, now, steady);
        if matches!(finding, Finding::Success { .. }) {
            gate.whole();
        }
        gate.release(&mut ticket);
    }
    gate.view(now).state.name()
}

/// What is shown, under which rules, what happens when, and the state after it.
type Row<'r> = (&'r str, &'r Rules, &'r [(Finding, u64)], &'r str);

#[test]
fn every_row_ends_in_the_state_it_says() {
    let consecutive = Rules { consecutive: Some(3), min_requests: 100, ..rules() };
    let slow = Rules { slow_ratio: Some(0.75), ..rules() };
    let asked = Finding::Failure { slow: false, retry_after: Some(2_500) };
    let asked_much = Finding::Failure { slow: false, retry_after: Some(3_600_000) };
    #[rustfmt::skip]
    let rows: &[Row<'_>] = &[
        ("too few requests", &rules(), &[(BAD, 0), (BAD, 0), (BAD, 0)], "closed"),
        ("enough of them", &rules(), &[(BAD, 0), (BAD, 0), (BAD, 0), (BAD, 0)], "open"),
        ("just half", &rules(), &[(FINE, 0), (FINE, 0), (BAD, 0), (BAD, 0)], "open"),
        ("half with a success last", &rules(), &[(BAD, 0), (BAD, 0), (FINE, 0), (FINE, 0)], "open"),
        ("less than half", &rules(), &[(FINE, 0), (FINE, 0), (FINE, 0), (BAD, 0), (BAD, 0)], "closed"),
        ("nobody's fault", &rules(), &[(Finding::Neutral, 0); 9], "closed"),
        ("old failures slide out", &rules(), &[(BAD, 0), (BAD, 0), (BAD, 0), (BAD, 10_000)], "closed"),
        ("nine tenths of a window stay", &rules(), &[(BAD, 0), (BAD, 0), (BAD, 0), (BAD, 9_999)], "open"),
        ("three in a row", &consecutive, &[(BAD, 0), (BAD, 20_000), (BAD, 40_000)], "open"),
        ("no three in a row", &consecutive, &[(BAD, 0), (BAD, 0), (FINE, 0), (BAD, 0), (BAD, 0)], "closed"),
        ("a neutral one ends no row", &consecutive, &[(BAD, 0), (BAD, 0), (Finding::Neutral, 0), (BAD, 0)], "open"),
        ("slow is not failed", &rules(), &[(SLOW, 0); 9], "closed"),
        ("slow opens where asked to", &slow, &[(SLOW, 0), (SLOW, 0), (SLOW, 0), (FINE, 0)], "open"),
        ("not so many slow ones", &slow, &[(SLOW, 0), (SLOW, 0), (FINE, 0), (FINE, 0)], "closed"),
        ("open until the time is up", &rules(), &[(BAD, 0), (BAD, 0), (BAD, 0), (BAD, 0), (FINE, 999)], "open"),
        ("then on probation", &rules(), &[(BAD, 0), (BAD, 0), (BAD, 0), (BAD, 0), (FINE, 1_000)], "half_open"),
        ("closed by successes", &rules(), &[(BAD, 0), (BAD, 0), (BAD, 0), (BAD, 0), (FINE, 1_000), (FINE, 1_000)], "closed"),
        ("nothing is held against it", &rules(), &[(BAD, 0), (BAD, 0), (BAD, 0), (BAD, 0), (FINE, 1_000), (FINE, 1_000), (BAD, 1_000)], "closed"),
        ("opened by one failure", &rules(), &[(BAD, 0), (BAD, 0), (BAD, 0), (BAD, 0), (FINE, 1_000), (BAD, 1_000)], "open"),
        ("for twice the time", &rules(), &[(BAD, 0), (BAD, 0), (BAD, 0), (BAD, 0), (BAD, 1_000), (FINE, 2_999)], "open"),
        ("and no longer", &rules(), &[(BAD, 0), (BAD, 0), (BAD, 0), (BAD, 0), (BAD, 1_000), (FINE, 3_000)], "half_open"),
        ("never more than the most", &rules(), &[(BAD, 0), (BAD, 0), (BAD, 0), (BAD, 0), (BAD, 1_000), (BAD, 3_000), (BAD, 6_000), (FINE, 9_000)], "half_open"),
        ("a neutral probe decides nothing", &rules(), &[(BAD, 0), (BAD, 0), (BAD, 0), (BAD, 0), (Finding::Neutral, 1_000)], "half_open"),
        ("as long as the upstream asks", &rules(), &[(asked, 0), (BAD, 0), (BAD, 0), (BAD, 0), (FINE, 2_499)], "open"),
        ("and then", &rules(), &[(asked, 0), (BAD, 0), (BAD, 0), (BAD, 0), (FINE, 2_500)], "half_open"),
        ("but not for an hour", &rules(), &[(asked_much, 0), (BAD, 0), (BAD, 0), (BAD, 0), (FINE, 3_000)], "half_open"),
        ("what was asked long ago is over", &rules(), &[(asked_much, 0), (BAD, 11_000), (BAD, 11_000), (BAD, 11_000), (BAD, 11_000), (FINE, 12_000)], "half_open"),
        ("a slow probe fails", &slow, &[(BAD, 0), (BAD, 0), (BAD, 0), (BAD, 0), (SLOW, 1_000)], "open"),
        ("a slow probe where slow is no matter", &rules(), &[(BAD, 0), (BAD, 0), (BAD, 0), (BAD, 0), (SLOW, 1_000), (SLOW, 1_000)], "closed"),
    ];
    for (what, rules, events, expected) in rows {
        let gate = Gate::new((*rules).clone());
        let mut state = "";
        for (finding, now) in *events {
            state = one(&gate, *finding, *now);
        }
        assert_eq!(state, *expected, "{what}");
        assert_eq!(gate.view(0).probes, 0, "{what}");
    }
}

/// A gate that has just opened at 0.
fn opened(rules: Rules) -> Gate {
    let gate = Gate::new(rules);
    for _ in 0..4 {
        one(&gate, BAD, 0);
    }
    assert_eq!(gate.view(0).state, State::Open);
    gate
}

fn pass(gate: &Gate, now: u64) -> Option<Ticket> {
    match gate.admit(now).0 {
        Admission::Pass(ticket) => Some(ticket),
        Admission::Refuse { .. } => None,
    }
}

#[test]
fn a_probe_that_goes_home_silently_makes_room_for_another() {
    let gate = opened(rules());
    let (mut first, second) = (pass(&gate, 1_000).expect("a probe"), pass(&gate, 1_000).expect("a probe"));
    assert!(first.probe && second.probe);
    assert!(pass(&gate, 1_000).is_none());

    gate.release(&mut first);
    gate.release(&mut first);

    assert!(pass(&gate, 1_000).is_some());
    assert!(pass(&gate, 1_000).is_none());
}

#[test]
fn what_was_let_through_before_says_nothing_after() {
    let gate = Gate::new(rules());
    let mut early: Vec<_> = (0..6).map(|_| pass(&gate, 0).expect("closed")).collect();
    for _ in 0..4 {
        one(&gate, BAD, 0);
    }
    let mut probe = pass(&gate, 1_000).expect("a probe");

    for ticket in &mut early {
        assert_eq!(gate.report(ticket, BAD, 1_000, steady), None);
    }

    assert_eq!(gate.view(1_000).state, State::HalfOpen);
    gate.report(&mut probe, FINE, 1_000, steady);
    gate.release(&mut probe);
    assert_eq!(one(&gate, FINE, 1_000), "closed");
}

#[test]
fn chance_moves_the_end_by_a_tenth_and_never_beyond_the_most() {
    for (open_for, chance, until) in [(1_000, 0.0, 1_000), (1_000, 1.0, 1_100), (3_000, 0.0, 3_000), (3_000, 1.0, 2_700)] {
        let gate = Gate::new(Rules { open_for, min_requests: 1, ..rules() });
        let mut ticket = pass(&gate, 0).expect("closed");
        gate.report(&mut ticket, BAD, 0, || chance);
        assert_eq!(gate.view(0).left, Some(until), "{open_for} {chance}");
    }
}

#[test]
fn broken_bodies_are_a_row_though_their_heads_were_fine() {
    let gate = Gate::new(Rules { consecutive: Some(5), min_requests: 100, ..rules() });
    for broken in 1..=5 {
        let mut ticket = pass(&gate, 0).expect("closed until the fifth");
        gate.report(&mut ticket, FINE, 0, steady);
        let change = gate.broke(&ticket, 0, steady);
        assert_eq!(change.is_some(), broken == 5);
        let view = gate.view(0);
        assert_eq!((view.counts.requests, view.counts.failures), (broken, broken), "each counts once");
    }
    assert_eq!(gate.view(0).state, State::Open);
}

#[test]
fn a_body_that_breaks_long_after_its_head_counts_when_it_breaks() {
    let gate = Gate::new(rules());
    let mut ticket = pass(&gate, 0).expect("closed");
    gate.report(&mut ticket, FINE, 0, steady);

    gate.broke(&ticket, 60_000, steady);

    let counts = gate.view(60_000).counts;
    assert_eq!((counts.requests, counts.failures), (1, 1));
}

#[test]
fn a_probe_whose_body_breaks_has_failed() {
    let gate = opened(rules());
    let mut probe = pass(&gate, 1_000).expect("a probe");
    gate.report(&mut probe, FINE, 1_000, steady);
    gate.release(&mut probe);

    gate.broke(&probe, 1_500, steady);

    assert_eq!(gate.view(1_500).state, State::Open);
}

#[test]
fn an_operator_holds_it_and_lets_it_go_with_nothing_remembered() {
    let gate = Gate::new(rules());
    gate.force(Some(Forced::Closed));
    for _ in 0..20 {
        one(&gate, BAD, 0);
    }
    assert_eq!((gate.view(0).state, gate.view(0).counts.failures), (State::Closed, 20));

    gate.force(Some(Forced::Open));
    assert!(pass(&gate, u64::MAX >> 30).is_none());

    let change = gate.force(None);
    assert_eq!(change.map(|change| change.to), Some(State::Closed));
    assert_eq!(gate.force(None), None);
    assert_eq!(one(&gate, BAD, 0), "closed");
}

#[test]
fn a_full_bucket_keeps_its_shares() {
    let gate = Gate::new(Rules { failure_ratio: 0.9, ..rules() });
    for number in 0..100_000 {
        one(&gate, if number % 4 == 0 { BAD } else { FINE }, 0);
    }
    let counts = gate.view(0).counts;
    let share = f64::from(counts.failures) / f64::from(counts.requests);
    assert!(counts.requests >= 16_000 && (share - 0.25).abs() < 0.01, "{counts:?}");
}

/// What may happen, in any order.
#[derive(Clone, Debug)]
enum Event {
    Ask,
    Finish(usize, u8),
    Break(usize),
    Leave(usize),
    Wait(u64),
    Force(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Ask),
        5 => (any::<usize>(), 0..4u8).prop_map(|(which, how)| Event::Finish(which, how)),
        1 => any::<usize>().prop_map(Event::Break),
        1 => any::<usize>().prop_map(Event::Leave),
        2 => (0..2_000u64).prop_map(Event::Wait),
        1 => (0..8u8).prop_map(Event::Force),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_permits_come_back_and_no_upstream_is_left_alone_for_ever(events in prop::collection::vec(event(), 0..200)) {
        let gate = Gate::new(Rules { consecutive: Some(3), slow_ratio: Some(0.5), ..rules() });
        let mut under_way: Vec<Ticket> = Vec::new();
        let mut answered: Vec<Ticket> = Vec::new();
        let mut now = 0;
        for event in events {
            match event {
                Event::Ask => {
                    let before = gate.view(now);
                    let passed = pass(&gate, now);
                    let held = under_way.iter().filter(|ticket| ticket.probe).count();
                    match before.state {
                        State::Closed => prop_assert!(passed.is_some()),
                        // Where there is room, somebody may try.
                        State::HalfOpen => prop_assert_eq!(passed.is_some(), held < 2),
                        State::Open if before.left.is_none_or(|left| left > 0) => prop_assert!(passed.is_none()),
                        State::Open => prop_assert_eq!(passed.is_some(), held < 2),
                    }
                    under_way.extend(passed);
                }
                Event::Finish(which, how) if !under_way.is_empty() => {
                    let mut ticket = under_way.swap_remove(which % under_way.len());
                    let retry_after = Some(5_000);
                    let finding = [FINE, SLOW, BAD, Finding::Failure { slow: true, retry_after }][usize::from(how)];
                    gate.report(&mut ticket, finding, now, || 0.5);
                    gate.release(&mut ticket);
                    answered.push(ticket);
                }
                Event::Break(which) if !answered.is_empty() => {
                    let ticket = answered.swap_remove(which % answered.len());
                    gate.broke(&ticket, now, || 0.5);
                }
                Event::Leave(which) if !under_way.is_empty() => {
                    let mut ticket = under_way.swap_remove(which % under_way.len());
                    gate.release(&mut ticket);
                }
                Event::Wait(millis) => now += millis,
                Event::Force(how) => {
                    gate.force([None, None, None, None, None, None, Some(Forced::Open), Some(Forced::Closed)][usize::from(how)]);
                }
                Event::Finish(..) | Event::Break(..) | Event::Leave(..) => {}
            }
            let view = gate.view(now);
            prop_assert!(view.probes <= 2);
            prop_assert_eq!(view.probes as usize, under_way.iter().filter(|ticket| ticket.probe).count());
            prop_assert!(view.left.is_none_or(|left| left <= 3_000));
            prop_assert!(view.counts.failures <= view.counts.requests && view.counts.slow <= view.counts.requests);
        }
        // Everybody goes home, nobody holds it, and the upstream is well: it must close.
        under_way.iter_mut().for_each(|ticket| gate.release(ticket));
        gate.force(None);
        now += 20_000;
        for _ in 0..2 {
 one(&gate, FINE, now);
 }
        prop_assert_eq!(gate.view(now).state, State::Closed);
        prop_assert_eq!(gate.view(now).probes, 0);
    }
}
