//! `when`: facts that are there before a route is chosen, and routes of one host and path of which each is reached.

use std::collections::BTreeSet;

use frontgate_filters::registry::{FilterEntry, Mode};
use frontgate_filters::words::matching::{Fact, Match, Wanted};
use frontgate_filters::words::preflight;
use frontgate_filters::words::reserved;
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::Spanned;

use super::Report;
use super::filters::{entries, resolved};
use crate::config::model::{Config, Route};

/// Checks what one route asks for.
pub(super) fn check(config: &Config, route: &Route, report: &mut Report<'_, '_>) {
    let Some(when) = &route.when else { return };
    if when.facts.is_empty() {
        report.lacking(when.place, "`when` is empty: leave it out for all requests");
    }
    report.problems(when.problems());
    for fact in &when.facts {
        let place = report.tree.key_of(fact.wanted.place);
        if let Some((message, help)) = too_late(config, &fact.selector) {
            report.helped(place, message, help.map(str::to_owned));
        } else if let Selector::Header(name) = &fact.selector
            && reserved::is_for_proxies(name)
            && config.server.trusted_proxies.is_empty()
        {
            let message = format!("`{}` never holds: only trusted proxies may send this header, and there are none", fact.selector);
            report.warn(place, message, Some("name them in `server.trusted_proxies`".to_owned()));
        } else if let Some(why) = never(config, route, fact) {
            report.warn(place, format!("`{}` never holds: {why}", fact.selector), None);
        }
    }
}

/// Why no request that the route gets has what is wanted of a fact.
fn never(config: &Config, route: &Route, fact: &Fact) -> Option<String> {
    let listeners = &config.server.listeners;
    let lacks = |what: &str| Some(format!("no listener {what}"));
    match &fact.selector {
        Selector::ClientCertCn | Selector::ClientCertSubject | Selector::ClientCertSan => {
            let asks = listeners.iter().any(|listener| listener.tls.as_ref().is_some_and(|tls| tls.client_auth.is_some()));
            if asks { None } else { lacks("asks for client certificates (`client_auth`)") }
        }
        Selector::TlsSni | Selector::TlsVersion => {
            if listeners.iter().any(|listener| listener.tls.is_some()) {
                None
            } else {
                lacks("has `tls`")
            }
        }
        Selector::Scheme => {
            let comes = |value: &str| match value {
                "https" => listeners.iter().any(|listener| listener.tls.is_some()),
                _ => listeners.iter().any(|listener| listener.tls.is_none() && listener.redirect_to_https.is_none()),
            };
            let Wanted::OneOf(values) = &fact.wanted.value else { return None };
            match values.iter().any(|value| comes(&value.value)) {
                true => None,
                false if values.iter().any(|value| value.value == "https") => lacks("has `tls`"),
                false => lacks("takes requests in clear text"),
            }
        }
        Selector::Host => {
            let (host, Wanted::OneOf(values)) = (route.host.as_ref()?, &fact.wanted.value) else { return None };
            let fits = |value: &str| match host.strip_prefix('*') {
                Some(end) => value.len() > end.len() && value.to_ascii_lowercase().ends_with(&end.to_ascii_lowercase()),
                None => value.eq_ignore_ascii_case(host),
            };
            (!values.iter().any(|value| fits(&value.value))).then(|| format!("the route is for the host `{}` alone", host.value))
        }
        _ => None,
    }
}

/// Why a fact cannot choose a route, and what can be done instead.
fn too_late(config: &Config, selector: &Selector) -> Option<(String, Option<&'static str>)> {
    match selector {
        Selector::Claim(_) => {
            let message = format!("`{selector}` cannot choose a route: a token is verified by a filter of the route, once that is chosen");
            Some((message, Some("give the route a filter that reads it, such as `rbac`")))
        }
        Selector::Version => Some(("`version` cannot choose a route: it is chosen once the route is".to_owned(), None)),
        Selector::Method => {
            Some(("`method` is no fact for `when`: other methods are answered 405".to_owned(), Some("write it as `methods`")))
        }
        Selector::Header(name) => {
            let is_identity = |entry: &FilterEntry| {
                entry.config.options().identity_headers().iter().any(|one| reserved::are_alike(name.as_str(), one.as_str()))
            };
            entries(config).any(is_identity).then(|| {
                let message = format!(
                    "`{selector}` cannot choose a route: what clients send under this name is removed, and a filter sets it once the route is chosen"
                );
                (message, None)
            })
        }
        Selector::ClientIp | Selector::Device | Selector::Host | Selector::Path | Selector::Cookie(_) | Selector::Query(_) => None,
        Selector::Scheme | Selector::TlsSni | Selector::TlsVersion => None,
        Selector::ClientCertCn | Selector::ClientCertSubject | Selector::ClientCertSan => None,
        later => Some((format!("`{later}` cannot choose a route: it is known only once one is chosen"), None)),
    }
}

/// Checks the routes of one host and path, in their order.
pub(super) fn order(config: &Config, routes: &[&Spanned<Route>], report: &mut Report<'_, '_>) {
    // What could not be read may be what tells two of them apart.
    let is_torn = |route: &&Spanned<Route>| {
        report.tree.is_torn_at(route.place) || route.when.as_ref().is_some_and(|when| report.tree.is_torn_at(when.place))
    };
    if routes.len() < 2 || routes.iter().any(is_torn) {
        return;
    }
    for (index, route) in routes.iter().enumerate() {
        let turn = Turn { routes, index, route };
        if turn.is_reached(report) {
            turn.answers_preflights_alike(config, report);
        }
    }
}

/// A route among those of its host and path.
struct Turn<'t, 'c> {
    routes: &'t [&'c Spanned<Route>],
    index: usize,
    route: &'c Spanned<Route>,
}

