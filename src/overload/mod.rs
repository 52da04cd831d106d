//! Whether the gateway has more to do than it can: memory, descriptors or the workers' time run short. Then it keeps no connection open beyond
//! its answer, and refuses requests of routes that matter less, so that those that matter most are still served.
//!
//! It is measured in the background: lateness four times a second, which costs nothing, and the rest once. A request reads one number.

mod away;
mod beat;
mod descriptors;
mod judge;
mod memory;
mod source;

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use self::away::Away;
pub(crate) use self::beat::Beat;
use self::descriptors::Descriptors;
pub(crate) use self::descriptors::{for_clients, in_use, reserve};
use self::judge::{Bounds, Judge};
use self::memory::Memory;
pub(crate) use self::memory::bound as memory_bound;
use crate::config::model::{self, Priority};

/// How often one looks.
pub(crate) const TICK: Duration = Duration::from_millis(250);
/// How often the kernel is asked how much is in use.
const ASKED: Duration = Duration::from_secs(1);
/// How often it is asked how much there may be, while nothing runs short.
const REFRESHED: Duration = Duration::from_secs(10);
/// How long every beat of some worker has to come late before that counts: one that is late alone passes by itself.
const LASTING: Duration = Duration::from_secs(1);

/// How long nothing is said of what begins again, once it was said that it is over.
const QUIET: Duration = Duration::from_secs(3);

/// How much is given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Nothing.
    #[default]
    Calm,
    /// Connections are not kept alive, and routes of low priority are refused.
    First,
    /// Those of normal priority, too.
    Second,
}

impl Stage {
    /// Whether requests of a route of this priority are refused.
    pub(crate) fn refuses(self, priority: Priority) -> bool {
        match priority {
            Priority::Low => self >= Self::First,
            Priority::Normal => self >= Self::Second,
            Priority::High => false,
        }
    }

    fn numbered(number: u8) -> Self {
        match number {
            0 => Self::Calm,
            1 => Self::First,
            _ => Self::Second,
        }
    }
}

/// What can run short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// Memory that the process may have.
    Memory,
    /// Files and sockets that it may have open.
    Descriptors,
    /// Time of a worker thread: how late it comes to what is due.
    Lag,
}

impl Resource {
    /// All there are.
    pub(crate) const ALL: [Self; 3] = [Self::Memory, Self::Descriptors, Self::Lag];

    /// As metrics and operators read it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Descriptors => "descriptors",
            Self::Lag => "lag",
        }
    }
}

/// What was measured of a resource.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Measured {
    /// So much of so much; `of` says whose bound that is.
    Used { used: u64, most: u64, of: &'static str },
    /// So late.
    Late(Duration),
}

impl Measured {
    /// As a number that is compared with the bounds: a share, or seconds.
    fn value(self) -> f64 {
        match self {
            Self::Used { most: 0, .. } => 0.0,
            // Of descriptors there may be more than those for clients: all of these are in use then.
            Self::Used { used, most, .. } => (used as f64 / most as f64).min(1.0),
            Self::Late(late) => late.as_secs_f64(),
        }
    }
}

/// What is known of a resource.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    /// What was measured last; none where it cannot be.
    pub measured: Option<Measured>,
    /// What follows from that.
    pub stage: Stage,
}

/// For want of what new connections of clients are turned away: how often that was, or whether it is so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TurnedAway<T> {
    /// Descriptors.
    pub descriptors: T,
    /// A place among those that `limits.connections` allows.
    pub places: T,
}

/// What one look has brought about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Turn {
    /// Nothing new.
    None,
    /// It is worse than before: what runs short, in words.
    Worse(Stage, String),
    /// Nothing runs short any more: how long something did, and how many requests were refused meanwhile.
    Over(Duration, u64),
}

/// Whether the gateway has more to do than it can.
#[derive(Default)]
pub(crate) struct Overload {
    stage: AtomicU8,
    /// Requests that were refused since it began.
    refused: AtomicU64,
    beats: Mutex<Vec<Weak<Beat>>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    judges: [Judge; Resource::ALL.len()],
    known: [Known; Resource::ALL.len()],
    memory: Memory,
    descriptors: Descriptors,
    /// When the kernel was asked last how much is in use, and how much there may be.
    asked: Option<Instant>,
    refreshed: Option<Instant>,
    away: TurnedAway<Away>,
    since: Option<Instant>,
    /// The worst stage that the log was told of, and when it was told that it is over.
    told: Stage,
    told_over: Option<Instant>,
}

impl State {
    /// What is in use of memory and of descriptors.
    fn measure(&mut self, now: Instant) -> [Option<Measured>; 2] {
        let is_due = |last: Option<Instant>, every: Duration| last.is_none_or(|last| now.saturating_duration_since(last) >= every);
        if !is_due(self.asked, ASKED) {
            return [self.known[0].measured, self.known[1].measured];
        }
        self.asked = Some(now);
        if self.since.is_some() || is_due(self.refreshed, REFRESHED) {
            self.refreshed = Some(now);
            self.memory.refresh();
            self.descriptors.refresh();
        }
        [self.memory.used(), self.descriptors.used(now)]
    }
}

