//! The state machine of one circuit: closed, open, probation. It reads in this order.
//!
//! Everything that requests contend for is one atomic word, so a change of state is one exchange that one of them wins, and the way through
//! a closed circuit is one load. Time is an argument, in milliseconds since whenever; so is chance.

use std::fmt;

use super::sync::{AtomicU32, AtomicU64, Ordering};
use super::window::{Counts, Window};

/// When a circuit opens and closes. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// What is remembered.
    pub window: u64,
    /// Shares are not looked at below so many requests in the window.
    pub min_requests: u32,
    /// The share of failures that opens.
    pub failure_ratio: f64,
    /// So many failures without a success between them open.
    pub consecutive: Option<u32>,
    /// The share of slow answers that opens.
    pub slow_ratio: Option<f64>,
    /// How long it stays open the first time.
    pub open_for: u64,
    /// How long it stays open at most.
    pub max_open_for: u64,
    /// How many probes may be under way.
    pub probes: u32,
    /// So many probes in a row must succeed.
    pub successes: u32,
}

/// The state of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Everything passes.
    Closed,
    /// A few probes pass.
    HalfOpen,
    /// Nothing passes.
    Open,
}

impl State {
    /// As logs and metrics write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// A state that an operator holds a circuit in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forced {
    /// Nothing passes, without end.
    Open,
    /// Everything passes, whatever comes of it.
    Closed,
}

/// What came of a request that was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It was answered.
    Success {
        /// Too slowly.
        slow: bool,
    },
    /// It failed.
    Failure {
        /// And slowly.
        slow: bool,
        /// The upstream asked to be left alone for so many milliseconds.
        retry_after: Option<u64>,
    },
    /// It says nothing about the upstream.
    Neutral,
}

/// Whether a request may pass.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may. The ticket must come back by [`Gate::release`].
    Pass(Ticket),
    /// It may not, for so many milliseconds where that is known.
    Refuse {
        /// Open or half-open.
        state: State,
        /// Until a probe may be tried.
        left: Option<u64>,
    },
}

/// What a request that was let through holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    epoch: u64,
    /// Whether it is one of the few that try an upstream whose circuit was open.
    pub probe: bool,
    /// Whether it still counts among the probes that are under way.
    held: bool,
    /// When it was counted as a success.
    counted: Option<u64>,
}

/// A circuit changed its state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// To this one.
    pub to: State,
    /// For this reason.
    pub cause: Cause,
}

/// Why a circuit changed its state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cause {
    /// Too large a share of failures.
    Failures(Counts),
    /// Too large a share of slow answers.
    Slow(Counts),
    /// So many failures in a row.
    Consecutive(u32),
    /// A probe failed.
    ProbeFailed,
    /// It was open for long enough.
    TimeUp,
    /// So many probes succeeded.
    Proven(u32),
    /// An operator said so.
    Operator,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failures(counts) => write!(f, "{} of {} requests failed", counts.failures, counts.requests),
            Self::Slow(counts) => write!(f, "{} of {} requests were slow", counts.slow, counts.requests),
            Self::Consecutive(count) => write!(f, "{count} failures in a row"),
            Self::ProbeFailed => f.write_str("a probe failed or was slow"),
            Self::TimeUp => f.write_str("it is time to probe"),
            Self::Proven(count) => write!(f, "{count} probes in a row succeeded"),
            Self::Operator => f.write_str("an operator asked for it"),
        }
    }
}

/// A circuit's state, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// What requests meet.
    pub state: State,
    /// What the window holds.
    pub counts: Counts,
    /// Milliseconds until it is probed, while it is open by itself.
    pub left: Option<u64>,
    /// What an operator holds it in.
    pub forced: Option<Forced>,
    /// Probes under way.
    pub probes: u32,
}

/// One circuit.
pub struct Gate {
    rules: Rules,
    word: AtomicU64,
    window: Window,
    /// Failures since the last answer that was whole.
    consecutive: AtomicU32,
    /// Probes under way, of whatever probation: those of an earlier one still burden the upstream.
    probes: AtomicU32,
    /// Until when the upstream asked to be left alone.
    asked_until: AtomicU64,
}

/// The word: 2 bits of state, 2 of force, 5 of openings in a row, 15 of epoch, 40 of the state's own: when it ends, or probes that succeeded.
/// The epoch changes with every change of state, so that what comes late is known to be late.
#[derive(Clone, Copy)]
struct Word(u64);

const OWN_BITS: u32 = 40;
const OWN_MASK: u64 = (1 << OWN_BITS) - 1;
const EPOCH_MASK: u64 = (1 << 15) - 1;
const MOST_OPENINGS: u64 = (1 << 5) - 1;

