//! What a reload changed, for whoever asked for it: a hash says that something did, not what. And what one would change.

mod difference;
mod loss;
mod portrait;
mod words;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

pub(crate) use self::difference::difference;
pub(crate) use self::portrait::{Key, Portrait};
use crate::config::model::Config;

/// What is not the same in both, an entry each.
pub(crate) fn changes(old: &Config, new: &Config) -> Vec<String> {
    let mut changes = Vec::new();
    let mut compare = |noun: &str, old: BTreeMap<&str, Value>, new: BTreeMap<&str, Value>| {
        for (name, value) in &new {
            match old.get(name) {
                None => changes.push(format!("{noun} `{name}` is new")),
                Some(before) if before != value => changes.push(format!("{noun} `{name}` has changed")),
                Some(_) => {}
            }
        }
        changes.extend(old.keys().filter(|name| !new.contains_key(*name)).map(|name| format!("{noun} `{name}` is gone")));
    };
    compare("the section", sections(old), sections(new));
    compare("the upstream", named(&old.upstreams), named(&new.upstreams));
    compare("the filter", named(&old.filters), named(&new.filters));
    compare("the route", routes(old), routes(new));
    changes
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn sections(config: &Config) -> BTreeMap<&str, Value> {
    [("server", json(&config.server)), ("devices", json(&config.devices)), ("telemetry", json(&config.telemetry))].into_iter().collect()
}

fn named<T: Serialize>(map: &BTreeMap<String, T>) -> BTreeMap<&str, Value> {
    map.iter().map(|(name, value)| (name.as_str(), json(value))).collect()
}

fn routes(config: &Config) -> BTreeMap<&str, Value> {
    config.routes.iter().map(|route| (route.name.as_str(), json(route))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;

    fn config(rest: &str) -> Config {
        let text = format!("version: 1\nserver: {{listeners: [{{address: 127.0.0.1:0}}]}}\n{rest}");
        load_text("a.yaml", &text).unwrap_or_else(|problems| panic!("{}", problems.render(false))).config
    }

    #[test]
    fn what_came_went_and_changed_is_named() {
        let old = config("routes: [{name: a, path: /a, respond: {}}, {name: b, path: /b, respond: {}}]\n");
        let new = config("routes: [{name: b, path: /bb, respond: {}}, {name: c, path: /c, respond: {}}]\ntelemetry: {access_log: off}\n");

        let found = changes(&old, &new);

        let expected =
            ["the section `telemetry` has changed", "the route `b` has changed", "the route `c` is new", "the route `a` is gone"];
        assert_eq!(found, expected);
        assert!(changes(&old, &old).is_empty());
    }
}
