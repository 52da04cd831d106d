//! Why routes of the winning host and path did not take a request, in words for operators.

use frontgate_filters::filter::Facts;
use frontgate_filters::words::matching::{Lack, Match, Wanted};
use frontgate_filters::words::preflight::asked_method;
use pingora_http::RequestHeader;

use super::Snapshot;
use crate::config::Loaded;
use crate::router::Found;

impl Snapshot {
    /// The routes of the winning host and path that were passed over before one took the request, or all, each with the reason.
    pub(crate) fn passed_over(&self, host: &str, path: &str, head: &RequestHeader, facts: &Facts) -> Vec<(usize, String)> {
        let asked = asked_method(head).and_then(|method| Some((self.preflight(host, path, &method, head, facts)?, method)));
        let (winner, method) = match (asked, self.find(host, path, head, facts)) {
            (Some((index, method)), _) => (Some(index), method),
            (None, Found::Route(index)) => (Some(index), head.method.clone()),
            (None, Found::Unmet { .. }) => (None, head.method.clone()),
            (None, Found::WrongMethod { .. } | Found::None) => return Vec::new(),
        };
        let tried = self.router.tried(host, path, &method).into_iter();
        let passed = tried.take_while(|(index, _)| Some(*index) != winner).map(|(index, takes)| {
            let lacks = self.routes[index].when.as_ref().filter(|_| takes).and_then(|when| when.lacks(head, facts));
            let written = self.loaded.config.routes[index].when.as_ref();
            let told = lacks.zip(written).map(|(lack, when)| in_words(&self.loaded, when, lack));
            (index, told.unwrap_or_else(|| format!("it does not take {method}")))
        });
        passed.collect()
    }
}

/// What a request lacks, without what its client has sent, and without what the configuration keeps to itself.
fn in_words(loaded: &Loaded, when: &Match, lack: Lack) -> String {
    let fact = &when.facts[lack.fact];
    let name = fact.selector.to_string();
    let values = match &fact.wanted.value {
        Wanted::OneOf(values) if lack.is_there => values,
        Wanted::OneOf(_) | Wanted::Any => return format!("there is no `{name}`"),
    };
    let values: Vec<String> = values.iter().map(|value| format!("`{}`", loaded.shown(fact.place(value), &name, value))).collect();
    format!("`{name}` is not {}", values.join(" or "))
}
