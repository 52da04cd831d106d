//! What a request would cost: a field 1, a call 10, and what is selected of a list as often as the list is long.

use apollo_compiler::ast::FieldDefinition;

use super::{Argued, Arguing, Below, Plan, SelectionId, Variables, What};
use crate::compose::graphql::input::Input;

/// How long a list is taken to be, where no argument says it.
const USUALLY: u64 = 10;
/// What a call costs.
const CALL: u64 = 10;

/// How often what is selected of a field counts.
#[derive(Clone, Debug)]
pub(in super::super) enum Times {
    Known(u64),
    /// As an argument says, which is a variable or has some in it.
    Says(Box<Argued>),
}

impl Times {
    /// Of a field with these arguments: the first of `first`, `limit`, `last` and a list's length that is there.
    pub(super) fn of(definition: &FieldDefinition, arguing: &Arguing) -> Self {
        if !definition.ty.is_list() {
            return Self::Known(1);
        }
        let said = ["first", "limit", "last"].into_iter().find_map(|name| arguing.of(name)).or_else(|| arguing.lists(definition).next());
        match said {
            None => Self::Known(USUALLY),
            Some(Argued::Known(value)) => Self::Known(count(Some(&value))),
            Some(argued) => Self::Says(Box::new(argued)),
        }
    }

    fn with(&self, variables: Option<&Variables>) -> Option<u64> {
        match self {
            Self::Known(times) => Some(*times),
            Self::Says(argued) => Some(count(argued.with(variables?).as_ref())),
        }
    }
}

fn count(value: Option<&Input>) -> u64 {
    match value {
        Some(Input::List(all)) => all.len() as u64,
        // What is less than nothing is nothing, and what no number has room for is the most.
        Some(Input::Number(digits)) => digits.parse::<f64>().map_or(USUALLY, |number| number as u64),
        _ => USUALLY,
    }
}

impl Plan {
    /// What it costs with these variables; without them nothing where they have a say.
    pub(in super::super) fn cost(&self, variables: Option<&Variables>) -> Option<u64> {
        self.cost_of(self.root, variables, &mut vec![None; self.selections.len()])
    }

    fn cost_of(&self, selection: SelectionId, variables: Option<&Variables>, known: &mut Vec<Option<u64>>) -> Option<u64> {
        if let Some(known) = known[selection] {
            return Some(known);
        }
        let mut all = 0_u64;
        for field in &self.selections[selection].fields {
            let below = match &field.below {
                Below::Leaf => 0,
                Below::Object(below) => self.cost_of(*below, variables, known)?,
                Below::Abstract(below) => {
                    let costs = below.iter().map(|&(_, below)| self.cost_of(below, variables, known));
                    costs.collect::<Option<Vec<_>>>()?.into_iter().max().unwrap_or(0)
                }
            };
            let own = if matches!(field.what, What::Call(_) | What::Entities(_)) { CALL } else { 1 };
            let below = if below == 0 { 0 } else { below.saturating_mul(field.times.with(variables)?) };
            all = all.saturating_add(own).saturating_add(below);
        }
        known[selection] = Some(all);
        Some(all)
    }
}
