//! `fault`: drills. A share of requests meets what goes wrong now and then, so that it shows whether deadlines, retries, circuit breakers and
//! fallbacks do what they are there for.
//!
//! ```yaml
//! drill:
//!   fault:
//!     until: 2026-11-20T18:00:00Z
//!     rules:
//!       - {delay: {p50: 100ms, p99: 2s}, share: 5%}
//!       - {abort: {status: 503}, share: 1%}
//! ```
//!
//! The filter only draws; what it has drawn is carried out where the upstream would have failed, or at the client's side. Every drill ends by
//! itself.

mod asked;
mod chance;
mod config;
mod drill;
mod rule;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue};
use pingora_http::ResponseHeader;

use self::drill::Drill;
use self::watch::Watch;
use crate::clock;
use crate::filter::build::Build;
use crate::filter::inspect::{FaultState, FaultStatus, Inspection};
use crate::filter::options::{Options, Placement};
use crate::filter::{Facts, Filter, Request, Verdict};
use crate::grpc::{GRPC_STATUS, Status};
use crate::head::with_map;
use crate::reply::Reply;
use crate::words::matching::Matcher;
use crate::words::moment::Moment;
use crate::words::selector::Selector;
use crate::words::spanned::{Problem, Spanned};

pub use self::config::{Abort, Answer, At, Config, Delay, GrpcStatus, Name, Rule, StopWhen};
pub use self::drill::{Dealt, Drawn, Held, Met};
pub use self::rule::{Act, Plan};

/// Tells a trusted proxy that an answer comes from a fault.
const X_BFF_FAULT: HeaderName = HeaderName::from_static("x-bff-fault");
/// What the log calls an answer of a drill at the client's side.
const CODE: &str = "fault_injected";

impl Options for Config {
    /// Always anew: what has stopped by itself goes on after a reload.
    fn build(&self, with: &Build<'_>) -> Result<Arc<dyn Filter>, String> {
        Ok(Arc::new(Fault::new(self, with, (clock::now(), SystemTime::now()))))
    }

    fn problems(&self) -> Vec<Problem> {
        self.check(SystemTime::now())
    }

    fn selectors(&self) -> Vec<Spanned<&Selector>> {
        let matched = self.matching.iter().flat_map(|matching| &matching.facts);
        let matched = matched.map(|fact| Spanned { value: &fact.selector, place: fact.wanted.place });
        self.by.iter().map(Spanned::as_ref).chain(matched).collect()
    }

    fn device_classes(&self) -> Vec<Spanned<&str>> {
        self.matching.as_ref().map(|matching| matching.device_classes()).unwrap_or_default()
    }

    fn can_refuse(&self) -> bool {
        self.rules.iter().any(|rule| rule.at.value == At::Client && rule.abort.is_some())
    }

    fn placement(&self) -> Vec<Placement> {
        vec![Placement::Once]
    }
}

/// The compiled filter.
pub struct Fault {
    name: Arc<str>,
    drill: Arc<Drill>,
    until: Instant,
    ends: Moment,
    matcher: Option<Matcher>,
    by: Option<Selector>,
    header: Option<HeaderName>,
    watch: Option<Watch>,
}

impl Fault {
    /// Compiles checked options at this time, which is told by both clocks.
    pub fn new(config: &Config, with: &Build<'_>, (now, time): (Instant, SystemTime)) -> Self {
        let earlier = with.earlier::<Self>().map(|earlier| &*earlier.drill);
        Self {
            name: with.name.into(),
            drill: Arc::new(Drill::new(config, with, earlier)),
            until: now + config.until.0.duration_since(time).unwrap_or_default(),
            ends: config.until.value,
            matcher: config.matching.as_ref().map(|matching| matching.compile()),
            by: config.by.as_ref().map(|by| by.value.clone()),
            header: config.trusted_header.as_ref().and_then(Name::header),
            watch: config.stop_when.as_ref().map(|stop| Watch::new(stop, now)),
        }
    }

    fn state(&self, now: Instant) -> FaultState {
        match () {
            () if now >= self.until => FaultState::Over,
            () if self.drill.is_stopped() => FaultState::Stopped,
            () if self.drill.has_tripped() => FaultState::Tripped,
            () => FaultState::Running,
        }
    }

    fn matches(&self, request: &Request<'_>) -> bool {
        self.matcher.as_ref().is_none_or(|matcher| matcher.holds(request.head, request.facts))
    }

    /// The point of who asks, where it is not left to chance.
    fn point_of(&self, request: &Request<'_>) -> Option<f64> {
        let by = self.by.as_ref()?.find(request.head, request.facts)?;
        Some(chance::point_of(self.drill.salt, &by))
    }

    /// What happens to the request, and whether that is fixed for all of its attempts.
    fn draw(&self, request: &Request<'_>, at: At) -> (Plan, bool) {
        let (fixed, rules) = (self.point_of(request), &self.drill.rules);
        let point = fixed.unwrap_or_else(chance::point);
        if point >= rules.total || !self.matches(request) {
            return (Plan::default(), false);
        }
        (rules.plan(point, at, request.facts.grpc.is_some()), fixed.is_some())
    }

