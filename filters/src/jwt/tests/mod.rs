//! Tokens in, decisions out: what is taken, what is refused and with which word.

mod attacks;
mod cache;
mod requests;
mod vectors;

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::{LazyLock, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use http::HeaderValue;
use prometheus::Registry;
use serde_json::{Value, json};

use super::issuer::Issuer;
use super::supply::Remote;
use super::*;
use crate::filter::Facts;
use crate::filter::build::Nowhere;
use crate::filter::document::{Document, RemoteDocument};
use crate::reply::Reply;
use crate::words::claims::Claim;
use crate::words::fields;
use crate::words::url::Url;

/// The time of all tests: 2026-01-01.
pub const NOW: u64 = 1_767_225_600;
pub const SECRET: &str = "a secret of more than thirty-two bytes, only for tests";

pub static ES256: LazyLock<Issuer> = LazyLock::new(|| Issuer::fresh("es", Algorithm::ES256).expect("a key"));
pub static RS256: LazyLock<Issuer> = LazyLock::new(|| Issuer::fresh("rs", Algorithm::RS256).expect("a key"));
pub static EDDSA: LazyLock<Issuer> = LazyLock::new(|| Issuer::fresh("ed", Algorithm::EdDSA).expect("a key"));

pub fn good() -> Value {
    json!({"iss": "https://id/", "aud": "shop", "sub": "u-1", "exp": NOW + 600, "roles": ["user", "admin"]})
}

pub fn with(name: &str, value: Value) -> Value {
    let mut claims = good();
    claims[name] = value;
    claims
}

pub fn without(name: &str) -> Value {
    let mut claims = good();
    claims.as_object_mut().expect("an object").remove(name);
    claims
}

pub fn metrics() -> Families {
    Families::new(&Registry::new())
}

thread_local! {
    /// How many signatures the keys were asked about by this thread, which is this test.
    pub static VERIFICATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The filter over these keys, its clock stopped.
pub fn filter(keys: Keys, options: &str) -> Jwt {
    let mut all = json!({"issuer": "https://id/", "audience": ["shop", "other"], "algorithms": ["ES256", "RS256", "EdDSA"],
        "keys": {"jwks": {"url": "http://unused/"}}});
    let more: Value = serde_json::from_str(options).expect("options");
    for (key, value) in more.as_object().expect("options") {
        all[key] = value.clone();
    }
    let config: Config = serde_json::from_value(all).expect("valid options");
    let metrics = metrics();
    let build = Build { name: "login", metrics: &metrics, outside: &Nowhere::default(), previous: None };
    let mut filter = Jwt::build(&config, &build).expect("a filter");
    filter.keys = Supply::Held(Arc::new(keys));
    filter.clock = || UNIX_EPOCH + Duration::from_secs(NOW);
    filter
}

/// A set with the keys of all issuers of the tests.
pub fn all_keys() -> Keys {
    Keys::from_jwks(all_jwks().as_bytes()).expect("keys")
}

pub fn all_jwks() -> String {
    json!({"keys": [ES256.jwk(), RS256.jwk(), EDDSA.jwk()]}).to_string()
}

/// A supply from this shelf.
pub fn from_shelf(shelf: Shelf) -> Supply {
    Supply::Remote(Remote::new(Arc::new(shelf), Url::parse("http://id/").expect("a URL")))
}

/// What became of a request.
pub struct Outcome {
    pub reply: Option<Reply>,
    pub head: RequestHeader,
    pub facts: Facts,
}

impl Outcome {
    pub fn status(&self) -> u16 {
        self.reply.as_ref().map_or(200, |reply| reply.status.as_u16())
    }
    pub fn challenge(&self) -> &str {
        let headers = &self.reply.as_ref().expect("a reply").headers;
        headers.iter().find(|(name, _)| name == http::header::WWW_AUTHENTICATE).map_or("", |(_, value)| fields::text(value).expect("text"))
    }
}

pub fn ask(filter: &Jwt, headers: &[(&'static str, &str)]) -> Outcome {
    let mut head = RequestHeader::build("GET", b"/", None).expect("a head");
    for (name, value) in headers {
        head.append_header(*name, *value).expect("a header");
    }
    let mut facts = Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r-1"));
    let reply = {
        let mut request = Request::new(&mut head, &mut facts, Instant::now());
        now(settle(filter.request(&mut request)))
    };
    Outcome { reply, head, facts }
}

async fn settle(mut verdict: Verdict<'_>) -> Option<Reply> {
    loop {
        match verdict {
            Verdict::Wait(wait) => verdict = wait.await,
            Verdict::Reply(reply) => return Some(reply),
            _ => return None,
        }
    }
}

/// What is not ready at once never will be in a unit test.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waited"),
    }
}

pub fn bearer(filter: &Jwt, token: &str) -> Outcome {
    ask(filter, &[("Authorization", &format!("Bearer {token}"))])
}

/// A key set elsewhere of which these are the versions, one a fetch.
#[derive(Default)]
pub struct Shelf {
    pub current: Arc<Mutex<Option<Arc<Document>>>>,
    pub next: Arc<Mutex<Vec<Arc<Document>>>>,
    pub asked: Arc<Mutex<u32>>,
}

impl RemoteDocument for Shelf {
    fn current(&self) -> Option<Arc<Document>> {
        self.current.lock().expect("a lock").clone()
    }
    fn refresh(&self, _: u64) -> crate::filter::BoxFuture<'static, ()> {
        let (current, next, asked) = (self.current.clone(), self.next.clone(), self.asked.clone());
        Box::pin(async move {
            *asked.lock().expect("a lock") += 1;
            if let Some(document) = next.lock().expect("a lock").pop() {
                *current.lock().expect("a lock") = Some(document);
            }
        })
    }
    fn age(&self) -> Option<Duration> {
        None
    }
}