impl Word {
    fn new(state: State, forced: Option<Forced>, openings: u64, epoch: u64, own: u64) -> Self {
        let state = match state {
            State::Closed => 0,
            State::HalfOpen => 1,
            State::Open => 2,
        };
        let forced = match forced {
            None => 0,
            Some(Forced::Open) => 1,
            Some(Forced::Closed) => 2,
        };
        Self(state << 62 | forced << 60 | openings.min(MOST_OPENINGS) << 55 | (epoch & EPOCH_MASK) << OWN_BITS | own.min(OWN_MASK))
    }
    fn state(self) -> State {
        match self.0 >> 62 {
            0 => State::Closed,
            1 => State::HalfOpen,
            _ => State::Open,
        }
    }
    fn forced(self) -> Option<Forced> {
        match self.0 >> 60 & 3 {
            0 => None,
            1 => Some(Forced::Open),
            _ => Some(Forced::Closed),
        }
    }
    fn openings(self) -> u64 {
        self.0 >> 55 & MOST_OPENINGS
    }
    fn epoch(self) -> u64 {
        self.0 >> OWN_BITS & EPOCH_MASK
    }
    fn own(self) -> u64 {
        self.0 & OWN_MASK
    }
}

impl Gate {
    /// A closed circuit.
    pub fn new(rules: Rules) -> Self {
        Self {
            window: Window::new(rules.window),
            rules,
            word: AtomicU64::new(0),
            consecutive: AtomicU32::new(0),
            probes: AtomicU32::new(0),
            asked_until: AtomicU64::new(0),
        }
    }

    /// Whether a request may pass now.
    pub fn admit(&self, now: u64) -> (Admission, Option<Change>) {
        let mut change = None;
        loop {
            let word = self.load();
            let ticket = |probe| Ticket { epoch: word.epoch(), probe, held: probe, counted: None };
            match (word.forced(), word.state()) {
                (None, State::Closed) | (Some(Forced::Closed), _) => return (Admission::Pass(ticket(false)), change),
                (Some(Forced::Open), _) => return (Admission::Refuse { state: State::Open, left: None }, change),
                (None, State::Open) if now < word.own() => {
                    return (Admission::Refuse { state: State::Open, left: Some(word.own() - now) }, change);
                }
                (None, State::Open) => {
                    let next = Word::new(State::HalfOpen, None, word.openings(), word.epoch() + 1, 0);
                    if self.exchange(word, next) {
                        change = Some(Change { to: State::HalfOpen, cause: Cause::TimeUp });
                    }
                }
                (None, State::HalfOpen) => {
                    let free = |probes| (probes < self.rules.probes).then(|| probes + 1);
                    if self.probes.fetch_update(Ordering::AcqRel, Ordering::Acquire, free).is_err() {
                        return (Admission::Refuse { state: State::HalfOpen, left: None }, change);
                    }
                    // Probation may have ended between the two looks.
                    if self.load().epoch() == word.epoch() {
                        return (Admission::Pass(ticket(true)), change);
                    }
                    self.probes.fetch_sub(1, Ordering::AcqRel);
                }
            }
        }
    }

    /// Says what came of a request, once. What was let through before the last change of state is not counted: it tells of another time.
    pub fn report(&self, ticket: &mut Ticket, finding: Finding, now: u64, chance: impl Fn() -> f64) -> Option<Change> {
        if let Finding::Failure { retry_after: Some(millis), .. } = finding {
            self.asked_until.fetch_max(now.saturating_add(millis), Ordering::Relaxed);
        }
        let word = self.load();
        let (failed, slow) = match finding {
            Finding::Neutral => return None,
            Finding::Success { slow } => (false, slow),
            Finding::Failure { slow, .. } => (true, slow),
        };
        if word.epoch() != ticket.epoch {
            return None;
        }
        if !failed {
            ticket.counted = Some(now);
        }
        match word.state() {
            State::Closed => self.count(word, failed, slow, now, chance),
            State::HalfOpen if failed || slow && self.rules.slow_ratio.is_some() => self.open(word, Cause::ProbeFailed, now, chance()),
            State::HalfOpen => self.prove(word),
            State::Open => None,
        }
    }

    /// The answer to a request that was counted as a success broke off later. That says something about now, so it counts after a change
    /// of state too, unless the circuit is on probation that the request is no part of.
    pub fn broke(&self, ticket: &Ticket, now: u64, chance: impl Fn() -> f64) -> Option<Change> {
        let word = self.load();
        match word.state() {
            State::Closed => {
                match ticket.counted {
                    Some(then) if ticket.epoch == word.epoch() => self.window.amend(then, now),
                    _ => self.window.record(now, true, false),
                }
                let consecutive = self.consecutive.fetch_add(1, Ordering::Relaxed) + 1;
                self.judge(word, consecutive, now, chance)
            }
            State::HalfOpen if ticket.epoch == word.epoch() => self.open(word, Cause::ProbeFailed, now, chance()),
            State::HalfOpen | State::Open => None,
        }
    }

