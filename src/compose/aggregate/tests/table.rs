//! A table that answers calls, and what came of a request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use frontgate_filters::filter::{BoxFuture, Facts};
use frontgate_filters::reply::{Form, Reply};
use frontgate_filters::words::fields;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use pingora_http::RequestHeader;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::super::{Aggregate, compile};
use crate::compose::{Answered, CallResult, Calls, Composed, Composition, Failed, Held, Inquiry, Keeping, Ready};
use crate::config::{load_text, model};
use crate::router::Pattern;
use crate::telemetry::Metrics;
use crate::upstream::Pool;

/// A call as it was made.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) name: String,
    /// Method, pool and target, as in `GET a /x?y=1`.
    pub(super) line: String,
    pub(super) fields: HeaderMap,
    pub(super) body: Option<Bytes>,
    pub(super) timeout: Option<Duration>,
    pub(super) most: usize,
    pub(super) again: bool,
}

/// What a call gets.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// This status, these header lines, this body in chunks.
    Answer(u16, Vec<(&'static str, String)>, Vec<Bytes>),
    Fails(Failed),
    /// Nothing, ever.
    Never,
    /// What follows, once a call of this line was made.
    After(String, Box<Said>),
}

/// An answer of status 200 with this body.
pub(super) fn ok(body: &str) -> Said {
    status(200, body)
}

pub(super) fn status(status: u16, body: &str) -> Said {
    Said::Answer(status, Vec::new(), vec![Bytes::copy_from_slice(body.as_bytes())])
}

pub(super) fn with(said: Said, name: &'static str, value: &str) -> Said {
    match said {
        Said::Answer(status, mut headers, body) => {
            headers.push((name, value.to_owned()));
            Said::Answer(status, headers, body)
        }
        other => other,
    }
}

pub(super) fn after(line: &str, said: Said) -> Said {
    Said::After(line.to_owned(), Box::new(said))
}

type Answers = Box<dyn Fn(&Made) -> Said + Send + Sync>;

/// Answers calls.
pub(super) struct Table {
    answers: Answers,
    pub(super) made: Mutex<Vec<Made>>,
    pub(super) counted: Mutex<Vec<(String, &'static str)>>,
    /// Calls that are on their way, and the most that ever were.
    pub(super) on_their_way: Mutex<(usize, usize)>,
    moved: Notify,
}

/// A call on its way.
struct OnItsWay<'t>(&'t Table);

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        self.0.on_their_way.lock().expect("a count").0 -= 1;
    }
}

impl Table {
    pub(super) fn new(answers: impl Fn(&Made) -> Said + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            answers: Box::new(answers),
            made: Mutex::default(),
            counted: Mutex::default(),
            on_their_way: Mutex::default(),
            moved: Notify::new(),
        })
    }

    /// These answers by their lines; any other call gets a 404.
    pub(super) fn of(answers: &[(&str, Said)]) -> Arc<Self> {
        let answers: BTreeMap<String, Said> = answers.iter().map(|(line, said)| ((*line).to_owned(), said.clone())).collect();
        Self::new(move |made| answers.get(&made.line).cloned().unwrap_or_else(|| status(404, "{}")))
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.made.lock().expect("calls").iter().map(|made| made.line.clone()).collect()
    }

    pub(super) fn counts(&self) -> Vec<String> {
        self.counted.lock().expect("counts").iter().map(|(name, result)| format!("{name} {result}")).collect()
    }

    async fn until_made(&self, line: &str) {
        loop {
            let moved = self.moved.notified();
            if self.lines().iter().any(|made| made == line) {
                return;
            }
            moved.await;
        }
    }
}

impl Calls for Table {
    fn make<'a>(&'a self, ready: Ready<'a>) -> BoxFuture<'a, Result<Answered, Failed>> {
        Box::pin(async move {
            let made = Made {
                name: ready.name.to_owned(),
                line: format!("{} {} {}", ready.method, ready.pool.name, ready.target),
                fields: ready.fields,
                body: ready.body,
                timeout: ready.timeout,
                most: ready.most,
                again: ready.again,
            };
            {
                let mut on_their_way = self.on_their_way.lock().expect("a count");
                on_their_way.0 += 1;
                on_their_way.1 = on_their_way.1.max(on_their_way.0);
            }
            let _on_its_way = OnItsWay(self);
            let mut said = (self.answers)(&made);
            self.made.lock().expect("calls").push(made);
            self.moved.notify_waiters();
            tokio::task::yield_now().await;
            loop {
                match said {
                    Said::Answer(status, headers, body) => {
                        let header = |(name, value): (&'static str, String)| {
                            (HeaderName::from_static(name), HeaderValue::from_str(&value).expect("a value"))
                        };
                        let headers = headers.into_iter().map(header).fold(HeaderMap::new(), |mut all, (name, value)| {
                            all.append(name, value);
                            all
                        });
                        let status = StatusCode::from_u16(status).expect("a status");
                        return Ok(Answered { status, headers: headers.into(), body, held: Held::default(), keeping: Keeping::default() });
                    }
                    Said::Fails(failed) => return Err(failed),
                    Said::Never => std::future::pending().await,
                    Said::After(line, then) => {
                        self.until_made(&line).await;
                        said = *then;
                    }
                }
            }
        })
    }

