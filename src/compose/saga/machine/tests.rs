//! Every order of events that a saga can meet, up to a bound: answers of any kind, times that run out at any moment, a crash at every point,
//! operators at every rest. What holds at each of them is checked in a small world that honours keys, as services have to.

use std::collections::HashSet;

use super::*;

/// So often an attempt of one call is followed; what comes after repeats.
const MOST_ATTEMPTS: u32 = 4;

const NEVER: Step = Step { attempts: 2, undo: Undo::Never };
const BY_KEY: Step = Step { attempts: 2, undo: Undo::Call { needs_answer: false } };
const BY_ANSWER: Step = Step { attempts: 2, undo: Undo::Call { needs_answer: true } };
const NOTHING: Step = Step { attempts: 1, undo: Undo::Nothing };

/// What services know, and what was sent.
#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    /// Whether the effect of a step stands.
    effects: Vec<bool>,
    /// Whether the undo of a step has been sent, or has succeeded.
    undo_sent: Vec<bool>,
    undone: Vec<bool>,
    /// Whether all was done once, and whether an operator wanted that taken back.
    was_done: bool,
    taken_back: bool,
}

/// One moment: what is in memory, what is durable, and the world.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Moment {
    machine: Machine,
    command: Command,
    durable: State,
    answers: u64,
    left: u64,
    over: Over,
    world: World,
}

struct Search {
    shape: Shape,
    seen: HashSet<Moment>,
    next: Vec<Moment>,
    ends: HashSet<State>,
}

impl Search {
    fn new(steps: &[Step]) -> Self {
        let shape = Shape { steps: steps.to_vec() };
        let mut machine = Machine::begun();
        let command = machine.first(&shape, Over::default());
        let none = vec![false; steps.len()];
        let world = World { effects: none.clone(), undo_sent: none.clone(), undone: none, was_done: false, taken_back: false };
        let begun = Moment { machine, command, durable: State::Running(0), answers: 0, left: 0, over: Over::default(), world };
        Self { shape, seen: HashSet::from([begun.clone()]), next: vec![begun], ends: HashSet::new() }
    }

    fn add(&mut self, moment: Moment) {
        if moment.machine.attempts <= MOST_ATTEMPTS && !self.seen.contains(&moment) {
            self.seen.insert(moment.clone());
            self.next.push(moment);
        }
    }

    /// The moment after this event.
    fn on(&mut self, mut moment: Moment, event: Event) {
        moment.command = moment.machine.on(&self.shape, event);
        self.add(moment);
    }

    /// A crash: what is not durable is forgotten. Nobody need ask for it to go on.
    fn crash(&mut self, mut moment: Moment) {
        moment.machine = recovered(&self.shape, &moment, moment.left);
        moment.command = moment.machine.first(&self.shape, moment.over);
        let rests = moment.durable.is_ended() || matches!(moment.durable, State::Stuck(_));
        assert_eq!(moment.command == Command::Rest, rests, "{:?}", moment.durable);
        self.add(moment);
    }

    /// Everything that can follow.
    fn follow(&mut self, moment: &Moment) {
        self.crash(moment.clone());
        for over in later(moment.over) {
            self.add(Moment { over, ..moment.clone() });
        }
        match moment.command {
            Command::Keep(keep) => {
                let mut kept = moment.clone();
                kept.durable = keep.state;
                kept.answers |= keep.answer.map_or(0, |step| 1 << step);
                // What an operator leaves is written with the turn that he wants.
                kept.left = moment.machine.left;
                if keep.anew {
                    kept.over = Over::default();
                }
                kept.world.was_done |= keep.state == State::Done;
                check_kept(&self.shape, moment, keep);
                // It is durable, and the machine does not know that yet.
                self.crash(kept.clone());
                let over = kept.over;
                self.on(kept, Event::Kept(over));
            }
            Command::Send(send) => self.sent(moment, send),
            Command::Pause(_) => self.on(moment.clone(), Event::Due),
            Command::Rest => self.rest(moment),
        }
    }

