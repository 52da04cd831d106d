//! Files of endpoints: a list of our own, or groups as in Prometheus' file_sd, in JSON or in YAML, read with the same care as a configuration.

use std::collections::BTreeMap;
use std::fmt;

use frontgate_filters::words::spanned::{Place, Spanned};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, Deserialize, Deserializer, IntoDeserializer, MapAccess, Visitor};

use super::check::printable;
use super::diagnostics::{Code, Diagnostic, Diagnostics, Severity};
use super::model::{Address, Endpoint};
use super::read::alone::Alone;
use super::read::collect;
use super::read::tree::Value;

/// The endpoints that a file of this name lists, or everything that is wrong with it.
pub(crate) fn read(name: &str, text: &str) -> Result<Vec<Endpoint>, Diagnostics> {
    // Nothing of the environment belongs into it: who writes it need not be whom the gateway trusts with that.
    let Alone { sources, places, mut skip, mut problems, root } = Alone::read(name.to_owned(), text.to_owned(), &|_| None)?;
    if !matches!(root.value, Value::Seq(_)) {
        let message = match root.value {
            Value::Null => "the file is empty: write [] where there are no endpoints",
            _ => "expected a list: of endpoints such as 10.0.0.1:8080, or of groups such as {targets: [10.0.0.1:8080]}",
        };
        problems.push(Diagnostic::error(message).code(Code::Value).on(&places, Place(root.id)));
        return Err(Diagnostics::new(problems, sources));
    }
    let index = collect::Index::new(&root);
    let entries: Option<Vec<Spanned<Entry>>> = collect::read(&root, &index, &places, &mut skip, &mut problems);
    let mut endpoints = Vec::new();
    for entry in entries.unwrap_or_default() {
        let mut wrong = |place: Place, message: String| problems.push(Diagnostic::error(message).on(&places, place));
        entry.value.endpoints(entry.place, &mut endpoints, &mut wrong);
    }
    let found = Diagnostics::new(problems, sources);
    if found.items.iter().any(|item| item.severity == Severity::Error) { Err(found) } else { Ok(endpoints) }
}

/// What stands in the list.
enum Entry {
    /// An endpoint, written as in `endpoints`.
    One(Endpoint),
    /// Several that have labels in common.
    Group(Group),
}

/// A group of Prometheus' file_sd.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    targets: Vec<Spanned<Address>>,
    /// Of which `version` and `weight` mean something here.
    #[serde(default)]
    labels: BTreeMap<String, Spanned<String>>,
}

