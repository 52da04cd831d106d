//! The fields that are selected of an object (CollectFields of the specification).

use std::collections::{HashMap, HashSet};

use apollo_compiler::Name;
use apollo_compiler::executable::{self, Selection as Written, SelectionSet};

use super::{Compiler, Refusal, TypeId, refused};

/// The fields of one name in the answer, in their order.
pub(super) type Collected<'c> = Vec<(&'c Name, Vec<&'c executable::Field>)>;

struct Collecting<'c> {
    all: Collected<'c>,
    by_key: HashMap<&'c str, usize>,
    /// Fragments that were spread.
    seen: HashSet<&'c str>,
}

impl<'c> Compiler<'c> {
    /// The fields that these sets select of an object, those of one name together (CollectFields of the specification).
    pub(super) fn collected(&mut self, sets: &[&'c SelectionSet], object: TypeId) -> Result<Collected<'c>, Refusal> {
        let mut collected = Collecting { all: Vec::new(), by_key: HashMap::new(), seen: HashSet::new() };
        sets.iter().for_each(|set| self.collect(set, object, &mut collected));
        let mut names: HashMap<&str, usize> = HashMap::new();
        for (_, same) in &collected.all {
            let count = names.entry(same[0].name.as_str()).or_default();
            *count += 1;
            if *count > self.most_aliases {
                let message = format!("`{}` is selected at one place under more than {} names.", same[0].name, self.most_aliases);
                return Err(refused(message, same[0].name.location().map(|span| span.offset())));
            }
        }
        Ok(collected.all)
    }

    fn collect(&self, set: &'c SelectionSet, object: TypeId, collected: &mut Collecting<'c>) {
        for selection in &set.selections {
            if !self.prepared.is_there(selection.directives(), self.which.holding) {
                continue;
            }
            match selection {
                Written::Field(field) => {
                    let next = collected.all.len();
                    let key = field.response_key();
                    let index = *collected.by_key.entry(key.as_str()).or_insert(next);
                    if index == next {
                        collected.all.push((key, Vec::new()));
                    }
                    collected.all[index].1.push(&**field);
                }
                Written::InlineFragment(fragment) => {
                    if fragment.type_condition.as_ref().is_none_or(|condition| self.may_be(condition, object)) {
                        self.collect(&fragment.selection_set, object, collected);
                    }
                }
                Written::FragmentSpread(spread) => {
                    if collected.seen.insert(spread.fragment_name.as_str())
                        && let Some(fragment) =
                            self.prepared.document.as_ref().and_then(|document| document.fragments.get(&spread.fragment_name))
                        && self.may_be(fragment.type_condition(), object)
                    {
                        self.collect(&fragment.selection_set, object, collected);
                    }
                }
            }
        }
    }

    fn may_be(&self, condition: &str, object: TypeId) -> bool {
        self.tables.id(condition).is_some_and(|id| self.tables.possible(&id).contains(&object))
    }
}
