//! One saga under way: does what its machine says, one thing after the other, and tells those who wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use frontgate_filters::reply::{Form, Reply};
use frontgate_filters::words::fields;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};

use super::counted::Counted;
use super::definition::{Definition, LARGEST_ANSWER};
use super::journal::Health;
use super::keeper::{Fares, Open, over};
use super::machine::{Command, Ended, Event, Keep, Machine, Over, Pause, Send, State};
use super::record::{Answer, Failure, LARGEST, LARGEST_TOLD, Millis, Record};
use super::store::Write;
use crate::compose::{Answered, CallResult, Failed, Ready};
use crate::upstream::balance::random;

/// The first pause before a step is tried again.
const STEP: Duration = Duration::from_millis(200);
/// The first pause before an undo is, or a pivot that stays unknown.
const LONG: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(5 * 60);
/// How long an attempt may at least take, however soon its time is over.
const LEAST: Duration = Duration::from_secs(1);
/// How long one may take whose time is over already, where its step says nothing else.
const LATE: Duration = Duration::from_secs(30);
/// How many attempts of what a process before has left are made at least before it is given up: that process may have been gone for long, or the
/// clock set wrong.
const LEAST_TRIES: u32 = 5;
/// How long a journal that is open and takes nothing is left alone.
const CROWDED: Duration = Duration::from_millis(50);

/// A saga under way.
pub(super) struct Run {
    open: Open,
    definition: Arc<Definition>,
    record: Record,
    machine: Machine,
    counted: Counted,
    /// Whether a process before has begun it: then it shares what those may do at once.
    recovered: bool,
    /// Whether such a process has left it in the middle.
    left: bool,
    /// Whether an operator wants what is kept next. It is kept at once or not at all: who has ordered it is told so.
    ordered: bool,
    /// How often the call that is under way was made here.
    tries: u32,
    /// What others need of the answer that has just come.
    parts: Option<BTreeMap<String, String>>,
    /// What was wrong with the last attempt.
    wrong: Option<Wrong>,
}

/// What was wrong with an attempt.
#[derive(Clone, Debug)]
struct Wrong {
    /// What its client is told where the saga fails with it.
    status: StatusCode,
    /// In a few words, without anything of what an upstream said but its status.
    why: String,
}

impl Wrong {
    fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }

    /// Of an answer that is not what was expected.
    fn of_status(status: StatusCode) -> Self {
        let told = match status.as_u16() {
            401 | 403 | 404 | 409 | 410 | 422 | 429 => status,
            _ => StatusCode::BAD_GATEWAY,
        };
        Self::new(told, format!("status {}", status.as_u16()))
    }

    fn of_failure(failed: Failed) -> Self {
        let status = match failed {
            Failed::CircuitOpen { .. } | Failed::Unavailable | Failed::Full | Failed::NoMemory => StatusCode::SERVICE_UNAVAILABLE,
            Failed::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Failed::Connect | Failed::Broken | Failed::TooLarge | Failed::Malformed => StatusCode::BAD_GATEWAY,
        };
        let why = match failed {
            Failed::CircuitOpen { .. } => "the circuit is open",
            Failed::Unavailable => "no endpoint could be asked",
            Failed::Full => "its upstream has as many requests as it may",
            Failed::Connect => "no endpoint could be reached",
            Failed::Broken => "the connection broke before all of the answer came",
            Failed::Timeout => "there was no answer in time",
            Failed::TooLarge => "the answer is too long",
            Failed::Malformed => "the answer cannot be read",
            Failed::NoMemory => "all answers together have no more memory",
        };
        Self::new(status, why)
    }
}

impl Run {
    /// One that goes on with this machine, or with that of a saga that was found.
    pub(super) fn new(open: Open, definition: Arc<Definition>, record: Record, counted: Counted, machine: Option<Machine>) -> Self {
        let recovered = machine.is_none();
        let machine =
            machine.unwrap_or_else(|| Machine::recovered(record.state, record.answers.keys().copied(), record.left.iter().copied()));
        let ordered = recovered && !matches!(record.state, State::Running(_) | State::Undoing(_));
        let left = recovered && !ordered;
        Self { open, definition, record, machine, counted, recovered, left, ordered, tries: 0, parts: None, wrong: None }
    }

