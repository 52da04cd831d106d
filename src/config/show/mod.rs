//! A configuration as it holds: all of its files in one, what they leave out at its default, and where each value comes from.
//!
//! What the environment brought to a value is shown as it is written, `${NAME}`, and what looks like a secret is not shown: who gets to see
//! this may see the configuration's files, and no more.

mod filled;
mod yaml;

use std::borrow::Cow;
use std::path::Path;

use frontgate_filters::words::spanned::Place;
use serde_json::{Map, Value, json};

pub(crate) use self::filled::options;
use super::places::{Places, Source};
use super::read::tree::{Node, Value as Kind};
use super::{Loaded, secrets};

/// A value with where it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// What it is.
    pub content: Content,
    /// Where it comes from.
    pub origin: Origin,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// A value that is no collection.
    Scalar(Value),
    /// One that is not shown as it is.
    Masked {
        /// What is shown: `${NAME}` as it is written, which may be read again, or stars.
        shown: String,
        /// What it is.
        is: Value,
    },
    /// A list.
    List(Vec<Shown>),
    /// A map.
    Map(Vec<(String, Shown)>),
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It is written here, `file:line`, perhaps with what the environment brings to it.
    Written(String),
    /// It is written nowhere.
    Default,
}

impl Origin {
    /// In a word or two.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Written(place) => place,
            Self::Default => "default",
        }
    }
}

/// Where a value is written.
#[derive(Clone, Copy)]
struct Near<'t> {
    node: &'t Node,
    /// The number of its key.
    key: Option<u32>,
}

/// What is looked up on the way.
struct Walk<'l> {
    loaded: &'l Loaded,
    places: &'l Places,
    /// Where the lines of each file end: there are many values in a large one.
    ends: Vec<Vec<usize>>,
}

/// The configuration with every default, each value with its origin.
pub(crate) fn shown(loaded: &Loaded) -> Shown {
    let value = filled::filled(&loaded.config);
    let (root, places) = loaded.written();
    let ends = |source: &Source| source.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
    let walk = Walk { loaded, places: &places, ends: loaded.sources.iter().map(ends).collect() };
    walk.shown(value, root.as_ref().map(|node| Near { node, key: None }), &mut Vec::new())
}

/// What is shown in place of a value, where it is not shown as it is: `${NAME}` as it is written where the environment brought it, stars where
/// it looks like a secret. `key` is the name of what it is the value of, and `text` the value where it is a text.
fn masked(places: &Places, place: Place, key: &str, text: Option<&str>) -> Option<String> {
    let brought = places.origin(place).map(|origin| origin.written.clone());
    brought.or_else(|| secrets::masked(key, text?))
}

impl Loaded {
    /// A text of this configuration as whoever may see it is shown it: the value of `key`, as it is written at `place`.
    pub(crate) fn shown<'t>(&self, place: Place, key: &str, text: &'t str) -> Cow<'t, str> {
        masked(&self.places, place, key, Some(text)).map_or(Cow::Borrowed(text), Cow::Owned)
    }

    /// Whether the environment brought something to what is written there.
    #[cfg_attr(not(feature = "saga"), allow(dead_code, reason = "nothing is kept"))]
    pub(crate) fn is_brought(&self, place: Place) -> bool {
        self.places.origin(place).is_some()
    }

    /// Any text without the values that the environment brought to this configuration, as far as they are no part of any word.
    pub(crate) fn without_brought(&self, text: &str) -> String {
        let brought = self.places.origins().filter(|origin| origin.text.len() >= secrets::TELLING);
        brought.fold(text.to_owned(), |text, origin| text.replace(&origin.text, &origin.written))
    }
}

