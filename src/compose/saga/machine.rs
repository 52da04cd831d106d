//! What a saga does next: a function of the state it is in and of what has happened, without a clock, without randomness, without input and
//! output, so that every order of events can be tried.
//!
//! Each event has exactly one [`Command`] for an answer. A state holds once it is durable: the machine asks for that with [`Command::Keep`] and
//! goes on when it hears [`Event::Kept`]. Whoever runs it forgets everything else in a crash and begins again with [`Machine::recovered`].

use serde::{Deserialize, Serialize};

/// What a machine has to know of the steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// In their order; never none.
    pub steps: Vec<Step>,
}

impl Shape {
    /// The step that cannot be taken back, where there is one: the last one.
    pub(crate) fn pivot(&self) -> Option<usize> {
        self.steps.iter().position(|step| step.undo == Undo::Never)
    }
}

/// What a machine has to know of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// How often it is tried, the first time included, before what is known of it decides.
    pub attempts: u32,
    /// How it is taken back.
    pub undo: Undo,
}

/// How a step is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undo {
    /// By a call.
    Call {
        /// Whether that call names a part of the answer to the step itself.
        needs_answer: bool,
    },
    /// There is nothing to take back.
    Nothing,
    /// It cannot be: the pivot, which is the last step.
    Never,
}

/// Where a saga is. What is written here is what is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// This step is next, or under way.
    Running(usize),
    /// The undo of this step is next, or under way; those of the steps behind it are over.
    Undoing(usize),
    /// Every step is done.
    Done,
    /// What was done has been taken back.
    Undone,
    /// It needs an operator.
    Stuck(Stuck),
    /// An operator has given it up.
    Abandoned,
}

/// Why a saga needs an operator, and at which step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stuck {
    /// Whether the pivot has happened is still unknown. Nothing is undone.
    Pivot(usize),
    /// The undo of this step never succeeded.
    Undo(usize),
    /// The undo of this step needs a part of an answer that was lost and cannot be had again, or never was there.
    Lost(usize),
    /// A step, or its undo, is to be sent to an upstream that the configuration does not have any more.
    Upstream {
        /// Which.
        step: usize,
        /// Whether it is being undone.
        undoing: bool,
    },
}

impl Stuck {
    /// The step that it is stuck at.
    pub(crate) fn step(self) -> usize {
        match self {
            Self::Pivot(step) | Self::Undo(step) | Self::Lost(step) | Self::Upstream { step, .. } => step,
        }
    }

    /// Where it goes on when an operator has it tried again.
    pub(crate) fn resumes(self) -> State {
        match self {
            Self::Pivot(step) | Self::Upstream { step, undoing: false } => State::Running(step),
            Self::Undo(step) | Self::Lost(step) | Self::Upstream { step, undoing: true } => State::Undoing(step),
        }
    }
}

impl State {
    /// Whether nothing follows by itself.
    pub(crate) fn is_ended(self) -> bool {
        matches!(self, Self::Done | Self::Undone | Self::Abandoned)
    }

    /// Its name, as operators and metrics know it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Running(_) => "running",
            Self::Undoing(_) => "undoing",
            Self::Done => "done",
            Self::Undone => "undone",
            Self::Stuck(_) => "stuck",
            Self::Abandoned => "abandoned",
        }
    }
}

/// A call of a saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Send {
    /// A step, by its index.
    Step(usize),
    /// A step once more, whose answer its undo needs.
    Learn(usize),
    /// The undo of a step.
    Undo(usize),
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ended {
    /// The answer was as expected.
    Done,
    /// It was refused: it did not happen, unless an attempt before it may have.
    Refused,
    /// It was not sent, or nobody took it: it did not happen.
    NotSent,
    /// It may have happened.
    Unknown,
    /// Its upstream is not in the configuration any more.
    NoUpstream,
    /// A value that it needs is missing, so that it can never be sent.
    Missing,
}

/// Which of its times are over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Over {
    /// That for going forward.
    pub deadline: bool,
    /// That for undoing, and for a pivot that stays unknown.
    pub give_up: bool,
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// What was to be kept is durable.
    Kept(Over),
    /// An attempt ended.
    Ended(Ended, Over),
    /// A pause is over.
    Due,
    /// An operator wants it tried again.
    Retry,
    /// An operator gives it up.
    Abandon,
    /// An operator wants taken back what is done, around what is to stay: the last step where that has no undo, and the one that it is stuck at.
    TakeBack,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Command {
    /// Make this durable, and say so before anything else follows.
    Keep(Keep),
    /// Make this call.
    Send(Send),
    /// Wait, and say when it is over.
    Pause(Pause),
    /// Nothing follows by itself.
    Rest,
}

/// What is to be made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Keep {
    /// The state that holds then.
    pub state: State,
    /// The step whose answer has just come, with the values that others need of it.
    pub answer: Option<usize>,
    /// The step that has failed, where the saga turns to undoing with that.
    pub failed: Option<usize>,
    /// Whether its times begin anew.
    pub anew: bool,
}

