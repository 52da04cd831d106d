//! The values that calls are made for: those of all objects of a level together, each once.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{EachValue, Progress, Request, Share, Use};
use crate::compose::graphql::documents::{Data, KeyText, Span};
use crate::compose::graphql::plan::SiteId;
use crate::compose::graphql::run::Run;
use crate::compose::graphql::run::complete::Pending;
use crate::compose::graphql::run::failure::Failure;
use crate::compose::graphql::source::{Arguments, argument};
use crate::compose::graphql::tables::{CallId, Each, Of};
use crate::compose::values::Value;

/// A value by which others are told: texts and other scalars are never the same, however they are written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) is_text: bool,
    pub(super) text: KeyText,
}

/// So many values are looked through one after the other: that is cheaper than a table.
const FEW: usize = 16;

/// Values with one set of arguments: they can be asked for together.
pub(super) struct Bucket {
    pub(super) arguments: Arc<Arguments>,
    /// All of them, where they are more than a few.
    pub(super) by_key: HashMap<Key, usize>,
    /// In the order in which they appear first.
    pub(super) values: Vec<(Key, Span)>,
    /// The fields that want them, by their positions in it.
    pub(super) uses: Vec<usize>,
}

impl Bucket {
    /// The number of a value, which is a new one where nobody has wanted it yet.
    fn value(&mut self, key: Key, span: Span) -> usize {
        let known = match self.values.len() <= FEW {
            true => self.values.iter().position(|(known, _)| *known == key),
            false => self.by_key.get(&key).copied(),
        };
        if let Some(known) = known {
            return known;
        }
        let value = self.values.len();
        match value.cmp(&FEW) {
            Ordering::Less => {}
            Ordering::Equal => {
                self.by_key = self.values.iter().enumerate().map(|(value, (key, _))| (key.clone(), value)).collect();
                self.by_key.insert(key.clone(), value);
            }
            Ordering::Greater => {
                self.by_key.insert(key.clone(), value);
            }
        }
        self.values.push((key, span));
        value
    }
}

impl Run<'_> {
    /// Takes the values of the objects of one site.
    pub(super) fn values_of(
        &mut self,
        index: CallId,
        (each, of): (&Each, &Of),
        (site, pending): (SiteId, Vec<Pending>),
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
            let data = match of {
                Of::Parent(steps) => match (pending.parent, &self.plan.sites[site].each) {
                    // Where it lies was found with what is selected of the object.
                    (Some(parent), Some((_, rest))) if self.documents.first(parent) == b'{' => {
                        pending.each.map_or(Data::Nothing, |span| self.documents.find(span, rest))
                    }
                    (parent, _) => parent.map_or(Data::Nothing, |parent| self.documents.find(parent, steps)),
                },
                Of::Arguments(steps) => match argument(arguments, steps).and_then(Value::into_json) {
                    Some(value) => Data::One(self.documents.add(value.into_bytes())),
                    None => Data::Nothing,
                },
            };
            let mut one = |span: Span| {
                let key = Key { is_text: self.documents.first(span) == b'"', text: self.documents.key(span)? };
                Some(bucket.value(key, span))
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
    pub(super) fn requests_of(&mut self, each: &Each, buckets: Vec<Bucket>, progress: &mut Progress) {
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
}
