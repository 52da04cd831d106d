//! What becomes of a request, from its head to the upstream that is asked or the answer that the gateway gives itself.
//!
//! Serving and `frontgate explain` call this one function, so the two cannot differ. It knows heads and facts, no session: what it learns
//! goes where the caller keeps it, and is there however the decision ends, even when the client leaves while a filter waits.

mod grpc;
mod hygiene;
pub(crate) use hygiene::{authority, content_length};

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Instant;

use frontgate_filters::chain::{Decision as FilterDecision, Exchange};
use frontgate_filters::filter::{Facts, Request};
use frontgate_filters::reply::Reply;
use frontgate_filters::words::fields;
use http::header::{CONTENT_LENGTH, EXPECT, LOCATION, VARY};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use pingora_http::RequestHeader;

use crate::action::{Act, Ask, Chosen};
use crate::compose::Composition;
use crate::door::wire::Refusal;
use crate::overload::Stage;
use crate::refusals;
use crate::request_id::new_request_id;
use crate::router::Found;
use crate::snapshot::{Route, Snapshot};
use crate::via;
use crate::websocket;

/// A request to decide upon, and where what is learnt of it goes.
pub(crate) struct Asked<'a> {
    /// Its head, which is made fit to be sent on.
    pub head: &'a mut RequestHeader,
    /// What is known of it: at first only who is connected, as the client's address.
    pub facts: &'a mut Facts,
    /// Where the filters leave their response halves.
    pub exchange: &'a mut Exchange,
    /// The index of the route that takes it, once there is one.
    pub route: &'a mut Option<usize>,
    /// What was chosen for it, once that was, where its route leaves something to it.
    pub chosen: &'a mut Option<Box<Chosen>>,
    /// Whether who is connected is a trusted proxy.
    pub trusted: &'a mut bool,
    /// The port that the listener sends every client to, over HTTPS.
    pub redirect: Option<NonZeroU16>,
    /// How much is given up under overload.
    pub overload: Stage,
    /// When the request began.
    pub now: Instant,
    /// Where the reasons go while the decision is being explained.
    pub trace: Option<&'a mut Trace>,
}

/// What became of a request.
pub(crate) enum Decision<'s> {
    /// An upstream is asked.
    Ask(Ask<'s>),
    /// The gateway answers itself.
    Answer(Reply, By),
    /// It answers from calls that it makes.
    Compose(&'s Arc<dyn Composition>),
}

/// What made an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// The request itself: it is not fit to be served, or asks about the gateway as a whole.
    Request,
    /// No route has its host and path.
    NoRoute,
    /// Routes of its host and path ask for facts that it has not.
    Unmet,
    /// Its host and path have other methods.
    WrongMethod,
    /// The gateway is overloaded, and other routes matter more.
    Overload,
    /// A filter.
    Filter,
    /// What the route leads to.
    Action,
}

/// How a decision came about.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// The host that chose the route, empty where the request names none; none at all where the request was not fit to be routed.
    pub host: Option<String>,
    /// The headers that were left when the filters were asked.
    pub headers: Vec<HeaderName>,
    /// The routes of its host and path that were passed over, each with the reason.
    pub passed: Vec<(usize, String)>,
    /// What each filter decided, in order.
    pub filters: Vec<FilterDecision>,
    /// What was chosen for the request, where its route leaves something to it, and why.
    pub choices: Vec<String>,
    /// Whether a running gateway explains: what it holds just now counts, and is told.
    pub live: bool,
    /// Whether the request is served for real, though nobody is connected.
    pub served: bool,
}

/// Decides what becomes of a request under this configuration.
pub(crate) async fn decide<'s>(snapshot: &'s Snapshot, mut asked: Asked<'_>) -> Decision<'s> {
    let (route, wish) = match take(snapshot, &mut asked) {
        Ok(taken) => taken,
        Err((reply, by)) => return Decision::Answer(reply, by),
    };
    if let Some(reply) = filter(route, wish, &mut asked).await {
        return Decision::Answer(reply, By::Filter);
    }
    match route.action.act(asked.head, asked.facts, &snapshot.pools) {
        Act::Ask(ask) => Decision::Ask(ask),
        Act::Answer(reply) => Decision::Answer(reply, By::Action),
        Act::Compose(composition) => Decision::Compose(composition),
    }
}

