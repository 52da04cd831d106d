//! The table of what operators can ask and do, and each row's answer.

use std::collections::BTreeSet;
use std::time::Instant;

use frontgate_filters::words::units::Duration;
use http::StatusCode;
use pingora_http::RequestHeader;
use serde_json::json;

use super::Admin;
use super::answer::{Answer, Pending, TEXT, answer, json, no_such, problem, refusal, text};
use super::dashboard;
use super::parameter::parameter;
#[cfg(feature = "saga")]
use super::sagas;
use super::tap::{self, Lines};
use crate::changes::{Key, Portrait};
use crate::discovery::in_words;
use crate::explain::Posted;
use crate::reload::{Cause, NO_HISTORY, NotRolledBack, Refused};
use crate::status::{Accepted, ByHand, CircuitForced, Draining, Force, Level, LogLevelSet};
use crate::telemetry::{Reach, own_log, timestamp};
use crate::upstream::pool::{NotObeyed, Order};
use crate::who::Who;

/// Something that can be asked for.
pub(super) struct Resource {
    /// Its path; `{id}` in it is one segment, whichever.
    pub path: &'static str,
    /// Its method.
    pub takes: Takes,
    /// The parameters of its query; nothing where it takes whatever comes, as probes may.
    pub asks: Option<&'static [&'static str]>,
    /// Whether the status address has it, too: it changes nothing, and tells of nobody.
    pub open: bool,
    /// What it does.
    pub act: Act,
}

/// The method that a resource takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// GET, and HEAD with it.
    Get,
    /// POST.
    Post,
}

/// What stands for the id in a path.
const ID: &str = "{id}";

impl Resource {
    /// Whether this path is its own.
    pub(super) fn is_at(&self, path: &str) -> bool {
        let Some((before, after)) = self.path.split_once(ID) else { return self.path == path };
        let id = path.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        id.is_some_and(|id| !id.is_empty() && !id.contains('/'))
    }
}

/// How an answer is made.
pub(super) enum Act {
    /// At once.
    Now(fn(&Admin, &RequestHeader) -> Answer),
    /// At once, and the log says who asked for it: it changes something.
    By(fn(&Admin, &RequestHeader, &Who) -> Answer),
    /// The same after a wait.
    LaterBy(for<'a> fn(&'a Admin, &'a RequestHeader, Who) -> Pending<'a>),
    /// At once, to what comes as the request's body.
    Asked(fn(&Admin, &[u8]) -> Answer),
    /// As lines that come, or a refusal.
    Lines(fn(&Admin, &RequestHeader) -> Result<Lines, Answer>),
}

