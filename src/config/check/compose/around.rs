//! What stands around an aggregate on its route: keys and filters that mean nothing there, and facts that must be known before it.

use frontgate_filters::words::matching::Match;
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::Place;

use super::Aggregated;
use super::reading::{Reading, Use};
use crate::compose::reference::Origin;
use crate::config::check::Report;
use crate::config::check::doubts::{ASK, UNASKED, asks_for_certificates, classes};
use crate::config::check::filters::{Used, resolved};
use crate::config::model::{Config, Route};

/// Whether the route's other keys and its filters can mean anything.
pub(super) fn check(config: &Config, route: &Route, target: Place, what: &str, report: &mut Report<'_, '_>) {
    let key = report.tree.key_of(target);
    let alone = route.target.written().len() == 1;
    if let (Some(rewrite), true) = (&route.rewrite, alone) {
        let message =
            format!("`rewrite` changes the path of a request that is passed on, and {what} passes none on: each call has its own path");
        report.both(report.tree.key_of(rewrite.place), message, key, "this makes calls");
    }
    if let (Some(mirror), true) = (&route.mirror, alone) {
        let message = format!("`mirror` copies requests that are passed on, and {what} passes none on");
        report.both(report.tree.key_of(mirror.place), message, key, "this makes calls");
    }
    if let (Some(first), true) = (route.canary.first(), alone) {
        let message = format!("`canary` chooses between upstreams of a request that is passed on, and {what} passes none on");
        report.both(first.place, message, key, "this makes calls");
    }
    for (used, _) in resolved(config, &route.filters).filter(|(_, entry)| entry.is_some_and(|entry| entry.config.options().needs_grpc())) {
        report.both(
            used.place,
            format!("this filter makes gRPC calls of requests, and {what} answers them with JSON"),
            key,
            "this makes calls",
        );
    }
    if let Some(when) = &route.when
        && when.facts.iter().any(|fact| matches!(&fact.selector, Selector::Header(name) if name == "upgrade"))
    {
        report.both(when.place, format!("{what} upgrades to no other protocol: a WebSocket needs an `upstream`"), key, "this makes calls");
    }
}

/// Whether the facts that an aggregate reads can be there.
pub(super) fn reads(config: &Config, whole: &Aggregated<'_>, report: &mut Report<'_, '_>) {
    let bodiless =
        whole.route.methods.as_ref().is_some_and(|methods| methods.iter().all(|method| matches!(method.value.as_str(), "GET" | "HEAD")));
    for found in whole.calls.iter().flat_map(|call| &call.uses.all).chain(&whole.answer.all) {
        if let (Origin::Body(_), true, false) = (&found.origin, bodiless, found.has_default) {
            let message = format!("`{}` finds nothing: requests of this route have no body", found.written);
            let help = Some("list POST, PUT or PATCH in `methods`".to_owned());
            report.doubt_inside(found.part.text, found.part.range.clone(), message, help);
        }
    }
    facts(config, whole.route, whole.calls.iter().flat_map(|call| &call.uses.all).chain(&whole.answer.all), report);
    classes_exist(config, &whole.calls.iter().collect::<Vec<_>>(), report);
    for call in whole.calls.iter().filter(|call| bodiless && call.call.sends_clients_body()) {
        if let Some((verb, target)) = call.call.request() {
            let message = format!("`{}` sends the client's body, and requests of this route have none", verb.key());
            report.warn(report.tree.key_of(target.place), message, Some("write `body`".to_owned()));
        }
    }
}

/// Whether the facts that calls of a graph read can be there.
pub(super) fn finds(config: &Config, route: &Route, calls: &[&Reading<'_>], report: &mut Report<'_, '_>) {
    facts(config, route, calls.iter().flat_map(|call| &call.uses.all), report);
    classes_exist(config, calls, report);
}

/// Whether the classes of devices are there that calls ask for.
fn classes_exist(config: &Config, calls: &[&Reading<'_>], report: &mut Report<'_, '_>) {
    if let Some(classes) = classes(config, report) {
        let named = calls.iter().flat_map(|call| call.when.device_classes());
        for class in named.filter(|class| !classes.iter().any(|known| known == class.value)) {
            report.unknown(class.place, "device class", class.value, classes.iter().map(String::as_str));
        }
    }
}

/// Whether somebody says before the route's answer who the client is. Unsure where a filter could not be read, which may be the one.
fn identifies(config: &Config, route: &Route, report: &Report<'_, '_>) -> bool {
    let list: Vec<Used<'_>> = resolved(config, &config.server.filters).chain(resolved(config, &route.filters)).collect();
    let is_unsure = report.tree.torn || list.iter().any(|(_, entry)| entry.is_none());
    is_unsure || list.iter().any(|(_, entry)| entry.is_some_and(|entry| entry.config.options().identifies()))
}

fn facts<'u>(config: &Config, route: &Route, all: impl Iterator<Item = &'u Use<'u>>, report: &mut Report<'_, '_>) {
    let identifies = identifies(config, route, report);
    for found in all {
        let (text, range) = (found.part.text, found.part.range.clone());
        match &found.origin {
            Origin::Selector(selector) if selector.reads_claims() && !identifies => {
                let message = format!("`{selector}` is read here, and no filter of this route verifies a token");
                report.inside(text, range, message, Some("list a `jwt` in `filters`".to_owned()));
            }
            Origin::Selector(Selector::Version) => {
                report.inside(text, range, "`version` finds nothing: an aggregate has no `canary`", None);
            }
            Origin::Selector(selector) if selector.is_of_certificate() && !report.tree.torn && !asks_for_certificates(config) => {
                report.doubt_inside(text, range, format!("`{selector}` finds nothing: {UNASKED}"), Some(ASK.to_owned()));
            }
            _ => {}
        }
    }
}

/// Whether facts that have to hold can be there.
pub(super) fn facts_are_known(config: &Config, route: &Route, facts: &Match, report: &mut Report<'_, '_>) {
    let identifies = identifies(config, route, report);
    for fact in facts.facts.iter().filter(|fact| fact.selector.reads_claims() && !identifies) {
        let place = report.tree.key_of(fact.wanted.place);
        let message = format!("`{}` is read here, and no filter of this route verifies a token", fact.selector);
        report.helped(place, message, Some("list a `jwt` in `filters`".to_owned()));
    }
    if let Some(classes) = classes(config, report) {
        for class in facts.device_classes().into_iter().filter(|class| !classes.iter().any(|known| known == class.value)) {
            report.unknown(class.place, "device class", class.value, classes.iter().map(String::as_str));
        }
    }
}
