//! What a configuration leaves out, put in: each key that has a default says it.

use frontgate_filters::registry::{FilterEntry, Mode};
use serde_json::{Value, json};

use crate::config::model::{Call, Config, Expect, FilterUse, Listener, Protocol, Route, Split, Target, Upstream};

/// The configuration as a value, with every default that something else in it, or nothing, decides.
pub(super) fn filled(config: &Config) -> Value {
    let mut value = serde_json::to_value(config).unwrap_or_default();
    drop_nulls(&mut value);
    if let Some(list) = value["server"]["listeners"].as_array_mut() {
        list.iter_mut().zip(&config.server.listeners).for_each(|(value, listener)| fill_listener(value, listener));
    }
    fill_uses(&mut value["server"]["filters"], &config.server.filters);
    for (name, upstream) in &config.upstreams {
        fill_upstream(&mut value["upstreams"][name], upstream);
    }
    for (name, entry) in &config.filters {
        fill_filter(&mut value["filters"][name], entry);
    }
    if let Some(list) = value["routes"].as_array_mut() {
        list.iter_mut().zip(&config.routes).for_each(|(value, route)| fill_route(value, route));
    }
    value
}

/// A key without a value is as good as one that is not there; but in JSON that is sent, or stands in for an answer, it is part of what is said.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, value| !value.is_null() || key == "otherwise");
            let is_json = |key: &str| matches!(key, "json" | "body" | "answer" | "otherwise");
            map.iter_mut().filter(|(key, _)| !is_json(key)).for_each(|(_, value)| drop_nulls(value));
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Puts a key in that is not there, behind the last of these that are: where it stands when it is written.
fn put(value: &mut Value, key: &str, behind: &[&str], default: impl FnOnce() -> Value) {
    if let Some(map) = value.as_object_mut().filter(|map| !map.contains_key(key)) {
        let at = map.keys().rposition(|known| behind.contains(&known.as_str())).map_or(map.len(), |last| last + 1);
        map.shift_insert(at, key.to_owned(), default());
    }
}

fn fill_listener(value: &mut Value, listener: &Listener) {
    put(value, "protocols", &["address", "tls"], || {
        let spoken = [(Protocol::H2, "h2"), (Protocol::Http1, "http1")].into_iter().filter(|(protocol, _)| listener.speaks(*protocol));
        spoken.map(|(_, name)| name).collect()
    });
}

fn fill_upstream(value: &mut Value, upstream: &Upstream) {
    for endpoint in value.get_mut("endpoints").and_then(Value::as_array_mut).into_iter().flatten() {
        if endpoint.is_string() {
            *endpoint = json!({"address": endpoint.take(), "weight": 1});
        }
    }
    put(value, "protocol", &["timeouts", "host"], || json!(upstream.protocol().label()));
}

fn fill_filter(value: &mut Value, entry: &FilterEntry) {
    let written = &mut value[entry.config.kind()];
    *written = options(entry);
    put(written, "mode", &[], || json!(entry.mode));
}

/// The options of a filter with every default, without its mode.
pub(crate) fn options(entry: &FilterEntry) -> Value {
    let plain = FilterEntry { mode: Mode::Enforce, config: entry.config.clone() };
    let mut value = serde_json::to_value(&plain).unwrap_or_default();
    let mut options = value[entry.config.kind()].take();
    if let Some(map) = options.as_object_mut() {
        entry.config.options().fill(map);
    }
    options
}

fn fill_uses(value: &mut Value, uses: &[impl std::ops::Deref<Target = FilterUse>]) {
    for (value, used) in value.as_array_mut().into_iter().flatten().zip(uses) {
        if let FilterUse::Inline(entry) = &**used {
            fill_filter(value, entry);
        }
    }
}

fn fill_route(value: &mut Value, route: &Route) {
    if let Some(uses) = value.get_mut("filters") {
        fill_uses(uses, &route.filters);
    }
    if let Some(aggregate) = route.target.aggregate() {
        for (name, call) in aggregate.calls() {
            fill_call(&mut value["aggregate"]["calls"][name], call);
        }
    }
    if let Some(graphql) = route.target.graphql() {
        for (name, call) in graphql.calls() {
            fill_call(&mut value["graphql"]["fields"][name], &call);
        }
        put(&mut value["graphql"], "introspection", &["schema", "fields", "types", "hide", "limits"], || json!(false));
        put(&mut value["graphql"], "get", &["introspection", "persisted"], || json!(true));
    }
    if let Target::Apart(_) = &route.target {
        put(&mut value["upstream"], "read_methods", &["read", "write"], || json!(Split::READS));
    }
}

fn fill_call(value: &mut Value, call: &Call) {
    let requests = ["upstream", "get", "post", "put", "patch", "delete", "body", "headers", "timeout"];
    put(value, "expect", &requests, || json!(Expect::default()));
    if call.each.is_some() {
        put(value, "most", &["each"], || json!(Call::MOST));
        put(value, "concurrency", &["each", "most"], || json!(Call::CONCURRENCY));
    }
}