/// Everything there is.
pub(super) const RESOURCES: &[Resource] = &[
    Resource { path: "/livez", takes: Takes::Get, asks: None, open: true, act: Act::Now(|_, _| text(StatusCode::OK, "ok\n")) },
    Resource { path: "/readyz", takes: Takes::Get, asks: None, open: true, act: Act::Now(|admin, _| ready(admin)) },
    Resource { path: "/healthz", takes: Takes::Get, asks: None, open: true, act: Act::Now(health) },
    Resource { path: "/metrics", takes: Takes::Get, asks: None, open: true, act: Act::Now(|admin, _| metrics(admin)) },
    Resource { path: super::PAGE, takes: Takes::Get, asks: None, open: false, act: Act::Now(dashboard::page) },
    Resource {
        path: "/-/dashboard",
        takes: Takes::Get,
        asks: Some(&["match"]),
        open: false,
        act: Act::LaterBy(|admin, head, _| Box::pin(dashboard::numbers(admin, head))),
    },
    Resource {
        path: "/-/reload",
        takes: Takes::Post,
        asks: Some(&[]),
        open: false,
        act: Act::LaterBy(|admin, _, who| Box::pin(reload(admin, who))),
    },
    Resource {
        path: "/-/history",
        takes: Takes::Get,
        asks: Some(&[]),
        open: false,
        act: Act::LaterBy(|admin, _, _| Box::pin(history(admin))),
    },
    Resource {
        path: "/-/rollback",
        takes: Takes::Post,
        asks: Some(&["hash"]),
        open: false,
        act: Act::LaterBy(|admin, head, who| Box::pin(rollback(admin, head, who))),
    },
    Resource { path: "/-/log", takes: Takes::Post, asks: Some(&["level", "for"]), open: false, act: Act::By(log_level) },
    Resource { path: "/-/drain", takes: Takes::Post, asks: Some(&[]), open: false, act: Act::By(drain) },
    Resource {
        path: "/-/circuit",
        takes: Takes::Post,
        asks: Some(&["filter", "upstream", "force", "for"]),
        open: false,
        act: Act::By(circuit),
    },
    Resource { path: "/-/upstreams/accept", takes: Takes::Post, asks: Some(&["upstream"]), open: false, act: Act::By(accept) },
    Resource {
        path: "/-/upstreams/drain",
        takes: Takes::Post,
        asks: Some(&["upstream", "endpoint", "for"]),
        open: false,
        act: Act::By(by_hand),
    },
    Resource {
        path: "/-/upstreams/ready",
        takes: Takes::Post,
        asks: Some(&["upstream", "endpoint", "for"]),
        open: false,
        act: Act::By(by_hand),
    },
    Resource {
        path: "/-/upstreams/weight",
        takes: Takes::Post,
        asks: Some(&["upstream", "endpoint", "weight", "for"]),
        open: false,
        act: Act::By(by_hand),
    },
    Resource {
        path: "/-/config",
        takes: Takes::Get,
        asks: Some(&["hash", "key"]),
        open: false,
        act: Act::LaterBy(|admin, head, _| Box::pin(config(admin, head))),
    },
    Resource {
        path: "/-/fault",
        takes: Takes::Get,
        asks: Some(&[]),
        open: false,
        act: Act::Now(|admin, _| json(StatusCode::OK, &admin.gateway.drills())),
    },
    Resource {
        path: "/-/fault/stop",
        takes: Takes::Post,
        asks: Some(&[]),
        open: false,
        act: Act::By(|admin, _, who| drills(admin, who, true)),
    },
    Resource {
        path: "/-/fault/start",
        takes: Takes::Post,
        asks: Some(&[]),
        open: false,
        act: Act::By(|admin, _, who| drills(admin, who, false)),
    },
    Resource { path: "/-/limits", takes: Takes::Get, asks: Some(&["filter"]), open: false, act: Act::Now(limits) },
    Resource { path: "/-/explain", takes: Takes::Post, asks: Some(&[]), open: false, act: Act::Asked(explain) },
    Resource { path: "/-/why", takes: Takes::Get, asks: Some(&["id"]), open: false, act: Act::Now(why) },
    Resource { path: "/-/tap", takes: Takes::Get, asks: Some(&["filter", "for"]), open: false, act: Act::Lines(tap::open) },
    #[cfg(feature = "saga")]
    Resource {
        path: "/-/sagas",
        takes: Takes::Get,
        asks: Some(&["state", "route", "older", "key*"]),
        open: false,
        act: Act::LaterBy(sagas::list),
    },
    #[cfg(feature = "saga")]
    Resource { path: "/-/sagas/{id}", takes: Takes::Get, asks: Some(&[]), open: false, act: Act::LaterBy(sagas::show) },
    #[cfg(feature = "saga")]
    Resource { path: "/-/sagas/{id}/retry", takes: Takes::Post, asks: Some(&[]), open: false, act: Act::LaterBy(sagas::act) },
    #[cfg(feature = "saga")]
    Resource { path: "/-/sagas/{id}/abandon", takes: Takes::Post, asks: Some(&["note"]), open: false, act: Act::LaterBy(sagas::act) },
    #[cfg(feature = "saga")]
    Resource { path: "/-/sagas/{id}/undo", takes: Takes::Post, asks: Some(&["leave*"]), open: false, act: Act::LaterBy(sagas::act) },
    Resource { path: "/-/hash", takes: Takes::Post, asks: Some(&["value"]), open: false, act: Act::Now(hash) },
];

fn ready(admin: &Admin) -> Answer {
    let why = match &admin.gateway {
        gateway if gateway.is_draining() => "draining\n",
        gateway if gateway.down().is_some() => "a required upstream is down\n",
        gateway if !gateway.documents.has_settled() => "fetching keys\n",
        _ => return text(StatusCode::OK, "ready\n"),
    };
    text(StatusCode::SERVICE_UNAVAILABLE, why)
}

/// Whether the process serves; every dependency with it where `full=1` asks for it on the admin address.
fn health(admin: &Admin, head: &RequestHeader) -> Answer {
    let full = head.uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "full=1"));
    if !full || !admin.has_all() {
        return text(StatusCode::OK, "ok\n");
    }
    let down = admin.gateway.down().is_some();
    json(if down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }, &admin.gateway.status())
}

fn metrics(admin: &Admin) -> Answer {
    answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", admin.gateway.scrape())
}