    /// Where faults can happen to the request: a request that is answered from calls has an upstream for each of them, and whoever made a call is
    /// no client.
    fn sides(request: &Request<'_>) -> impl Iterator<Item = At> {
        let upstream = request.facts.upstream.is_some().then_some(At::Upstream);
        let client = (request.call().is_none() && request.facts.route_index != usize::MAX).then_some(At::Client);
        upstream.into_iter().chain(client)
    }

    fn explain(&self, request: &mut Request<'_>, asked: Plan) {
        let state = self.state(request.now);
        request.because(|| match state {
            FaultState::Running => {
                let rules: Vec<String> = self.drill.rules.all.iter().map(ToString::to_string).collect();
                format!("the drill goes on until {}: {}", self.ends, rules.join(", "))
            }
            FaultState::Over => format!("the drill is over since {}", self.ends),
            FaultState::Stopped => "an operator has stopped all drills".to_owned(),
            FaultState::Tripped => "the drill has stopped by itself: too many answers were errors".to_owned(),
        });
        if state != FaultState::Running {
            return;
        }
        if !asked.is_none() {
            request.because(|| format!("`{}` asks for faults", self.header.as_ref().map_or("", HeaderName::as_str)));
        } else if !self.matches(request) {
            request.because(|| "the request does not match");
        } else if let Some(point) = self.point_of(request) {
            let rule = self.drill.rules.taking(point).map(ToString::to_string);
            request.because(|| match rule {
                Some(rule) => format!("who asks is always hit: {rule}"),
                None => "who asks is never hit".to_owned(),
            });
        } else {
            request.because(|| "whether it is hit is decided by chance");
        }
    }
}

impl Filter for Fault {
    fn request<'a>(&'a self, request: &'a mut Request<'_>) -> Verdict<'a> {
        let asked = self.header.as_ref().map_or_else(Plan::default, |name| asked::take(request, name, &self.drill.rules));
        if request.is_explained() {
            self.explain(request, asked);
            return Verdict::Continue;
        }
        if let Some(watch) = &self.watch {
            watch.tick(request.now);
        }
        if self.drill.is_off() || request.now >= self.until {
            return Verdict::Continue;
        }
        let is_grpc = request.facts.grpc.is_some();
        let drawn = if !asked.is_none() {
            Some(Drawn::new(&self.drill, At::Upstream, asked, true, is_grpc))
        } else if request.call().is_some() && request.facts.fault.as_ref().is_some_and(|drawn| drawn.at() == At::Upstream) {
            // A trusted proxy has asked for it, for all calls.
            return Verdict::Continue;
        } else {
            request.facts.fault = None;
            let hit = Self::sides(request).map(|at| (at, self.draw(request, at))).find(|(_, (plan, _))| !plan.is_none());
            hit.map(|(at, (plan, is_fixed))| Drawn::new(&self.drill, at, plan, is_fixed, is_grpc))
        };
        let Some(drawn) = drawn else { return Verdict::Continue };
        if request.is_observed() {
            self.drill.count(drawn.plan());
            return Verdict::Continue;
        }
        let drawn = Arc::new(drawn);
        request.facts.fault = Some(drawn.clone());
        if drawn.at() == At::Client
            && let Some(Act::Abort(answer)) = drawn.act()
            && drawn.deal(1).is_some()
        {
            return Verdict::Reply(reply(answer));
        }
        Verdict::Continue
    }

    fn answer(&self, head: &mut ResponseHeader, facts: &Facts) {
        if facts.from_trusted
            && let Some(kind) = facts.fault.as_ref().and_then(|drawn| drawn.told())
        {
            with_map(head, |headers| {
                headers.insert(X_BFF_FAULT, HeaderValue::from_static(kind));
            });
        }
        if let Some(watch) = &self.watch
            && watch.answered(is_error(head))
            && !self.drill.is_off()
            && self.drill.trip()
        {
            log::warn!("the drill `{}` stops until the next reload: too many answers are errors", self.name);
        }
    }

    fn guards_calls(&self) -> bool {
        true
    }

    fn inspect(&self) -> Inspection {
        let fault = FaultStatus {
            state: self.state(clock::now()),
            until: self.ends.to_string(),
            active: self.drill.active(),
            injected: self.drill.injected().collect(),
            rules: self.drill.rules.all.iter().map(ToString::to_string).collect(),
        };
        Inspection { fault: Some(fault), ..Inspection::default() }
    }

    fn injects_faults(&self) -> bool {
        true
    }

    fn stop_faults(&self, stopped: bool) {
        self.drill.stop(stopped);
    }
}

/// Whether an answer says that a server has failed.
fn is_error(head: &ResponseHeader) -> bool {
    head.status.is_server_error() || Status::read(&head.headers).is_some_and(Status::is_failure)
}

/// The answer of a drill at the client's side.
fn reply(answer: Answer) -> Reply {
    const DETAIL: &str = "A drill of the gateway's operators answers in place of the service.";
    match answer {
        Answer::Http(status, after) => {
            let reply = Reply::problem(status, CODE, DETAIL);
            match after {
                Some(seconds) => reply.with(RETRY_AFTER, HeaderValue::from(seconds)),
                None => reply,
            }
        }
        Answer::Grpc(status) => Reply::problem(http::StatusCode::SERVICE_UNAVAILABLE, CODE, DETAIL).with(GRPC_STATUS, status.value()),
    }
}
