//! Calls that are made for values: which values these are, and what was found for each.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use frontgate_filters::json::{Document, Plan, Proved};

use super::super::failure::Failure;
use super::super::results::{Answers, Element, Entry, Index, Key, Outcome, marked, placed, within};
use super::super::{Batch, Call, Each};
use super::fetch::Consumer;
use super::{Fatal, Run};
use crate::compose::values::{self, Value};

/// A call for values that has begun.
pub(super) struct Progress {
    /// The values, each once, in the order in which they appear first; those of which no request is made yet.
    values: Vec<Option<Proved>>,
    by_value: Index,
    /// What was answered for each group of them; none while it is not over.
    groups: Vec<Option<Result<Arc<Document>, ()>>>,
    next: usize,
    on_their_way: usize,
    /// Why the first of the requests that failed did.
    cause: Option<Cow<'static, str>>,
}

/// How many values a request is for.
fn size(each: &Each) -> usize {
    each.batch.as_ref().map_or(1, |batch| batch.size)
}

fn each_of(call: &Call) -> &Each {
    call.each.as_ref().expect("only calls for values come here")
}

impl Run<'_> {
    /// Begins a call for values.
    pub(super) fn start_each(&mut self, index: usize) -> Result<(), Fatal> {
        let each = each_of(&self.aggregate.calls[index]);
        let (values, by_value) = match self.values(each) {
            Ok(found) => found,
            Err(failure) => return self.fail(index, failure),
        };
        if values.is_empty() {
            self.has_succeeded = true;
        }
        let groups = values.len().div_ceil(size(each));
        self.progress[index] = Some(Progress { values, by_value, groups: vec![None; groups], next: 0, on_their_way: 0, cause: None });
        self.go_on(index)
    }

    /// The values in an answer, each once. Null is none.
    fn values(&self, each: &Each) -> Result<(Vec<Option<Proved>>, Index), Failure> {
        let (mut values, mut by_value) = (Vec::new(), Index::default());
        let mut all_of = |document: &Document, range| {
            marked(document, each.mark, range).try_for_each(|found| {
                if Key::of(document.bytes(found)).is_some_and(|key| by_value.insert(key)) {
                    values.push(Some(document.get(found)));
                }
                if values.len() > each.most { Err(Failure::TooManyValues(each.most)) } else { Ok(()) }
            })
        };
        match &self.outcomes[each.of] {
            Outcome::One(one) => all_of(&one.document, None)?,
            Outcome::Each(answers) => {
                let element = |element: &Element| (element.document, element.found.map(|found| found.range()));
                for entry in &answers.entries {
                    match entry {
                        Entry::Nothing => {}
                        Entry::Failed => {
                            if let Some(document) = &self.aggregate.calls[each.of].otherwise {
                                all_of(document, None)?;
                            }
                        }
                        Entry::One(one) => {
                            let (document, range) = element(one);
                            all_of(&answers.documents[document], range)?;
                        }
                        Entry::Many(many) => {
                            for (document, range) in many.iter().map(element) {
                                all_of(&answers.documents[document], range)?;
                            }
                        }
                    }
                }
            }
            Outcome::Pending | Outcome::Skipped | Outcome::Failed => {}
        }
        Ok((values, by_value))
    }

    /// Sends as many requests as may be on their way at once; the end, where none is left.
    fn go_on(&mut self, index: usize) -> Result<(), Fatal> {
        let call = &self.aggregate.calls[index];
        let each = each_of(call);
        let Some(mut progress) = self.progress[index].take() else { return Ok(()) };
        while progress.on_their_way < each.concurrency && progress.next < progress.groups.len() {
            let group = progress.next;
            progress.next += 1;
            let begin = group * size(each);
            let end = progress.values.len().min(begin + size(each));
            let mut values = progress.values[begin..end].iter_mut().filter_map(Option::take);
            let value = match each.batch {
                None => Value::Json(values.next().expect("each value is sent once")),
                Some(_) => Value::List(values.collect()),
            };
            match self.launch(Consumer { call: index, group: Some(group) }, Some(&value)) {
                Ok(()) => progress.on_their_way += 1,
                Err(failure) => {
                    self.calls.count(&call.name, failure.result());
                    progress.cause.get_or_insert_with(|| failure.cause());
                    progress.groups[group] = Some(Err(()));
                }
            }
        }
        if progress.on_their_way > 0 {
            self.progress[index] = Some(progress);
            return Ok(());
        }
        self.missing.extend(progress.cause.take().map(|cause| (index, cause)));
        let answers = answers(each, progress);
        self.end(index, Outcome::Each(answers));
        Ok(())
    }

    /// A request for some of the values has ended.
    pub(super) fn group_ended(&mut self, index: usize, group: usize, read: Result<Arc<Document>, Failure>) -> Result<(), Fatal> {
        if let Err(failure) = &read {
            self.calls.count(&self.aggregate.calls[index].name, failure.result());
        }
        if let Some(progress) = &mut self.progress[index] {
            progress.on_their_way -= 1;
            progress.groups[group] = Some(read.map_err(|failure| {
                progress.cause.get_or_insert_with(|| failure.cause());
            }));
        }
        self.go_on(index)
    }
}