async fn reload(admin: &Admin, who: Who) -> Answer {
    let reloader = admin.reloader.clone();
    // Reading and compiling take their time; the workers go on serving.
    match tokio::task::spawn_blocking(move || reloader.reload(&Cause::Admin(who))).await {
        Ok(Ok(mut reloaded)) => {
            reloaded.warnings.extend(admin.gateway.unmet_by_sagas().await);
            json(StatusCode::OK, &reloaded)
        }
        Ok(Err(refused)) => unprocessable(&refused),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "The reload failed inside the gateway.", None),
    }
}

/// A configuration that cannot be put in force.
fn unprocessable(refused: &Refused) -> Answer {
    let problems = match refused {
        Refused::Problems(problems) => json!({"problems": problems.to_json()}),
        Refused::Because(why) => json!({"problems": [{"severity": "error", "code": "reload", "message": why}]}),
    };
    json(StatusCode::UNPROCESSABLE_ENTITY, &problems)
}

/// The configurations that were accepted of late.
async fn history(admin: &Admin) -> Answer {
    let reloader = admin.reloader.clone();
    match tokio::task::spawn_blocking(move || reloader.history()).await {
        Ok(Some(history)) => json(StatusCode::OK, &history),
        Ok(None) => problem(StatusCode::NOT_FOUND, "not_found", NO_HISTORY, None),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "The history cannot be read.", None),
    }
}

/// Puts a configuration from before in force: the one of `hash` in the query, else the one before.
async fn rollback(admin: &Admin, head: &RequestHeader, who: Who) -> Answer {
    let (reloader, hash) = (admin.reloader.clone(), parameter(head, "hash"));
    match tokio::task::spawn_blocking(move || reloader.rollback(hash.as_deref(), &who)).await {
        Ok(Ok(rolled_back)) => json(StatusCode::OK, &rolled_back),
        Ok(Err(NotRolledBack::Unknown(why))) => problem(StatusCode::NOT_FOUND, "not_found", why, None),
        Ok(Err(NotRolledBack::Refused(refused))) => unprocessable(&refused),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "The rollback failed inside the gateway.", None),
    }
}

/// Sets how much the gateway's own log tells: `level`, and perhaps `for` in the query.
fn log_level(_: &Admin, head: &RequestHeader, who: &Who) -> Answer {
    let bad = |why| problem(StatusCode::BAD_REQUEST, "bad_request", why, None);
    let Some(level) = Level::parse(&parameter(head, "level").unwrap_or_default()) else {
        return bad("`level` must be error, warn, info, debug or usual.");
    };
    let time = match time(head) {
        Ok(time) => time.unwrap_or(own_log::SPAN),
        Err(why) => return bad(why),
    };
    if time > own_log::LONGEST {
        return bad("`for` must be a day at most.");
    }
    let now = Instant::now();
    // Before and after, so that it is told whichever of the two tells more.
    let said = match level {
        Level::Usual => format!("the operator {who} set the log back to what is usual"),
        _ => format!("the operator {who} set the log to `{}` for {}", level.label(), Duration(time)),
    };
    let heard = log::log_enabled!(log::Level::Warn);
    if heard {
        log::warn!("{said}");
    }
    own_log::hold(level, time, now);
    if !heard {
        log::warn!("{said}");
    }
    json(StatusCode::OK, &LogLevelSet { level, for_ms: own_log::held(now).map(|held| held.for_ms) })
}

fn drain(admin: &Admin, _: &RequestHeader, who: &Who) -> Answer {
    log::warn!("the operator {who} asks for the end: the gateway drains");
    // At once, so that whoever asks next is told so.
    admin.gateway.drain();
    admin.gateway.ask_to_drain();
    json(StatusCode::ACCEPTED, &Draining { requests_in_flight: admin.gateway.requests() })
}