impl<'c> Turn<'_, 'c> {
    /// Whether requests reach it past the routes before it; what keeps them away is reported.
    fn is_reached(&self, report: &mut Report<'_, '_>) -> bool {
        let name = &self.route.name.value;
        let place = self.route.when.as_ref().map_or(self.route.path.place, |when| when.place);
        let methods = self.methods();
        let before =
            |method: &str| self.routes[..self.index].iter().copied().filter(move |other| self.takes(other, method)).collect::<Vec<_>>();
        let all: Vec<(&str, Vec<&Spanned<Route>>)> = methods.iter().map(|method| (*method, before(method))).collect();
        // Those that take every request of a method.
        let bare: Vec<Option<&Spanned<Route>>> =
            all.iter().map(|(_, before)| before.iter().copied().find(|other| other.when.is_none())).collect();
        let Some(when) = &self.route.when else {
            let Some(first) = bare.iter().flatten().next() else { return true };
            let message = format!("the routes `{}` and `{name}` match the same requests", first.name.value);
            report.both(place, message, first.path.place, "the other one");
            return false;
        };
        if let Some(first) = bare.iter().flatten().next()
            && bare.iter().all(Option::is_some)
        {
            let message = format!("the route `{name}` is never reached: `{}` comes before it and has no `when`", first.name.value);
            report.both(place, message, first.path.place, "this one takes every request: put it last");
            return false;
        }
        let whens = |before: &[&'c Spanned<Route>]| {
            before.iter().filter_map(|other| other.when.as_ref().map(|when| &when.value)).collect::<Vec<&Match>>()
        };
        let lost = all.iter().zip(&bare).filter(|((_, before), bare)| bare.is_some() || when.is_covered_by(&whens(before)));
        let lost: Vec<&str> = lost.map(|((method, _), _)| *method).collect();
        let Some(taker) = all.iter().find(|(method, _)| lost.contains(method)).and_then(|(_, before)| {
            let alone = before.iter().find(|other| other.when.as_ref().is_some_and(|other| when.implies(other)));
            alone.or_else(|| before.last()).copied()
        }) else {
            return true;
        };
        let label = taker.when.as_ref().map_or(taker.path.place, |when| when.place);
        if lost.len() < methods.len() {
            let named: Vec<String> = lost.iter().filter(|method| **method != OTHERS).map(|method| format!("`{method}`")).collect();
            let message =
                format!("the route `{name}` is never reached by {}: routes before it take all that its `when` lets pass", named.join(", "));
            report.warn(place, message, None);
            return true;
        }
        let message = match &taker.when {
            Some(other) if when.is_same_as(other) => format!("the routes `{}` and `{name}` match the same requests", taker.name.value),
            Some(other) if when.implies(other) => {
                format!(
                    "the route `{name}` is never reached: `{}` comes before it and takes all that its `when` lets pass",
                    taker.name.value
                )
            }
            _ => format!("the route `{name}` is never reached: those before it take all that its `when` lets pass"),
        };
        report.both(place, message, label, "this one comes before it");
        false
    }

    /// A preflight does not say what a header or a cookie will be: whoever answers it answers for all routes that may get the request.
    fn answers_preflights_alike(&self, config: &Config, report: &mut Report<'_, '_>) {
        let Some(when) = &self.route.when else { return };
        let Some(Fact { selector, wanted }) = when.facts.iter().find(|fact| !preflight::tells(&fact.selector)) else { return };
        let methods = self.methods();
        let later = self.routes[self.index + 1..].iter().filter(|other| methods.iter().any(|method| self.takes(other, method)));
        for other in later {
            let excluded = other.when.as_ref().is_some_and(|other| when.excludes(other, preflight::tells));
            if !excluded && cors(config, self.route) != cors(config, other) {
                let name = (&self.route.name.value, &other.name.value);
                let message = format!(
                    "a preflight does not say what `{selector}` will be: the routes `{}` and `{}` need the same `cors`",
                    name.0, name.1
                );
                report.both(report.tree.key_of(wanted.place), message, other.path.place, "the other one");
                return;
            }
        }
    }

    /// Whether a route of this host and path takes a method: as the router reads it.
    fn takes(&self, route: &Spanned<Route>, method: &str) -> bool {
        let names = |route: &Spanned<Route>, method: &str| {
            route.methods.iter().flat_map(|methods| &methods.value).any(|named| named.value == method)
        };
        let is_alike = |other: &Spanned<Route>| match (&route.when, &other.when) {
            (None, None) => true,
            (Some(one), Some(other)) => one.is_same_as(other),
            _ => false,
        };
        route.methods.is_none()
            || names(route, method)
            || method == "HEAD" && names(route, "GET") && !self.routes.iter().any(|other| is_alike(other) && names(other, "HEAD"))
    }

    /// The methods that it is for: those that it names, else all that its like name and one for all others.
    fn methods(&self) -> BTreeSet<&'c str> {
        let named = |route: &&'c Spanned<Route>| {
            route.methods.iter().flat_map(|methods| &methods.value).map(|method| method.value.as_str()).collect::<Vec<_>>()
        };
        match self.route.methods {
            Some(_) => named(&self.route).into_iter().collect(),
            None => self.routes.iter().flat_map(named).chain([OTHERS]).collect(),
        }
    }
}

/// Stands for every method that no route names.
const OTHERS: &str = "";

/// What answers the preflights of a route, where the gateway does.
fn cors<'c>(config: &'c Config, route: &'c Route) -> Option<&'c FilterEntry> {
    let own = resolved(config, &route.filters).filter_map(|(_, entry)| entry);
    own.filter(|entry| entry.config.kind() == "cors" && entry.mode == Mode::Enforce).last()
}
