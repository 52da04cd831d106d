//! A document that is right, and the one of its operations that is meant.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use apollo_compiler::ast::{DirectiveList, OperationType, Value};
use apollo_compiler::executable::{self, ExecutableDocument, Selection, SelectionSet};
use apollo_compiler::parser::Parser;
use apollo_compiler::validation::{DiagnosticList, Valid};
use apollo_compiler::{Name, Node, Schema};
use parking_lot::RwLock;

use super::{Fault, Plan, Variables, limits};
use crate::compose::graphql::input::Input;
use crate::compose::graphql::said::said;
use crate::compose::graphql::{Operation, Refused, one_of};
use crate::config::model::GraphLimits;

/// How deep braces and brackets of a document may lie in each other.
const MOST_NESTED: usize = 50;
/// The most variables that say whether fields are there.
const MOST_CONDITIONS: usize = 16;
/// The most plans of one operation: one for each way in which its conditions may hold, and for each profile.
const MOST_PLANS: usize = 16;

/// What an operation without its document takes of memory, and each of its variables, about.
const BARE: usize = 800;
const VARIABLE: usize = 400;

/// An operation of a document, and the plans for it.
pub(in super::super) struct Prepared {
    /// All of it. Once a plan is made, only who asks for the schema needs it: it takes more memory than all that is made of it.
    pub(in super::super) document: Option<Valid<ExecutableDocument>>,
    /// Without what is selected, where the document is not there.
    pub(in super::super) operation: Node<executable::Operation>,
    pub(in super::super) kind: Operation,
    pub(in super::super) name: Option<Arc<str>>,
    /// Whether it asks for the schema.
    pub(in super::super) asks_schema: bool,
    /// The variables that say whether fields are there.
    conditions: Box<[Name]>,
    plans: RwLock<Vec<(Which, Arc<Plan>)>>,
    /// What it takes of memory, about.
    bytes: AtomicUsize,
}

/// Which plan of an operation: for which profile, and which of its conditions hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Which {
    pub(in super::super) profile: Option<usize>,
    pub(in super::super) holding: u32,
}

/// Why nothing is executed.
pub(in super::super) type Refusal = (Refused, Vec<Fault>);

impl Prepared {
    /// Reads a document, and finds the operation.
    pub(in super::super) fn new(
        schema: &Valid<Schema>,
        limits: &GraphLimits,
        text: &str,
        operation: Option<&str>,
    ) -> Result<Self, Refusal> {
        let refused = |why: Refused, message: String| (why, vec![Fault { message, at: None }]);
        let tokens = limits.tokens.value as usize;
        let mut parser = Parser::new().token_limit(tokens).recursion_limit(MOST_NESTED);
        let parsed = parser.parse_ast(text, "");
        let parsed = parsed.map_err(|wrong| match wrong.errors.iter().any(|error| error.error.to_string().contains("limit reached")) {
            true => {
                refused(Refused::Limit, format!("The document has more than {tokens} tokens, or lies deeper in itself than {MOST_NESTED}."))
            }
            false => (Refused::Parse, faults(&wrong.errors)),
        })?;
        let document = parsed.to_executable_validate(schema).map_err(|wrong| (Refused::Validation, faults(&wrong.errors)))?;
        let not_one = one_of::faults(schema, &document);
        if !not_one.is_empty() {
            return Err((Refused::Validation, not_one));
        }
        let named = |document: &Valid<ExecutableDocument>| document.operations.get(operation).cloned();
        let meant = named(&document).map_err(|wrong| refused(Refused::Operation, wrong.message().to_string()))?;
        let kind = match meant.operation_type {
            OperationType::Query => Operation::Query,
            OperationType::Mutation => Operation::Mutation,
            OperationType::Subscription => return Err(refused(Refused::Validation, "Subscriptions are not served.".to_owned())),
        };
        let extent = limits::measure(&document, &meant).map_err(|fault| (Refused::Limit, vec![fault]))?;
        let within = |what: &str, is: u64, most: u32| match is > u64::from(most) {
            true => Err(refused(Refused::Limit, format!("The operation has {what} {is}, more than {most}."))),
            false => Ok(()),
        };
        within("a depth of", extent.depth, limits.depth.value)?;
        within("fields, with those of fragments:", extent.fields, limits.fields.value)?;
        let conditions = conditions(&document, &meant);
        if conditions.len() > MOST_CONDITIONS {
            return Err(refused(Refused::Limit, format!("More than {MOST_CONDITIONS} variables say whether fields are there.")));
        }
        let asks_schema = meant.root_fields(&document).any(|field| matches!(field.name.as_str(), "__schema" | "__type"));
        if asks_schema {
            let check = apollo_compiler::introspection::check_max_depth(&document, &meant);
            check.map_err(|wrong| refused(Refused::Limit, wrong.message().to_string()))?;
        }
        let document = if asks_schema { one_of::marked(schema, document) } else { document };
        let operation = named(&document).unwrap_or(meant);
        // What the library makes of a document is measured to take about so much for each byte of it.
        let bytes = AtomicUsize::new(1_000 + text.len() * 24);
        let name = operation.name.as_ref().map(|name| name.as_str().into());
        Ok(Self { document: Some(document), operation, kind, name, asks_schema, conditions, plans: RwLock::default(), bytes })
    }

