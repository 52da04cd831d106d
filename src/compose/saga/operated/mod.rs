//! How operators see and steer sagas: what is in the journal and what is under way, put together; and what they may ask for.
//!
//! Whoever runs sagas says what only it knows and obeys, as [`Operated`]; all else is read from the journal, so that an ended saga of last week
//! is told of as one that is under way. Values of clients and of upstreams come out of here by their pseudonyms alone.

mod needed;
mod orders;
mod told;

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use frontgate_filters::filter::BoxFuture;
use frontgate_filters::filter::pseudonym::Pseudonyms;

pub(crate) use self::needed::needs;
pub(crate) use self::orders::{Order, Refused};
pub(super) use self::told::stuck;
use self::told::{brief, whole};
use super::journal::{Health, Journal};
use super::machine::{State, Undo};
use super::record::{Hash, Id, Millis, Record};
use super::store::{Store, Trouble};
use crate::status::{SagaBrief, SagaJournal, SagaList, SagaObeyed, SagaState, SagaStatus};
use crate::terminal::is_obeyed;

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

    /// Of how many open ones something cannot be read.
    fn unreadable(&self) -> u64 {
        0
    }

    /// The steps of this saga in their order, by the text of the definition that it goes by; nothing where that cannot be read.
    fn steps(&self, definition: &str) -> Option<Vec<Known>>;

    /// Does this to a saga, and says where it is once that is durable. Who did what is written to the
    /// record; [`Order::given`] says what is refused.
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
    /// Whose endpoints it asks.
    pub upstream: String,
    /// Whose endpoints its undo asks, where it has one.
    pub undo_upstream: Option<String>,
    /// What it asks: method, upstream and path; nothing where its definition cannot be read.
    pub asks: Option<String>,
    /// The same of its undo.
    pub undo_asks: Option<String>,
}

/// What somebody typed, as far as it is worth repeating.
fn short(text: &str) -> String {
    text.chars().take(64).map(|letter| if is_obeyed(letter) { '\u{fffd}' } else { letter }).collect()
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
    let mut told = SagaList { sagas: Vec::new(), more: 0, complete: true, unreadable: Vec::new() };
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
                let Ok((record, definition)) = found else {
                    // Nobody knows of which route it is.
                    if told.unreadable.len() < MOST_LISTED {
                        told.unreadable.push(id.to_string());
                    }
                    continue;
                };
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

/// The saga that clients of each of these routes know by a key of these parts, whatever became of it, where it is also what else is wanted.
pub(crate) async fn of_key(of: &dyn Operated, routes: &[String], key: &[Vec<u8>], wanted: &Wanted) -> Result<SagaList, Refused> {
    let now = Millis::now();
    let keys: Vec<Hash> = routes.iter().map(|route| Hash::of_key(route, key)).collect();
    let with_definition = move |store: &Store| {
        let found = keys.iter().filter_map(|key| store.of_key(*key).transpose());
        let found = found.map(|found| {
            let (id, kept) = found?;
            let record = kept.read();
            let definition = record.as_ref().ok().map(|record| store.definition(record.definition)).transpose()?.flatten();
            Ok((id, record, definition))
        });
        found.collect::<Result<Vec<_>, Trouble>>()
    };
    let mut told = SagaList { sagas: Vec::new(), more: 0, complete: true, unreadable: Vec::new() };
    for (id, record, definition) in read(of, with_definition).await? {
        let record = record.map_err(|why| Refused::Unreadable(id, why))?;
        if wanted.fits(&record, now) && wanted.state.is_none_or(|state| state == record.state.into()) {
            told.sagas.push(brief(of, id, &record, definition.as_deref(), now));
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
    let stays = match order {
        Order::Undo { leave } => leave.clone(),
        Order::Retry | Order::Abandon { .. } => Vec::new(),
    };
    Ok(SagaObeyed { id: id.to_string(), what: order.name().to_owned(), state: state.into(), stays })
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