    fn sent(&mut self, moment: &Moment, send: Send) {
        check_sent(&self.shape, moment, send);
        let (step, is_undo) = match send {
            Send::Step(step) | Send::Learn(step) => (step, false),
            Send::Undo(step) => (step, true),
        };
        let mut arrived = moment.clone();
        if is_undo {
            arrived.world.undo_sent[step] = true;
        }
        // Without an effect; with one, which may be known or not.
        // A value is missing for ever or never: what was sent before had all of them.
        let certain = !moment.world.effects[step];
        let mut outcomes =
            vec![(Ended::NotSent, false), (Ended::NoUpstream, false), (Ended::Unknown, false), (Ended::Unknown, true), (Ended::Done, true)];
        if !moment.world.effects[step] || is_undo {
            outcomes.push((Ended::Refused, false));
        }
        // Who has an attempt at work, or knows it as a duplicate, refuses another one; that one comes about at once, later or never.
        if moment.machine.was_unknown || matches!(send, Send::Learn(_)) {
            outcomes.extend([(Ended::Refused, false), (Ended::Refused, true)]);
        }
        if is_undo || certain {
            outcomes.push((Ended::Missing, false));
        }
        for (ended, takes_effect) in outcomes {
            let mut after = arrived.clone();
            if takes_effect {
                after.world.effects[step] = !is_undo;
            }
            if is_undo && ended == Ended::Done {
                after.world.undone[step] = true;
            }
            self.crash(after.clone());
            self.on(after, Event::Ended(ended, moment.over));
        }
    }

    fn rest(&mut self, moment: &Moment) {
        check_rest(&self.shape, moment);
        self.ends.insert(moment.durable);
        for event in [Event::Retry, Event::Abandon] {
            self.on(moment.clone(), event);
        }
        let named = match moment.durable {
            State::Done => [Some(0), self.shape.pivot()],
            State::Stuck(why) => [None, Some(why.step())],
            _ => [None, None],
        };
        for left in named.into_iter().flatten().map(|step| moment.left | 1 << step).chain([moment.left]) {
            let mut asked = moment.clone();
            asked.machine = recovered(&self.shape, moment, left);
            let is_left = |step: usize| left & (1 << step) != 0;
            asked.world.taken_back |= moment.durable == State::Done && self.shape.pivot().is_none_or(is_left);
            self.on(asked, Event::TakeBack);
        }
    }

    fn run(mut self) -> (usize, HashSet<State>) {
        while let Some(moment) = self.next.pop() {
            self.follow(&moment);
            assert!(self.seen.len() < 3_000_000, "the bound holds");
        }
        for moment in &self.seen {
            ends_in_a_good_world(&self.shape, moment);
        }
        (self.seen.len(), self.ends)
    }
}

/// As whoever finds it begins with it, where these steps are to stay.
fn recovered(shape: &Shape, moment: &Moment, left: u64) -> Machine {
    let steps = |bits: u64| (0..shape.steps.len()).filter(move |step| bits & (1 << step) != 0);
    Machine::recovered(moment.durable, steps(moment.answers), steps(left))
}

/// Times only run out.
fn later(over: Over) -> Vec<Over> {
    let deadline = (!over.deadline).then_some(Over { deadline: true, ..over });
    let give_up = (!over.give_up).then_some(Over { give_up: true, ..over });
    deadline.into_iter().chain(give_up).collect()
}

/// What may be made durable.
fn check_kept(shape: &Shape, moment: &Moment, keep: Keep) {
    let from = moment.durable;
    match keep.state {
        State::Running(next) => match from {
            State::Running(step) => assert_eq!((next, keep.answer), (step + 1, Some(step))),
            State::Stuck(why) => assert!(keep.anew && why.resumes() == keep.state),
            _ => panic!("{from:?} goes forward"),
        },
        State::Done => {
            assert_eq!((from, keep.answer), (State::Running(shape.steps.len() - 1), Some(shape.steps.len() - 1)));
            assert!(moment.world.effects.iter().all(|stands| *stands));
        }
        State::Undoing(step) => {
            assert!(matches!(shape.steps[step].undo, Undo::Call { .. }));
            match from {
                State::Running(failed) => {
                    assert_eq!(keep.failed, Some(failed), "the turn says why");
                    assert!(step <= failed);
                    // Nothing that stands is passed over.
                    check_passed_over(shape, moment, step + 1);
                }
                State::Undoing(before) => {
                    assert!(step <= before);
                    check_passed_over(shape, moment, step + 1);
                }
                State::Stuck(why) if moment.machine.leaves(why.step()) && step < why.step() => check_passed_over(shape, moment, step + 1),
                State::Stuck(why) => assert_eq!(why.resumes(), keep.state),
                State::Done => assert!(moment.world.taken_back),
                State::Undone | State::Abandoned => panic!("{from:?} has ended"),
            }
        }
        State::Undone => {
            let is_left = matches!(from, State::Stuck(why) if moment.machine.leaves(why.step()));
            assert!(is_left || matches!(from, State::Running(_) | State::Undoing(_) | State::Done), "{from:?}");
            check_passed_over(shape, moment, 0);
        }
        State::Stuck(why) => {
            assert!(!from.is_ended());
            match why {
                Stuck::Pivot(step) => assert!(moment.over.give_up && shape.steps[step].undo == Undo::Never),
                Stuck::Undo(_) => assert!(moment.over.give_up),
                Stuck::Lost(_) | Stuck::Upstream { .. } => {}
            }
        }
        State::Abandoned => assert!(matches!(from, State::Stuck(_))),
    }
}

