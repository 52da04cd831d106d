//! One request: groups of calls are made as soon as all that they need has ended, and what they are answered becomes part of the answer.

mod complete;
mod entities;
mod failure;
mod fetch;
mod groups;
mod print;
mod tree;

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

use apollo_compiler::response::{JsonMap, JsonValue};
use apollo_compiler::validation::Valid;
use frontgate_filters::filter::Facts;
use pingora_http::RequestHeader;
use smallvec::SmallVec;

use self::complete::{Completing, Pending};
use self::failure::{Code, Errors};
use self::fetch::Fetch;
use self::groups::Progress;
pub(super) use self::print::refusal;
use self::print::{Printing, told};
use self::tree::{Full, Slot, Step, Tree};
use super::Graph;
use super::documents::{Documents, Span};
use super::input::Input;
use super::one_of;
use super::plan::{GroupId, Plan, Prepared, Variables, What};
use super::tables::CallId;
use crate::compose::caching::Caching;
use crate::compose::making::Making;
use crate::compose::{Budget, Calls, Held, Inquiry, Missing};
use crate::config::model::Graphql;

/// The most fields of one answer that are told of since what came for them is nothing that they can have.
const MOST_ODD: usize = 5;

/// What has become of a request so far. Dropped, all calls that are on their way are cancelled.
pub(super) struct Run<'r> {
    graph: &'r Graph,
    plan: &'r Plan,
    text: &'r str,
    variables: &'r Variables,
    head: &'r RequestHeader,
    facts: &'r Facts,
    calls: &'r dyn Calls,
    documents: Documents,
    tree: Tree,
    /// How many of its texts are what the library has said of the schema.
    schema_texts: usize,
    errors: Errors,
    /// Errors that are JSON already.
    told: Vec<String>,
    /// Objects whose fields wait for calls, by their sites.
    pending: Vec<Vec<Pending>>,
    progress: Vec<Option<Progress>>,
    /// For how many groups each still waits.
    waits: SmallVec<[u32; 16]>,
    ready: VecDeque<GroupId>,
    /// Which of the roots that follow each other is at work.
    phase: usize,
    fetches: Vec<Fetch>,
    /// Requests by their pool and target, where another may ask the same.
    by_target: HashMap<(usize, String), SmallVec<[usize; 1]>>,
    making: Making<'r>,
    received: usize,
    held: Held,
    missing: Vec<(CallId, Cow<'static, str>)>,
    /// What stands in for the answers of calls that have failed.
    instead: HashMap<CallId, Span>,
    caching: Caching,
}

/// What came of a request that was executed.
pub(super) struct Done {
    pub(super) body: Vec<u8>,
    /// How many errors there were.
    pub(super) errors: usize,
    pub(super) missing: Vec<(CallId, Cow<'static, str>)>,
    /// Fields that are null since what came for them is nothing that they can have, for the log.
    pub(super) odd: Vec<Missing>,
    pub(super) caching: Caching,
    pub(super) held: Held,
}

impl<'r> Run<'r> {
    pub(super) fn new(
        graph: &'r Graph,
        plan: &'r Plan,
        prepared: &'r Prepared,
        text: &'r str,
        variables: &'r Variables,
        inquiry: &Inquiry<'r>,
    ) -> Self {
        let groups = plan.groups.len();
        let mut run = Self {
            graph,
            plan,
            text,
            variables,
            head: inquiry.head,
            facts: inquiry.facts,
            calls: inquiry.calls,
            documents: Documents::default(),
            tree: Tree::new(Held::of(&Budget::of_process())),
            schema_texts: 0,
            errors: Errors { first: Vec::new(), count: 0, most: graph.most_errors },
            told: Vec::new(),
            pending: vec![Vec::new(); plan.sites.len()],
            progress: (0..groups).map(|_| None).collect(),
            waits: plan.groups.iter().map(|group| group.needs.len() as u32).collect(),
            ready: VecDeque::new(),
            phase: 0,
            fetches: Vec::with_capacity(plan.sites.len()),
            by_target: HashMap::new(),
            making: Making::with_room(plan.sites.len()),
            received: 0,
            held: Held::default(),
            missing: Vec::new(),
            instead: HashMap::new(),
            caching: Caching::default(),
        };
        if prepared.asks_schema {
            run.ask_schema(prepared);
        }
        run
    }

    /// Makes all calls, and the answer.
    pub(super) async fn finish(mut self) -> Done {
        let is_full = self.execute().await.is_err();
        let body = match is_full {
            true => Err(()),
            false => self.printing().whole(&self.errors, &self.told).map_err(|_| ()),
        };
        let body = body.unwrap_or_else(|()| {
            self.errors.count += 1;
            format!("{{\"errors\":[{}],\"data\":null}}", told(self.text, "The answer is longer than allowed.", None, Code::Limit.word()))
                .into()
        });
        let errors = self.errors.count + self.told.len();
        self.missing.sort_by_key(|(call, _)| *call);
        let odd = self.odd();
        Done { body, errors, missing: self.missing, odd, caching: self.caching, held: self.held }
    }