/// How long to wait before the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pause {
    /// Before a step is tried again, after so many attempts: 200 ms, doubling.
    Step(u32),
    /// Before a pivot that stays unknown, or an undo, is tried again, after so many: 1 s, doubling, at most 5 min.
    Long(u32),
}

/// A saga between two events.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Machine {
    state: State,
    /// What is being made durable.
    keeping: Option<State>,
    /// Attempts of the call that is under way.
    attempts: u32,
    /// Whether an attempt of it may have happened.
    may_have_happened: bool,
    /// Whether one that was seen here may have. It may still be at work, and so whoever refuses another one may do so because of it.
    was_unknown: bool,
    /// The steps whose answers are kept, a bit each.
    answers: u64,
    /// The steps that stay when the others are taken back, since an operator wants it so, a bit each.
    left: u64,
}

/// These steps, a bit each.
fn bits(steps: impl IntoIterator<Item = usize>) -> u64 {
    steps.into_iter().fold(0, |bits, step| bits | 1 << step)
}

/// The most steps that a saga may have.
pub(crate) const MOST_STEPS: usize = 32;

impl Machine {
    /// A saga whose beginning is durable, and of which nothing was sent.
    pub(crate) fn begun() -> Self {
        Self { state: State::Running(0), keeping: None, attempts: 0, may_have_happened: false, was_unknown: false, answers: 0, left: 0 }
    }

    /// A saga that was found in this state, with the answers of these steps, of which those stay. Any call of it may have been sent.
    pub(crate) fn recovered(state: State, answers: impl IntoIterator<Item = usize>, left: impl IntoIterator<Item = usize>) -> Self {
        Self { state, keeping: None, attempts: 0, may_have_happened: true, was_unknown: false, answers: bits(answers), left: bits(left) }
    }

    /// What is done first.
    pub(crate) fn first(&mut self, shape: &Shape, over: Over) -> Command {
        match self.state {
            State::Running(step) => self.forward(shape, step, over),
            State::Undoing(step) => self.back(shape, step),
            State::Done | State::Undone | State::Stuck(_) | State::Abandoned => Command::Rest,
        }
    }

    /// What follows from an event.
    pub(crate) fn on(&mut self, shape: &Shape, event: Event) -> Command {
        match (event, self.keeping) {
            (Event::Kept(over), Some(state)) => {
                self.keeping = None;
                // Of what an operator has tried again something may have been sent before.
                let again = matches!(self.state, State::Stuck(_));
                (self.state, self.attempts, self.may_have_happened, self.was_unknown) = (state, 0, again, false);
                self.first(shape, over)
            }
            // Only what is durable is followed by anything.
            (_, Some(_)) | (Event::Kept(_), None) => Command::Rest,
            (Event::Ended(ended, over), None) => self.ended(shape, ended, over),
            (Event::Due, None) => self.due(shape),
            (Event::Retry, None) => match self.state {
                State::Stuck(why) => self.keep(Keep { state: why.resumes(), answer: None, failed: None, anew: true }),
                _ => Command::Rest,
            },
            (Event::Abandon, None) => match self.state {
                State::Stuck(_) => self.keep(Keep { state: State::Abandoned, answer: None, failed: None, anew: false }),
                _ => Command::Rest,
            },
            (Event::TakeBack, None) => match self.state {
                State::Done if shape.pivot().is_none_or(|pivot| self.leaves(pivot)) => {
                    let state = self.turned(shape, shape.steps.len());
                    self.keep(Keep { state, answer: None, failed: None, anew: true })
                }
                State::Stuck(why) if self.leaves(why.step()) => {
                    let failed = matches!(why.resumes(), State::Running(_)).then_some(why.step());
                    let state = self.turned(shape, why.step());
                    self.keep(Keep { state, answer: None, failed, anew: true })
                }
                _ => Command::Rest,
            },
        }
    }

    /// Whether this step stays when others are taken back.
    fn leaves(&self, step: usize) -> bool {
        self.left & (1 << step) != 0
    }

    /// The state in which the last of the steps before `end` is taken back that has an undo and does not stay.
    fn turned(&self, shape: &Shape, end: usize) -> State {
        let goes = |index: &usize| matches!(shape.steps[*index].undo, Undo::Call { .. }) && !self.leaves(*index);
        let last = (0..end).rev().find(goes);
        last.map_or(State::Undone, State::Undoing)
    }

    /// Asks for something to be made durable.
    fn keep(&mut self, keep: Keep) -> Command {
        self.keeping = Some(keep.state);
        if let Some(step) = keep.answer {
            self.answers |= 1 << step;
        }
        Command::Keep(keep)
    }

    fn moves_to(&mut self, state: State) -> Command {
        self.keep(Keep { state, answer: None, failed: None, anew: false })
    }

    /// Goes on taking back what is before this step.
    fn moves_back(&mut self, shape: &Shape, step: usize) -> Command {
        let state = self.turned(shape, step);
        self.moves_to(state)
    }

    /// Turns to undoing because of this step, beginning with the one before it, or with itself where that may have happened.
    fn turn(&mut self, shape: &Shape, failed: usize, including: bool) -> Command {
        let end = if including { failed + 1 } else { failed };
        let state = self.turned(shape, end);
        self.keep(Keep { state, answer: None, failed: Some(failed), anew: false })
    }