    fn count(&self, name: &str, result: CallResult) {
        self.counted.lock().expect("counts").push((name.to_owned(), result.word()));
    }
}

/// The aggregate of a route with its path, by the lines of the route behind `- name: it`.
pub(super) fn aggregate(route: &str) -> (Aggregate, Pattern) {
    let text = format!(
        "version: 1\nserver: {{listeners: [{{address: \"127.0.0.1:8080\"}}]}}\n\
         filters: {{login: {{jwt: {{issuer: any, audience: any, algorithms: [ES256], keys: {{jwks: {{file: keys.json}}}}}}}}}}\n\
         upstreams: {{a: {{endpoints: [\"10.0.0.1:80\"]}}, b: {{endpoints: [\"10.0.0.2:80\"]}}}}\nroutes:\n{route}"
    );
    let loaded =
        load_text("a.yaml", &text).unwrap_or_else(|found| panic!("{:?}", found.items.iter().map(|item| &item.message).collect::<Vec<_>>()));
    let route = &loaded.config.routes[0];
    let written = route.target.aggregate().expect("an aggregate");
    let path = Pattern::parse(&route.path).expect("a path");
    let upstream: model::Upstream = serde_json::from_value(json!({"endpoints": ["10.0.0.1:80"]})).expect("an upstream");
    let pools = ["a", "b"].map(|name| Arc::new(Pool::new(name, &upstream, None, &Metrics::new(), None)));
    let pool = |name: &str| pools.iter().find(|pool| *pool.name == *name).cloned().ok_or_else(|| name.to_owned());
    (compile(&written.value, &path, &pool).expect("an aggregate"), path)
}

/// One with these lines below `aggregate:`, of a route with this path.
pub(super) fn of(path: &str, aggregated: &str) -> Aggregate {
    let lines: String = aggregated.lines().map(|line| format!("      {line}\n")).collect();
    aggregate(&format!("  - name: it\n    path: \"{path}\"\n    timeout: 3s\n    filters: [login]\n    aggregate:\n{lines}")).0
}

/// A request for it.
pub(super) struct Asked {
    pub(super) head: RequestHeader,
    pub(super) facts: Facts,
    pub(super) body: Bytes,
}

pub(super) fn get(target: &str) -> Asked {
    let head = RequestHeader::build("GET", target.as_bytes(), None).expect("a request");
    let facts = Facts::new("192.0.2.1".parse().expect("an address"), HeaderValue::from_static("r-1"));
    Asked { head, facts, body: Bytes::new() }
}

impl Asked {
    pub(super) fn header(mut self, name: &'static str, value: &[u8]) -> Self {
        self.head.append_header(name, HeaderValue::from_bytes(value).expect("a value")).expect("a header");
        self
    }

    pub(super) fn post(mut self, body: &str) -> Self {
        self.head.set_method(Method::POST);
        self.body = Bytes::copy_from_slice(body.as_bytes());
        self
    }
}

/// What came of a request.
pub(super) struct Came {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
    pub(super) missing: Vec<Arc<str>>,
    pub(super) causes: Vec<String>,
    pub(super) reply: Reply,
}

impl Came {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| fields::text(value).expect("text"))
    }
}

/// Makes the request; whatever it waits for comes within seconds, or the test fails.
pub(super) async fn ask(aggregate: &Aggregate, asked: &Asked, table: &Table) -> Came {
    let inquiry = Inquiry { head: &asked.head, facts: &asked.facts, body: asked.body.clone(), calls: table, deadline: None };
    let composed = tokio::time::timeout(Duration::from_secs(20), aggregate.compose(inquiry)).await;
    let Composed { reply, missing, saga, .. } = composed.expect("an answer in time");
    assert!(saga.is_none());
    let (head, body) = reply.render(Form::default(), &HeaderValue::from_static("r-1"));
    assert_eq!(head.headers["content-length"], body.len().to_string());
    assert_eq!(table.on_their_way.lock().expect("a count").0, 0, "nothing is left of a request that has its answer");
    Came {
        status: head.status.as_u16(),
        headers: head.headers.clone(),
        text: String::from_utf8(body.to_vec()).expect("text"),
        causes: missing.iter().map(|missing| missing.cause.to_string()).collect(),
        missing: missing.into_iter().map(|missing| missing.name).collect(),
        reply,
    }
}