    /// The first fields whose values they cannot have, each once: what came, and what they are in the schema.
    fn odd(&self) -> Vec<Missing> {
        let mut all: Vec<Missing> = Vec::new();
        for error in &self.errors.first {
            let field = error.path.iter().rev().find_map(|step| match step {
                Step::Field { selection, field } => Some((*selection as usize, *field as usize)),
                Step::Root | Step::Element(_) => None,
            });
            let (Some(came), Some((selection, field))) = (error.came, field) else { continue };
            let (tables, selection) = (&self.graph.tables, &self.plan.selections[selection]);
            let field = &selection.fields[field];
            let name = format!("{}.{}", tables.types[selection.object].name, field.name);
            if all.len() < MOST_ODD && all.iter().all(|other| *other.name != *name) {
                let cause = format!("{came} where {} is expected", tables.written(&field.of_type)).into();
                all.push(Missing { name: name.into(), cause });
            }
        }
        all
    }

    async fn execute(&mut self) -> Result<(), Full> {
        let tables = (&self.graph.tables, self.plan, &self.documents);
        Completing::new(tables, &mut self.tree, &mut self.errors, &mut self.pending).root()?;
        self.put_schema();
        if self.graph.tables.is_subgraph {
            self.begin_entities()?;
        }
        self.begin_phase();
        loop {
            while let Some(group) = self.ready.pop_front() {
                self.start(group)?;
            }
            match self.making.next().await {
                Some((fetch, answered)) => {
                    for (group, request) in self.ended(fetch, answered) {
                        self.arrived(group, request, fetch)?;
                    }
                }
                None if self.phase + 1 < self.plan.phases => {
                    self.phase += 1;
                    // What was changed may be answered differently now.
                    self.by_target.clear();
                    self.begin_phase();
                }
                None => return Ok(()),
            }
        }
    }

    fn begin_phase(&mut self) {
        let first = |(_, group): &(usize, &super::plan::Group)| group.phase == self.phase && group.needs.is_empty();
        let first: Vec<GroupId> = self.plan.groups.iter().enumerate().filter(first).map(|(index, _)| index).collect();
        self.ready.extend(first);
    }

    /// A group has ended: what waited only for it can begin.
    fn group_ended(&mut self, group: GroupId) {
        for &other in &self.plan.groups[group].needed_by {
            self.waits[other] -= 1;
            if self.waits[other] == 0 {
                self.ready.push_back(other);
            }
        }
    }

    fn printing(&self) -> Printing<'_> {
        Printing {
            tables: &self.graph.tables,
            plan: self.plan,
            documents: &self.documents,
            tree: &self.tree,
            text: self.text,
            most: Graphql::MOST_TOTAL,
        }
    }

    /// Asks the library for what is asked of the schema.
    fn ask_schema(&mut self, prepared: &Prepared) {
        let graph = self.graph;
        let Some(document) = &prepared.document else { return };
        // What is asked of the schema takes texts and words alone.
        let values = self.variables.iter().filter_map(|(name, value)| {
            let value = match value {
                Input::Text(text) => JsonValue::from(&**text),
                Input::Boolean(value) => JsonValue::from(*value),
                Input::Null => JsonValue::Null,
                Input::Number(_) | Input::List(_) | Input::Object(_) => return None,
            };
            Some((name.to_string().into(), value))
        });
        let values: JsonMap = values.collect();
        let answered = apollo_compiler::introspection::partial_execute(
            &graph.schema,
            &graph.implementers,
            document,
            &prepared.operation,
            Valid::assume_valid_ref(&values),
        );
        let fields = &self.plan.selections[self.plan.root].fields;
        match answered {
            Ok(answered) => {
                for error in &answered.errors {
                    self.told.push(told(self.text, &error.message, None, "INTERNAL_SERVER_ERROR"));
                }
                let data = one_of::told(&graph.schema, answered.data.unwrap_or_default());
                for field in fields.iter().filter(|field| matches!(field.what, What::Schema)) {
                    let text = data
                        .get(field.key.as_str())
                        .map_or_else(|| "null".to_owned(), |value| serde_json::to_string(value).unwrap_or_default());
                    self.tree.texts.push(text.into());
                    self.schema_texts += 1;
                }
            }
            Err(wrong) => {
                self.told.push(told(self.text, &wrong.message().to_string(), None, "INTERNAL_SERVER_ERROR"));
            }
        }
    }

    /// Puts what the library has said where the root has it: its texts are the first ones.
    fn put_schema(&mut self) {
        let Slot::Object { first, .. } = self.tree.slots[0] else { return };
        let fields = &self.plan.selections[self.plan.root].fields;
        let asked = fields.iter().enumerate().filter(|(_, field)| matches!(field.what, What::Schema));
        for (text, (index, _)) in asked.enumerate().take(self.schema_texts) {
            self.tree.set(first + index as u32, Slot::Text(text as u32));
        }
    }
}
