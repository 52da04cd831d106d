//! How operators see and steer sagas: what is in the journal and what is under way, put together; and what they may ask for.
//!
//! Whoever runs sagas says what only it knows and obeys, as [`Operated`]; all else is read from the journal, so that an ended saga of last week
//! is told of as one that is under way. Values of clients and of upstreams come out of here by their pseudonyms alone.

mod told;

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use frontgate_filters::filter::BoxFuture;
use frontgate_filters::filter::pseudonym::Pseudonyms;

use self::told::{brief, whole};
use super::journal::{Health, Journal, Unavailable};
use super::machine::{State, Undo};
use super::record::{Id, Millis, Record};
use super::store::{Store, Trouble};
use crate::status::{SagaBrief, SagaJournal, SagaList, SagaObeyed, SagaState, SagaStatus};

/// How many sagas are told of at once.
pub(crate) const MOST_LISTED: usize = 500;
/// How many are looked at for a list: of so many that fit it is known how many there are.
const MOST_LOOKED_AT: usize = 20_000;
/// How many are read from the journal at once: each may be [`LARGEST`](super::record::LARGEST), and others have their turn in between.
const PAGE: usize = 50;
/// How long a read from the journal may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many are named where an id may mean several.
const MOST_NAMED: usize = 5;
/// The longest note, in bytes.
pub(crate) const LONGEST_NOTE: usize = 1000;

/// Whoever runs sagas, as operators need it.
pub(crate) trait Operated: Send + Sync {
    /// What they are kept in.
    fn journal(&self) -> &Journal;

    /// What is known of the attempts of a saga that is under way here.
    fn live(&self, id: Id) -> Option<Live>;

    /// The steps of this saga in their order, by the text of the definition that it goes by; nothing where that cannot be read.
    fn steps(&self, definition: &str) -> Option<Vec<Known>>;

    /// Does this to a saga, and says where it is once that is durable. One in another state is refused: see [`Order::is_for`]. It writes to the
    /// record who did what.
    fn obey<'a>(&'a self, id: Id, order: &'a Order, who: &'a str) -> BoxFuture<'a, Result<State, Refused>>;
}

/// What only the process knows that is at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Live {
    /// How often the call was tried that is under way, or next.
    pub attempts: u32,
    /// When it is tried again, while that is waited for.
    pub next: Option<Millis>,
    /// What was wrong with the last attempt, in words without anything of an upstream's answer but its status.
    pub trouble: Option<String>,
}

/// A step, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// Its name.
    pub name: String,
    /// How it is taken back.
    pub undo: Undo,
}

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
    Undo,
}

impl Order {
    /// Its name, as records and logs have it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Abandon { .. } => "abandon",
            Self::Undo => "undo",
        }
    }

    /// The state that a saga has to be in for it.
    pub(crate) fn is_for(&self) -> SagaState {
        match self {
            Self::Retry | Self::Abandon { .. } => SagaState::Stuck,
            Self::Undo => SagaState::Done,
        }
    }

    /// What was written to it.
    pub(crate) fn note(&self) -> Option<&str> {
        match self {
            Self::Abandon { note } => Some(note),
            Self::Retry | Self::Undo => None,
        }
    }
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
    },
    /// It is done, and its last step cannot be taken back.
    Stands {
        /// Which saga.
        id: Id,
        /// Its last step.
        step: String,
    },
    /// The journal cannot be read or written now.
    Unavailable,
    /// The saga cannot be read.
    Unreadable(Id, String),
    /// The process is about to end, and begins nothing any more.
    Leaving,
}

impl Refused {
    /// That this order is not for a saga in this state.
    pub(crate) fn other_state(id: Id, order: &Order, is: State) -> Self {
        Self::OtherState { id, order: order.name(), wanted: order.is_for(), is: is.into() }
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
            Self::OtherState { id, order, wanted, is } => {
                write!(f, "The saga `{id}` is {}: {order} is for one that is {}.", is.label(), wanted.label())
            }
            Self::Stands { id, step } => write!(
                f,
                "The saga `{id}` is not taken back: its last step `{step}` has no undo, and would stand without what was done for it. Take it back at \
                 its services, by the keys that `show` prints."
            ),
            Self::Unavailable => f.write_str("The journal of sagas cannot be used now; the gateway's status says why."),
            Self::Unreadable(id, why) => write!(f, "The saga `{id}` cannot be read: {why}."),
            Self::Leaving => f.write_str("The gateway is about to end, and begins nothing any more."),
        }
    }
}

/// What somebody typed, as far as it is worth repeating.
fn short(text: &str) -> String {
    text.chars().take(64).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// An id, or the beginning of one: all ids between two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shortened {
    text: String,
    range: RangeInclusive<u128>,
}

impl FromStr for Shortened {
    type Err = Refused;
    fn from_str(text: &str) -> Result<Self, Refused> {
        let wrong = || Refused::NoId(text.to_owned());
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        if digits.is_empty() || digits.len() > 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let number = |digits: String| u128::from_str_radix(&digits, 16).map_err(|_| wrong());
        Ok(Self { text: text.to_owned(), range: number(format!("{digits:0<32}"))?..=number(format!("{digits:f<32}"))? })
    }
}

/// Which sagas are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Those in this state; by default all that have not ended.
    pub state: Option<SagaState>,
    /// Those that began on this route.
    pub route: Option<String>,
    /// Those that began so long ago or longer.
    pub older: Option<Duration>,
}