    /// What is done first.
    pub(super) fn first(&mut self) -> Command {
        let over = over(&self.definition, &self.record, Millis::now());
        self.machine.first(&self.definition.shape, over)
    }

    /// What follows from an event.
    pub(super) fn on(&mut self, event: Event) -> Command {
        self.machine.on(&self.definition.shape, event)
    }

    fn now(&self) -> Over {
        let over = over(&self.definition, &self.record, Millis::now());
        let step = match self.record.state {
            State::Running(step) | State::Undoing(step) => self.definition.shape.steps.get(step),
            _ => None,
        };
        let least = step.map_or(0, |step| step.attempts.min(LEAST_TRIES));
        Over { give_up: over.give_up && !(self.left && self.tries < least), ..over }
    }

    fn parks(&self) -> bool {
        *self.open.sagas.parks.borrow()
    }

    /// Goes on until nothing follows by itself, or it is to leave off.
    pub(super) async fn follow(mut self, mut command: Command) {
        loop {
            command = match command {
                Command::Keep(keep) => {
                    if !self.keep(keep).await {
                        break;
                    }
                    self.on(Event::Kept(self.now()))
                }
                Command::Send(_) | Command::Pause(_) if self.parks() => break,
                Command::Send(send) => {
                    let ended = self.send(send).await;
                    self.on(Event::Ended(ended, self.now()))
                }
                Command::Pause(pause) => {
                    if !self.pause(pause).await {
                        break;
                    }
                    self.on(Event::Due)
                }
                Command::Rest => return self.rests(),
            };
        }
        let told = match &self.record.answer {
            Some(answer) => Fares::Is(self.record.state, Some(answer.clone())),
            None => Fares::Parked(self.record.state),
        };
        let task = self.open.task.clone();
        self.rests();
        task.fares.send_replace(told);
    }

    /// Nothing follows by itself: one that is stuck stays counted.
    fn rests(self) {
        let Self { open, record, counted, .. } = self;
        if matches!(record.state, State::Stuck(_)) {
            open.sagas.stuck.lock().insert(open.id, counted);
        }
    }

