//! A route whose answers are what a query asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use frontgate_filters::filter::{BoxFuture, Facts};
use frontgate_filters::reply::{Reply, ReplyBody};
use frontgate_filters::words::cache_control::NO_STORE;
use frontgate_filters::words::matching::Matcher;
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::Spanned;
use http::header::{CACHE_CONTROL, VARY};
use http::{HeaderValue, Method, StatusCode};
use pingora_http::RequestHeader;

use super::{Act, Action, Upstreams, With};
use crate::compose::graphql::page;
use crate::compose::graphql::persisted::{self, Document, Persisted};
use crate::compose::graphql::requests::{self, Form};
use crate::compose::graphql::{Graph, Kind, Operation, Outcome, Request};
use crate::compose::{Composed, Composition, Inquiry};
use crate::config::{Loaded, model};
use crate::explain::graph::{Told, lines};
use crate::router::Pattern;
use crate::telemetry::{GraphqlMetrics, GraphqlOperation, GraphqlRefusal};

/// The longest name of an operation that is told, in bytes.
const LONGEST_NAME: usize = 64;

/// A graph as a route serves it.
pub(crate) struct Served {
    graph: Graph,
    /// Whether queries come in URLs, too.
    by_get: bool,
    persisted: Persisted,
    introspection: Asks,
    hide: Option<Hide>,
    /// The headers that answers depend on beside those of calls.
    varies: Option<HeaderValue>,
    /// Whether answers depend on something that no header says.
    is_private: bool,
    metrics: Arc<GraphqlMetrics>,
}

/// Who may ask for the schema.
enum Asks {
    Everybody(bool),
    Those(Matcher),
}

/// What chooses the profile of `hide`.
struct Hide {
    by: Selector,
    profiles: Box<[Box<str>]>,
}

/// The graph as an action.
struct Asked {
    served: Arc<Served>,
    composition: Arc<dyn Composition>,
}

/// The text of a schema; an error says why its file cannot be had.
pub(crate) fn sdl(loaded: &Loaded, schema: &Spanned<model::GraphSchema>) -> Result<String, String> {
    match &schema.value {
        model::GraphSchema::Text(text) => Ok(text.clone()),
        model::GraphSchema::File(path) => {
            let bytes = loaded.ledger().read(path.place, &loaded.resolve_path(path.place, path))?;
            String::from_utf8(bytes).map_err(|_| format!("`{}` is not UTF-8", path.display()))
        }
    }
}

/// The operations of a file, where one is named; an error says why they cannot be had.
pub(crate) fn operations(loaded: &Loaded, written: &model::Graphql) -> Result<BTreeMap<String, String>, String> {
    let Some(path) = written.persisted.as_ref().and_then(|persisted| persisted.file.as_ref()) else { return Ok(BTreeMap::new()) };
    let bytes = loaded.ledger().read(path.place, &loaded.resolve_path(path.place, path))?;
    persisted::read(&bytes).map_err(|why| format!("`{}` cannot be used: {why}", path.display()))
}

/// Compiles a checked graph.
pub(super) fn compile(written: &model::Graphql, route: &model::Route, path: &Pattern, with: &With<'_>) -> Result<Box<dyn Action>, String> {
    let sdl = sdl(with.loaded, &written.schema)?;
    let mut graph = Graph::compile(written, &sdl, path, &|name| with.pool(name))
        .map_err(|problems| problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>().join("; "))?;
    let persisted = match &written.persisted {
        Some(rules) => Persisted::new(rules, operations(with.loaded, written)?),
        None => Persisted::default(),
    };
    if let Some(before) = (with.graph_before)(&route.name) {
        persisted.take_over(&before.persisted);
        graph.keep_plans(&before.graph);
    }
    let introspection = match &written.introspection {
        model::Introspection::Off => Asks::Everybody(false),
        model::Introspection::On => Asks::Everybody(true),
        model::Introspection::For(facts) => Asks::Those(facts.compile()),
    };
    let hide = written
        .hide
        .as_ref()
        .map(|hide| Hide { by: hide.by.value.clone(), profiles: hide.profiles.keys().map(|profile| profile.as_str().into()).collect() });
    let read: Vec<&Selector> = hide.iter().map(|hide| &hide.by).chain(introspection.selectors()).collect();
    let (varies, is_private) = varies(&read);
    let metrics = with.metrics.graph(&route.name);
    let served = Arc::new(Served { graph, by_get: written.get, persisted, introspection, hide, varies, is_private, metrics });
    Ok(Box::new(Asked { composition: Arc::new(Serves(served.clone())), served }))
}

