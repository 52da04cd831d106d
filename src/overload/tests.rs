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
        overload.judge(&mut state, &bounds, measured, began + Duration::from_millis(millis))
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

    let turn = overload.judge(&mut overload.state.lock(), &bounds, [used(60 << 20), None, None], began);

    assert!(matches!(turn, Turn::Worse(Stage::First, _)), "{turn:?}");
}
