//! What a group was answered goes to the fields that wait for it.

use std::collections::HashMap;
use std::sync::Arc;

use frontgate_filters::json::place::Step;
use smallvec::SmallVec;

use super::{EachValue, Progress, Share, Use};
use crate::compose::graphql::documents::{Data, KeyText, Span};
use crate::compose::graphql::plan::{GroupId, SiteId};
use crate::compose::graphql::run::Run;
use crate::compose::graphql::run::complete::{Completing, Datum};
use crate::compose::graphql::run::failure::Failure;
use crate::compose::graphql::run::fetch::Read;
use crate::compose::graphql::run::tree::{Full, Slot};
use crate::compose::graphql::tables::Call;

impl Run<'_> {
    /// Every field gets what is for it.
    pub(super) fn deliver(&mut self, group: GroupId, mut progress: Progress) -> Result<(), Full> {
        let (plan, graph) = (self.plan, self.graph);
        let index = plan.groups[group].call;
        let call = &graph.tables.calls[index];
        let reads: SmallVec<[Read; 4]> = progress
            .requests
            .iter()
            .map(|request| match &request.outcome {
                Some(Ok(fetch)) => self.read(index, *fetch),
                Some(Err(failure)) => Read::Failed(failure.clone()),
                None => Read::Nothing,
            })
            .collect();
        if let Some((_, by)) = call.each.as_ref().and_then(|each| each.batch.as_ref()) {
            for (request, read) in progress.requests.iter().zip(&reads) {
                if let Read::Json(span) = read {
                    self.sort(call, by, *span, &mut progress.values[request.values.clone()]);
                }
            }
        }
        // What the fields of one site get of one value, or of one answer.
        let mut known: Vec<Option<(SiteId, Span, Slot)>> = match progress.uses.len() {
            0 | 1 => Vec::new(),
            _ => vec![None; progress.values.len().max(self.fetches.len())],
        };
        for Use { site, pending, of } in progress.uses {
            // What came before it may have made its object null.
            if !self.tree.is_wanted(pending.node) {
                continue;
            }
            let (selection, field) = (plan.sites[site].selection, plan.sites[site].field);
            let of_type = &plan.selections[selection].fields[field].of_type;
            // One of the objects that are asked for by their keys is in the list that the field is.
            let level = usize::from(pending.element.is_some());
            let (is_nullable, lists) = (of_type.nullable[level], of_type.lists() - level);
            let number = match &of {
                Share::Request(request) => progress.requests[*request].outcome.as_ref().and_then(|outcome| outcome.as_ref().ok().copied()),
                Share::Value(value) => Some(*value),
                Share::Nothing | Share::Failed(_) | Share::Values(_) => None,
            };
            let datum = match of {
                Share::Nothing => Datum::Nothing,
                Share::Failed(failure) => self.failed(call, failure),
                Share::Request(request) => self.datum(call, &reads[request], is_nullable),
                Share::Value(value) => {
                    let datum = self.entry(call, &progress.values[value], &reads, is_nullable);
                    let is_single = matches!(&datum, Datum::One(span) if !matches!(self.documents.first(*span), b'[' | b'n'));
                    if is_single && lists > 0 { Datum::List(vec![datum]) } else { datum }
                }
                Share::Values(values) => {
                    let is_nullable = of_type.nullable.get(level + 1).copied().unwrap_or(true);
                    let all: Vec<Datum> = values
                        .into_iter()
                        .map(|value| value.map_or(Datum::Nothing, |value| self.entry(call, &progress.values[value], &reads, is_nullable)))
                        .collect();
                    match call.each.as_ref().is_some_and(|each| each.many) && lists == 1 {
                        true => together(all),
                        false => Datum::List(all),
                    }
                }
            };
            // What is the same for many objects is completed once, where nothing in it depends on its place.
            let place = number.and_then(|number| known.get_mut(number));
            let whole = match &datum {
                Datum::One(span) => place.map(|place| (*span, place)),
                _ => None,
            };
            if let Some((span, Some((same_site, same_span, slot)))) = &whole
                && (*same_site, *same_span) == (site, *span)
            {
                self.tree.set(pending.slot, *slot);
                continue;
            }
            let errors = self.errors.count;
            let tables = (&graph.tables, plan, &self.documents);
            let mut completing = Completing::new(tables, &mut self.tree, &mut self.errors, &mut self.pending);
            completing.answered(pending, selection, field, &datum)?;
            let is_alone = completing.noted == 0 && self.errors.count == errors;
            if let Some((span, place)) = whole.filter(|_| is_alone) {
                *place = Some((site, span, self.tree.slots[pending.slot as usize]));
            }
        }
        Ok(())
    }

    /// Which element of a batch's answer is for which value.
    fn sort(&self, call: &Call, by: &[Step], answer: Span, values: &mut [EachValue]) {
        let mut by_text: HashMap<KeyText, SmallVec<[usize; 1]>> = HashMap::with_capacity(values.len());
        for (index, value) in values.iter().enumerate() {
            by_text.entry(value.key.text.clone()).or_default().push(index);
        }
        let mut one = |element: Span| {
            for &index in self.documents.owner(element, by).and_then(|key| by_text.get(&key)).into_iter().flatten() {
                values[index].found.push(element);
            }
        };
        match self.documents.find(answer, &call.at) {
            Data::Nothing => {}
            Data::One(span) => self.documents.flat(span, &mut one),
            Data::Many(spans) => spans.into_iter().for_each(|span| self.documents.flat(span, &mut one)),
        }
    }

    /// What there is for a value.
    fn entry(&mut self, call: &Call, value: &EachValue, reads: &[Read], is_nullable: bool) -> Datum {
        let Some(each) = &call.each else { return Datum::Nothing };
        let read = &reads[value.request];
        if each.batch.is_none() {
            return self.datum(call, read, is_nullable);
        }
        match read {
            Read::Failed(failure) => self.failed(call, failure.clone()),
            // That there is nothing for any of them is no failure.
            Read::Json(_) | Read::Nothing | Read::Gone(_) if each.many => Datum::Many(value.found.to_vec()),
            Read::Gone(failure) => self.gone(call, failure.clone(), is_nullable),
            Read::Json(_) | Read::Nothing => value.found.first().copied().map_or(Datum::Nothing, Datum::One),
        }
    }

    /// What an answer is for a field.
    fn datum(&mut self, call: &Call, read: &Read, is_nullable: bool) -> Datum {
        match read {
            Read::Json(span) => self.documents.find(*span, &call.at).into(),
            Read::Nothing => Datum::Nothing,
            Read::Failed(failure) => self.failed(call, failure.clone()),
            Read::Gone(failure) => self.gone(call, failure.clone(), is_nullable),
        }
    }

    fn gone(&mut self, call: &Call, failure: Arc<Failure>, is_nullable: bool) -> Datum {
        if is_nullable { Datum::Gone(failure) } else { self.failed(call, failure) }
    }

    /// A call has failed: what stands in for its answer, where something does.
    fn failed(&mut self, call: &Call, failure: Arc<Failure>) -> Datum {
        if !self.missing.iter().any(|(missing, _)| *missing == failure.call) {
            self.missing.push((failure.call, failure.cause.clone()));
        }
        match (&call.otherwise, self.instead.get(&failure.call)) {
            (None, _) => Datum::Failed(failure),
            (Some(_), Some(span)) => Datum::One(*span),
            (Some(text), None) => {
                let span = self.documents.add(text.clone());
                self.instead.insert(failure.call, span);
                Datum::One(span)
            }
        }
    }
}

/// One list of what there is for several values.
fn together(all: Vec<Datum>) -> Datum {
    let mut spans = Vec::new();
    for datum in all {
        match datum {
            Datum::Many(found) => spans.extend(found),
            Datum::One(span) => spans.push(span),
            Datum::Failed(_) => return datum,
            Datum::Nothing | Datum::Gone(_) | Datum::List(_) => {}
        }
    }
    Datum::Many(spans)
}
