//! The fields of one level that one call answers: what is asked for them together, and what each of them gets of it.

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::super::documents::{Data, Span};
use super::super::plan::{GroupId, SiteId};
use super::super::source::{Arguments, argument};
use super::super::tables::{Call, CallId, Each, Of};
use super::Run;
use super::complete::{Completing, Datum, Pending};
use super::failure::Failure;
use super::fetch::{Read, Wanted};
use super::tree::{Full, Slot};
use crate::compose::CallResult;
use crate::compose::values::Value;

/// A group whose calls are being made.
#[derive(Default)]
pub(super) struct Progress {
    uses: Vec<Use>,
    requests: Vec<Request>,
    values: Vec<EachValue>,
    /// The next request to be sent.
    next: usize,
    on_their_way: usize,
}

/// A field that waits for an answer.
struct Use {
    site: SiteId,
    pending: Pending,
    of: Share,
}

/// What a field gets.
enum Share {
    Nothing,
    Failed(Arc<Failure>),
    /// The answer to this request.
    Request(usize),
    /// What is for this value.
    Value(usize),
    /// What is for these values, one after the other.
    Values(Vec<Option<usize>>),
}

/// Something that is asked for.
struct Request {
    arguments: Arc<Arguments>,
    parent: Option<Span>,
    each: Option<Value<'static>>,
    /// The values that it is for.
    values: std::ops::Range<usize>,
    outcome: Option<Result<usize, Arc<Failure>>>,
}

/// A value that a call is made for.
struct EachValue {
    request: usize,
    /// What a batch's answer has for it.
    found: SmallVec<[Span; 1]>,
    key: Key,
}

/// A value by which others are told: texts and other scalars are never the same, however they are written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    is_text: bool,
    text: Box<[u8]>,
}

/// Values with one set of arguments: they can be asked for together.
struct Bucket {
    arguments: Arc<Arguments>,
    by_key: HashMap<Key, usize>,
    /// In the order in which they appear first.
    values: Vec<(Key, Span)>,
    /// The fields that want them, by their positions in it.
    uses: Vec<usize>,
}