/// Of the steps from here on nothing stands that has an undo, nor does a pivot: but for what an operator has left.
fn check_passed_over(shape: &Shape, moment: &Moment, from: usize) {
    for (step, known) in shape.steps.iter().enumerate().skip(from) {
        let may_stand = known.undo == Undo::Nothing || moment.machine.leaves(step);
        assert!(may_stand || !moment.world.effects[step], "step {step} stands: {:?}", moment.durable);
    }
}

/// What may be sent.
fn check_sent(shape: &Shape, moment: &Moment, send: Send) {
    let world = &moment.world;
    match send {
        Send::Step(step) => {
            assert_eq!(moment.durable, State::Running(step), "all before it is durable");
            assert!(!world.was_done && world.undo_sent.iter().all(|sent| !sent), "no step follows an undo");
        }
        Send::Learn(step) => {
            assert_eq!(moment.durable, State::Undoing(step));
            assert!(!world.was_done && !world.undo_sent[step]);
        }
        Send::Undo(step) => {
            assert_eq!(moment.durable, State::Undoing(step), "the turn is durable");
            assert!(!world.was_done || world.taken_back, "what was answered as done stays");
            assert!(!moment.machine.leaves(step), "what an operator leaves is not taken back");
            for (later, known) in shape.steps.iter().enumerate().skip(step + 1) {
                let is_left = moment.left & (1 << later) != 0;
                let is_over = is_left || !matches!(known.undo, Undo::Call { .. }) || world.undone[later] || !world.effects[later];
                assert!(is_over, "the undos of later steps are over");
            }
            if shape.steps[step].undo == (Undo::Call { needs_answer: true }) {
                assert!(moment.answers & (1 << step) != 0, "what it names is known, and durable");
            }
        }
    }
}

/// What holds where nothing follows by itself.
fn check_rest(shape: &Shape, moment: &Moment) {
    let world = &moment.world;
    match moment.durable {
        State::Running(_) | State::Undoing(_) => panic!("{:?} is left alone", moment.durable),
        State::Done => assert!(world.effects.iter().all(|stands| *stands)),
        State::Undone => check_passed_over(shape, moment, 0),
        State::Stuck(Stuck::Pivot(step)) => {
            assert!(world.undo_sent.iter().all(|sent| !sent), "nothing is undone around a pivot that may stand");
            assert!(world.effects[..step].iter().all(|stands| *stands));
        }
        State::Stuck(Stuck::Undo(step) | Stuck::Lost(step) | Stuck::Upstream { step, .. }) => assert!(step < shape.steps.len()),
        State::Abandoned => {}
    }
}

/// Where every service answers and nothing is late, each saga comes to its end.
fn ends_in_a_good_world(shape: &Shape, moment: &Moment) {
    let (mut machine, mut command) = (moment.machine.clone(), moment.command);
    let over = Over::default();
    for _ in 0..64 {
        command = match command {
            Command::Keep(_) => machine.on(shape, Event::Kept(over)),
            Command::Send(_) => machine.on(shape, Event::Ended(Ended::Done, over)),
            Command::Pause(_) => machine.on(shape, Event::Due),
            Command::Rest => {
                assert!(machine.state.is_ended() || matches!(machine.state, State::Stuck(_)));
                return;
            }
        };
    }
    panic!("{:?} comes to no end", moment.durable);
}

