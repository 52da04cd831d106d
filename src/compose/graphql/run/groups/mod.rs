//! The fields of one level that one call answers: what is asked for them together, and what each of them gets of it.

mod deliver;
mod values;

use std::sync::Arc;

use smallvec::SmallVec;

use self::values::{Bucket, Key};
use super::Run;
use super::complete::Pending;
use super::entities;
use super::failure::Failure;
use super::fetch::Wanted;
use super::tree::Full;
use crate::compose::CallResult;
use crate::compose::graphql::documents::Span;
use crate::compose::graphql::federation::Via;
use crate::compose::graphql::plan::{GroupId, SiteId};
use crate::compose::graphql::source::Arguments;
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

impl<'r> Run<'r> {
    /// Begins a group: all that it needs has ended.
    pub(super) fn start(&mut self, group: GroupId) -> Result<(), Full> {
        let (plan, graph) = (self.plan, self.graph);
        let index = plan.groups[group].call;
        let call = &graph.tables.calls[index];
        let mut sites: SmallVec<[(SiteId, Vec<Pending>); 4]> = SmallVec::new();
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
            match self.via(site) {
                Some(Via::Arguments(_, names)) => {
                    for pending in pending {
                        let known = pending.parent.map_or(&[][..], |parent| self.documents.bytes(parent));
                        let of = match entities::arguments(names, known) {
                            Some(arguments) => {
                                let arguments = Arc::new(arguments);
                                progress.requests.push(Request { arguments, parent: None, each: None, values: 0..0, outcome: None });
                                Share::Request(progress.requests.len() - 1)
                            }
                            None => {
                                let failure = Failure::value_missing(index);
                                self.counted(&failure);
                                Share::Failed(failure)
                            }
                        };
                        progress.uses.push(Use { site, pending, of });
                    }
                    continue;
                }
                Some(Via::Each(_, of)) => {
                    if let Some(each) = &call.each {
                        self.values_of(index, (each, of), (site, pending), &Arc::default(), &mut progress, &mut buckets);
                    }
                    continue;
                }
                None => {}
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
                (Ok(arguments), Some(each)) => {
                    self.values_of(index, (each, &each.of), (site, pending), &arguments, &mut progress, &mut buckets)
                }
            }
        }
        if let Some(each) = &call.each {
            self.requests_of(each, buckets, &mut progress);
        }
        self.progress[group] = Some(progress);
        self.go_on(group)
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

    /// How objects are found by their keys that this site looks for.
    fn via(&self, site: SiteId) -> Option<&'r Via> {
        let object = self.plan.sites[site].entity?;
        self.graph.tables.entities.iter().find(|entity| entity.object == object)?.via.as_ref()
    }

    fn counted(&self, failure: &Failure) {
        self.calls.count(&self.graph.tables.calls[failure.call].name, failure.result);
    }
}