    /// Makes it durable, however long that takes; false where the process is to end before that.
    async fn keep(&mut self, keep: Keep) -> bool {
        let mut next = self.record.clone();
        let now = Millis::now();
        let (before, was_forgotten) = (self.record.state, self.forgotten(&self.record));
        next.moves(keep, now);
        if let Some(step) = keep.answer {
            next.answers.insert(step, self.parts.take().unwrap_or_default());
        }
        if let Some(step) = keep.failed {
            let wrong = self.wrong.take().unwrap_or_else(|| match before {
                State::Stuck(_) => Wrong::new(StatusCode::BAD_GATEWAY, "whether it has happened is not known, and it stays as it is"),
                _ => Wrong::new(StatusCode::GATEWAY_TIMEOUT, "its deadline was over"),
            });
            next.answer = Some(self.failed(step, wrong.status));
            next.failure = Some(Failure { step, why: wrong.why });
        }
        match keep.state {
            State::Done => next.answer = Some(self.done(&next)),
            State::Abandoned if next.answer.is_none() => next.answer = Some(self.abandoned()),
            _ => {}
        }
        (next.trouble, next.tried) = match keep.state {
            State::Stuck(_) => (self.wrong.take().map(|wrong| wrong.why), Some(self.open.task.live.lock().attempts)),
            // What was wrong stays with what was given up.
            State::Abandoned => (next.trouble, next.tried),
            _ => (None, None),
        };
        let forgotten = self.forgotten(&next);
        if next.state.is_ended() {
            next.ends();
        }
        let mut health = self.open.sagas.journal.health();
        let mut parks = self.open.sagas.parks.subscribe();
        loop {
            health.mark_unchanged();
            let write = Write::Change { id: self.open.id, record: Box::new(next.clone()), before, forgotten, was_forgotten };
            if self.open.sagas.journal.write(write).await.is_ok() {
                break;
            }
            if self.ordered {
                return false;
            }
            let is_open = matches!(*health.borrow(), Health::Open(_));
            let wait = async {
                if is_open {
                    tokio::time::sleep(CROWDED).await;
                    true
                } else {
                    health
                        .wait_for(|health| matches!(health, Health::Open(_) | Health::Closed))
                        .await
                        .is_ok_and(|health| *health != Health::Closed)
                }
            };
            tokio::select! {
                again = wait => if !again { return false },
                // What is not durable by then is done again by whoever goes on with it.
                _ = parks.wait_for(|parks| *parks), if !is_open => return false,
            }
        }
        self.record = next;
        self.tries = 0;
        if std::mem::take(&mut self.ordered) {
            self.tell_order();
        }
        if let State::Stuck(stuck) = self.record.state {
            let (id, route) = (self.open.id, &self.record.route);
            let at = match stuck.resumes() {
                State::Running(step) => self.definition.name(Send::Step(step)),
                _ => self.definition.name(Send::Undo(stuck.step())),
            };
            let last = self.record.trouble.as_ref().map(|trouble| format!(": {trouble}")).unwrap_or_default();
            let why = super::operated::stuck(stuck);
            log::error!("saga {id} of route `{route}` is stuck at `{at}` and needs an operator (frontgate saga show {id}): {why}{last}");
        }
        self.counted.moves(self.record.state, now);
        *self.open.task.live.lock() = super::operated::Live::default();
        self.open.task.fares.send_replace(Fares::Is(self.record.state, self.record.answer.clone()));
        true
    }

    /// What an operator wanted is durable, and so it is done, whatever they were told meanwhile.
    fn tell_order(&self) {
        let Some(act) = self.record.acts.last() else { return };
        let what = match &*act.what {
            "retry" => "has it tried again",
            "abandon" => "gave it up",
            _ => "has it taken back",
        };
        let note = act.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
        let is = self.record.state.name();
        log::warn!("saga {}: the operator {} {what}, it is {is} now{note}", self.open.id, act.who);
    }

    /// When it is forgotten, where it has ended.
    fn forgotten(&self, record: &Record) -> Option<Millis> {
        record.state.is_ended().then(|| record.changed.plus(self.definition.keep))
    }

    /// What its client is answered where all is done.
    fn done(&self, record: &Record) -> Answer {
        let mut body = self.definition.answer(self.open.id, record);
        if body.len() > LARGEST_TOLD {
            let (id, length, route) = (self.open.id, body.len(), &record.route);
            log::error!("saga {id} of route `{route}` is done, and its answer has {length} bytes: its client is told that alone");
            body = serde_json::json!({"saga": id.to_string(), "state": State::Done.name()}).to_string().into();
        }
        Answer { status: 200, content_type: "application/json".to_owned(), retry_after: None, body }
    }