#[test]
fn whatever_happens_in_whatever_order_nothing_is_lost_or_done_twice_or_undone_that_was_answered_as_done() {
    for steps in [
        &[BY_KEY, BY_ANSWER, NEVER][..],
        &[BY_KEY, BY_KEY, BY_KEY],
        &[BY_ANSWER, NOTHING, BY_ANSWER],
        &[NOTHING, BY_KEY, NEVER],
        &[NOTHING, NOTHING],
        &[NEVER],
        &[BY_ANSWER],
    ] {
        let (moments, ends) = Search::new(steps).run();

        assert!(moments > 50, "{moments}");
        let reached = |name: &str| ends.iter().any(|state| state.name() == name);
        for name in ["done", "undone", "stuck", "abandoned"] {
            assert!(reached(name), "{steps:?} never is {name}");
        }
        assert_eq!(ends.iter().any(|end| matches!(end, State::Stuck(Stuck::Pivot(_)))), steps.contains(&NEVER), "{steps:?}");
        let has_undo = steps.iter().any(|step| matches!(step.undo, Undo::Call { .. }));
        assert_eq!(ends.iter().any(|end| matches!(end, State::Stuck(Stuck::Lost(_)))), has_undo, "{steps:?}");
    }
}

/// Follows a saga that answers as the plan says, each step's last answer for ever; the commands in their order, without pauses.
fn told(steps: &[Step], plan: &[(Send, &[Ended])], over: impl Fn(usize) -> Over) -> (Vec<Command>, State) {
    let shape = Shape { steps: steps.to_vec() };
    let mut machine = Machine::begun();
    let mut command = machine.first(&shape, over(0));
    let (mut commands, mut tried) = (Vec::new(), std::collections::HashMap::new());
    for event in 1..100 {
        if !matches!(command, Command::Pause(_)) {
            commands.push(command);
        }
        let over = over(event);
        command = match command {
            Command::Keep(_) => machine.on(&shape, Event::Kept(over)),
            Command::Send(send) => {
                let answers = plan.iter().find(|(planned, _)| *planned == send).map_or(&[Ended::Done][..], |(_, answers)| answers);
                let tried = tried.entry(send).or_insert(0);
                *tried += 1;
                machine.on(&shape, Event::Ended(answers[(*tried - 1).min(answers.len() - 1)], over))
            }
            Command::Pause(_) => machine.on(&shape, Event::Due),
            Command::Rest => break,
        };
    }
    (commands, machine.state)
}

fn sends(commands: &[Command]) -> Vec<Send> {
    commands.iter().filter_map(|command| if let Command::Send(send) = command { Some(*send) } else { None }).collect()
}

const IN_TIME: fn(usize) -> Over = |_| Over::default();

#[test]
fn a_saga_of_three_steps_that_all_succeed_is_kept_three_times_after_its_beginning() {
    let (commands, state) = told(&[BY_KEY, BY_ANSWER, NEVER], &[], IN_TIME);

    assert_eq!(commands.iter().filter(|command| matches!(command, Command::Keep(_))).count(), 3);
    assert_eq!(sends(&commands), [Send::Step(0), Send::Step(1), Send::Step(2)]);
    assert_eq!(state, State::Done);
}

#[test]
fn what_is_refused_did_not_happen_and_what_is_unknown_may_have() {
    let steps = [BY_KEY, BY_KEY, NEVER];
    let refused = told(&steps, &[(Send::Step(1), &[Ended::Refused])], IN_TIME);
    let down = told(&steps, &[(Send::Step(1), &[Ended::NotSent])], IN_TIME);
    let unknown = told(&steps, &[(Send::Step(1), &[Ended::Unknown])], IN_TIME);
    let unknown_then_down = told(&steps, &[(Send::Step(1), &[Ended::Unknown, Ended::NotSent])], IN_TIME);

    assert_eq!(sends(&refused.0), [Send::Step(0), Send::Step(1), Send::Undo(0)]);
    assert_eq!(sends(&down.0), [Send::Step(0), Send::Step(1), Send::Step(1), Send::Undo(0)]);
    assert_eq!(sends(&unknown.0), [Send::Step(0), Send::Step(1), Send::Step(1), Send::Undo(1), Send::Undo(0)]);
    assert_eq!(sends(&unknown_then_down.0), sends(&unknown.0));
    for (_, state) in [refused, down, unknown, unknown_then_down] {
        assert_eq!(state, State::Undone);
    }
}

