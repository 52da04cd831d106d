//! What an operator wants done to a saga, what becomes of it, and why it is refused: the same for whoever runs sagas.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use super::super::journal::Unavailable;
use super::super::machine::{Event, State, Undo};
use super::super::record::{Act, Id, Record};
use super::{Known, short};
use crate::status::SagaState;
use crate::telemetry::timestamp;

/// What an operator wants done to a saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// To try again what it is stuck at, with times that begin anew.
    Retry,
    /// To give it up: nothing is sent for it any more.
    Abandon {
        /// Why.
        note: String,
    },
    /// To take back what is done.
    Undo {
        /// The steps that stay as they are.
        leave: Vec<String>,
    },
}

impl Order {
    /// Its name, as records and logs have it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Abandon { .. } => "abandon",
            Self::Undo { .. } => "undo",
        }
    }

    /// The state that a saga has to be in for it.
    fn is_for(&self) -> SagaState {
        match self {
            Self::Retry | Self::Abandon { .. } => SagaState::Stuck,
            Self::Undo { .. } => SagaState::Done,
        }
    }

    /// Whether a saga in this state may take it, as far as that says.
    pub(crate) fn suits(&self, state: State) -> bool {
        match self {
            Self::Retry | Self::Abandon { .. } => matches!(state, State::Stuck(_)),
            Self::Undo { .. } => matches!(state, State::Done | State::Stuck(_)),
        }
    }

    /// What is written to it.
    pub(crate) fn note(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Abandon { note } => Some(note.into()),
            Self::Undo { leave } if !leave.is_empty() => Some(stay(leave).into()),
            Self::Retry | Self::Undo { .. } => None,
        }
    }

    /// What it is for the machine of a saga with these steps, with what is remembered of it in the record; or why it is refused.
    pub(crate) fn given(&self, id: Id, record: &mut Record, steps: &[Known]) -> Result<Event, Refused> {
        match (self, record.state) {
            (Self::Retry, State::Stuck(_)) => Ok(Event::Retry),
            (Self::Abandon { .. }, State::Stuck(_)) => Ok(Event::Abandon),
            (Self::Undo { leave }, State::Done | State::Stuck(_)) => {
                record.left = left(id, leave, record, steps)?;
                Ok(Event::TakeBack)
            }
            _ => Err(Refused::other_state(id, self, record)),
        }
    }
}

/// The steps that stay where a saga is taken back, with these of them.
fn left(id: Id, leave: &[String], record: &Record, steps: &[Known]) -> Result<BTreeSet<usize>, Refused> {
    // What is behind the step that it is stuck at has been taken back, or was never made.
    let reached = match record.state {
        State::Stuck(why) => why.step() + 1,
        _ => steps.len(),
    };
    let reached = &steps[..reached.min(steps.len())];
    let mut left = record.left.clone();
    for name in leave {
        let step = reached.iter().position(|step| step.name == *name);
        let among = || reached.iter().map(|step| step.name.clone()).collect();
        left.insert(step.ok_or_else(|| Refused::NoStep { id, name: name.clone(), among: among() })?);
    }
    let name = |step: usize| steps.get(step).map_or_else(|| (step + 1).to_string(), |step| step.name.clone());
    match record.state {
        State::Stuck(why) if !left.contains(&why.step()) => return Err(Refused::StuckAt { id, step: name(why.step()) }),
        State::Done => {
            let pivot = steps.iter().position(|step| step.undo == Undo::Never);
            if let Some(pivot) = pivot.filter(|pivot| !left.contains(pivot)) {
                return Err(Refused::Stands { id, step: name(pivot) });
            }
        }
        _ => {}
    }
    let goes = |(index, step): (usize, &Known)| matches!(step.undo, Undo::Call { .. }) && !left.contains(&index);
    if leave.is_empty() || reached.iter().enumerate().any(goes) {
        Ok(left)
    } else {
        Err(Refused::NothingGoes { id, is: record.state.into() })
    }
}

/// That these steps stay as they are.
pub(crate) fn stay<S: AsRef<str>>(names: &[S]) -> String {
    format!("{} {} as {} is", named(names), if names.len() == 1 { "stays" } else { "stay" }, if names.len() == 1 { "it" } else { "each" })
}