impl Overload {
    /// How much is given up now.
    pub(crate) fn stage(&self) -> Stage {
        Stage::numbered(self.stage.load(Ordering::Relaxed))
    }

    /// A request was refused for it.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// What a worker tells of its time by. It counts until it is dropped.
    pub(crate) fn beat(&self) -> Arc<Beat> {
        let beat = Arc::default();
        self.beats.lock().push(Arc::downgrade(&beat));
        beat
    }

    /// What is known of each resource, and since when something runs short.
    pub(crate) fn known(&self) -> ([Known; Resource::ALL.len()], Option<Instant>) {
        let state = self.state.lock();
        (state.known, state.since)
    }

    /// Whether clients are turned away at this time.
    pub(crate) fn turned_away(&self, now: Instant) -> TurnedAway<bool> {
        let TurnedAway { descriptors, places } = self.state.lock().away;
        TurnedAway { descriptors: descriptors.is_lately(now), places: places.is_lately(now) }
    }

    /// Measures, and says what is new. So many clients were turned away by now.
    pub(crate) fn look(&self, bounds: &model::Overload, turned_away: TurnedAway<u64>, now: Instant) -> Turn {
        let late = self.late(now);
        let mut state = self.state.lock();
        let [memory, descriptors] = state.measure(now);
        state.away.places.count(turned_away.places, now);
        let are_short = state.away.descriptors.count(turned_away.descriptors, now);
        self.judge(&mut state, bounds, [memory, descriptors, late.map(Measured::Late)], are_short, now)
    }

    /// How late the latest of the workers is.
    fn late(&self, now: Instant) -> Option<Duration> {
        let mut beats = self.beats.lock();
        beats.retain(|beat| beat.strong_count() > 0);
        beats.iter().filter_map(|beat| Some(beat.upgrade()?.late(now))).max()
    }

    fn judge(
        &self,
        state: &mut State,
        bounds: &model::Overload,
        measured: [Option<Measured>; 3],
        descriptors_are_short: bool,
        now: Instant,
    ) -> Turn {
        let bounds = [Bounds::of_share(bounds.memory.0), Bounds::of_share(bounds.descriptors.0), Bounds::of_lag(bounds.lag.0, LASTING)];
        for (index, (measured, bounds)) in measured.into_iter().zip(bounds).enumerate() {
            // What cannot be measured is not known to run short.
            let mut value = measured.map_or(0.0, Measured::value);
            if descriptors_are_short && index == Resource::Descriptors as usize {
                // However many there are by now: a moment ago there was none for a client.
                value = value.max(bounds.just_above());
            }
            let stage = state.judges[index].judge(value, &bounds, now);
            state.known[index] = Known { measured, stage };
        }
        let stage = state.known.iter().map(|known| known.stage).max().unwrap_or_default();
        self.stage.store(stage as u8, Ordering::Relaxed);
        if stage == Stage::Calm {
            let told = std::mem::take(&mut state.told);
            let Some(since) = state.since.take().filter(|_| told > Stage::Calm) else { return Turn::None };
            state.told_over = Some(now);
            return Turn::Over(now.saturating_duration_since(since), self.refused.swap(0, Ordering::Relaxed));
        }
        state.since.get_or_insert(now);
        let is_quiet = state.told_over.is_some_and(|over| now.saturating_duration_since(over) < QUIET);
        if stage <= state.told || is_quiet {
            return Turn::None;
        }
        state.told = stage;
        let why = words(&state.known);
        Turn::Worse(stage, if state.away.descriptors.is_lately(now) { why + ", and clients were turned away" } else { why })
    }
}

/// What runs short, in words.
pub(crate) fn words(known: &[Known]) -> String {
    let short = Resource::ALL.iter().zip(known).filter(|(_, known)| known.stage > Stage::Calm);
    let told = short.filter_map(|(resource, known)| Some(Told(*resource, known.measured?).to_string()));
    told.collect::<Vec<_>>().join(", and ")
}

/// A measure as people read it.
struct Told(Resource, Measured);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = self.1.value() * 100.0;
        match (self.0, self.1) {
            (_, Measured::Late(late)) => write!(f, "a worker thread comes {} ms late to what is due", late.as_millis()),
            (Resource::Memory, Measured::Used { most, of, .. }) => {
                write!(f, "{share:.0} % of the memory is in use ({} MiB, {of})", most >> 20)
            }
            (_, Measured::Used { most, of, .. }) => write!(f, "{share:.0} % of the file descriptors are in use ({most}, {of})"),
        }
    }
}

#[cfg(test)]
mod tests;
