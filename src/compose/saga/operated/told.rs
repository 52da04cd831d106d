//! A saga as operators are told of it: what is kept of it, in words.

use std::cmp::Ordering;
use std::time::Duration;

use frontgate_filters::filter::pseudonym::Pseudonyms;

use super::super::machine::{State, Stuck, Undo};
use super::super::record::{Id, Millis, Record};
use super::{Known, Operated};
use crate::config::secrets::{HIDDEN, is_secret};
use crate::status::{SagaAct, SagaAnswer, SagaBrief, SagaStatus, SagaStep, SagaStepStatus, SagaUndo, SagaWay};
use crate::telemetry::timestamp;

/// The steps of a saga; by their numbers where its definition cannot be read.
fn steps(of: &dyn Operated, record: &Record, definition: Option<&str>) -> Vec<Known> {
    definition.and_then(|text| of.steps(text)).unwrap_or_else(|| {
        let reached = [step_of(record.state), record.failure.as_ref().map(|failure| failure.step), record.answers.keys().max().copied()];
        let count = reached.into_iter().flatten().max().map_or(0, |last| last + 1);
        let known = |number: usize| Known {
            name: number.to_string(),
            undo: Undo::Call { needs_answer: false },
            upstream: String::new(),
            undo_upstream: None,
            asks: None,
            undo_asks: None,
        };
        (1..=count).map(known).collect()
    })
}

/// The step that a state is about.
fn step_of(state: State) -> Option<usize> {
    match state {
        State::Running(step) | State::Undoing(step) => Some(step),
        State::Stuck(why) => Some(why.step()),
        State::Done | State::Undone | State::Abandoned => None,
    }
}

/// Why it is stuck.
pub(in super::super) fn stuck(why: Stuck) -> &'static str {
    match why {
        Stuck::Pivot(_) => "whether the last step has happened is not known",
        Stuck::Undo(_) => "the undo never succeeded",
        Stuck::Lost(_) => "the undo needs the step's answer, which was lost",
        Stuck::Upstream { .. } => "its upstream is not in the configuration",
    }
}

/// What can be done about one that is stuck at this.
fn ways(id: Id, why: Stuck, known: &[Known], name: &str) -> Vec<SagaWay> {
    let command = |rest: String| format!("frontgate saga {rest}");
    let retried = match why {
        Stuck::Pivot(_) => {
            format!("when the service of `{name}` answers again: under its key it is done, or it is refused and the rest is taken back")
        }
        Stuck::Undo(_) => {
            "when its service is mended, or it was taken back there by hand: an undo that meets 404 or 410 has succeeded".to_owned()
        }
        Stuck::Lost(_) => "when its service can say once more, under the step's key, what it answered".to_owned(),
        Stuck::Upstream { .. } => "when the configuration has the upstream again, under its name".to_owned(),
    };
    let mut ways = vec![SagaWay { command: command(format!("retry {id}")), when: retried }];
    let goes = |step: &Known| matches!(step.undo, Undo::Call { .. });
    if known.iter().take(why.step()).any(goes) {
        let when = match why {
            Stuck::Pivot(_) | Stuck::Upstream { undoing: false, .. } => {
                format!("when `{name}` is known not to have happened, or is dealt with by hand: what was done before it is taken back")
            }
            Stuck::Undo(_) | Stuck::Lost(_) | Stuck::Upstream { undoing: true, .. } => {
                format!("when `{name}` was taken back by hand, or is to stay: what was done before it is taken back")
            }
        };
        ways.push(SagaWay { command: command(format!("undo {id} --leave {name}")), when });
    }
    let when = match why {
        Stuck::Pivot(_) => format!("when `{name}` is known to have happened, or all is dealt with by hand: what was done stays as it is"),
        Stuck::Undo(_) | Stuck::Lost(_) | Stuck::Upstream { .. } => {
            "when all is dealt with by hand: what was done stays as it is".to_owned()
        }
    };
    ways.push(SagaWay { command: command(format!("abandon {id} --note TEXT")), when });
    ways
}