/// Whether an answer can say what was found for several values: a list is where it should be, and where it has elements, one at least says whose
/// it is. Nothing else is asked of an answer for one value.
pub(super) fn is_for(call: &Call, document: &Document) -> bool {
    let Some(batch) = call.each.as_ref().and_then(|each| each.batch.as_ref()) else { return true };
    let mut lists = match call.at {
        None => return is_list(&document.whole()) && has_owners(batch, document),
        Some(at) => document.marked(at.mark).peekable(),
    };
    let is_there = lists.peek().is_some() || batch.way.as_ref().is_some_and(|way| leads_nowhere(way, document));
    is_there && lists.all(|found| is_list(&document.get(found))) && has_owners(batch, document)
}

fn is_list(value: &Proved) -> bool {
    value.first() == b'['
}

/// Whether there are no elements, or one of them says whose it is.
fn has_owners(batch: &Batch, document: &Document) -> bool {
    let mut elements = placed(document, batch.elements, None).peekable();
    elements.peek().is_none()
        || elements.any(|(place, _)| within(document, place, batch.by).any(|by| Key::of(document.bytes(by)).is_some()))
}

/// Whether the way to a place ends in an array without elements.
fn leads_nowhere(way: &Arc<Plan>, document: &Document) -> bool {
    let is_empty = |value: &Proved| is_list(value) && value.to_bytes()[1..].trim_ascii_start().starts_with(b"]");
    values::read(way, document.whole().to_bytes()).is_some_and(|read| read.found().iter().any(|found| is_empty(&read.get(found))))
}

/// What was found for each value.
fn answers(each: &Each, progress: Progress) -> Answers {
    let Progress { values, by_value, groups, .. } = progress;
    let mut answers = Answers { entries: vec![Entry::Nothing; values.len()], ..Answers::default() };
    for (group, read) in groups.into_iter().enumerate() {
        let begin = group * size(each);
        let of_group = begin..values.len().min(begin + size(each));
        let Some(Ok(document)) = read else {
            answers.entries[of_group].fill(Entry::Failed);
            continue;
        };
        let number = answers.documents.len();
        match &each.batch {
            None => answers.entries[begin] = Entry::One(Element { document: number, found: None }),
            Some(batch) => sort(batch, each.many, &document, number, &by_value, of_group, &mut answers.entries),
        }
        answers.documents.push(document);
    }
    answers.by_value = by_value;
    answers
}

/// Which element of a batch's answer is for which value of its group.
fn sort(batch: &Batch, many: bool, document: &Document, number: usize, by_value: &Index, of_group: Range<usize>, entries: &mut [Entry]) {
    for (place, element) in placed(document, batch.elements, None) {
        let Some(key) = within(document, place, batch.by).next().and_then(|by| Key::of(document.bytes(by))) else { continue };
        for index in by_value.written(&key).filter(|index| of_group.contains(index)) {
            let found = Element { document: number, found: Some(*element) };
            match &mut entries[index] {
                Entry::Many(all) => all.push(found),
                entry @ Entry::Nothing => *entry = if many { Entry::Many(vec![found]) } else { Entry::One(found) },
                Entry::One(_) | Entry::Failed => {}
            }
        }
    }
}