impl Asks {
    fn selectors(&self) -> Vec<&Selector> {
        match self {
            Self::Everybody(_) => Vec::new(),
            Self::Those(facts) => facts.selectors().collect(),
        }
    }

    fn are_let(&self, head: &RequestHeader, facts: &Facts) -> bool {
        match self {
            Self::Everybody(are) => *are,
            Self::Those(wanted) => wanted.holds(head, facts),
        }
    }
}

/// The headers that these facts are read from, and whether some are in none.
fn varies(selectors: &[&Selector]) -> (Option<HeaderValue>, bool) {
    let (mut names, mut is_private) = (Vec::new(), false);
    for selector in selectors {
        match selector {
            Selector::Header(name) => names.push(name.as_str().to_owned()),
            selector if !selector.varies_by().is_empty() => names.push(selector.varies_by().to_owned()),
            Selector::Host | Selector::Path | Selector::Method | Selector::Query(_) | Selector::Route | Selector::Scheme => {}
            _ => is_private = true,
        }
    }
    (HeaderValue::try_from(names.join(", ")).ok().filter(|value| !value.is_empty()), is_private)
}

impl Action for Asked {
    fn composition(&self) -> Option<&Arc<dyn Composition>> {
        Some(&self.composition)
    }

    fn graph(&self) -> Option<&Arc<Served>> {
        Some(&self.served)
    }

    fn act<'a>(&'a self, _: &RequestHeader, _: &Facts, _: &'a Upstreams) -> Act<'a> {
        Act::Compose(&self.composition)
    }

    fn why(&self, _: &Reply) -> String {
        "the answer is what a query asks for".to_owned()
    }
}

/// A graph that answers requests.
struct Serves(Arc<Served>);

impl Composition for Serves {
    fn names(&self) -> Vec<Arc<str>> {
        self.0.graph.names()
    }

    fn reads_body(&self, method: &Method) -> bool {
        *method == Method::POST
    }

    fn most(&self) -> usize {
        model::Graphql::MOST_TOTAL
    }

    fn refers_to(&self, fact: &Selector) -> bool {
        self.0.graph.refers_to(fact) || self.0.introspection.selectors().contains(&fact)
    }

    fn compose<'a>(&'a self, inquiry: Inquiry<'a>) -> BoxFuture<'a, Composed> {
        Box::pin(async move { self.0.answer(&inquiry).await })
    }
}

impl Served {
    /// The graph itself.
    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// What it would do with this request, whose body is not known: no call is made.
    pub(crate) fn explained(&self, head: &RequestHeader, facts: &Facts) -> Told {
        if self.page(head).is_some() {
            return Told::Answered(StatusCode::OK, "a browser gets GraphiQL, a page".to_owned());
        }
        let body = b"{\"query\":\"\"}";
        let asked = match requests::read(head, body, self.by_get) {
            Ok((_, asked)) => asked,
            Err(unread) => {
                let detail = match &unread.reply.body {
                    ReplyBody::Problem { detail, .. } => (*detail).to_owned(),
                    ReplyBody::Bytes(bytes) => message(bytes),
                };
                return Told::Answered(unread.reply.status, format!("it is no request to a graph: {detail}"));
            }
        };
        if head.method == Method::POST {
            let says = "the document in its body says which calls are made: `frontgate graphql plan` tells of one";
            return Told::Asks(says.to_owned(), Vec::new());
        }
        let document = match self.persisted.find(&asked) {
            Ok(document) => document,
            Err(why) => {
                let reply = requests::not_known(Form::Response, why);
                let said = if let ReplyBody::Bytes(bytes) = &reply.body { message(bytes) } else { String::new() };
                return Told::Answered(reply.status, said);
            }
        };
        let profile = self.profile(head, facts);
        match self.graph.plan(&document.text, asked.operation.as_deref(), asked.variables.as_deref(), profile) {
            Ok(planned) if planned.operation == Operation::Mutation => {
                Told::Answered(StatusCode::METHOD_NOT_ALLOWED, "a mutation is sent by POST".to_owned())
            }
            Ok(planned) => {
                let (what, calls) = lines(&planned);
                Told::Asks(profile.map_or_else(|| what.clone(), |profile| format!("{what}; hidden as for {profile}")), calls)
            }
            Err(why) => Told::Answered(StatusCode::BAD_REQUEST, why.join("; ")),
        }
    }

