//! What is wrong with a file of cases that its types cannot refuse: names that lead nowhere, cases that expect nothing.

use std::collections::{BTreeMap, BTreeSet};

use frontgate_filters::words::spanned::{Place, Spanned};

use super::model::{Answers, Case, Expect, Nullable, Step, Suite};
use crate::config::diagnostics::nearest;
use crate::config::model::{Config, FilterUse};

/// Where something is wrong, what, and what would be right.
type Found = (Place, String, Option<String>);

/// So many requests the steps of a case make at most: enough for any limit that is worth a test, and soon over.
const MOST_REQUESTS: u32 = 10_000;

/// What is wrong whatever the configuration is.
pub(super) fn alone(suite: &Suite) -> Vec<Found> {
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    for case in &suite.cases {
        let mut wrong = |place: Place, message: &str, help: &str| found.push((place, message.to_owned(), Some(help.to_owned())));
        if !names.insert(case.name.as_str()) {
            wrong(case.name.place, "two cases have this name", "`--filter` tells cases apart by their names");
        }
        match (&case.request, case.steps.is_empty()) {
            (None, true) => wrong(case.place, "this case makes no request", "write `request: {url: …}`, or `steps`"),
            (_, true) if case.expect.is_none() => wrong(case.place, "this case expects nothing", "write `expect: {status: …}`"),
            (None, false) => {
                for step in case.steps.iter().filter(|step| step.request.is_none()) {
                    wrong(step.place, "this step makes no request", "write `request` here, or beside `steps` for all of them");
                }
            }
            _ => {}
        }
        if !case.steps.is_empty() && case.expect.is_none() && case.steps.iter().all(|step| step.expect.is_none()) {
            wrong(case.place, "no step of this case expects anything", "write `expect: {status: …}`");
        }
        let mut made = 0_u32;
        for times in case.steps.iter().filter_map(|step| step.times.as_ref()) {
            made = made.saturating_add(times.get());
            if made > MOST_REQUESTS {
                let help = format!("a case makes {MOST_REQUESTS} requests at most");
                wrong(times.place, "this case makes too many requests", &help);
                break;
            }
        }
        let requests = case.request.iter().chain(case.steps.iter().filter_map(|step| step.request.as_ref()));
        for request in requests.filter(|request| request.json.is_some() && request.body.is_some()) {
            wrong(request.place, "a request has `json` or `body`, not both", "leave one of them out");
        }
    }
    found
}

/// Names of routes, filters and upstreams that the configuration has not.
pub(super) fn unknown(suite: &Suite, config: &Config, key_of: &dyn Fn(Place) -> Place) -> Vec<Found> {
    let upstreams: Vec<&str> = config.upstreams.keys().map(String::as_str).collect();
    let routes: Vec<&str> = config.routes.iter().map(|route| route.name.as_str()).collect();
    let uses = config.server.filters.iter().chain(config.routes.iter().flat_map(|route| &route.filters));
    let in_place = uses.filter_map(|used| match &used.value {
        FilterUse::Inline(entry) => Some(entry.config.kind()),
        FilterUse::Named(_) => None,
    });
    let filters: Vec<&str> = config.filters.keys().map(String::as_str).chain(in_place).collect();
    let aggregates = config.routes.iter().filter_map(|route| route.target.aggregate());
    let graphs = config.routes.iter().filter_map(|route| route.target.graphql());
    let fields = graphs.flat_map(|graphql| graphql.calls().map(|(name, _)| name));
    let calls: BTreeSet<&str> = aggregates.flat_map(|aggregate| aggregate.calls().map(|(name, _)| name)).chain(fields).collect();
    let mut known = Known { upstreams, routes, filters, calls: calls.into_iter().collect(), found: Vec::new(), key_of };
    known.answers("upstream", &suite.upstreams);
    known.answers("call", &suite.calls);
    for case in &suite.cases {
        let Case { upstreams, calls, expect, steps, .. } = &case.value;
        known.answers("upstream", upstreams);
        known.answers("call", calls);
        expect.iter().for_each(|expect| known.expected(expect));
        for step in steps {
            let Step { upstreams, calls, expect, .. } = &step.value;
            known.answers("upstream", upstreams);
            known.answers("call", calls);
            expect.iter().for_each(|expect| known.expected(expect));
        }
    }
    known.found
}

struct Known<'c> {
    upstreams: Vec<&'c str>,
    routes: Vec<&'c str>,
    filters: Vec<&'c str>,
    calls: Vec<&'c str>,
    found: Vec<Found>,
    key_of: &'c dyn Fn(Place) -> Place,
}

impl Known<'_> {
    fn answers(&mut self, kind: &str, answers: &BTreeMap<String, Spanned<Answers>>) {
        for (name, answer) in answers {
            self.is_known(kind, name, (self.key_of)(answer.place));
        }
    }

    fn expected(&mut self, expect: &Expect) {
        for (kind, expected) in [("route", &expect.route), ("upstream", &expect.upstream)] {
            if let Some(Nullable::Is(name)) = expected {
                self.is_known(kind, name, name.place);
            }
        }
        for (name, decided) in &expect.filters {
            self.is_known("filter", name, (self.key_of)(decided.place));
        }
        for (name, call) in &expect.calls {
            self.is_known("call", name, (self.key_of)(call.place));
        }
        for name in expect.missing.iter().flat_map(|missing| &missing.value) {
            self.is_known("call", name, expect.missing.as_ref().map(|missing| missing.place).unwrap_or_default());
        }
    }

    fn is_known(&mut self, kind: &str, name: &str, place: Place) {
        let known = match kind {
            "route" => &self.routes,
            "filter" => &self.filters,
            "call" => &self.calls,
            _ => &self.upstreams,
        };
        if !known.contains(&name) {
            let help = nearest(name, known.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            self.found.push((place, format!("the configuration has no {kind} `{name}`"), help));
        }
    }
}
