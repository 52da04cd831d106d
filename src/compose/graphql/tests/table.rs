//! A table that answers calls, and what came of a request.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use frontgate_filters::filter::{BoxFuture, Facts};
use frontgate_filters::words::fields;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pingora_http::RequestHeader;
use serde_json::{Value, json};

use super::super::{Graph, Kind, Outcome, Problem, Request};
use crate::compose::{Answered, CallResult, Calls, Failed, Held, Inquiry, Keeping, Ready};
use crate::config::model;
use crate::router::Pattern;
use crate::telemetry::Metrics;
use crate::upstream::Pool;

/// A call as it was made.
#[derive(Clone, Debug)]
pub(super) struct Made {
    /// Method, pool and target, as in `GET users /users/1`.
    pub(super) line: String,
    pub(super) fields: HeaderMap,
    pub(super) body: Option<Bytes>,
}

/// What a call gets.
#[derive(Clone, Debug)]
pub(super) enum Said {
    Answer(u16, Vec<(&'static str, &'static str)>, String),
    Fails(Failed),
}

pub(super) fn ok(body: impl ToString) -> Said {
    Said::Answer(200, Vec::new(), body.to_string())
}

pub(super) fn status(status: u16) -> Said {
    Said::Answer(status, Vec::new(), "{}".to_owned())
}

/// Who answers calls.
pub(super) struct Table {
    answers: Box<dyn Fn(&Made) -> Said + Send + Sync>,
    made: Mutex<Vec<Made>>,
    counted: Mutex<Vec<String>>,
}

impl Table {
    pub(super) fn new(answers: impl Fn(&Made) -> Said + Send + Sync + 'static) -> Self {
        Self { answers: Box::new(answers), made: Mutex::default(), counted: Mutex::default() }
    }

    /// These answers by their lines; any other call gets a 404.
    pub(super) fn of(answers: &[(&str, Said)]) -> Self {
        let answers: HashMap<String, Said> = answers.iter().map(|(line, said)| ((*line).to_owned(), said.clone())).collect();
        Self::new(move |made| answers.get(&made.line).cloned().unwrap_or_else(|| status(404)))
    }

    pub(super) fn made(&self) -> Vec<Made> {
        self.made.lock().expect("calls").clone()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.made().into_iter().map(|made| made.line).collect()
    }

    pub(super) fn counted(&self) -> Vec<String> {
        let mut counted = self.counted.lock().expect("counts").clone();
        counted.sort();
        counted
    }
}

impl Calls for Table {
    fn make<'a>(&'a self, ready: Ready<'a>) -> BoxFuture<'a, Result<Answered, Failed>> {
        Box::pin(async move {
            let line = format!("{} {} {}", ready.method, ready.pool.name, ready.target);
            let made = Made { line, fields: ready.fields, body: ready.body };
            let said = (self.answers)(&made);
            self.made.lock().expect("calls").push(made);
            tokio::task::yield_now().await;
            match said {
                Said::Fails(failed) => Err(failed),
                Said::Answer(status, headers, body) => {
                    let headers = headers.into_iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
                    let (begin, end) = body.split_at(body.floor_char_boundary(body.len() / 2));
                    Ok(Answered {
                        status: StatusCode::from_u16(status).expect("a status"),
                        headers: headers.collect::<HeaderMap>().into(),
                        body: [begin, end].map(|part| Bytes::copy_from_slice(part.as_bytes())).into(),
                        held: Held::default(),
                        keeping: Keeping::default(),
                    })
                }
            }
        })
    }

    fn count(&self, name: &str, result: CallResult) {
        self.counted.lock().expect("counts").push(format!("{name} {}", result.word()));
    }
}

/// The graph of this schema and of what is configured beside it.
pub(super) fn try_graph(schema: &str, mut beside: Value) -> Result<Graph, Vec<Problem>> {
    beside["schema"] = schema.into();
    let written: model::Graphql = serde_json::from_value(beside).expect("a graph");
    let path = Pattern::parse("/graphql/{tenant}").expect("a path");
    let upstream: model::Upstream = serde_json::from_value(json!({"endpoints": ["10.0.0.1:80"]})).expect("an upstream");
    let mut pools: HashMap<String, Arc<Pool>> = HashMap::new();
    for name in written.upstreams() {
        let pool = || Arc::new(Pool::new(name, &upstream, None, &Metrics::new(), None));
        pools.entry(name.to_string()).or_insert_with(pool);
    }
    let pool = |name: &str| pools.get(name).cloned().ok_or_else(|| name.to_owned());
    Graph::compile(&written, schema, &path, &pool)
}

pub(super) fn graph(schema: &str, beside: Value) -> Graph {
    try_graph(schema, beside).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// A request.
pub(super) fn ask(document: &str) -> Request<'_> {
    Request { document, operation: None, variables: None, may_mutate: true, introspection: true, profile: None }
}

/// Makes the request; whatever it waits for comes within seconds, or the test fails.
pub(super) async fn run(graph: &Graph, request: Request<'_>, table: &Table) -> Outcome {
    let mut head = RequestHeader::build("POST", b"/graphql/t%201?page=2", None).expect("a request");
    head.append_header("x-tenant", "north").expect("a header");
    let facts = Facts::new("192.0.2.1".parse().expect("an address"), HeaderValue::from_static("r-1"));
    let inquiry = Inquiry { head: &head, facts: &facts, body: Bytes::new(), calls: table, deadline: None };
    tokio::time::timeout(Duration::from_secs(60), graph.run(request, &inquiry)).await.expect("an answer in time")
}

/// The answer as JSON.
pub(super) fn json_of(outcome: &Outcome) -> Value {
    let text = str::from_utf8(&outcome.body).expect("text");
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The answer as it is written, where it was executed.
pub(super) fn text_of(outcome: &Outcome) -> String {
    assert_eq!(outcome.kind, Kind::Data, "{}", String::from_utf8_lossy(&outcome.body));
    String::from_utf8(outcome.body.to_vec()).expect("text")
}

/// The paths of its errors, sorted.
pub(super) fn paths_of(answer: &Value) -> Vec<String> {
    let errors = answer["errors"].as_array().into_iter().flatten();
    let mut paths: Vec<String> = errors.map(|error| error["path"].to_string()).collect();
    paths.sort();
    paths
}

pub(super) fn header<'o>(outcome: &'o Outcome, name: &str) -> Option<&'o str> {
    outcome.headers.iter().find(|(own, _)| own == name).map(|(_, value)| fields::text(value).expect("text"))
}

/// Where null stands for an error: the longest way along each path that the data has.
pub(super) fn nulled(data: &Value, errors: &Value) -> BTreeSet<String> {
    let errors = errors.as_array().into_iter().flatten();
    let way = |error: &Value| {
        let (mut at, mut way) = (data, String::new());
        for step in error["path"].as_array().into_iter().flatten() {
            if at.is_null() {
                break;
            }
            at = step.as_u64().map_or_else(|| &at[step.as_str().unwrap_or_default()], |index| &at[index as usize]);
            let _ = write!(way, "/{step}");
        }
        assert!(at.is_null(), "{way}");
        way
    };
    errors.map(way).collect()
}