#[test]
fn a_pivot_that_stays_unknown_is_repeated_until_it_is_known_or_given_up_and_nothing_is_undone() {
    let steps = [BY_KEY, NEVER];
    let known = told(&steps, &[(Send::Step(1), &[Ended::Unknown, Ended::Unknown, Ended::Unknown, Ended::Unknown, Ended::Done])], IN_TIME);
    let refused =
        told(&steps, &[(Send::Step(1), &[Ended::Unknown, Ended::Refused])], |event| Over { deadline: event > 8, give_up: event > 30 });
    let given_up = told(&steps, &[(Send::Step(1), &[Ended::Unknown])], |event| Over { deadline: event > 8, give_up: event > 30 });

    assert_eq!(sends(&known.0)[5..], [Send::Step(1)]);
    assert_eq!(known.1, State::Done);
    for (commands, state) in [refused, given_up] {
        assert_eq!(state, State::Stuck(Stuck::Pivot(1)));
        assert!(sends(&commands).iter().all(|send| matches!(send, Send::Step(_))));
    }
}

#[test]
fn what_is_refused_after_an_attempt_that_may_have_happened_is_taken_back_with_what_was_before_it() {
    let steps = [BY_KEY, BY_KEY, NEVER];

    let (commands, state) = told(&steps, &[(Send::Step(1), &[Ended::Unknown, Ended::Refused])], IN_TIME);

    assert_eq!(sends(&commands), [Send::Step(0), Send::Step(1), Send::Step(1), Send::Undo(1), Send::Undo(0)]);
    assert_eq!(state, State::Undone);
}

#[test]
fn what_is_refused_after_a_crash_is_tried_until_all_attempts_were_refused() {
    for (step, follows) in [(BY_KEY, State::Undone), (NEVER, State::Undone)] {
        let shape = Shape { steps: vec![step] };
        let mut machine = Machine::recovered(State::Running(0), [], []);
        let refused = Event::Ended(Ended::Refused, Over::default());

        assert_eq!(machine.first(&shape, Over::default()), Command::Send(Send::Step(0)));
        assert_eq!(machine.on(&shape, refused), Command::Pause(Pause::Step(1)));
        assert_eq!(machine.on(&shape, Event::Due), Command::Send(Send::Step(0)));
        assert_eq!(machine.on(&shape, refused), Command::Keep(Keep { state: follows, answer: None, failed: Some(0), anew: false }));
    }
}

#[test]
fn an_answer_that_was_lost_is_asked_for_once_more_where_its_undo_names_it() {
    let steps = [BY_ANSWER, NEVER];
    let learnt = told(&steps, &[(Send::Step(0), &[Ended::Unknown])], IN_TIME);
    let lost = told(&steps, &[(Send::Step(0), &[Ended::Unknown]), (Send::Learn(0), &[Ended::Unknown])], |event| Over {
        deadline: event > 2,
        give_up: event > 20,
    });
    let learnt_late =
        told(&steps, &[(Send::Step(0), &[Ended::Unknown]), (Send::Learn(0), &[Ended::Unknown, Ended::NotSent, Ended::Done])], |event| {
            Over { deadline: event > 2, give_up: false }
        });
    let refused = told(&steps, &[(Send::Step(0), &[Ended::Unknown]), (Send::Learn(0), &[Ended::Refused])], IN_TIME);

    assert_eq!(sends(&learnt.0), [Send::Step(0), Send::Step(0), Send::Learn(0), Send::Undo(0)]);
    assert_eq!(learnt.1, State::Undone);
    assert_eq!(lost.1, State::Stuck(Stuck::Lost(0)));
    assert!(sends(&lost.0).iter().filter(|send| **send == Send::Learn(0)).count() > 3, "its deadline does not end what is taken back");
    assert_eq!(learnt_late.1, State::Undone);
    assert_eq!(sends(&learnt_late.0)[2..], [Send::Learn(0), Send::Learn(0), Send::Learn(0), Send::Undo(0)]);
    assert_eq!(refused.1, State::Stuck(Stuck::Lost(0)), "what may stand is not passed over");
    assert_eq!(sends(&refused.0)[2..], [Send::Learn(0), Send::Learn(0)]);
}

