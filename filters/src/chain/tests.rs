use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use http::HeaderValue;
use pingora_http::RequestHeader;

use super::*;

/// A filter that writes down what is asked of it and replies or waits when told to.
struct Probe {
    name: &'static str,
    log: Arc<Mutex<Vec<String>>>,
    reply: bool,
    wait: bool,
}

impl Filter for Probe {
    fn request<'a>(&'a self, request: &'a mut Request<'_>) -> Verdict<'a> {
        self.log.lock().expect("a log").push(format!("{} request", self.name));
        request.head.insert_header("x-seen", self.name).expect("a header");
        request.because(|| format!("{} was asked", self.name));
        let verdict = if self.reply {
            Verdict::Reply(Reply::problem(StatusCode::FORBIDDEN, "no", "No."))
        } else {
            Verdict::ContinueWith(Box::new(Heard { name: self.name, log: self.log.clone() }))
        };
        if self.wait { Verdict::Wait(Box::pin(async move { verdict })) } else { verdict }
    }
    fn answer(&self, head: &mut ResponseHeader, _: &Facts) {
        head.insert_header("x-marked", self.name).expect("a header");
    }
}

struct Heard {
    name: &'static str,
    log: Arc<Mutex<Vec<String>>>,
}

impl ResponseFilter for Heard {
    fn head(&mut self, head: &mut ResponseHeader) -> Want {
        self.log.lock().expect("a log").push(format!("{} head", self.name));
        head.insert_header("x-half", self.name).expect("a header");
        Want::Chunks
    }
    fn body(&mut self, body: &mut Option<Bytes>, _: bool) -> Flow {
        self.log.lock().expect("a log").push(format!("{} body", self.name));
        *body = Some(Bytes::from(format!("[{}]", self.name)));
        Flow::Go
    }
    fn done(self: Box<Self>, outcome: &Outcome) {
        self.log.lock().expect("a log").push(format!("{} done {}", self.name, outcome.status));
    }
}

struct Bench {
    log: Arc<Mutex<Vec<String>>>,
    links: Vec<Link>,
}

impl Bench {
    fn new() -> Self {
        Self { log: Arc::default(), links: Vec::new() }
    }
    fn filter(mut self, name: &'static str, mode: Mode, reply: bool, wait: bool) -> Self {
        let filter = Arc::new(Probe { name, log: self.log.clone(), reply, wait });
        self.links.push(Link { name: name.into(), kind: "probe", mode, filter });
        self
    }
    fn chain(self) -> (Chain, Arc<Mutex<Vec<String>>>) {
        (Chain::new(self.links), self.log)
    }
}

fn facts() -> Facts {
    Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r"))
}

/// The probes never wait for anything, so one poll is enough.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a probe waited"),
    }
}

#[test]
fn requests_run_in_order_and_responses_in_reverse() {
    let (chain, log) = Bench::new().filter("a", Mode::Enforce, false, false).filter("b", Mode::Enforce, false, true).chain();
    let (mut head, mut facts, mut exchange) = (RequestHeader::build("GET", b"/", None).expect("a head"), facts(), Exchange::default());

    let reply = now(chain.request(&mut Request::new(&mut head, &mut facts, Instant::now()), &mut exchange));
    let mut answer = ResponseHeader::build(200, None).expect("a head");
    exchange.head(&Method::GET, &mut answer);
    let mut body = Some(Bytes::from_static(b"x"));
    exchange.body(&mut body, true);
    exchange.done(&Outcome { status: 200, complete: true, upstream_broke: false, grpc: None });

    assert!(reply.is_none());
    assert_eq!(answer.headers["x-half"], "a");
    assert_eq!(body.as_deref(), Some(b"[a]".as_slice()));
    assert_eq!(*log.lock().expect("a log"), ["a request", "b request", "b head", "a head", "b body", "a body", "b done 200", "a done 200"]);
}

#[test]
fn a_reply_ends_the_way_in() {
    let (chain, log) = Bench::new().filter("a", Mode::Enforce, true, false).filter("b", Mode::Enforce, false, false).chain();
    let (mut head, mut facts, mut exchange) = (RequestHeader::build("GET", b"/", None).expect("a head"), facts(), Exchange::default());

    let reply = now(chain.request(&mut Request::new(&mut head, &mut facts, Instant::now()), &mut exchange));

    assert_eq!(reply.map(|reply| reply.status), Some(StatusCode::FORBIDDEN));
    assert_eq!(*log.lock().expect("a log"), ["a request"]);
}

