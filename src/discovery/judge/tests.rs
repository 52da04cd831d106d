use proptest::prelude::*;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn endpoint(number: u16) -> Found {
    Found { address: ([10, 0, 0, 1], number).into(), weight: 1, version: None, name: None }
}

fn these(numbers: impl IntoIterator<Item = u16>) -> Vec<Found> {
    numbers.into_iter().map(endpoint).collect()
}

fn of(judge: &Judge) -> Vec<u16> {
    judge.endpoints().map(|endpoint| endpoint.address.port()).collect()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const UNPROBED: Passes<'static> = &|_| None;

/// A source that has named these.
fn after(numbers: impl IntoIterator<Item = u16>, now: Instant) -> Judge {
    let mut judge = Judge::new(PATIENCE, Vec::new());
    judge.answer(these(numbers), UNPROBED, now);
    judge
}

#[test]
fn what_is_added_and_one_that_goes_count_at_once() {
    let now = Instant::now();
    let mut judge = after([1, 2, 3, 4], now);

    let judged = judge.answer(these([1, 2, 3, 5]), UNPROBED, now + seconds(1));

    assert_eq!((of(&judge), judged), (vec![1, 2, 3, 5], Judged { changed: true, ..Judged::default() }));
    assert_eq!(judge.answer(these([1, 2, 3, 5]), UNPROBED, now + seconds(2)), Judged::default());
}

#[test]
fn a_single_endpoint_moves_at_once_and_is_missed_when_nothing_takes_its_place() {
    let now = Instant::now();
    let mut judge = after([1], now);

    judge.answer(these([2]), UNPROBED, now + seconds(1));
    assert_eq!(of(&judge), [2]);

    let judged = judge.answer(Vec::new(), UNPROBED, now + seconds(2));
    assert_eq!((of(&judge), judged.changed, judged.doubted), (vec![2], false, 1));
}

#[test]
fn without_probes_an_empty_answer_holds_only_once_it_is_given_again_late_enough() {
    let now = Instant::now();
    let mut judge = after([1, 2], now);

    judge.answer(Vec::new(), UNPROBED, now);
    judge.answer(Vec::new(), UNPROBED, now + PATIENCE - seconds(1));
    assert_eq!((of(&judge), judge.doubted()), (vec![1, 2], 2));

    let judged = judge.answer(Vec::new(), UNPROBED, now + PATIENCE);
    assert_eq!((of(&judge), judged.changed), (vec![], true));
}

#[test]
fn a_good_answer_in_between_ends_the_doubt() {
    let now = Instant::now();
    let mut judge = after([1, 2], now);

    judge.answer(Vec::new(), UNPROBED, now);
    judge.answer(these([1, 2]), UNPROBED, now + seconds(9));
    judge.answer(Vec::new(), UNPROBED, now + seconds(11));

    assert_eq!((of(&judge), judge.doubted()), (vec![1, 2], 2));
}

#[test]
fn most_of_them_within_five_seconds_are_doubtful_even_one_after_the_other() {
    let now = Instant::now();
    let mut judge = after(1..=8, now);

    for (second, last) in [(1, 7), (2, 6), (3, 5), (4, 4)] {
        judge.answer(these(1..=last), UNPROBED, now + seconds(second));
        assert_eq!(of(&judge), (1..=last).collect::<Vec<_>>());
    }
    let judged = judge.answer(these(1..=3), UNPROBED, now + seconds(5));

    assert_eq!((of(&judge), judged.doubted), (vec![1, 2, 3, 4], 1));
}

#[test]
fn half_of_them_and_more_with_time_between_just_go() {
    let now = Instant::now();
    let mut judge = after(1..=8, now);

    judge.answer(these(1..=4), UNPROBED, now + seconds(1));
    assert_eq!(of(&judge), [1, 2, 3, 4]);
    judge.answer(these(1..=2), UNPROBED, now + seconds(7));
    assert_eq!(of(&judge), [1, 2]);
}

#[test]
fn those_that_pass_their_probes_stay_and_those_that_fail_go() {
    let now = Instant::now();
    let mut judge = after(1..=4, now);
    let odd = |address: &SocketAddr| Some(address.port() % 2 == 1);

    judge.answer(these([9]), &odd, now);
    assert_eq!((of(&judge), judge.doubted()), (vec![1, 3, 9], 2));

    judge.answer(these([9]), &odd, now + PATIENCE * 100);
    assert_eq!(of(&judge), [1, 3, 9]);

    assert!(judge.look(&|address| Some(address.port() != 3)));
    assert_eq!(of(&judge), [1, 9]);
    assert!(!judge.look(&|_| Some(true)));
}

#[test]
fn to_say_the_same_again_is_an_answer() {
    let now = Instant::now();
    let mut judge = after(1..=3, now);
    judge.answer(these([1]), UNPROBED, now);

    assert!(!judge.again(UNPROBED, now + PATIENCE / 2));
    assert_eq!(of(&judge), [1, 2, 3]);
    assert!(judge.again(UNPROBED, now + PATIENCE));
    assert_eq!(of(&judge), [1]);
}

#[test]
fn an_operator_ends_every_doubt() {
    let now = Instant::now();
    let mut judge = after(1..=3, now);
    judge.answer(Vec::new(), &|_| Some(true), now);

    assert_eq!((judge.accept(), of(&judge)), (3, vec![]));
    assert_eq!(judge.accept(), 0);
}

#[test]
fn what_was_remembered_yields_to_any_answer_but_an_empty_one() {
    let now = Instant::now();
    let mut judge = Judge::new(PATIENCE, these(1..=4));

    judge.answer(Vec::new(), UNPROBED, now);
    assert_eq!((of(&judge), judge.doubted()), (vec![1, 2, 3, 4], 4));

    let mut judge = Judge::new(PATIENCE, these(1..=4));
    judge.answer(these([8, 9]), &|_| Some(true), now);
    assert_eq!(of(&judge), [8, 9]);
}

#[test]
fn of_those_with_one_address_the_last_counts() {
    let now = Instant::now();
    let mut judge = after([], now);
    let heavy = Found { weight: 7, ..endpoint(1) };

    let judged = judge.answer(vec![endpoint(1), heavy], UNPROBED, now);

    assert_eq!((judged.duplicates, judge.endpoints().next().map(|endpoint| endpoint.weight)), (1, Some(7)));
}

proptest! {
    /// Whatever a source says, and whatever probes find: what it names is there, what is there besides was there before and is in doubt, and
    /// it is never emptied by one answer.
    #[test]
    fn no_answer_loses_what_it_names_or_keeps_what_nobody_named(
        answers in proptest::collection::vec((proptest::collection::btree_set(0_u16..12, 0..12), 0_u64..15, 0_u16..4), 1..30),
        probed in proptest::bool::ANY,
    ) {
        let (mut now, mut judge) = (Instant::now(), Judge::new(PATIENCE, Vec::new()));
        for (answer, pause, failing) in answers {
            now += seconds(pause);
            let passes = move |address: &SocketAddr| probed.then_some(failing == 0 || !address.port().is_multiple_of(failing));
            let before = of(&judge);
            let (sure, doubted) = (judge.doubted() < before.len(), judge.doubted());

            let judged = judge.answer(these(answer.iter().copied()), &passes, now);

            let after = of(&judge);
            prop_assert!(answer.iter().all(|number| after.contains(number)));
            prop_assert!(after.iter().all(|number| answer.contains(number) || before.contains(number)));
            prop_assert_eq!(judge.doubted(), after.iter().filter(|number| !answer.contains(number)).count());
            prop_assert_eq!(judged.changed, before != after);
            prop_assert!(judged.doubted + doubted >= judge.doubted());
            // Where nothing is probed, what an empty answer meets for the first time outlives it.
            prop_assert!(probed || !sure || !after.is_empty());
            let stale = |standing: &Standing| standing.missed.is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE);
            prop_assert!(probed || !judge.endpoints.values().any(stale));
        }
        let doubted = judge.doubted();
        prop_assert_eq!((judge.accept(), judge.doubted()), (doubted, 0));
    }

    /// What is said again and again is what holds in the end, where no probe objects.
    #[test]
    fn an_answer_that_stays_the_same_holds_in_the_end(
        first in proptest::collection::btree_set(0_u16..12, 0..12), last in proptest::collection::btree_set(0_u16..12, 0..12)
    ) {
        let now = Instant::now();
        let mut judge = after(first, now);

        judge.answer(these(last.iter().copied()), UNPROBED, now + seconds(1));
        judge.answer(these(last.iter().copied()), UNPROBED, now + seconds(1) + PATIENCE);

        prop_assert_eq!(of(&judge), last.into_iter().collect::<Vec<_>>());
    }
}