#[test]
fn what_is_done_is_taken_back_around_what_is_left_and_only_where_nothing_else_would_stand() {
    for (steps, left, follows) in [
        (&[BY_KEY, BY_ANSWER][..], &[][..], Some(State::Undoing(1))),
        (&[BY_KEY, NOTHING], &[], Some(State::Undoing(0))),
        (&[NOTHING], &[], Some(State::Undone)),
        (&[BY_KEY, NEVER], &[], None),
        (&[NEVER], &[], None),
        (&[BY_KEY, NEVER], &[0], None),
        (&[BY_KEY, NEVER], &[1], Some(State::Undoing(0))),
        (&[BY_KEY, BY_KEY, NEVER], &[1, 2], Some(State::Undoing(0))),
        (&[BY_KEY, BY_KEY], &[1], Some(State::Undoing(0))),
        (&[BY_KEY, NEVER], &[0, 1], Some(State::Undone)),
    ] {
        let mut machine = Machine::recovered(State::Done, 0..steps.len(), left.iter().copied());

        let command = machine.on(&Shape { steps: steps.to_vec() }, Event::TakeBack);

        let keep = follows.map_or(Command::Rest, |state| Command::Keep(Keep { state, answer: None, failed: None, anew: true }));
        assert_eq!(command, keep, "{steps:?} {left:?}");
    }
}

#[test]
fn what_is_stuck_is_taken_back_around_the_step_that_it_is_stuck_at_where_that_is_left() {
    let steps = [BY_KEY, BY_ANSWER, NEVER];
    for (why, left, follows) in [
        (Stuck::Pivot(2), Some(2), Some((State::Undoing(1), Some(2)))),
        (Stuck::Pivot(2), Some(1), None),
        (Stuck::Pivot(2), None, None),
        (Stuck::Undo(1), Some(1), Some((State::Undoing(0), None))),
        (Stuck::Lost(1), Some(1), Some((State::Undoing(0), None))),
        (Stuck::Undo(0), Some(0), Some((State::Undone, None))),
        (Stuck::Upstream { step: 1, undoing: false }, Some(1), Some((State::Undoing(0), Some(1)))),
        (Stuck::Upstream { step: 1, undoing: true }, Some(1), Some((State::Undoing(0), None))),
        (Stuck::Upstream { step: 1, undoing: true }, Some(0), None),
    ] {
        let mut machine = Machine::recovered(State::Stuck(why), 0..2, left);

        let command = machine.on(&Shape { steps: steps.to_vec() }, Event::TakeBack);

        let keep = |(state, failed)| Command::Keep(Keep { state, answer: None, failed, anew: true });
        assert_eq!(command, follows.map_or(Command::Rest, keep), "{why:?} {left:?}");
    }
}

#[test]
fn where_the_deadline_is_over_no_further_step_is_begun() {
    let steps = [BY_KEY, BY_KEY, NEVER];
    // The first step ends when the time is over.
    let (commands, state) = told(&steps, &[], |event| Over { deadline: event > 1, give_up: false });

    assert_eq!(sends(&commands), [Send::Step(0), Send::Undo(0)]);
    assert_eq!(state, State::Undone);
}

#[test]
fn pauses_double_and_a_pivot_that_is_repeated_begins_again_with_the_short_ones() {
    let shape = Shape { steps: vec![NEVER] };
    let mut machine = Machine::begun();
    let mut command = machine.first(&shape, Over::default());
    let mut pauses = Vec::new();
    while pauses.len() < 4 {
        command = match command {
            Command::Send(_) => machine.on(&shape, Event::Ended(Ended::Unknown, Over::default())),
            Command::Pause(pause) => {
                pauses.push(pause);
                machine.on(&shape, Event::Due)
            }
            other => panic!("{other:?}"),
        };
    }

    assert_eq!(pauses, [Pause::Step(1), Pause::Long(1), Pause::Long(2), Pause::Long(3)]);
}