    /// Sends a step, unless there is no time left for it and it was certainly never sent.
    fn forward(&mut self, shape: &Shape, step: usize, over: Over) -> Command {
        if over.deadline && self.attempts == 0 && !self.may_have_happened {
            return self.turn(shape, step, false);
        }
        self.send(Send::Step(step))
    }

    /// Sends an undo, or the step itself where its answer is needed for that.
    fn back(&mut self, shape: &Shape, step: usize) -> Command {
        let send = if self.has_to_learn(shape, step) { Send::Learn(step) } else { Send::Undo(step) };
        self.send(send)
    }

    fn has_to_learn(&self, shape: &Shape, step: usize) -> bool {
        shape.steps[step].undo == Undo::Call { needs_answer: true } && self.answers & (1 << step) == 0
    }

    fn send(&mut self, send: Send) -> Command {
        self.attempts = self.attempts.saturating_add(1);
        Command::Send(send)
    }

    fn ended(&mut self, shape: &Shape, ended: Ended, over: Over) -> Command {
        match self.state {
            State::Running(step) => self.step_ended(shape, step, ended, over),
            State::Undoing(step) if self.has_to_learn(shape, step) => self.learn_ended(shape, step, ended, over),
            State::Undoing(step) => self.undo_ended(shape, step, ended, over),
            State::Done | State::Undone | State::Stuck(_) | State::Abandoned => Command::Rest,
        }
    }

    fn step_ended(&mut self, shape: &Shape, step: usize, ended: Ended, over: Over) -> Command {
        match ended {
            Ended::Done => {
                let next = if step + 1 == shape.steps.len() { State::Done } else { State::Running(step + 1) };
                return self.keep(Keep { state: next, answer: Some(step), failed: None, anew: false });
            }
            // It may be refused as one that is under way, or that is there twice: that says nothing of what was sent before.
            Ended::Refused if self.was_unknown => {}
            // Whether something was sent before is not known. What is refused by all attempts has not happened.
            Ended::Refused if self.may_have_happened && self.attempts < shape.steps[step].attempts && !over.deadline => {}
            Ended::Refused | Ended::Missing => return self.turn(shape, step, false),
            Ended::NoUpstream => return self.moves_to(State::Stuck(Stuck::Upstream { step, undoing: false })),
            Ended::NotSent => {}
            Ended::Unknown => (self.may_have_happened, self.was_unknown) = (true, true),
        }
        if self.attempts < shape.steps[step].attempts && !over.deadline {
            return Command::Pause(Pause::Step(self.attempts));
        }
        match (self.may_have_happened, shape.steps[step].undo) {
            (false, _) => self.turn(shape, step, false),
            (true, Undo::Never) if over.give_up => self.moves_to(State::Stuck(Stuck::Pivot(step))),
            (true, Undo::Never) => Command::Pause(Pause::Long((self.attempts + 1).saturating_sub(shape.steps[step].attempts).max(1))),
            (true, _) => self.turn(shape, step, true),
        }
    }

    fn learn_ended(&mut self, shape: &Shape, step: usize, ended: Ended, over: Over) -> Command {
        match ended {
            Ended::Done => self.keep(Keep { state: State::Undoing(step), answer: Some(step), failed: None, anew: false }),
            Ended::Refused if self.attempts < shape.steps[step].attempts && !over.give_up => Command::Pause(Pause::Long(self.attempts)),
            // It may have happened, and what it was answered is not to be had.
            Ended::Refused => self.moves_to(State::Stuck(Stuck::Lost(step))),
            Ended::NoUpstream => self.moves_to(State::Stuck(Stuck::Upstream { step, undoing: true })),
            Ended::Missing => self.moves_to(State::Stuck(Stuck::Lost(step))),
            Ended::NotSent | Ended::Unknown if over.give_up => self.moves_to(State::Stuck(Stuck::Lost(step))),
            Ended::NotSent | Ended::Unknown => Command::Pause(Pause::Long(self.attempts)),
        }
    }

    fn undo_ended(&mut self, shape: &Shape, step: usize, ended: Ended, over: Over) -> Command {
        match ended {
            Ended::Done => self.moves_back(shape, step),
            Ended::NoUpstream => self.moves_to(State::Stuck(Stuck::Upstream { step, undoing: true })),
            Ended::Missing => self.moves_to(State::Stuck(Stuck::Lost(step))),
            Ended::Refused | Ended::NotSent | Ended::Unknown if over.give_up => self.moves_to(State::Stuck(Stuck::Undo(step))),
            Ended::Refused | Ended::NotSent | Ended::Unknown => Command::Pause(Pause::Long(self.attempts)),
        }
    }

    fn due(&mut self, shape: &Shape) -> Command {
        match self.state {
            State::Running(step) => self.send(Send::Step(step)),
            State::Undoing(step) => self.back(shape, step),
            State::Done | State::Undone | State::Stuck(_) | State::Abandoned => Command::Rest,
        }
    }
}

#[cfg(test)]
mod tests;