impl Wanted {
    fn fits(&self, record: &Record, now: Millis) -> bool {
        self.route.as_ref().is_none_or(|route| *route == record.route) && self.older.is_none_or(|older| record.begun.until(now) >= older)
    }
}

/// The sagas that are wanted: the oldest of each state first, no more than [`MOST_LISTED`], and how many more there are.
pub(crate) async fn list(of: &dyn Operated, wanted: &Wanted) -> Result<SagaList, Refused> {
    let now = Millis::now();
    let states = wanted.state.as_ref().map_or(&SagaState::OPEN[..], std::slice::from_ref);
    let mut told = SagaList { sagas: Vec::new(), more: 0, complete: true };
    let mut looked_at = 0;
    for state in states {
        let mut after = None;
        loop {
            if looked_at >= MOST_LOOKED_AT {
                told.complete = false;
                return Ok(told);
            }
            let state = state.label();
            let page = read(of, move |store| read_page(store, state, after, PAGE)).await?;
            let Some((last, _)) = page.last() else { break };
            (after, looked_at) = (Some(*last), looked_at + page.len());
            for (id, found) in page.iter() {
                // Of one that cannot be read its own page says so.
                let Ok((record, definition)) = found else { continue };
                if !wanted.fits(record, now) {
                    continue;
                }
                if told.sagas.len() < MOST_LISTED {
                    told.sagas.push(brief(of, *id, record, definition.as_deref(), now));
                } else {
                    told.more += 1;
                }
            }
        }
    }
    Ok(told)
}

/// The first sagas in this state, no more than so many.
pub(crate) async fn first(of: &dyn Operated, state: SagaState, most: usize) -> Result<Vec<SagaBrief>, Refused> {
    let now = Millis::now();
    let page = read(of, move |store| read_page(store, state.label(), None, most)).await?;
    let read = page.iter().filter_map(|(id, found)| Some((id, found.as_ref().ok()?)));
    Ok(read.map(|(id, (record, definition))| brief(of, *id, record, definition.as_deref(), now)).collect())
}

/// A saga with the text of its definition, or why it cannot be read.
type Found = Result<(Record, Option<String>), String>;

fn read_page(store: &Store, state: &str, after: Option<Id>, most: usize) -> Result<Vec<(Id, Found)>, Trouble> {
    let with_definition = |(id, found): (Id, Result<Record, String>)| match found {
        Ok(mut record) => {
            // Nothing of these is told in a list, and they may be long.
            (record.body, record.answer) = (None, None);
            record.facts.clear();
            let definition = store.definition(record.definition)?;
            Ok((id, Ok((record, definition))))
        }
        Err(why) => Ok((id, Err(why))),
    };
    store.range(state, after, most)?.into_iter().map(with_definition).collect()
}

/// Reads from the journal, which no operator waits for without end.
async fn read<T: Send + 'static>(
    of: &dyn Operated,
    read: impl FnOnce(&Store) -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Refused> {
    match tokio::time::timeout(PATIENCE, of.journal().read(read)).await {
        Ok(found) => Ok(found?),
        Err(_) => Err(Refused::Unavailable),
    }
}

/// The saga that this id means.
async fn find(of: &dyn Operated, wanted: &Shortened) -> Result<Id, Refused> {
    let range = wanted.range.clone();
    let found = read(of, move |store| store.between(range, MOST_NAMED)).await?;
    match found[..] {
        [] => Err(Refused::Unknown(wanted.text.clone())),
        [id] => Ok(id),
        _ => Err(Refused::Several(wanted.text.clone(), found)),
    }
}

/// Everything that is known of a saga, with these pseudonyms.
pub(crate) async fn show(of: &dyn Operated, wanted: &Shortened, names: &Pseudonyms) -> Result<SagaStatus, Refused> {
    let id = find(of, wanted).await?;
    let found = move |store: &Store| {
        let Some(record) = store.record(id)? else { return Ok(None) };
        let definition = match &record {
            Ok(record) => store.definition(record.definition)?,
            Err(_) => None,
        };
        Ok(Some((record, definition)))
    };
    match read(of, found).await? {
        None => Err(Refused::Unknown(wanted.text.clone())),
        Some((Err(why), _)) => Err(Refused::Unreadable(id, why)),
        Some((Ok(record), definition)) => Ok(whole(of, id, &record, definition.as_deref(), names, Millis::now())),
    }
}

/// Does what an operator wants done to a saga.
pub(crate) async fn obey(of: &dyn Operated, wanted: &Shortened, order: &Order, who: &str) -> Result<SagaObeyed, Refused> {
    let id = find(of, wanted).await?;
    let state = of.obey(id, order, who).await?;
    Ok(SagaObeyed { id: id.to_string(), what: order.name().to_owned(), state: state.into() })
}

/// Whether what sagas have to remember can be written, and why not.
pub(crate) fn journal(of: &dyn Operated) -> (SagaJournal, Option<String>) {
    let health = of.journal().health();
    let health = health.borrow();
    match &*health {
        Health::Open(_) => (SagaJournal::Open, None),
        Health::Elsewhere => (SagaJournal::Elsewhere, Some("another process has it".to_owned())),
        Health::Down(why) => (SagaJournal::Unavailable, Some(why.clone())),
        Health::Closed => (SagaJournal::Closed, None),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod trial;