/// Runs the request through the route's filters; between two of them it is decided what the route leaves to it. The answer, where one of them
/// gives it.
async fn filter(route: &Route, wish: Option<HeaderValue>, asked: &mut Asked<'_>) -> Option<Reply> {
    let (live, served) = asked.trace.as_ref().map_or((false, true), |trace| (trace.live, trace.served));
    let (explained, told_and_served) = (!served, served && asked.trace.is_some());
    let (mut told, mut choices) = match &mut asked.trace {
        Some(trace) if served => (Some(&mut trace.filters), None),
        Some(trace) => (Some(&mut trace.filters), Some(&mut trace.choices)),
        None => (None, None),
    };
    let Some(choice) = route.action.choice() else {
        return route
            .chain
            .run(&mut Request::new(asked.head, asked.facts, asked.now).live(live).served(told_and_served), asked.exchange, told)
            .await;
    };
    let heard = choice.hear(asked.head, asked.facts, wish, *asked.trusted);
    let mut request = Request::new(asked.head, asked.facts, asked.now).live(live).served(told_and_served);
    let reply = route.chain.run_part(0..route.chooses_at, &mut request, asked.exchange, told.as_deref_mut()).await;
    if reply.is_some() {
        return reply;
    }
    *asked.chosen = Some(choice.choose(asked.head, asked.facts, &heard, asked.now, &mut choices, live));
    let mut request = Request::new(asked.head, asked.facts, asked.now).live(live).served(told_and_served);
    let reply = route.chain.run_part(route.chooses_at..route.chain.links().len(), &mut request, asked.exchange, told).await;
    if let Some(chosen) = asked.chosen.as_deref_mut().filter(|chosen| chosen.gave_way(asked.facts)) {
        chosen.give_way(asked.facts, !explained);
        asked.exchange.moved(&chosen.pool().name, asked.now);
    }
    reply
}

/// What comes before the filters, and waits for nothing: hygiene, routing, the body's limit. The route, and the version that a client asks for.
fn take<'s>(snapshot: &'s Snapshot, asked: &mut Asked<'_>) -> Result<(&'s Route, Option<HeaderValue>), (Reply, By)> {
    let head = &mut *asked.head;
    if head.method == Method::CONNECT {
        // It names no path (RFC 9113, section 8.5).
        asked.facts.request_id = new_request_id();
        let reply = match websocket::protocol(head) {
            Some(_) => refusals::unknown_protocol(),
            None => refusals::unreadable(Refusal::CONNECT),
        };
        return Err((reply, By::Request));
    }
    let is_served = grpc::recognise(head, asked.facts);
    let mut wish = None;
    let host = hygiene::receive(snapshot, head, asked.facts, asked.trusted, &mut wish).map_err(|reply| (reply, By::Request))?;
    asked.facts.from_trusted = *asked.trusted;
    is_served.and_then(|()| grpc::deadline(head, asked.facts, asked.now)).map_err(|reply| (reply, By::Request))?;
    if let Some(trace) = &mut asked.trace {
        trace.host = Some(host.name(head).to_owned());
        trace.headers = head.headers.keys().cloned().collect();
    }
    if websocket::is_asked_for(head) && head.headers.contains_key(CONTENT_LENGTH) {
        // What the stream carries has none.
        return Err((refusals::bad_request("A request for a WebSocket has no Content-Length."), By::Request));
    }
    if expects_more(head) {
        return Err((refusals::unmet_expectation(), By::Request));
    }
    let path = head.uri.path();
    if path == "*" {
        // About the gateway as a whole (RFC 9110, section 9.3.7).
        return Err((Reply::empty(StatusCode::NO_CONTENT, "options"), By::Request));
    }
    if let Some(port) = asked.redirect {
        return Err((to_https(host.name(head), port, head), By::Request));
    }
    snapshot.recognise(head, asked.facts);
    if let Some(trace) = &mut asked.trace {
        trace.passed = snapshot.passed_over(host.name(head), path, head, asked.facts);
    }
    let index = match snapshot.find(host.name(head), path, head, asked.facts) {
        Found::Route(index) => index,
        Found::Unmet { last } => {
            let reply = refusals::no_route_for_these_facts();
            let varying = snapshot.routes[last].varies_by.iter();
            return Err((varying.fold(reply, |reply, name| reply.with(VARY, HeaderValue::from(name.clone()))), By::Unmet));
        }
        Found::WrongMethod { allow } => return Err((refusals::wrong_method(allow), By::WrongMethod)),
        Found::None => return Err((refusals::no_route(), By::NoRoute)),
    };
    *asked.route = Some(index);
    let route = &snapshot.routes[index];
    route.introduce(index, asked.facts);
    if asked.overload.refuses(route.priority) {
        return Err((refusals::overloaded(), By::Overload));
    }
    if via::is_loop(&head.headers) {
        return Err((refusals::loops(), By::Request));
    }
    // Of a call each message is measured, where it begins.
    let is_call = route.takes_calls && asked.facts.grpc.is_some();
    if !is_call && content_length(head).is_some_and(|length| length > route.body_limit) {
        return Err((refusals::body_too_large(), By::Request));
    }
    Ok((route, wish))
}

/// Whether something is expected that the gateway does not know.
fn expects_more(head: &RequestHeader) -> bool {
    fields::list(&head.headers, &EXPECT).any(|member| !member.eq_ignore_ascii_case(b"100-continue"))
}

/// The same host, path and query over HTTPS.
fn to_https(host: &str, port: NonZeroU16, head: &RequestHeader) -> Reply {
    if host.is_empty() {
        return refusals::bad_request("The request names no host.");
    }
    // What was checked is ASCII; an IPv6 address keeps its brackets.
    let port = if port.get() == 443 { String::new() } else { format!(":{port}") };
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    match HeaderValue::from_str(&format!("https://{host}{port}{target}")) {
        Ok(to) => Reply::empty(StatusCode::PERMANENT_REDIRECT, "redirect").with(LOCATION, to),
        Err(_) => refusals::bad_request("The target cannot be sent elsewhere."),
    }
}

#[cfg(test)]
mod tests;