impl Entry {
    /// Adds its endpoints, or says what is wrong with them.
    fn endpoints(self, place: Place, endpoints: &mut Vec<Endpoint>, wrong: &mut impl FnMut(Place, String)) {
        let mut add = |place: Place, endpoint: Endpoint, wrong: &mut dyn FnMut(Place, String)| match &endpoint.address {
            Address::Name(_) => wrong(place, format!("`{}` is a name: files of endpoints hold addresses", endpoint.address)),
            Address::Ip(address) if address.port() == 0 => wrong(place, "port 0 cannot be connected to".to_owned()),
            Address::Ip(_) => endpoints.push(endpoint),
        };
        match self {
            Self::One(endpoint) => {
                if let Some(version) = endpoint.version.as_ref().filter(|version| !printable(version)) {
                    wrong(version.place, "`version` must be printable ASCII without spaces".to_owned());
                }
                add(place, endpoint, wrong);
            }
            Self::Group(Group { targets, mut labels }) => {
                let version = labels.remove("version");
                if let Some(version) = version.as_ref().filter(|version| !printable(version)) {
                    wrong(version.place, "the label `version` must be printable ASCII without spaces".to_owned());
                }
                let weight = labels.remove("weight").map_or(1, |weight| {
                    weight.parse().unwrap_or_else(|_| {
                        wrong(weight.place, format!("the label `weight` must be a whole number of 0 or more, not `{}`", weight.value));
                        1
                    })
                });
                for target in targets {
                    add(target.place, Endpoint { address: target.value, weight, version: version.clone() }, wrong);
                }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Entry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as 10.0.0.1:8080, a map of `address`, `weight` and `version`, or of `targets` and `labels`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Entry, E> {
                let text: StrDeserializer<'_, E> = text.into_deserializer();
                Endpoint::deserialize(text).map(Entry::One)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
                // Which of both it is, its first key says.
                let Some(first) = map.next_key::<String>()? else {
                    return Err(de::Error::custom("this names no endpoint: write `address`, or `targets`"));
                };
                let is_group = matches!(first.as_str(), "targets" | "labels");
                let map = MapAccessDeserializer::new(Again { first: Some(first), map });
                if is_group { Group::deserialize(map).map(Entry::Group) } else { Endpoint::deserialize(map).map(Entry::One) }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A map whose first key was looked at.
struct Again<A> {
    first: Option<String>,
    map: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Again<A> {
    type Error = A::Error;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        match self.first.take() {
            Some(key) => seed.deserialize(key.into_deserializer()).map(Some),
            None => self.map.next_key_seed(seed),
        }
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<(String, u32, Option<String>)> {
        let endpoints = read("targets.json", text).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        let told = |endpoint: Endpoint| (endpoint.address.to_string(), endpoint.weight, endpoint.version.map(|version| version.value));
        endpoints.into_iter().map(told).collect()
    }

    fn one(address: &str, weight: u32, version: Option<&str>) -> (String, u32, Option<String>) {
        (address.to_owned(), weight, version.map(str::to_owned))
    }

    #[test]
    fn a_list_of_endpoints_is_written_as_in_a_configuration() {
        let json = r#"["10.0.0.1:80", {"address": "[::1]:81", "weight": 3, "version": "v2"}]"#;
        let yaml = "- 10.0.0.1:80\n- {address: \"[::1]:81\", weight: 3, version: v2}\n";

        let expected = [one("10.0.0.1:80", 1, None), one("[::1]:81", 3, Some("v2"))];
        assert_eq!(told(json), expected);
        assert_eq!(told(yaml), expected);
        assert_eq!(told("[]"), []);
    }

    #[test]
    fn the_groups_of_prometheus_are_read_with_their_labels() {
        let json = r#"[
            {"targets": ["10.0.0.1:80", "10.0.0.2:80"], "labels": {"version": "v1", "weight": "5", "zone": "a", "job": "shop"}},
            {"labels": {"weight": "0"}, "targets": ["10.0.0.3:80"]},
            {"targets": []}
        ]"#;

        let expected = [one("10.0.0.1:80", 5, Some("v1")), one("10.0.0.2:80", 5, Some("v1")), one("10.0.0.3:80", 0, None)];
        assert_eq!(told(json), expected);
        assert_eq!(told("- targets: [10.0.0.1:80]\n  labels:\n    weight: 2\n"), [one("10.0.0.1:80", 2, None)]);
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        for (text, words) in [
            ("", "targets.json:1:1: the file is empty: write []"),
            ("{\"a\": 1}", "targets.json:1:1: expected a list"),
            ("[\"10.0.0.1:80\",\n \"10.0.0.2\"]", "targets.json:2:2: "),
            ("[\n{\"address\": \"10.0.0.1:80\", \"wieght\": 3}]", "targets.json:2:28: there is no key `wieght` here"),
            ("[\n{\"targets\": [\"10.0.0.1:80\",\n\"x\"]}]", "targets.json:3:1: `x` has no port"),
            ("[\"shop.internal:80\"]", "targets.json:1:2: `shop.internal:80` is a name"),
            ("[\"10.0.0.1:0\"]", "port 0"),
            ("- targets: [10.0.0.1:80]\n  labels: {weight: heavy}\n", "targets.json:2:20: the label `weight`"),
            ("- targets: [10.0.0.1:80]\n  labels: {version: \"a b\"}\n", "targets.json:2:21: the label `version`"),
            ("- {address: 10.0.0.1:80, version: \"a b\"}\n", "targets.json:1:35: `version` must be"),
            ("[{}]", "this names no endpoint"),
            ("[3]", "targets.json:1:2: expected an address"),
            ("[\"10.0.0.1:80\"", "targets.json:"),
            ("[\"${HOME}:80\"]", "targets.json:1:2: "),
        ] {
            let why = read("targets.json", text).expect_err("a mistake").in_a_line();
            assert!(why.contains(words), "{text}: {why}");
        }
        let why = read("targets.json", "[\"a\", \"b\"]").expect_err("mistakes").in_a_line();
        assert!(why.ends_with("and 1 more (`frontgate check` shows all)"), "{why}");
    }
}