/// Forces a circuit open or closed, or lets it decide by itself again: `filter`, `upstream`, `force`, and perhaps `for` in the query.
fn circuit(admin: &Admin, head: &RequestHeader, who: &Who) -> Answer {
    let value = |name: &str| parameter(head, name).unwrap_or_default();
    let (filter, upstream) = (value("filter"), value("upstream"));
    let Some(force) = Force::parse(&value("force")) else {
        return problem(StatusCode::BAD_REQUEST, "bad_request", "`force` must be open, closed or auto.", None);
    };
    let time = match time(head) {
        Ok(time) => time,
        Err(why) => return problem(StatusCode::BAD_REQUEST, "bad_request", why, None),
    };
    if force == Force::Auto && time.is_some() {
        return problem(StatusCode::BAD_REQUEST, "bad_request", "`for` says nothing where a circuit decides by itself.", None);
    }
    let snapshot = admin.gateway.snapshot();
    let breakers = snapshot.breakers();
    let known = breakers.get(&*filter).is_some_and(|upstreams| upstreams.contains(&*upstream));
    // What was held before a reload took it from its routes is let go all the same.
    if !(known || force == Force::Auto) || !admin.gateway.force(&filter, &upstream, force.held(), time) {
        return match breakers.get(&*filter) {
            None => no_such("circuit breaker", &filter, breakers.keys().copied()),
            Some(upstreams) => no_such(&format!("circuit of the filter `{filter}` for the upstream"), &upstream, upstreams.iter().copied()),
        };
    }
    log::warn!(
        "the operator {who} set the circuit of filter `{filter}` and upstream `{upstream}` to {}{}",
        force.label(),
        time.map_or(String::new(), |time| format!(" for {}", Duration(time)))
    );
    let for_ms = time.map(|time| time.as_millis() as u64);
    json(StatusCode::OK, &CircuitForced { filter: &filter, upstream: &upstream, force, for_ms })
}

/// Stops all drills, or lets them go on.
fn drills(admin: &Admin, who: &Who, stopped: bool) -> Answer {
    admin.gateway.stop_drills(stopped);
    log::warn!("the operator {who} {} all drills", if stopped { "stopped" } else { "let go on" });
    json(StatusCode::OK, &admin.gateway.drills())
}

/// Lets go of the endpoints of `upstream` that its sources no longer name.
fn accept(admin: &Admin, head: &RequestHeader, who: &Who) -> Answer {
    let upstream = parameter(head, "upstream").unwrap_or_default();
    let Some(left) = admin.gateway.accept(&upstream) else {
        let snapshot = admin.gateway.snapshot();
        if !snapshot.pools.contains_key(&upstream) {
            return no_such("upstream", &upstream, snapshot.pools.keys().map(|name| &**name));
        }
        let why = "All endpoints of this upstream are written as addresses: there is no source to believe.";
        return problem(StatusCode::NOT_FOUND, "not_found", why, None);
    };
    log::warn!("the operator {who} let go {} of upstream `{upstream}` that its sources no longer name", in_words(left));
    json(StatusCode::OK, &Accepted { upstream: &upstream, left })
}

/// How long something is to hold: `for` in the query, where it is there.
fn time(head: &RequestHeader) -> Result<Option<std::time::Duration>, &'static str> {
    match parameter(head, "for").map(|text| text.parse::<Duration>()) {
        None => Ok(None),
        Some(Ok(time)) => Ok(Some(time.0)),
        Some(Err(_)) => Err("`for` must be a time such as 10m."),
    }
}

/// Takes an endpoint out, puts it back or gives it another weight, as the path's last word says: `upstream`, `endpoint`, perhaps `weight` and
/// `for` in the query.
fn by_hand(admin: &Admin, head: &RequestHeader, who: &Who) -> Answer {
    let value = |name: &str| parameter(head, name).unwrap_or_default();
    let (upstream, endpoint) = (value("upstream"), value("endpoint"));
    let bad = |why| problem(StatusCode::BAD_REQUEST, "bad_request", why, None);
    let time = match time(head) {
        Ok(time) => time,
        Err(why) => return bad(why),
    };
    let order = match head.uri.path().rsplit('/').next() {
        Some("drain") => Order::Drain(time),
        Some("weight") => match value("weight").parse() {
            Ok(weight) => Order::Weight(weight, time),
            Err(_) => return bad("`weight` must be a number, as a weight in the configuration is."),
        },
        _ if time.is_some() => return bad("`for` says nothing where an endpoint is put back."),
        _ => Order::Ready,
    };
    let snapshot = admin.gateway.snapshot();
    let Some(pool) = snapshot.pools.get(&upstream).cloned() else {
        return no_such("upstream", &upstream, snapshot.pools.keys().map(|name| &**name));
    };
    let obeyed = match pool.obey(&endpoint, order, Instant::now()) {
        Ok(obeyed) => obeyed,
        Err(NotObeyed::NoEndpoint) => {
            let known = pool.status(Instant::now()).endpoints;
            let names = known.iter().flat_map(|known| [known.name.clone(), Some(known.address.to_string())]).flatten();
            let names: BTreeSet<String> = names.collect();
            return no_such(&format!("endpoint of the upstream `{upstream}` at"), &endpoint, names.iter().map(String::as_str));
        }
        Err(NotObeyed::TooMany) => {
            return problem(StatusCode::CONFLICT, "conflict", "Too many endpoints of this upstream have something set by hand.", None);
        }
    };
    let what = match order {
        Order::Drain(_) => "took out".to_owned(),
        Order::Weight(weight, _) => format!("gave the weight {weight} to"),
        Order::Ready => "put back".to_owned(),
    };
    let span = time.map_or(String::new(), |time| format!(" for {}", Duration(time)));
    log::warn!("the operator {who} {what} endpoint {endpoint} of upstream `{upstream}`{span}");
    let warning = (!obeyed.usable).then(|| format!("no endpoint of the upstream `{upstream}` takes requests"));
    if let Some(warning) = &warning {
        log::warn!("{warning}");
    }
    let for_ms = time.map(|time| time.as_millis() as u64);
    json(StatusCode::OK, &ByHand { upstream: &upstream, endpoint: &endpoint, endpoints: obeyed.endpoints, for_ms, warning })
}

