//! How deep and how wide a document is, with its fragments spread: told before anything is made of it.

use std::collections::HashMap;

use apollo_compiler::executable::{ExecutableDocument, Operation, Selection, SelectionSet};

use super::Fault;

/// How deep selections may lie in each other, those of fragments where they are spread.
const MOST_NESTED: usize = 1_000;

/// What is counted of selected fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// The most fields within each other. What is asked of the schema itself does not count: how deep that goes has a bound of its own.
    pub(super) depth: u64,
    pub(super) fields: u64,
}

/// Measures an operation of a valid document.
pub(super) fn measure(document: &ExecutableDocument, operation: &Operation) -> Result<Extent, Fault> {
    let mut measuring = Measuring { document, known: HashMap::new(), within: 0 };
    measuring.set(&operation.selection_set)
}

struct Measuring<'d> {
    document: &'d ExecutableDocument,
    /// Fragments that were measured.
    known: HashMap<&'d str, Extent>,
    /// How deep it is now.
    within: usize,
}

impl<'d> Measuring<'d> {
    fn set(&mut self, set: &'d SelectionSet) -> Result<Extent, Fault> {
        self.within += 1;
        if self.within > MOST_NESTED {
            return Err(Fault { message: format!("Selections lie deeper in each other than {MOST_NESTED}."), at: None });
        }
        let mut all = Extent::default();
        for selection in &set.selections {
            let one = match selection {
                Selection::Field(field) => {
                    let below = self.set(&field.selection_set)?;
                    let is_schema = matches!(field.name.as_str(), "__schema" | "__type");
                    let depth = if is_schema { 1 } else { below.depth + 1 };
                    Extent { depth, fields: below.fields.saturating_add(1) }
                }
                Selection::InlineFragment(fragment) => self.set(&fragment.selection_set)?,
                Selection::FragmentSpread(spread) => match self.known.get(spread.fragment_name.as_str()) {
                    Some(known) => *known,
                    None => {
                        let Some(fragment) = self.document.fragments.get(&spread.fragment_name) else { continue };
                        let measured = self.set(&fragment.selection_set)?;
                        self.known.insert(spread.fragment_name.as_str(), measured);
                        measured
                    }
                },
            };
            all.depth = all.depth.max(one.depth);
            all.fields = all.fields.saturating_add(one.fields);
        }
        self.within -= 1;
        Ok(all)
    }
}
