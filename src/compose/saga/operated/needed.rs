//! What the open sagas need of a configuration: upstreams that one which follows had better not take away.

use std::collections::{BTreeMap, BTreeSet};

use super::super::machine::{State, Undo};
use super::super::record::{Hash, Id, Record};
use super::{Known, MOST_LOOKED_AT, Operated, PAGE, Refused, read, read_page};
use crate::status::{SagaNeeds, SagaState};

/// What they need, by the routes that they began on.
pub(crate) async fn needs(of: &dyn Operated) -> Result<Vec<SagaNeeds>, Refused> {
    let mut needs = BTreeMap::<String, SagaNeeds>::new();
    let mut definitions = BTreeMap::<Hash, Vec<Known>>::new();
    let mut looked_at = 0;
    for state in SagaState::OPEN {
        let mut after: Option<Id> = None;
        while looked_at < MOST_LOOKED_AT {
            let page = read(of, move |store| read_page(store, state.label(), after, PAGE)).await?;
            let Some((last, _)) = page.last() else { break };
            (after, looked_at) = (Some(*last), looked_at + page.len());
            // Of one that cannot be read nobody knows what it needs.
            for (record, text) in page.iter().filter_map(|(_, found)| found.as_ref().ok()) {
                let read = || text.as_deref().and_then(|text| of.steps(text)).unwrap_or_default();
                let steps = definitions.entry(record.definition).or_insert_with(read);
                let needed = needs.entry(record.route.clone()).or_insert_with(|| SagaNeeds {
                    route: record.route.clone(),
                    open: 0,
                    upstreams: BTreeMap::new(),
                });
                needed.open += 1;
                for upstream in of_one(record, steps) {
                    *needed.upstreams.entry(upstream.to_owned()).or_default() += 1;
                }
            }
        }
    }
    Ok(needs.into_values().collect())
}

/// The upstreams that a saga may have to ask yet.
fn of_one<'k>(record: &Record, steps: &'k [Known]) -> BTreeSet<&'k str> {
    let state = match record.state {
        State::Stuck(why) => why.resumes(),
        state => state,
    };
    let undos = |steps: &'k [Known]| {
        let stays = |(index, step): (usize, &'k Known)| (!record.left.contains(&index)).then_some(step);
        steps.iter().enumerate().filter_map(stays).filter_map(|step| step.undo_upstream.as_deref())
    };
    match state {
        State::Running(at) => undos(steps).chain(steps.iter().skip(at).map(|step| &*step.upstream)).collect(),
        State::Undoing(at) => {
            let reached = &steps[..(at + 1).min(steps.len())];
            // A step is asked once more where its undo needs an answer that was lost.
            let asked = reached.iter().enumerate().skip(at);
            let asked = asked.filter(|(at, step)| step.undo == (Undo::Call { needs_answer: true }) && !record.answers.contains_key(at));
            undos(reached).chain(asked.map(|(_, step)| &*step.upstream)).collect()
        }
        State::Done | State::Undone | State::Abandoned | State::Stuck(_) => BTreeSet::new(),
    }
}