/// The configuration in force as it may be shown, or the one of `hash` in the query from those that are kept: what came from the environment is
/// marked alone, under a key that only this answer has, or under `key`, so that two of them can be compared.
async fn config(admin: &Admin, head: &RequestHeader) -> Answer {
    let (snapshot, in_force, reloader) = (admin.gateway.snapshot(), admin.gateway.in_force(), admin.reloader.clone());
    let (hash, key) = (parameter(head, "hash"), parameter(head, "key"));
    let sagas = if hash.is_none() { admin.gateway.saga_needs().await } else { Vec::new() };
    let made = move || {
        let key = key.map_or_else(Key::fresh, Key::of);
        let Some(hash) = hash else { return Ok(Portrait { in_force: Some(in_force), sagas, ..Portrait::of(&snapshot.loaded, &key) }) };
        reloader.kept(&hash).map(|kept| Portrait::of(&kept, &key))
    };
    // A large one takes its time.
    match tokio::task::spawn_blocking(made).await {
        Ok(Ok(portrait)) => json(StatusCode::OK, &portrait),
        Ok(Err(why)) => refusal(StatusCode::NOT_FOUND, "not_found", &why),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "The configuration cannot be shown.", None),
    }
}

/// Whom limits refused of late: all, or the one that `filter` names.
fn limits(admin: &Admin, head: &RequestHeader) -> Answer {
    let filter = parameter(head, "filter");
    match admin.gateway.limits(filter.as_deref()) {
        Some(limits) => json(StatusCode::OK, &limits),
        None => {
            let snapshot = admin.gateway.snapshot();
            no_such("rate limit", &filter.unwrap_or_default(), snapshot.rate_limits().iter().copied())
        }
    }
}

/// What becomes of a request just now, without one.
fn explain(admin: &Admin, body: &[u8]) -> Answer {
    let bad = |why: &str| refusal(StatusCode::BAD_REQUEST, "bad_request", why);
    match serde_json::from_slice::<Posted>(body) {
        Ok(posted) => match posted.explain(&admin.gateway.snapshot(), admin.gateway.overload.stage()) {
            Ok(told) => json(StatusCode::OK, &told),
            Err(why) => bad(&why),
        },
        Err(error) => bad(&format!("The request to explain cannot be read: {error}")),
    }
}

/// What became of the request that `id` names, where it was refused, failed or was answered in part of late.
fn why(admin: &Admin, head: &RequestHeader) -> Answer {
    let id = parameter(head, "id").unwrap_or_default();
    let recent = &admin.gateway.recent;
    let found = recent.find(&id);
    if found.is_empty() {
        let [refusals, failures, parts] = recent.reach();
        let told = |what: &str, reach: Reach| match reach.since {
            Some(since) => format!("the last {} {what}, since {}, are kept", reach.kept, timestamp(since)),
            None => format!("all {} {what} since the gateway began are kept", reach.kept),
        };
        let told = [told("refusals", refusals), told("failures", failures), told("answers in part", parts)].join(", ");
        return refusal(
            StatusCode::NOT_FOUND,
            "not_found",
            &format!("No request of this identifier was refused, failed or answered in part of late: {told}."),
        );
    }
    let found = found.join(&b',');
    answer(StatusCode::OK, "application/json", [b"{\"found\":[", &found[..], b"]}"].concat())
}

/// `value` as the access log shows it.
fn hash(admin: &Admin, head: &RequestHeader) -> Answer {
    match parameter(head, "value") {
        Some(value) => answer(StatusCode::OK, TEXT, format!("{}\n", admin.gateway.snapshot().pseudonyms.of(&value))),
        None => problem(StatusCode::BAD_REQUEST, "bad_request", "`value` is missing.", None),
    }
}
