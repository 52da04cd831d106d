//! What a gateway would lose by changing to another configuration: by the marks of the parts that a reload compares.

use serde::Serialize;

use crate::snapshot::{KeptFilter, KeptState, KeptUpstream};
use crate::status::SagaNeeds;

/// Something that would be lost.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Loss {
    /// What loses it: `listener`, `filter`, `upstream` or `saga`, which is those of a route.
    pub what: &'static str,
    /// Its name.
    pub name: String,
    /// What is lost, in words.
    pub lost: String,
    /// Why.
    pub because: String,
}

/// What a route of sagas takes along.
pub(crate) const KEYS: &str = "the keys that clients have used: one that is sent again on another route begins a new saga";
/// Why.
pub(crate) const GONE: &str = "the route is gone, or no saga's any more";

/// What a change from `old` to `new` loses.
pub(super) fn losses(old: &KeptState, new: &KeptState) -> Vec<Loss> {
    let mut losses = Vec::new();
    for (address, mark) in &old.listeners {
        let because = match new.listeners.get(address) {
            None => "nobody listens there any more",
            Some(after) if after != mark => "what is spoken there, what is asked of clients or who is believed changes",
            Some(_) => continue,
        };
        let lost = "its connections, each after the answer that it waits for".to_owned();
        losses.push(Loss { what: "listener", name: address.clone(), lost, because: because.to_owned() });
    }
    for name in old.sagas.iter().filter(|name| !new.sagas.contains(name)) {
        losses.push(Loss { what: "saga", name: name.clone(), lost: KEYS.to_owned(), because: GONE.to_owned() });
    }
    for (name, filter) in &old.filters {
        of_filter(name, filter, old, new, &mut losses);
    }
    for (name, upstream) in &old.upstreams {
        of_upstream(name, upstream, new.upstreams.get(name), &mut losses);
    }
    for name in old.pinned.iter().filter(|name| !new.pinned.contains(name)) {
        losses.push(Loss {
            what: "upstream",
            name: name.clone(),
            lost: "who has written lately and reads from it".to_owned(),
            because: "no route remembers that any more".to_owned(),
        });
    }
    losses
}

/// What the open sagas need that is not there any more.
pub(crate) fn of_sagas(needs: &[SagaNeeds], has_upstream: &dyn Fn(&str) -> bool, begins_some: &dyn Fn(&str) -> bool) -> Vec<Loss> {
    let mut losses = Vec::new();
    for needed in needs {
        let mut lose = |lost: String, because: String| losses.push(Loss { what: "saga", name: needed.route.clone(), lost, because });
        let open = |count: u64| if count == 1 { "1 open one".to_owned() } else { format!("{count} open ones") };
        for (upstream, count) in needed.upstreams.iter().filter(|(upstream, _)| !has_upstream(upstream)) {
            let lost = format!("an upstream that {} may have to ask yet, and get stuck without", open(*count));
            lose(lost, format!("`{upstream}` is gone"));
        }
        if !begins_some(&needed.route) {
            let lost = format!("the way on which the clients of {} ask what became of them", open(needed.open));
            lose(lost, GONE.to_owned());
        }
    }
    losses
}

fn of_filter(name: &str, filter: &KeptFilter, old: &KeptState, new: &KeptState, losses: &mut Vec<Loss>) {
    let because = match new.filters.get(name) {
        None => Some("it is gone"),
        Some(after) if after.options != filter.options => Some("its options change"),
        Some(_) => None,
    };
    let shown = format!("{name} ({})", filter.kind);
    let mut lose = |lost: String, because: String| losses.push(Loss { what: "filter", name: shown.clone(), lost, because });
    match because {
        Some(because) => filter.state.iter().for_each(|state| lose(state.clone(), because.to_owned())),
        None if filter.watches_upstreams => {
            for gone in old.upstreams.keys().filter(|upstream| !new.upstreams.contains_key(*upstream)) {
                lose(format!("its circuit before the upstream `{gone}`"), "the upstream is gone".to_owned());
            }
        }
        None => {}
    }
}

fn of_upstream(name: &str, upstream: &KeptUpstream, after: Option<&KeptUpstream>, losses: &mut Vec<Loss>) {
    let mut lose =
        |lost: String, because: &str| losses.push(Loss { what: "upstream", name: name.to_owned(), lost, because: because.to_owned() });
    let Some(after) = after else {
        lose("its connections, and what is known of its endpoints: health, ejections, what was set by hand".to_owned(), "it is gone");
        return;
    };
    if after.connections != upstream.connections {
        lose("its idle connections".to_owned(), "the files of its `tls` change");
    }
    if upstream.measured.is_some() && after.measured != upstream.measured {
        lose("the times that its adaptive timeout goes by".to_owned(), "`timeouts.first_byte` changes");
    }
    if upstream.probed && !after.probed {
        lose("what probes have found out about its endpoints".to_owned(), "`health` is gone");
    }
    for gone in upstream.endpoints.iter().filter(|endpoint| !after.endpoints.contains(endpoint)) {
        lose(format!("the connections, the health and the ejections of endpoint {gone}"), "the endpoint is gone");
    }
}