    /// Whether who asks so may ask for the schema.
    pub(crate) fn shows_schema(&self, head: &RequestHeader, facts: &Facts) -> bool {
        self.introspection.are_let(head, facts)
    }

    /// The profile of `hide` that who asks so has.
    pub(crate) fn profile(&self, head: &RequestHeader, facts: &Facts) -> Option<&str> {
        let hide = self.hide.as_ref()?;
        let value = hide.by.find(head, facts)?;
        hide.profiles.iter().map(|profile| &**profile).find(|profile| *profile.as_bytes() == *value)
    }

    /// GraphiQL, for who opens the address in a browser: where somebody may ask for the schema, without which it is of little use. Who that is
    /// shows when the page asks for it.
    fn page(&self, head: &RequestHeader) -> Option<Reply> {
        let is_shown = !matches!(self.introspection, Asks::Everybody(false));
        if is_shown { page::find(head) } else { None }
    }

    async fn answer(&self, inquiry: &Inquiry<'_>) -> Composed {
        if let Some(reply) = self.page(inquiry.head) {
            return Composed { reply, missing: Vec::new(), saga: None, flag: None };
        }
        let (form, asked) = match requests::read(inquiry.head, &inquiry.body, self.by_get) {
            Ok(read) => read,
            Err(unread) => return self.refused(unread.counts, unread.reply),
        };
        let document = match self.persisted.find(&asked) {
            Ok(document) => document,
            Err(why) => return self.refused(why, requests::not_known(form, why)),
        };
        let request = Request {
            document: &document.text,
            operation: asked.operation.as_deref(),
            variables: asked.variables.as_deref(),
            may_mutate: inquiry.head.method == Method::POST,
            introspection: self.shows_schema(inquiry.head, inquiry.facts),
            profile: self.profile(inquiry.head, inquiry.facts),
        };
        let outcome = self.graph.run(request, inquiry).await;
        self.told(form, &document, outcome, inquiry)
    }

    fn refused(&self, why: GraphqlRefusal, reply: Reply) -> Composed {
        self.metrics.refused(GraphqlOperation::Unknown, why);
        Composed { reply, missing: Vec::new(), saga: None, flag: None }
    }

    fn told(&self, form: Form, document: &Document<'_>, outcome: Outcome, inquiry: &Inquiry<'_>) -> Composed {
        if let Some(name) = &outcome.name {
            inquiry.calls.operates(shortened(name));
        }
        let operation = match outcome.operation {
            Some(Operation::Query) => GraphqlOperation::Query,
            Some(Operation::Mutation) => GraphqlOperation::Mutation,
            None => GraphqlOperation::Unknown,
        };
        match outcome.kind {
            Kind::Data => {
                self.metrics.planned(outcome.was_planned);
                self.metrics.executed(operation, outcome.errors == 0 && outcome.missing.is_empty());
                self.persisted.ran(document);
            }
            Kind::Refused(why) => self.metrics.refused(operation, why.counts()),
        }
        let mut reply = requests::told(form, &outcome);
        if let Some(varies) = &self.varies {
            reply = reply.with(VARY, varies.clone());
        }
        if self.is_private {
            reply.headers.retain(|(name, _)| *name != CACHE_CONTROL);
            reply = reply.with(CACHE_CONTROL, NO_STORE);
        }
        Composed { reply, missing: outcome.missing, saga: None, flag: None }
    }
}

/// The first message of an answer that refuses.
fn message(body: &[u8]) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    body["errors"][0]["message"].as_str().unwrap_or_default().to_owned()
}

/// As much of a name as is told.
fn shortened(name: &Arc<str>) -> Arc<str> {
    // Names are ASCII: any byte ends a character.
    name.get(..LONGEST_NAME).map_or_else(|| name.clone(), Arc::from)
}