#[test]
fn an_observing_filter_counts_and_alters_nothing() {
    let (chain, log) = Bench::new().filter("a", Mode::Observe, true, false).filter("b", Mode::Observe, false, false).chain();
    let (mut head, mut facts, mut exchange) = (RequestHeader::build("GET", b"/", None).expect("a head"), facts(), Exchange::default());

    let reply = now(chain.request(&mut Request::new(&mut head, &mut facts, Instant::now()), &mut exchange));
    let mut answer = ResponseHeader::build(200, None).expect("a head");
    exchange.head(&Method::GET, &mut answer);
    let mut body = Some(Bytes::from_static(b"x"));
    exchange.body(&mut body, true);
    chain.mark(&mut answer, &facts);

    assert!(reply.is_none());
    assert!(head.headers.is_empty() && answer.headers.is_empty());
    assert_eq!(body.as_deref(), Some(b"x".as_slice()));
    assert_eq!(*log.lock().expect("a log"), ["a request", "b request", "b head", "b body"]);
}

#[test]
fn answers_without_a_body_offer_none() {
    for (method, status) in [(Method::HEAD, 200), (Method::GET, 204), (Method::GET, 206), (Method::GET, 304)] {
        let (chain, log) = Bench::new().filter("a", Mode::Enforce, false, false).chain();
        let (mut head, mut facts, mut exchange) = (RequestHeader::build("GET", b"/", None).expect("a head"), facts(), Exchange::default());
        now(chain.request(&mut Request::new(&mut head, &mut facts, Instant::now()), &mut exchange));

        exchange.head(&method, &mut ResponseHeader::build(status, None).expect("a head"));
        exchange.body(&mut Some(Bytes::new()), true);

        assert_eq!(*log.lock().expect("a log"), ["a request", "a head"], "{method} {status}");
    }
}

#[test]
fn explaining_tells_each_decision_up_to_the_reply() {
    let (chain, _) = Bench::new()
        .filter("a", Mode::Observe, true, false)
        .filter("b", Mode::Enforce, true, false)
        .filter("c", Mode::Enforce, false, false)
        .chain();
    let (mut head, mut facts) = (RequestHeader::build("GET", b"/", None).expect("a head"), facts());

    let decisions = now(chain.explain(&mut Request::new(&mut head, &mut facts, Instant::now())));

    let told: Vec<_> = decisions.iter().map(|d| (d.name.as_str(), d.observed, d.replies.is_some(), d.reasons[0].as_ref())).collect();
    assert_eq!(told, [("a", true, true, "a was asked"), ("b", false, true, "b was asked")]);
}

/// A half that holds everything back until it is asked, and says whose it is.
struct Holding {
    name: &'static str,
    held: Vec<u8>,
    aborts: bool,
}

impl ResponseFilter for Holding {
    fn head(&mut self, _: &mut ResponseHeader) -> Want {
        Want::Chunks
    }
    fn body(&mut self, body: &mut Option<Bytes>, last: bool) -> Flow {
        self.held.extend_from_slice(&body.take().unwrap_or_default());
        if last { self.pause(body) } else { Flow::Go }
    }
    fn pause(&mut self, body: &mut Option<Bytes>) -> Flow {
        if self.aborts {
            return Flow::Abort(Reply::problem(StatusCode::BAD_GATEWAY, "no", "No."));
        }
        let held = std::mem::take(&mut self.held);
        *body = (!held.is_empty()).then(|| [self.name.as_bytes(), &held].concat().into());
        Flow::Go
    }
}

fn holding(halves: &[(&'static str, bool, bool)]) -> Exchange {
    let halves = halves.iter().map(|(name, observed, aborts)| Half {
        observed: *observed,
        wants_body: false,
        silent: false,
        filter: Box::new(Holding { name, held: Vec::new(), aborts: *aborts }),
    });
    let mut exchange = Exchange { halves: halves.collect(), ..Exchange::default() };
    exchange.head(&Method::GET, &mut ResponseHeader::build(200, None).expect("a head"));
    exchange
}

#[test]
fn at_a_pause_what_one_holds_goes_through_those_outside_of_it() {
    let mut exchange = holding(&[("outer:", false, false), ("seen:", true, false), ("inner:", false, false)]);
    let mut body = Some(Bytes::from_static(b"text"));
    assert!(matches!(exchange.body(&mut body, false), Flow::Go) && body.is_none());

    let mut paused = None;
    assert!(matches!(exchange.pause(&mut paused), Flow::Go));
    let mut again = None;
    assert!(matches!(exchange.pause(&mut again), Flow::Go));

    assert_eq!((paused.as_deref(), again), (Some(&b"outer:inner:text"[..]), None));
}

#[test]
fn a_half_may_break_off_at_a_pause_unless_it_only_observes() {
    for (observed, aborts) in [(false, true), (true, false)] {
        let mut exchange = holding(&[("one", observed, true)]);

        assert_eq!(matches!(exchange.pause(&mut None), Flow::Abort(_)), aborts);
    }
}