/// A saga in a line.
pub(super) fn brief(of: &dyn Operated, id: Id, record: &Record, definition: Option<&str>, now: Millis) -> SagaBrief {
    let live = if record.state.is_ended() { None } else { of.live(id) };
    let step = step_of(record.state).map(|index| {
        let known = steps(of, record, definition);
        let name = known.get(index).map_or_else(|| (index + 1).to_string(), |known| known.name.clone());
        let undoing = matches!(
            record.state,
            State::Undoing(_) | State::Stuck(Stuck::Undo(_) | Stuck::Lost(_) | Stuck::Upstream { undoing: true, .. })
        );
        if undoing { format!("{name}/undo") } else { name }
    });
    // What an abandoned one was stuck at stays told.
    let state = match record.state {
        State::Abandoned => record.acts.iter().rev().find_map(|act| act.was).unwrap_or(State::Abandoned),
        state => state,
    };
    let last = live.as_ref().and_then(|live| live.trouble.clone()).or_else(|| record.trouble.clone().filter(|_| !state.is_ended()));
    let trouble = match (state, last) {
        (State::Stuck(why), Some(last)) => Some(format!("{}: {last}", stuck(why))),
        (State::Stuck(why), None) => Some(stuck(why).to_owned()),
        (_, last) => last,
    };
    SagaBrief {
        id: id.to_string(),
        route: record.route.clone(),
        state: record.state.into(),
        step,
        begun: timestamp(record.begun.time()),
        age_ms: millis(record.begun.until(now)),
        unchanged_ms: millis(record.changed.until(now)),
        attempts: live.as_ref().map(|live| live.attempts).or(record.tried),
        next_attempt_ms: live.as_ref().and_then(|live| live.next).map(|next| millis(now.until(next))),
        trouble,
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A saga with everything that is known of it.
pub(super) fn whole(of: &dyn Operated, id: Id, record: &Record, definition: Option<&str>, names: &Pseudonyms, now: Millis) -> SagaStatus {
    let known = steps(of, record, definition);
    let failure = record.failure.as_ref().map(|failure| {
        let name = known.get(failure.step).map_or_else(|| (failure.step + 1).to_string(), |known| known.name.clone());
        format!("{name}: {}", failure.why)
    });
    let ways = match record.state {
        State::Stuck(why) => {
            let name = known.get(why.step()).map_or_else(|| (why.step() + 1).to_string(), |known| known.name.clone());
            ways(id, why, &known, &name)
        }
        _ => Vec::new(),
    };
    let steps = known.iter().enumerate().map(|(index, step)| {
        let (came_to, undo) = became(record, index, step.undo);
        let values = record.answers.get(&index).into_iter().flatten();
        let values = values.map(|(place, value)| (place.clone(), masked(place, value, names))).collect();
        SagaStepStatus {
            name: step.name.clone(),
            key: format!("{id}-{}", step.name),
            undo_key: step.undo_asks.as_ref().map(|_| format!("{id}-{}-undo", step.name)),
            asks: step.asks.clone(),
            undo_asks: step.undo_asks.clone(),
            came_to,
            undo,
            values,
        }
    });
    SagaStatus {
        brief: brief(of, id, record, definition, now),
        changed: timestamp(record.changed.time()),
        request_id: record.request_id.clone(),
        steps: steps.collect(),
        failure,
        facts: record.facts.iter().map(|(name, value)| (name.clone(), masked(name, value, names))).collect(),
        body_bytes: record.body.as_ref().map(|body| body.bytes.len() as u64),
        answer: record.answer.as_ref().map(|answer| SagaAnswer {
            status: answer.status,
            content_type: answer.content_type.clone(),
            bytes: answer.body.len() as u64,
        }),
        acts: record
            .acts
            .iter()
            .map(|act| SagaAct { at: timestamp(act.at.time()), who: act.who.clone(), what: act.what.clone(), note: act.note.clone() })
            .collect(),
        ways,
        definition: record.definition.to_string(),
    }
}

/// What may be told of a value: what the access log has in place of such. Of text it is the pseudonym of what is between its quotes, which
/// `frontgate hash` tells, too.
fn masked(name: &str, value: &str, names: &Pseudonyms) -> String {
    if is_secret(name) {
        return HIDDEN.to_owned();
    }
    let text = serde_json::from_str::<String>(value);
    names.of(text.as_deref().unwrap_or(value)).into()
}

/// What a step and its undo came to.
fn became(record: &Record, index: usize, undo: Undo) -> (SagaStep, Option<SagaUndo>) {
    // What an abandoned one was before is in the act that abandoned it.
    let state = match record.state {
        State::Abandoned => record.acts.iter().rev().find_map(|act| act.was).unwrap_or(State::Abandoned),
        state => state,
    };
    let failed = record.failure.as_ref().map(|failure| failure.step);
    // What came about before anything was taken back.
    let step = match (state, failed) {
        (State::Running(at), _) | (State::Stuck(Stuck::Upstream { step: at, undoing: false }), _) => match index.cmp(&at) {
            Ordering::Less => SagaStep::Done,
            Ordering::Equal if matches!(state, State::Running(_)) => SagaStep::Running,
            Ordering::Equal => SagaStep::Unknown,
            Ordering::Greater if record.state == State::Abandoned => SagaStep::NeverMade,
            Ordering::Greater => SagaStep::Waiting,
        },
        (State::Stuck(Stuck::Pivot(at)), _) if index == at => SagaStep::Unknown,
        (State::Abandoned, None) if !record.answers.contains_key(&index) => SagaStep::Unknown,
        (_, Some(failed)) if index == failed && (record.turned_at == Some(failed) || record.left.contains(&failed)) => SagaStep::Unknown,
        (_, Some(failed)) if index == failed => SagaStep::Failed,
        (_, Some(failed)) if index > failed => SagaStep::NeverMade,
        _ => SagaStep::Done,
    };
    // What failed for certain has nothing to take back.
    let is_made = matches!(undo, Undo::Call { .. }) && !matches!(step, SagaStep::Waiting | SagaStep::NeverMade | SagaStep::Failed);
    if record.left.contains(&index) {
        return (step, Some(SagaUndo::Stays));
    }
    let taken_back = match state {
        State::Undoing(at) | State::Stuck(Stuck::Undo(at) | Stuck::Lost(at) | Stuck::Upstream { step: at, undoing: true }) if is_made => {
            match index.cmp(&at) {
                Ordering::Less => Some(SagaUndo::Waiting),
                Ordering::Equal if matches!(state, State::Undoing(_)) => Some(SagaUndo::Running),
                Ordering::Equal => Some(SagaUndo::Stuck),
                Ordering::Greater => Some(SagaUndo::Done),
            }
        }
        State::Undone if is_made => Some(SagaUndo::Done),
        State::Abandoned if is_made => Some(SagaUndo::Unknown),
        _ => None,
    };
    (step, taken_back)
}