    /// The same with no more of the document than requests need that have a plan.
    pub(in super::super) fn to_be_kept(&self) -> Self {
        let plans = self.plans.read().clone();
        let (document, operation) = match self.asks_schema {
            true => (self.document.clone(), self.operation.clone()),
            false => {
                let selection_set = SelectionSet::new(self.operation.selection_set.ty.clone());
                let operation_type = self.operation.operation_type;
                let (name, variables, directives) = (self.operation.name.clone(), self.operation.variables.clone(), DirectiveList::new());
                (None, Node::new(executable::Operation { operation_type, name, variables, directives, selection_set }))
            }
        };
        let bytes = match self.asks_schema {
            true => self.bytes(),
            false => BARE + plans.iter().map(|(_, plan)| plan.bytes).sum::<usize>() + operation.variables.len() * VARIABLE,
        };
        let (kind, name, conditions) = (self.kind, self.name.clone(), self.conditions.clone());
        Self {
            document,
            operation,
            kind,
            name,
            asks_schema: self.asks_schema,
            conditions,
            plans: RwLock::new(plans),
            bytes: AtomicUsize::new(bytes),
        }
    }

    /// Which of the conditions hold with these variables.
    pub(in super::super) fn holding(&self, variables: &Variables) -> u32 {
        let holds = |name: &Name| variables.get(name.as_str()) == Some(&Input::Boolean(true));
        self.conditions.iter().enumerate().fold(0, |all, (index, name)| all | u32::from(holds(name)) << index)
    }

    /// Whether fields with these directives are there.
    pub(super) fn is_there(&self, directives: &DirectiveList, holding: u32) -> bool {
        let holds = |directive: &str| {
            let value = directives.get(directive)?.specified_argument_by_name("if")?;
            match &**value {
                Value::Boolean(holds) => Some(*holds),
                Value::Variable(name) => {
                    let index = self.conditions.iter().position(|condition| condition == name)?;
                    Some(holding >> index & 1 == 1)
                }
                _ => None,
            }
        };
        holds("skip") != Some(true) && holds("include") != Some(false)
    }

    /// A plan that is there already.
    pub(in super::super) fn plan(&self, which: Which) -> Option<Arc<Plan>> {
        self.plans.read().iter().find(|(known, _)| *known == which).map(|(_, plan)| plan.clone())
    }

    /// Keeps a plan, in place of the oldest one where there are many.
    pub(in super::super) fn keep(&self, which: Which, plan: &Arc<Plan>) {
        let mut plans = self.plans.write();
        if plans.iter().any(|(known, _)| *known == which) {
            return;
        }
        if plans.len() >= MOST_PLANS {
            let (_, oldest) = plans.remove(0);
            self.bytes.fetch_sub(oldest.bytes, Ordering::Relaxed);
        }
        plans.push((which, plan.clone()));
        self.bytes.fetch_add(plan.bytes, Ordering::Relaxed);
    }

    /// What it takes of memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// What is wrong with a document.
fn faults(errors: &DiagnosticList) -> Vec<Fault> {
    said(errors).into_iter().map(|(message, at)| Fault { message, at: at.map(|span| span.offset()) }).collect()
}

/// The variables that say whether fields are there, each once.
fn conditions(document: &ExecutableDocument, operation: &executable::Operation) -> Box<[Name]> {
    let mut found = BTreeSet::new();
    in_set(&operation.selection_set, &mut found);
    document.fragments.values().for_each(|fragment| in_set(&fragment.selection_set, &mut found));
    found.into_iter().filter(|name| operation.variables.iter().any(|variable| variable.name == *name)).collect()
}

fn in_set(set: &SelectionSet, found: &mut BTreeSet<Name>) {
    for selection in &set.selections {
        for directive in selection.directives().iter().filter(|directive| matches!(directive.name.as_str(), "skip" | "include")) {
            if let Some(Value::Variable(name)) = directive.specified_argument_by_name("if").map(|value| &**value) {
                found.insert(name.clone());
            }
        }
        match selection {
            Selection::Field(field) => in_set(&field.selection_set, found),
            Selection::InlineFragment(fragment) => in_set(&fragment.selection_set, found),
            Selection::FragmentSpread(_) => {}
        }
    }
}