impl Run<'_> {
    /// Begins a group: all that it needs has ended.
    pub(super) fn start(&mut self, group: GroupId) -> Result<(), Full> {
        let (plan, graph) = (self.plan, self.graph);
        let index = plan.groups[group].call;
        let call = &graph.tables.calls[index];
        let mut sites: Vec<(SiteId, Vec<Pending>)> = Vec::with_capacity(plan.groups[group].sites.len());
        for &site in &plan.groups[group].sites {
            let mut pending = std::mem::take(&mut self.pending[site]);
            pending.retain(|pending| self.tree.is_wanted(pending.node));
            if !pending.is_empty() {
                sites.push((site, pending));
            }
        }
        let mut progress = Progress::default();
        let is_skipped = call.when.as_ref().is_some_and(|when| !when.holds(self.head, self.facts));
        if is_skipped && !sites.is_empty() {
            self.calls.count(&call.name, CallResult::Skipped);
        }
        let mut buckets: Vec<Bucket> = Vec::new();
        for (site, pending) in sites {
            if is_skipped {
                progress.uses.extend(pending.into_iter().map(|pending| Use { site, pending, of: Share::Nothing }));
                continue;
            }
            let arguments = plan.sites[site].arguing.with(self.variables);
            match (arguments, &call.each) {
                (Err(_), _) => {
                    let failure = Failure::bad_input(index);
                    self.counted(&failure);
                    progress.uses.extend(pending.into_iter().map(|pending| Use { site, pending, of: Share::Failed(failure.clone()) }));
                }
                (Ok(arguments), None) => {
                    for pending in pending {
                        let (arguments, parent) = (arguments.clone(), pending.parent);
                        progress.requests.push(Request { arguments, parent, each: None, values: 0..0, outcome: None });
                        progress.uses.push(Use { site, pending, of: Share::Request(progress.requests.len() - 1) });
                    }
                }
                (Ok(arguments), Some(each)) => self.values_of(index, each, site, pending, &arguments, &mut progress, &mut buckets),
            }
        }
        if let Some(each) = &call.each {
            self.requests_of(each, buckets, &mut progress);
        }
        self.progress[group] = Some(progress);
        self.go_on(group)
    }

    /// Takes the values of the objects of one site.
    #[allow(clippy::too_many_arguments, reason = "it is a part of the loop that calls it")]
    fn values_of(
        &mut self,
        index: CallId,
        each: &Each,
        site: SiteId,
        pending: Vec<Pending>,
        arguments: &Arc<Arguments>,
        progress: &mut Progress,
        buckets: &mut Vec<Bucket>,
    ) {
        let bucket = buckets.iter().position(|bucket| bucket.arguments == *arguments).unwrap_or_else(|| {
            buckets.push(Bucket { arguments: arguments.clone(), by_key: HashMap::new(), values: Vec::new(), uses: Vec::new() });
            buckets.len() - 1
        });
        let bucket = &mut buckets[bucket];
        for pending in pending {
            let data = match &each.of {
                Of::Parent(steps) => pending.parent.map_or(Data::Nothing, |parent| self.documents.find(parent, steps)),
                Of::Arguments(steps) => match argument(arguments, steps).and_then(Value::into_json) {
                    Some(value) => Data::One(self.documents.add(value.into_bytes())),
                    None => Data::Nothing,
                },
            };
            let mut one = |span: Span| {
                let key = Key { is_text: self.documents.first(span) == b'"', text: self.documents.key(span)? };
                let next = bucket.values.len();
                let value = *bucket.by_key.entry(key.clone()).or_insert(next);
                if value == next {
                    bucket.values.push((key, span));
                }
                Some(value)
            };
            let of = match data {
                Data::Nothing => Share::Nothing,
                Data::One(span) if self.documents.first(span) == b'[' => {
                    let mut all = Vec::new();
                    self.documents.flat(span, &mut |span| all.push(one(span)));
                    Share::Values(all)
                }
                Data::One(span) => one(span).map_or(Share::Nothing, Share::Value),
                Data::Many(spans) => {
                    let mut all = Vec::new();
                    spans.into_iter().for_each(|span| self.documents.flat(span, &mut |span| all.push(one(span))));
                    Share::Values(all)
                }
            };
            let of = match of {
                Share::Values(all) if all.len() > each.most => {
                    let failure = Failure::too_many(index, each.most, "values");
                    self.calls.count(&self.graph.tables.calls[index].name, failure.result);
                    Share::Failed(failure)
                }
                of => of,
            };
            bucket.uses.push(progress.uses.len());
            progress.uses.push(Use { site, pending, of });
        }
    }

    /// The requests for all values, so many for each as a batch is long.
    fn requests_of(&mut self, each: &Each, buckets: Vec<Bucket>, progress: &mut Progress) {
        for bucket in buckets {
            let before = progress.values.len();
            for position in bucket.uses {
                match &mut progress.uses[position].of {
                    Share::Value(value) => *value += before,
                    Share::Values(values) => values.iter_mut().flatten().for_each(|value| *value += before),
                    Share::Nothing | Share::Failed(_) | Share::Request(_) => {}
                }
            }
            let size = each.batch.as_ref().map_or(1, |(size, _)| *size);
            for values in bucket.values.chunks(size) {
                let first = progress.values.len();
                let proved = |(_, span): &(Key, Span)| self.documents.proved(*span);
                let value = match (&each.batch, values) {
                    (None, [one]) => proved(one).map(Value::Json),
                    _ => Some(Value::List(values.iter().filter_map(proved).collect())),
                };
                let request = progress.requests.len();
                progress.values.extend(values.iter().map(|(key, _)| EachValue { request, found: SmallVec::new(), key: key.clone() }));
                progress.requests.push(Request {
                    arguments: bucket.arguments.clone(),
                    parent: None,
                    each: value,
                    values: first..first + values.len(),
                    outcome: None,
                });
            }
        }
    }

    /// Sends as many requests as may be on their way at once; the end, where none is left.
    pub(super) fn go_on(&mut self, group: GroupId) -> Result<(), Full> {
        let Some(mut progress) = self.progress[group].take() else { return Ok(()) };
        let index = self.plan.groups[group].call;
        let most = self.graph.tables.calls[index].each.as_ref().map_or(usize::MAX, |each| each.concurrency);
        while progress.next < progress.requests.len() && progress.on_their_way < most {
            let number = progress.next;
            progress.next += 1;
            let request = &mut progress.requests[number];
            let wanted = Wanted { arguments: &request.arguments, parent: request.parent, each: request.each.as_ref() };
            match self.launch(index, &wanted, (group, number)) {
                Ok((fetch, true)) => {
                    // It has its answer: nobody tells of it once more.
                    self.fetches[fetch].waiting.clear();
                    request.outcome = Some(Ok(fetch));
                }
                Ok((_, false)) => progress.on_their_way += 1,
                Err(failure) => {
                    self.counted(&failure);
                    request.outcome = Some(Err(failure));
                }
            }
        }
        if progress.on_their_way > 0 {
            self.progress[group] = Some(progress);
            return Ok(());
        }
        self.deliver(group, progress)?;
        self.group_ended(group);
        Ok(())
    }

    /// A request of a group has its answer.
    pub(super) fn arrived(&mut self, group: GroupId, request: usize, fetch: usize) -> Result<(), Full> {
        if let Some(progress) = &mut self.progress[group] {
            progress.on_their_way -= 1;
            progress.requests[request].outcome = Some(Ok(fetch));
        }
        self.go_on(group)
    }

    /// Every field gets what is for it.
    fn deliver(&mut self, group: GroupId, mut progress: Progress) -> Result<(), Full> {
        let (plan, graph) = (self.plan, self.graph);
        let index = plan.groups[group].call;
        let call = &graph.tables.calls[index];
        let reads: Vec<Read> = progress
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
        let mut known: HashMap<(SiteId, Span), Slot> = HashMap::new();
        for Use { site, pending, of } in progress.uses {
            // What came before it may have made its object null.
            if !self.tree.is_wanted(pending.node) {
                continue;
            }
            let (selection, field) = (plan.sites[site].selection, plan.sites[site].field);
            let of_type = &plan.selections[selection].fields[field].of_type;
            let datum = match of {
                Share::Nothing => Datum::Nothing,
                Share::Failed(failure) => self.failed(call, failure),
                Share::Request(request) => self.datum(call, &reads[request], of_type.nullable[0]),
                Share::Value(value) => {
                    let datum = self.entry(call, &progress.values[value], &reads, of_type.nullable[0]);
                    let is_single = matches!(&datum, Datum::One(span) if !matches!(self.documents.first(*span), b'[' | b'n'));
                    if is_single && of_type.lists() > 0 { Datum::List(vec![datum]) } else { datum }
                }
                Share::Values(values) => {
                    let is_nullable = of_type.nullable.get(1).copied().unwrap_or(true);
                    let all: Vec<Datum> = values
                        .into_iter()
                        .map(|value| value.map_or(Datum::Nothing, |value| self.entry(call, &progress.values[value], &reads, is_nullable)))
                        .collect();
                    match call.each.as_ref().is_some_and(|each| each.many) && of_type.lists() == 1 {
                        true => together(all),
                        false => Datum::List(all),
                    }
                }
            };
            // What is the same for many objects is completed once, where nothing in it depends on its place.
            let whole = match &datum {
                Datum::One(span) => Some((site, *span)),
                _ => None,
            };
            if let Some(slot) = whole.and_then(|whole| known.get(&whole)) {
                self.tree.set(pending.slot, *slot);
                continue;
            }
            let errors = self.errors.count;
            let tables = (&graph.tables, plan, &self.documents);
            let mut completing = Completing::new(tables, &mut self.tree, &mut self.errors, &mut self.pending);
            completing.answered(pending, selection, field, &datum)?;
            let is_alone = completing.noted == 0 && self.errors.count == errors;
            if let Some(whole) = whole.filter(|_| is_alone) {
                known.insert(whole, self.tree.slots[pending.slot as usize]);
            }
        }
        Ok(())
    }

    /// Which element of a batch's answer is for which value.
    fn sort(&self, call: &Call, by: &[frontgate_filters::json::place::Step], answer: Span, values: &mut [EachValue]) {
        let mut by_text: HashMap<Box<[u8]>, SmallVec<[usize; 1]>> = HashMap::with_capacity(values.len());
        for (index, value) in values.iter().enumerate() {
            by_text.entry(value.key.text.clone()).or_default().push(index);
        }
        let mut one = |element: Span| {
            let key = match self.documents.find(element, by) {
                Data::One(span) => self.documents.key(span),
                Data::Many(spans) => spans.first().and_then(|span| self.documents.key(*span)),
                Data::Nothing => None,
            };
            for &index in key.and_then(|key| by_text.get(&key)).into_iter().flatten() {
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

    fn counted(&self, failure: &Failure) {
        self.calls.count(&self.graph.tables.calls[failure.call].name, failure.result);
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