/// Names of steps in a row.
fn named<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// Why an operator is not obeyed, or not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// This is no id of a saga, nor the beginning of one.
    NoId(String),
    /// There is no such saga.
    Unknown(String),
    /// It may mean several, of which these are some.
    Several(String, Vec<Id>),
    /// It is in another state than the one that this is for.
    OtherState {
        /// Which saga.
        id: Id,
        /// What was wanted.
        order: &'static str,
        /// The state that it would have to be in.
        wanted: SagaState,
        /// The one that it is in.
        is: SagaState,
        /// What an operator did to it last.
        after: Option<String>,
    },
    /// Something else is done to it at this moment.
    Busy {
        /// Which saga.
        id: Id,
        /// What was wanted.
        order: &'static str,
    },
    /// It is done, and its last step cannot be taken back.
    Stands {
        /// Which saga.
        id: Id,
        /// Its last step.
        step: String,
    },
    /// It is stuck at a step that is not said to stay.
    StuckAt {
        /// Which saga.
        id: Id,
        /// The step.
        step: String,
    },
    /// It has no such step that could stay.
    NoStep {
        /// Which saga.
        id: Id,
        /// What was said.
        name: String,
        /// Those that could.
        among: Vec<String>,
    },
    /// All that could be taken back is to stay.
    NothingGoes {
        /// Which saga.
        id: Id,
        /// The state that it is in.
        is: SagaState,
    },
    /// The journal cannot be read or written now.
    Unavailable,
    /// Whether it is written down is not known yet.
    Unconfirmed {
        /// Which saga.
        id: Id,
        /// What was wanted.
        order: &'static str,
    },
    /// The saga cannot be read.
    Unreadable(Id, String),
    /// The process is about to end, and begins nothing any more.
    Leaving,
}

impl Refused {
    /// That this order is not for a saga as it is.
    pub(crate) fn other_state(id: Id, order: &Order, record: &Record) -> Self {
        let told = |act: &Act| format!("{} by {} at {}", act.what, act.who, timestamp(act.at.time()));
        let (is, after) = (record.state.into(), record.acts.last().map(told));
        Self::OtherState { id, order: order.name(), wanted: order.is_for(), is, after }
    }
}

impl From<Unavailable> for Refused {
    fn from(Unavailable: Unavailable) -> Self {
        Self::Unavailable
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoId(text) => write!(f, "`{}` is no id of a saga, nor the beginning of one.", short(text)),
            Self::Unknown(text) => {
                write!(f, "There is no saga `{}`: it never was, or was forgotten once its time to be kept was over.", short(text))
            }
            Self::Several(text, some) => {
                let some = some.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
                write!(f, "`{}` may mean several sagas, such as {some}.", short(text))
            }
            Self::OtherState { id, order, wanted, is, after } => {
                let after = after.as_ref().map(|after| format!(" after {after}")).unwrap_or_default();
                write!(f, "The saga `{id}` is {}{after}: {order} is for one that is {}.", is.label(), wanted.label())
            }
            Self::Busy { id, order } => write!(
                f,
                "The saga `{id}` is in other hands at this moment, such as those of another operator: {order} has done nothing, and `show` says what \
                 becomes of it."
            ),
            Self::Stands { id, step } => write!(
                f,
                "The saga `{id}` is not taken back: its last step `{step}` has no undo, and would stand without what was done for it. Where that is \
                 wanted, `--leave {step}` takes back the others; or take it back at its services, by the keys that `show` prints."
            ),
            Self::StuckAt { id, step } => write!(
                f,
                "The saga `{id}` is stuck at `{step}`: only where `--leave {step}` says that this stays as it is, undo takes back what else was done."
            ),
            Self::NoStep { id, name, among } => {
                write!(f, "The saga `{id}` has no step `{}` that could stay: these are {}.", short(name), named(among))
            }
            Self::NothingGoes { id, is } => {
                let else_do = if *is == SagaState::Stuck { ": `abandon` gives it up as it is" } else { "" };
                write!(f, "Of the saga `{id}` nothing would be taken back, for all that could be is to stay{else_do}.")
            }
            Self::Unavailable => f.write_str("The journal of sagas cannot be used now; the gateway's status says why."),
            Self::Unconfirmed { id, order } => write!(
                f,
                "The journal of sagas takes long, and {order} of the saga `{id}` is not written down yet: once it is, it is carried out, and the log \
                 says so. `show` says what became of it."
            ),
            Self::Unreadable(id, why) => write!(f, "The saga `{id}` cannot be read: {why}."),
            Self::Leaving => f.write_str("The gateway is about to end, and begins nothing any more."),
        }
    }
}