impl Walk<'_> {
    fn shown(&self, value: Value, near: Option<Near<'_>>, path: &mut Vec<String>) -> Shown {
        let origin = self.origin(near);
        let content = match value {
            Value::Object(map) => Content::Map(self.map(map, near, path)),
            Value::Array(list) => Content::List(self.list(list, near, path)),
            scalar => self.scalar(scalar, near, path),
        };
        Shown { content, origin }
    }

    fn map(&self, map: Map<String, Value>, near: Option<Near<'_>>, path: &mut Vec<String>) -> Vec<(String, Shown)> {
        let mut first = true;
        let mut entries = Vec::with_capacity(map.len());
        for (key, value) in map {
            let inner = near.and_then(|near| match &near.node.value {
                Kind::Map(entries) => match entries.iter().find(|entry| entry.key == key) {
                    Some(entry) => Some(Near { node: &entry.node, key: Some(entry.key_id) }),
                    // A single pair of certificate and key is written in short, without a list.
                    None if key == "certificates" && near.node.get("cert").is_some() => Some(near),
                    None => None,
                },
                // A short form says what the first key of the long one is for.
                Kind::Seq(_) | Kind::Null => None,
                _ => Some(near).filter(|_| first),
            });
            first = false;
            path.push(key.clone());
            let shown = self.shown(value, inner, path);
            path.pop();
            entries.push((key, shown));
        }
        entries
    }

    fn list(&self, list: Vec<Value>, near: Option<Near<'_>>, path: &mut Vec<String>) -> Vec<Shown> {
        let item = |index: usize| {
            let near = near?;
            match &near.node.value {
                Kind::Seq(items) => items.get(index).map(|node| Near { node, key: None }),
                Kind::Null => None,
                // One that is written without its list.
                _ => Some(near).filter(|_| index == 0),
            }
        };
        list.into_iter().enumerate().map(|(index, value)| self.shown(value, item(index), path)).collect()
    }

    fn scalar(&self, is: Value, near: Option<Near<'_>>, path: &[String]) -> Content {
        let near = near.map(|near| match &near.node.value {
            Kind::Seq(items) if items.len() == 1 => Near { node: &items[0], key: near.key },
            _ => near,
        });
        let place = near.map(|near| Place(near.node.id)).unwrap_or_default();
        // The members of `secret: {file: …}` say where one is kept.
        match masked(self.places, place, path.last().map_or("", String::as_str), is.as_str()) {
            Some(shown) => Content::Masked { shown, is },
            None => Content::Scalar(is),
        }
    }

    fn origin(&self, near: Option<Near<'_>>) -> Origin {
        let Some(near) = near else { return Origin::Default };
        let Some(at) = self.places.at(Place(near.key.unwrap_or(near.node.id))) else { return Origin::Default };
        let source = &self.loaded.sources[at.file];
        // The files of a configuration are of one directory.
        let name = Path::new(&source.name).file_name().map_or(source.name.as_str().into(), |name| name.to_string_lossy());
        let line = self.ends[at.file].partition_point(|end| *end < at.range.start) + 1;
        let place = format!("{name}:{line}");
        Origin::Written(match self.places.origin(Place(near.node.id)) {
            Some(origin) => format!("{place} {}", origin.written),
            None => place,
        })
    }
}

impl Shown {
    /// As YAML that says the same when it is read again; with `origins` each line says where it comes from.
    pub(crate) fn to_yaml(&self, origins: bool) -> String {
        yaml::text(self, origins)
    }

    /// As JSON, without origins.
    pub(crate) fn to_json(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::Masked { shown, .. } => Value::String(shown.clone()),
            Content::List(items) => items.iter().map(Self::to_json).collect(),
            Content::Map(entries) => entries.iter().map(|(key, shown)| (key.clone(), shown.to_json())).collect::<Map<_, _>>().into(),
        }
    }

    /// Where each value comes from, by its path: `server.limits.headers`, `routes[0].name`.
    pub(crate) fn origins(&self) -> Value {
        let mut all = Map::new();
        self.add_origins("", &mut all);
        all.into()
    }

    fn add_origins(&self, path: &str, all: &mut Map<String, Value>) {
        match &self.content {
            Content::Map(entries) if !entries.is_empty() => {
                for (key, shown) in entries {
                    shown.add_origins(&if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, all);
                }
            }
            Content::List(items) if !items.is_empty() => {
                items.iter().enumerate().for_each(|(index, shown)| shown.add_origins(&format!("{path}[{index}]"), all));
            }
            _ => {
                all.insert(path.to_owned(), json!(self.origin.text()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
