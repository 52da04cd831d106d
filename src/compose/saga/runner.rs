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
use super::machine::{Command, Ended, Event, Keep, Machine, Pause, Send, State};
use super::record::{Answer, Failure, LARGEST, Millis, Record};
use super::store::Write;
use crate::compose::{Answered, CallResult, Failed, Ready};
use crate::upstream::balance::random;

/// The first pause before a step is tried again.
const STEP: Duration = Duration::from_millis(200);
/// The first pause before an undo is, or a pivot that stays unknown.
const LONG: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(5 * 60);
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
            Failed::CircuitOpen { .. } | Failed::Unavailable | Failed::NoMemory => StatusCode::SERVICE_UNAVAILABLE,
            Failed::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Failed::Connect | Failed::Broken | Failed::TooLarge | Failed::Malformed => StatusCode::BAD_GATEWAY,
        };
        let why = match failed {
            Failed::CircuitOpen { .. } => "the circuit is open",
            Failed::Unavailable => "no endpoint could be asked",
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
        let machine = machine.unwrap_or_else(|| Machine::recovered(record.state, record.answers.keys().copied()));
        Self { open, definition, record, machine, counted, recovered, parts: None, wrong: None }
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

    fn now(&self) -> super::machine::Over {
        over(&self.definition, &self.record, Millis::now())
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
        self.open.task.fares.send_replace(match &self.record.answer {
            Some(answer) => Fares::Is(self.record.state, Some(answer.clone())),
            None => Fares::Parked(self.record.state),
        });
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
            let wrong = self.wrong.take().unwrap_or_else(|| Wrong::new(StatusCode::GATEWAY_TIMEOUT, "its deadline was over"));
            next.answer = Some(self.failed(step, wrong.status));
            next.failure = Some(Failure { step, why: wrong.why });
        }
        match keep.state {
            State::Done => next.answer = Some(self.done(&next)),
            State::Abandoned if next.answer.is_none() => next.answer = Some(self.abandoned()),
            _ => {}
        }
        next.trouble = match keep.state {
            State::Stuck(_) => self.wrong.take().map(|wrong| wrong.why),
            _ => None,
        };
        let forgotten = self.forgotten(&next);
        let mut health = self.open.sagas.journal.health();
        let mut parks = self.open.sagas.parks.subscribe();
        loop {
            health.mark_unchanged();
            let write = Write::Change { id: self.open.id, record: Box::new(next.clone()), before, forgotten, was_forgotten };
            if self.open.sagas.journal.write(write).await.is_ok() {
                break;
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
        if let State::Stuck(_) = self.record.state {
            let (id, route) = (self.open.id, &self.record.route);
            let why = self.record.trouble.as_deref().unwrap_or("what it needs cannot be had");
            log::error!("saga {id} of route `{route}` is stuck and needs an operator (frontgate saga show {id}): {why}");
        }
        self.counted.moves(self.record.state, now);
        *self.open.task.live.lock() = super::operated::Live::default();
        self.open.task.fares.send_replace(Fares::Is(self.record.state, self.record.answer.clone()));
        true
    }

    /// When it is forgotten, where it has ended.
    fn forgotten(&self, record: &Record) -> Option<Millis> {
        record.state.is_ended().then(|| record.changed.plus(self.definition.keep))
    }

    /// What its client is answered where all is done.
    fn done(&self, record: &Record) -> Answer {
        let body = self.definition.answer(self.open.id, record);
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
        let (ended, wrong) = self.sent(send).await;
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
        let Ok(prepared) = definition.prepare(send, self.open.id, &self.record) else {
            calls.count(name, CallResult::ValueMissing);
            return (Ended::Missing, Some(Wrong::new(StatusCode::BAD_GATEWAY, "a value that it needs is missing")));
        };
        let Some(pool) = sagas.world.pool(prepared.upstream) else {
            let why = format!("there is no upstream `{}` any more", prepared.upstream);
            return (Ended::NoUpstream, Some(Wrong::new(StatusCode::SERVICE_UNAVAILABLE, why)));
        };
        let _turn = if self.recovered { sagas.recovering.acquire().await.ok() } else { None };
        let ready = Ready {
            name,
            pool: &pool,
            method: prepared.method,
            target: prepared.target,
            fields: prepared.fields,
            body: prepared.body,
            timeout: prepared.timeout,
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
                    Failed::CircuitOpen { .. } | Failed::Unavailable | Failed::Connect => Ended::NotSent,
                    Failed::Broken | Failed::Timeout | Failed::TooLarge | Failed::Malformed | Failed::NoMemory => Ended::Unknown,
                };
                (ended, Some(Wrong::of_failure(failed)))
            }
        }
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
