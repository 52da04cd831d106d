use frontgate_filters::words::units;

use super::*;

const SHARE: f64 = 0.9;

fn stages(bounds: &Bounds, values: &[(u64, f64)]) -> Vec<Stage> {
    let (mut judge, began) = (Judge::default(), Instant::now());
    values.iter().map(|(millis, value)| judge.judge(*value, bounds, began + Duration::from_millis(*millis))).collect()
}

#[test]
fn a_share_above_its_bound_counts_at_once_and_is_over_when_it_stays_well_below() {
    let bounds = Bounds::of_share(SHARE);

    let found = stages(&bounds, &[(0, 0.9), (250, 0.91), (500, 0.86), (750, 0.84), (2500, 0.86), (2750, 0.84), (4500, 0.84), (4750, 0.1)]);

    use Stage::{Calm, First};
    assert_eq!(found, [Calm, First, First, First, First, First, First, Calm], "0.86 in between began the time anew");
}

#[test]
fn the_second_stage_begins_half_way_to_the_end_and_the_way_back_has_two_steps() {
    let bounds = Bounds::of_share(SHARE);

    let found = stages(&bounds, &[(0, 0.96), (250, 0.1), (2250, 0.1), (2500, 0.1), (4500, 0.1)]);

    assert_eq!(found, [Stage::Second, Stage::Second, Stage::First, Stage::First, Stage::Calm]);
}

#[test]
fn a_bound_of_all_there_is_is_never_passed() {
    assert_eq!(stages(&Bounds::of_share(1.0), &[(0, 1.0), (10_000, 1.0)]), [Stage::Calm, Stage::Calm]);
    assert_eq!(stages(&Bounds::of_share(0.02), &[(0, 0.03), (250, 0.0), (2250, 0.0)]).last(), Some(&Stage::Calm), "it ends, too");
}

#[test]
fn lateness_counts_only_while_every_beat_is_late() {
    let bounds = Bounds::of_lag(Duration::from_millis(100), Duration::from_secs(1));

    use Stage::{Calm, First, Second};
    let once = stages(&bounds, &[(0, 0.3), (250, 0.3), (500, 0.3), (750, 0.01), (1000, 0.3), (1250, 0.3)]);
    assert!(once.iter().all(|stage| *stage == Calm), "{once:?}");

    let found = stages(&bounds, &[(0, 0.2), (500, 0.2), (1000, 0.2), (1250, 0.5), (2250, 0.5), (2500, 0.15), (4500, 0.15), (6500, 0.15)]);
    assert_eq!(found, [Calm, Calm, First, First, Second, Second, First, First], "0.15 s ends the second one alone");
}

#[test]
fn what_matters_more_is_refused_later_and_what_matters_most_never() {
    let refused = |stage: Stage| [Priority::Low, Priority::Normal, Priority::High].map(|priority| stage.refuses(priority));

    assert_eq!(refused(Stage::Calm), [false, false, false]);
    assert_eq!(refused(Stage::First), [true, false, false]);
    assert_eq!(refused(Stage::Second), [true, true, false]);
}

fn used(used: u64) -> Option<Measured> {
    Some(Measured::Used { used, most: 100 << 20, of: "a test" })
}

#[test]
fn it_is_said_when_it_begins_when_it_grows_worse_and_when_it_is_over() {
    let (overload, bounds, began) = (Overload::default(), model::Overload::default(), Instant::now());
    let look = |millis, measured| {
        let mut state = overload.state.lock();
        overload.judge(&mut state, &bounds, measured, false, began + Duration::from_millis(millis))
    };
    assert_eq!(look(0, [None, used(10 << 20), None]), Turn::None);

    let begins = look(250, [used(93 << 20), used(10 << 20), None]);
    assert_eq!(begins, Turn::Worse(Stage::First, "93 % of the memory is in use (100 MiB, a test)".to_owned()));
    assert_eq!((overload.stage(), look(500, [used(94 << 20), None, None])), (Stage::First, Turn::None));
    overload.refused();
    let worse = look(750, [used(94 << 20), used(97 << 20), None]);
    assert_eq!(overload.stage(), Stage::Second);
    let Turn::Worse(Stage::Second, words) = worse else { panic!("{worse:?}") };
    assert!(words.contains("memory") && words.contains(", and 97 % of the file descriptors"), "{words}");

    assert_eq!(look(1000, [None, None, None]), Turn::None);
    assert_eq!((look(3000, [None, None, None]), overload.stage()), (Turn::None, Stage::First), "one stage after the other");
    assert_eq!(look(3250, [None, used(96 << 20), None]), Turn::None, "of what was said already nothing is said again");
    look(3500, [None, None, None]);
    look(5500, [None, None, None]);
    look(5750, [None, None, None]);
    assert_eq!(look(7750, [None, None, None]), Turn::Over(Duration::from_millis(7500), 1));
    assert_eq!((overload.stage(), look(8000, [None, None, None])), (Stage::Calm, Turn::None));
}

