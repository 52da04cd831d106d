//! The state machine of one circuit: closed, open, probation. It reads in this order.
//!
//! Everything that requests contend for is one atomic word, so a change of state is one exchange that one of them wins, and the way through
//! a closed circuit is one load. Time is an argument, in milliseconds since whenever; so is chance.

mod terms;
mod word;

use self::word::Word;
use super::sync::{AtomicU32, AtomicU64, Ordering};
use super::window::Window;

pub use self::terms::{Admission, Cause, Change, Finding, Forced, Rules, State, Ticket, View};

/// One circuit.
pub struct Gate {
    rules: Rules,
    word: AtomicU64,
    window: Window,
    /// Failures since the last answer that was whole.
    consecutive: AtomicU32,
    /// Probes under way, of whatever probation: those of an earlier one still burden the upstream.
    probes: AtomicU32,
    /// Until when the upstream asked for no requests.
    asked_until: AtomicU64,
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

    /// What [`Gate::admit`] would say, changing nothing: neither a state nor how many probes there may be.
    pub fn look(&self, now: u64) -> Admission {
        let word = self.load();
        let ticket = |probe| Ticket { epoch: word.epoch(), probe, held: false, counted: None };
        match (word.forced(), word.state()) {
            (None, State::Closed) | (Some(Forced::Closed), _) => Admission::Pass(ticket(false)),
            (Some(Forced::Open), _) => Admission::Refuse { state: State::Open, left: None },
            (None, State::Open) if now < word.own() => Admission::Refuse { state: State::Open, left: Some(word.own() - now) },
            (None, State::Open | State::HalfOpen) if self.probes.load(Ordering::Acquire) < self.rules.probes => {
                Admission::Pass(ticket(true))
            }
            (None, State::Open | State::HalfOpen) => Admission::Refuse { state: State::HalfOpen, left: None },
        }
    }

    /// Says what came of a request, once. What was let through before the last change of state is not counted: it tells of another time.
    pub fn report(&self, ticket: &mut Ticket, finding: Finding, now: u64, chance: impl Fn() -> f64) -> Option<Change> {
        if let Finding::Failure { retry_after: Some(millis), .. } = finding {
            // Bounded here too: what was asked long ago, and then not needed, has no say in a later opening.
            self.asked_until.fetch_max(now.saturating_add(millis.min(self.rules.max_open_for)), Ordering::Relaxed);
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

    /// Whether the circuit has been closed since it gave this ticket.
    pub fn is_closed_for(&self, ticket: &Ticket) -> bool {
        !ticket.probe && self.load().epoch() == ticket.epoch
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
