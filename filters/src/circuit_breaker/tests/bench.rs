//! A breaker at the end of a chain, and requests that run through it as the proxy would send them.

use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderValue;
use pingora_http::{RequestHeader, ResponseHeader};
use prometheus::Registry;

use crate::chain::{Chain, Exchange, Link};
use crate::count::metrics::Families;
use crate::filter::build::{Build, Nowhere};
use crate::filter::inspect::{CircuitState, CircuitStatus, Forced};
use crate::filter::{Attempt, Facts, Failure, Filter, Outcome, Request, Rescue};
use crate::registry::{FilterEntry, Mode};
use crate::reply::{Form, Reply};
use crate::words::fields;

const UPSTREAMS: [&str; 2] = ["catalog", "catalog-next"];

pub struct Bench {
    pub chain: Chain,
    pub filter: Arc<dyn Filter>,
    pub metrics: Families,
    pub now: Instant,
}

/// What a client gets.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub head: ResponseHeader,
    pub body: Bytes,
    /// The pools that were asked, in order.
    pub asked: Vec<String>,
    pub circuit: Option<&'static str>,
}

impl Got {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).map(|value| fields::text(value).expect("text"))
    }
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

pub fn pools(names: &[&str]) -> Nowhere {
    Nowhere { upstreams: names.iter().map(|name| Arc::from(*name)).collect(), routes: Vec::new() }
}

pub fn build(options: &str, previous: Option<&Arc<dyn Filter>>, metrics: &Families, names: &[&str]) -> (Mode, Arc<dyn Filter>) {
    let entry: FilterEntry = serde_json::from_str(&format!(r#"{{"circuit_breaker": {options}}}"#)).expect("valid options");
    assert_eq!(entry.config.options().problems(), []);
    let outside = pools(names);
    let filter = entry.config.options().build(&Build { name: "guard", metrics, outside: &outside, previous }).expect("a filter");
    (entry.mode, filter)
}

impl Bench {
    pub fn new(options: &str) -> Self {
        let metrics = Families::new(&Registry::new());
        let (mode, filter) = build(options, None, &metrics, &UPSTREAMS);
        let chain = Chain::new(vec![Link { name: "guard".into(), kind: "circuit_breaker", mode, filter: filter.clone() }]);
        Self { chain, filter, metrics, now: Instant::now() }
    }

    /// Holds every circuit, or lets it go.
    pub fn force(&self, forced: Option<Forced>) {
        for upstream in UPSTREAMS {
            assert!(self.filter.force_circuit(upstream, forced), "{upstream}");
        }
    }

    /// The circuit of the upstream that requests are for; it was asked.
    pub fn circuit(&self) -> CircuitStatus {
        let circuits = self.filter.inspect().circuits;
        circuits.into_iter().find(|circuit| &*circuit.upstream == "catalog").expect("a circuit")
    }

    pub fn later(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// A GET of this path, each pool it reaches answering as `origin` says.
    pub fn get(&self, path: &str, origin: impl Fn(&str) -> Result<ResponseHeader, Failure>) -> Got {
        self.send(request("GET", path), facts(), origin, "fresh")
    }

    pub fn send(
        &self,
        mut head: RequestHeader,
        mut facts: Facts,
        origin: impl Fn(&str) -> Result<ResponseHeader, Failure>,
        body: &str,
    ) -> Got {
        let mut exchange = Exchange::default();
        let reply = self.ask(&mut head, &mut facts, &mut exchange);
        let mut asked = Vec::new();
        let mut reply = reply;
        let mut pool = facts.upstream.clone().expect("a pool");
        while reply.is_none() {
            asked.push(pool.to_string());
            let answer = origin(&pool);
            let result = answer.as_ref().map_err(|failure| *failure);
            let attempt = Attempt {
                upstream: &pool,
                result,
                took: Duration::from_millis(10),
                now: self.now,
                last: true,
                replayable: true,
                grpc: None,
            };
            match exchange.attempt(&attempt) {
                Rescue::Pool(next) => pool = next,
                Rescue::Reply(rescue) => reply = Some(rescue),
                Rescue::Pass => {
                    let (mut answer, mut body) = match answer {
                        Ok(head) => (head, Some(Bytes::copy_from_slice(body.as_bytes()))),
                        Err(_) => (status(502), Some(Bytes::new())),
                    };
                    exchange.head(&head.method, &mut answer);
                    exchange.body(&mut body, true);
                    exchange.done(&Outcome { status: answer.status.as_u16(), complete: true, upstream_broke: false, grpc: None });
                    let body = body.unwrap_or_default();
                    return Got {
                        status: answer.status.as_u16(),
                        head: answer,
                        body,
                        asked,
                        circuit: facts.circuit.map(CircuitState::name),
                    };
                }
            }
        }
        let reply = reply.expect("the loop ends with one");
        let (mut answer, body) = reply.render(Form::default(), &facts.request_id);
        exchange.head(&head.method, &mut answer);
        exchange.done(&Outcome { status: reply.status.as_u16(), complete: true, upstream_broke: false, grpc: None });
        Got { status: reply.status.as_u16(), head: answer, body, asked, circuit: facts.circuit.map(CircuitState::name) }
    }

    /// Only the way in.
    pub fn ask(&self, head: &mut RequestHeader, facts: &mut Facts, exchange: &mut Exchange) -> Option<Reply> {
        now(self.chain.request(&mut Request::new(head, facts, self.now), exchange))
    }
}

pub fn request(method: &str, path: &str) -> RequestHeader {
    let mut head = RequestHeader::build(method, path.as_bytes(), None).expect("a head");
    head.insert_header("Host", "shop.example").expect("a header");
    head
}

pub fn facts() -> Facts {
    let mut facts = Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r"));
    facts.route = "products".into();
    facts.upstream = Some("catalog".into());
    facts
}

pub fn status(status: u16) -> ResponseHeader {
    ResponseHeader::build(status, None).expect("a head")
}

pub fn with(code: u16, headers: &[(&'static str, &str)]) -> ResponseHeader {
    let mut head = status(code);
    for (name, value) in headers {
        head.append_header(*name, *value).expect("a header");
    }
    head
}

/// The chain never waits for anything here, so one poll is enough.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a filter waited"),
    }
}