    /// What its client is answered where this step has failed.
    fn failed(&self, step: usize, status: StatusCode) -> Answer {
        let step = self.definition.name(Send::Step(step)).clone();
        let detail = "A step failed; what the steps before it did is taken back.";
        let reply = Reply::problem(status, "saga_undone", detail).with_member("step", step);
        self.problem(reply, matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS).then_some(1))
    }

    fn abandoned(&self) -> Answer {
        self.problem(Reply::problem(StatusCode::BAD_GATEWAY, "saga_abandoned", "What became of it is not known; it was given up."), None)
    }

    /// As it is sent, now and whenever it is asked for again.
    fn problem(&self, reply: Reply, retry_after: Option<u64>) -> Answer {
        let reply = reply.with_member("saga", self.open.id.to_string().into());
        let request_id = HeaderValue::try_from(&*self.record.request_id).unwrap_or_else(|_| HeaderValue::from_static("-"));
        let (head, body) = reply.render(Form::Problem, &request_id);
        let content_type = head.headers.get(http::header::CONTENT_TYPE).and_then(fields::text).unwrap_or_default();
        Answer { status: reply.status.as_u16(), content_type: content_type.to_owned(), retry_after, body }
    }

    /// Waits; false where it is to leave off.
    async fn pause(&mut self, pause: Pause) -> bool {
        let doubled = |first: Duration, number: u32| first.saturating_mul(1 << (number.saturating_sub(1)).min(20)).min(LONGEST);
        let (length, end) = match pause {
            Pause::Step(number) => (doubled(STEP, number), self.record.deadline_from.plus(self.definition.deadline)),
            Pause::Long(number) => {
                // Many that wait for one upstream do not come back to it all at once.
                let jitter = 0.75 + (random() % 256) as f64 / 1024.0;
                (doubled(LONG, number).mul_f64(jitter), self.record.give_up_from.plus(self.definition.give_up))
            }
        };
        let now = Millis::now();
        // The last attempt is made when the time is over. Of what is past its time already, the pause holds.
        let left = now.until(end);
        let length = if left.is_zero() { length } else { length.min(left) };
        self.open.task.live.lock().next = Some(now.plus(length));
        let mut parks = self.open.sagas.parks.subscribe();
        tokio::select! {
            () = tokio::time::sleep(length) => true,
            _ = parks.wait_for(|parks| *parks) => false,
        }
    }

    /// Makes the call once, and judges what came of it.
    async fn send(&mut self, send: Send) -> Ended {
        {
            let mut live = self.open.task.live.lock();
            (live.attempts, live.next) = (live.attempts.saturating_add(1), None);
        }
        self.tries = self.tries.saturating_add(1);
        let (ended, mut wrong) = self.sent(send).await;
        if let (Send::Learn(_), Some(wrong)) = (send, &mut wrong) {
            wrong.why = format!("the step was asked again for what it had answered: {}", wrong.why);
        }
        self.open.task.live.lock().trouble = wrong.as_ref().map(|wrong| wrong.why.clone());
        self.wrong = wrong;
        ended
    }

    async fn sent(&mut self, send: Send) -> (Ended, Option<Wrong>) {
        let definition = self.definition.clone();
        let sagas = self.open.sagas.clone();
        let name = definition.name(send);
        let Some(calls) = sagas.world.calls(&self.record.route, &self.record.request_id) else {
            return (Ended::NotSent, Some(Wrong::new(StatusCode::SERVICE_UNAVAILABLE, "the gateway is about to end")));
        };
        let Ok(mut prepared) = definition.prepare(send, self.open.id, &self.record) else {
            calls.count(name, CallResult::ValueMissing);
            return (Ended::Missing, Some(Wrong::new(StatusCode::BAD_GATEWAY, "a value that it needs is missing")));
        };
        let Some(pool) = sagas.world.pool(prepared.upstream) else {
            let why = format!("there is no upstream `{}` any more", prepared.upstream);
            return (Ended::NoUpstream, Some(Wrong::new(StatusCode::SERVICE_UNAVAILABLE, why)));
        };
        for header in prepared.apart {
            let Some(value) = sagas.world.header(&self.record.route, name, header) else {
                let why = format!("the configuration has no header `{header}` for it any more");
                return (Ended::NoUpstream, Some(Wrong::new(StatusCode::SERVICE_UNAVAILABLE, why)));
            };
            prepared.fields.insert(header, value);
        }
        let _turn = if self.recovered { sagas.turns(prepared.upstream).acquire_owned().await.ok() } else { None };
        let timeout = Some(self.bound(send, prepared.timeout));
        let ready = Ready {
            name,
            pool: &pool,
            method: prepared.method,
            target: prepared.target,
            fields: prepared.fields,
            body: prepared.body,
            timeout,
            most: LARGEST_ANSWER,
            again: false,
        };
        match calls.make(ready).await {
            Ok(answered) => {
                let (ended, result, wrong) = self.judge(send, answered);
                calls.count(name, result);
                (ended, wrong)
            }
            Err(failed) => {
                calls.count(name, failed.result());
                let ended = match failed {
                    Failed::CircuitOpen { .. } | Failed::Unavailable | Failed::Full | Failed::Connect => Ended::NotSent,
                    Failed::Broken | Failed::Timeout | Failed::TooLarge | Failed::Malformed | Failed::NoMemory => Ended::Unknown,
                };
                (ended, Some(Wrong::of_failure(failed)))
            }
        }
    }

    /// How long an attempt may take: what its step says, and no longer than its saga has time, going forward or taking back. Of what is past that
    /// already one attempt has the time of any.
    fn bound(&self, send: Send, own: Option<Duration>) -> Duration {
        let end = match send {
            Send::Step(_) => self.record.deadline_from.plus(self.definition.deadline),
            Send::Learn(_) | Send::Undo(_) => self.record.give_up_from.plus(self.definition.give_up),
        };
        bound(Millis::now().until(end), own)
    }

    /// What an answer says of whether it happened.
    fn judge(&mut self, send: Send, answered: Answered) -> (Ended, CallResult, Option<Wrong>) {
        let status = answered.status.as_u16();
        let unexpected = || (CallResult::of_unexpected(answered.status), Some(Wrong::of_status(answered.status)));
        match send {
            Send::Undo(_) if matches!(status, 200..=299 | 404 | 410) => (Ended::Done, CallResult::Ok, None),
            Send::Undo(_) => {
                let (result, wrong) = unexpected();
                (Ended::Unknown, result, wrong)
            }
            Send::Step(step) | Send::Learn(step) if self.definition.expects(step, status) => {
                let parts = self.definition.parts(step, answered.body);
                match parts.filter(|parts| self.has_room(parts)) {
                    Some(parts) => {
                        self.parts = Some(parts);
                        answered.keeping.keep();
                        (Ended::Done, CallResult::Ok, None)
                    }
                    None => (Ended::Unknown, CallResult::Malformed, Some(Wrong::new(StatusCode::BAD_GATEWAY, "its answer cannot be kept"))),
                }
            }
            Send::Step(_) | Send::Learn(_) => {
                let (result, wrong) = unexpected();
                match status {
                    408 | 425 | 429 => (Ended::Unknown, result, wrong),
                    // Another attempt is at work, and this is when to ask again.
                    409 if answered.headers.contains_key(&RETRY_AFTER) => (Ended::Unknown, result, wrong),
                    400..=499 => (Ended::Refused, result, wrong),
                    _ => (Ended::Unknown, result, wrong),
                }
            }
        }
    }

    /// Whether so much more can be kept.
    fn has_room(&self, parts: &BTreeMap<String, String>) -> bool {
        let length = |parts: &BTreeMap<String, String>| parts.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        self.record.answers.values().map(length).sum::<usize>() + length(parts) <= LARGEST / 2
    }
}

/// How long an attempt may take for which so much time is left.
fn bound(left: Duration, own: Option<Duration>) -> Duration {
    if left.is_zero() {
        return own.unwrap_or(LATE);
    }
    let left = left.max(LEAST);
    own.map_or(left, |own| own.min(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_ends_with_the_time_of_its_saga_and_one_past_that_has_its_own() {
        let seconds = Duration::from_secs;

        assert_eq!(bound(seconds(120), None), seconds(120));
        assert_eq!(bound(seconds(120), Some(seconds(2))), seconds(2));
        assert_eq!(bound(seconds(5), Some(seconds(10))), seconds(5));
        assert_eq!(bound(Duration::from_millis(3), Some(seconds(10))), LEAST);
        assert_eq!(bound(Duration::from_millis(3), Some(Duration::from_millis(200))), Duration::from_millis(200));
        assert_eq!(bound(Duration::ZERO, Some(seconds(90))), seconds(90));
        assert_eq!(bound(Duration::ZERO, None), LATE);
    }
}