    /// The answer to a request that was counted as a success is whole. Only this ends a row of failures: an upstream that breaks every
    /// body off after a fine head has a row of them.
    pub fn whole(&self) {
        if self.consecutive.load(Ordering::Relaxed) != 0 {
            self.consecutive.store(0, Ordering::Relaxed);
        }
    }

    /// Gives back what a ticket holds. Further times do nothing.
    pub fn release(&self, ticket: &mut Ticket) {
        if std::mem::take(&mut ticket.held) {
            self.probes.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Holds the circuit in a state, or lets it go, closed and with nothing remembered.
    pub fn force(&self, forced: Option<Forced>) -> Option<Change> {
        loop {
            let word = self.load();
            if word.forced() == forced {
                return None;
            }
            self.forget();
            if self.exchange(word, Word::new(State::Closed, forced, 0, word.epoch() + 1, 0)) {
                let to = if forced == Some(Forced::Open) { State::Open } else { State::Closed };
                return Some(Change { to, cause: Cause::Operator });
            }
        }
    }

    /// What an operator sees.
    pub fn view(&self, now: u64) -> View {
        let word = self.load();
        let state = match word.forced() {
            Some(Forced::Open) => State::Open,
            Some(Forced::Closed) => State::Closed,
            None => word.state(),
        };
        let left = (word.state() == State::Open).then(|| word.own().saturating_sub(now));
        View { state, counts: self.window.counts(now), left, forced: word.forced(), probes: self.probes.load(Ordering::Relaxed) }
    }

    /// Closed: a request is counted, and may be one too many.
    fn count(&self, word: Word, failed: bool, slow: bool, now: u64, chance: impl Fn() -> f64) -> Option<Change> {
        self.window.record(now, failed, slow);
        let consecutive = if failed { self.consecutive.fetch_add(1, Ordering::Relaxed) + 1 } else { 0 };
        self.judge(word, consecutive, now, chance)
    }

    fn judge(&self, word: Word, consecutive: u32, now: u64, chance: impl Fn() -> f64) -> Option<Change> {
        if word.forced().is_some() {
            return None;
        }
        let rules = &self.rules;
        if rules.consecutive.is_some_and(|most| consecutive >= most) {
            return self.open(word, Cause::Consecutive(consecutive), now, chance());
        }
        let counts = self.window.counts(now);
        if counts.requests < rules.min_requests {
            return None;
        }
        let reaches = |part: u32, share: f64| part > 0 && f64::from(part) >= share * f64::from(counts.requests);
        if reaches(counts.failures, rules.failure_ratio) {
            return self.open(word, Cause::Failures(counts), now, chance());
        }
        if rules.slow_ratio.is_some_and(|share| reaches(counts.slow, share)) {
            return self.open(word, Cause::Slow(counts), now, chance());
        }
        None
    }

    /// Open: for `open_for`, doubled for every opening before this one without a closing between, and as long as the upstream asked for.
    /// Chance moves the end by up to a tenth, so that many gateways do not probe at once.
    fn open(&self, mut word: Word, cause: Cause, now: u64, chance: f64) -> Option<Change> {
        let rules = &self.rules;
        let usual = rules.open_for.saturating_mul(1 << word.openings()).min(rules.max_open_for);
        let tenth = (usual as f64 * 0.1 * chance) as u64;
        let jittered = if usual + tenth <= rules.max_open_for { usual + tenth } else { usual - tenth };
        let asked = self.asked_until.load(Ordering::Relaxed).saturating_sub(now).min(rules.max_open_for);
        let until = now.saturating_add(jittered.max(asked));
        let epoch = word.epoch();
        let next = Word::new(State::Open, None, word.openings() + 1, epoch + 1, until);
        // Another probe's success may change the word under probation, which takes nothing from this failure.
        while word.epoch() == epoch {
            if self.exchange(word, next) {
                return Some(Change { to: State::Open, cause });
            }
            word = self.load();
        }
        None
    }

    /// Probation: one more success, and perhaps the last that was wanted.
    fn prove(&self, mut word: Word) -> Option<Change> {
        let epoch = word.epoch();
        loop {
            if word.epoch() != epoch {
                return None;
            }
            let proven = word.own() + 1;
            if proven < u64::from(self.rules.successes) {
                if self.exchange(word, Word::new(State::HalfOpen, None, word.openings(), epoch, proven)) {
                    return None;
                }
            } else {
                // Before the state: requests that pass once it is closed must not be judged by what came before.
                self.forget();
                if self.exchange(word, Word::new(State::Closed, None, 0, epoch + 1, 0)) {
                    return Some(Change { to: State::Closed, cause: Cause::Proven(self.rules.successes) });
                }
            }
            word = self.load();
        }
    }

    fn forget(&self) {
        self.window.clear();
        self.consecutive.store(0, Ordering::Relaxed);
        self.asked_until.store(0, Ordering::Relaxed);
    }

    fn load(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    fn exchange(&self, from: Word, to: Word) -> bool {
        self.word.compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}