#[test]
fn a_worker_that_is_gone_is_not_late() {
    let overload = Overload::default();
    let (beat, now) = (overload.beat(), Instant::now());
    assert_eq!(overload.late(now), Some(Duration::ZERO));
    beat.expect(now);
    let later = now + Duration::from_secs(3);
    assert!(overload.late(later) >= Some(Duration::from_secs(2)));

    drop(beat);

    assert_eq!((overload.late(later), overload.beats.lock().len()), (None, 0));
}

#[test]
fn bounds_of_the_configuration_are_the_ones_that_count() {
    let (overload, began) = (Overload::default(), Instant::now());
    let bounds = model::Overload { memory: units::Share(0.5), ..model::Overload::default() };

    let turn = overload.judge(&mut overload.state.lock(), &bounds, [used(60 << 20), None, None], false, began);

    assert!(matches!(turn, Turn::Worse(Stage::First, _)), "{turn:?}");
}

#[test]
fn what_comes_back_soon_takes_longer_to_be_over_and_is_not_told_at_once() {
    let (overload, bounds, began) = (Overload::default(), model::Overload::default(), Instant::now());
    let (mut stages, mut turns) = (Vec::new(), Vec::new());

    // Half a second too late in every four: as where a client floods a worker and rests.
    for quarter in 0..4 * 120_u64 {
        let late = Measured::Late(Duration::from_millis(if quarter % 16 < 6 { 200 } else { 1 }));
        let now = began + Duration::from_millis(250 * quarter);
        let turn = overload.judge(&mut overload.state.lock(), &bounds, [None, None, Some(late)], false, now);
        stages.push(overload.stage());
        if turn != Turn::None {
            turns.push(now.duration_since(began).as_millis());
        }
    }

    let changes = stages.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changes <= 5 && stages.last() == Some(&Stage::First), "{changes} changes in two minutes");
    assert!(turns.windows(2).all(|pair| pair[1] - pair[0] >= 2000), "{turns:?}");
    let calm = |seconds| overload.judge(&mut overload.state.lock(), &bounds, [None; 3], false, began + Duration::from_secs(seconds));
    assert_eq!((calm(120), overload.stage()), (Turn::None, Stage::First));
    assert!(matches!(calm(137), Turn::Over(..)), "the way back is not without an end");
}

#[test]
fn what_begins_again_at_once_is_told_a_moment_later_and_what_is_over_by_then_never() {
    let (overload, bounds, began) = (Overload::default(), model::Overload::default(), Instant::now());
    let look = |millis, share: u64| {
        let mut state = overload.state.lock();
        overload.judge(&mut state, &bounds, [used(share << 20), None, None], false, began + Duration::from_millis(millis))
    };
    assert!(matches!(look(0, 95), Turn::Worse(Stage::First, _)));
    look(1000, 10);
    assert!(matches!(look(3000, 10), Turn::Over(..)));

    assert_eq!((look(3250, 95), overload.stage()), (Turn::None, Stage::First), "it holds at once");
    assert_eq!(look(5750, 95), Turn::None);
    assert!(matches!(look(6000, 95), Turn::Worse(Stage::First, _)));
}

#[test]
fn that_clients_are_turned_away_is_overload_however_few_descriptors_are_in_use_a_moment_later() {
    let (overload, bounds, began) = (Overload::default(), model::Overload::default(), Instant::now());
    let measured = [None, used(10 << 20), None];
    overload.state.lock().away.descriptors.count(1, began);

    let turn = overload.judge(&mut overload.state.lock(), &bounds, measured, true, began);

    let Turn::Worse(Stage::First, words) = turn else { panic!("{turn:?}") };
    assert!(words.ends_with("and clients were turned away"), "{words}");
    let never = model::Overload { descriptors: units::Share(1.0), ..bounds };
    let unbounded = Overload::default();
    let turn = unbounded.judge(&mut unbounded.state.lock(), &never, measured, true, began);
    assert_eq!((turn, unbounded.stage()), (Turn::None, Stage::Calm), "a bound of all there is is never passed");
}
