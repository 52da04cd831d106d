//! The endpoints of one upstream, by where they come from.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Part;
use crate::discovery::Found;
use crate::discovery::judge::{Judge, Judged, Passes};
use crate::discovery::kept::Kept;

/// How many reasons the log is told of until a source can be asked again.
const REASONS: usize = 10;

/// All that is known of an upstream's endpoints.
pub(super) struct Set {
    /// Those that are written as addresses.
    pub written: Vec<Found>,
    /// What was served before these sources were named, for as long as one of them has not answered.
    before: Vec<Found>,
    /// Its sources.
    pub parts: Vec<Asked>,
}

/// What is known of one source.
#[derive(Clone)]
pub(super) struct Asked {
    pub source: Arc<str>,
    pub identity: Arc<str>,
    pub judge: Judge,
    /// When it last said what its endpoints are; before that, since when it is asked.
    pub as_of: Age,
    /// Whether it has said so since the process began.
    pub answers: bool,
    /// Why it was of no use the last time.
    pub why: Option<Failed>,
    /// Why it could not be asked since it last could, as far as the log was told.
    told: Vec<String>,
    /// Whether the log has said that something of it cannot be understood.
    #[cfg(feature = "etcd")]
    told_of_skipped: bool,
}

/// Why a source is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// For people; nothing secret is in it.
    pub why: String,
    /// It answered, and said what cannot be used; else it cannot be asked.
    pub is_invalid: bool,
}

/// Since when something is so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Age {
    /// A time of this process.
    pub at: Instant,
    /// How old it was then.
    pub older: Duration,
}

impl Age {
    /// Since this moment.
    pub(crate) fn since(at: Instant) -> Self {
        Self { at, older: Duration::ZERO }
    }

    /// How long that is.
    pub(crate) fn now(self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at) + self.older
    }
}

impl Set {
    pub(super) fn new(parts: Vec<Asked>, before: Vec<Found>) -> Self {
        Self { written: Vec::new(), before, parts }
    }

    /// What is known of the source with this identity.
    pub(super) fn known(&self, identity: &str) -> Option<Asked> {
        self.parts.iter().find(|asked| *asked.identity == *identity).cloned()
    }

    /// All endpoints together with these written ones; of those with one address the last counts.
    pub(super) fn with(&self, written: &[Found]) -> Vec<Found> {
        let before = if self.parts.iter().all(|asked| asked.answers) { &[][..] } else { &self.before };
        let found = self.parts.iter().flat_map(|asked| asked.judge.endpoints());
        let mut all: Vec<Found> = Vec::new();
        let mut places: HashMap<SocketAddr, usize> = HashMap::new();
        for endpoint in before.iter().chain(written).chain(found) {
            match places.get(&endpoint.address) {
                Some(place) => all[*place].clone_from(endpoint),
                None => {
                    places.insert(endpoint.address, all.len());
                    all.push(endpoint.clone());
                }
            }
        }
        all
    }

    /// How old the oldest of the answers is that hold.
    pub(super) fn age(&self) -> Age {
        let now = Instant::now();
        let oldest = self.parts.iter().map(|asked| asked.as_of).max_by_key(|age| age.now(now));
        oldest.unwrap_or_else(|| Age::since(now))
    }
}

impl Asked {
    /// One that has not been asked yet; `kept` is what it said before the process began.
    pub(super) fn new(part: &Part, kept: Option<&Kept>, now: Instant) -> Self {
        Self {
            source: part.source.as_str().into(),
            identity: part.identity.as_str().into(),
            judge: Judge::new(part.patience, kept.map(|kept| kept.endpoints.clone()).unwrap_or_default()),
            as_of: Age { at: now, older: kept.map(|kept| kept.age).unwrap_or_default() },
            answers: false,
            why: None,
            told: Vec::new(),
            #[cfg(feature = "etcd")]
            told_of_skipped: false,
        }
    }

    /// It has named all its endpoints.
    pub(super) fn answered(&mut self, endpoints: Vec<Found>, passes: Passes<'_>, now: Instant) -> Judged {
        let first = !self.is_current(now);
        let judged = self.judge.answer(endpoints, passes, now);
        // What was served before may leave with the first answer.
        Judged { changed: judged.changed || first, ..judged }
    }

    /// It has said the same again.
    pub(super) fn again(&mut self, passes: Passes<'_>, now: Instant) -> bool {
        self.is_current(now);
        self.judge.again(passes, now)
    }

    /// It was of no use. Whether that is news.
    pub(super) fn failed(&mut self, failed: Failed) -> bool {
        let why = failed.why.clone();
        self.why = Some(failed);
        // Of several members of a cluster each may have its own.
        let is_news = self.told.len() < REASONS && !self.told.contains(&why);
        self.told.extend(is_news.then_some(why));
        is_news
    }

    /// Whether the log has yet to say that something of it is skipped; then it has.
    #[cfg(feature = "etcd")]
    pub(super) fn first_skipped(&mut self) -> bool {
        !std::mem::replace(&mut self.told_of_skipped, true)
    }

    /// Notes that it answers, and since when. Whether it did before.
    fn is_current(&mut self, now: Instant) -> bool {
        self.as_of = Age::since(now);
        self.why = None;
        self.told.clear();
        std::mem::replace(&mut self.answers, true)
    }
}
