//! What a trusted proxy asks for by a header: `delay=400ms, abort=503`.

use http::HeaderName;

use super::config::{Answer, Delay, LONGEST};
use super::rule::{Act, Plan, Rules};
use crate::filter::Request;
use crate::words::fields;
use crate::words::units::Duration;

/// Takes the header out of the request; what it asks for, where a trusted proxy has said it, in faults of the kinds that the rules have. What cannot
/// be read is passed over.
pub(super) fn take(request: &mut Request<'_>, name: &HeaderName, rules: &Rules) -> Plan {
    if !request.head.headers.contains_key(name) {
        return Plan::default();
    }
    let mut plan = Plan::default();
    if request.facts.from_trusted {
        let acts = fields::list(&request.head.headers, name).filter_map(|member| read(std::str::from_utf8(member).ok()?));
        plan = acts.filter(|act| rules.has(act.kind())).fold(plan, |plan, act| plan.with(act, 0.5));
    }
    request.head.remove_header(name);
    plan
}

fn read(member: &str) -> Option<Act> {
    let (kind, value) = member.split_once('=')?;
    match kind.trim() {
        "delay" => value.trim().parse().ok().filter(|delay: &Duration| delay.0 <= LONGEST).map(|delay| Act::Delay(Delay::Fixed(delay))),
        "abort" => value.trim().parse::<Answer>().ok().map(Act::Abort),
        _ => None,
    }
}
