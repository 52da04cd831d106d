//! The page of the configuration's keys, from the schema: one table a section, one row a key with its whole path.

use frontgate_filters::words::selector::FORMS;
use serde_json::{Map, Value};

use super::markdown::{code, table};
use crate::config::schema;

type Object = Map<String, Value>;

/// Definitions that have a section of their own, and what is said where they are used.
const SECTIONS: &[(&str, &str)] = &[("Filter", "a [filter](#filters)")];

/// The words for texts that must look like something.
const PATTERNS: &[(&str, &str)] = &[
    ("^[0-9]+(ms|s|m|h|d)$", "duration"),
    ("^[0-9]+(B|KiB|MiB|GiB)$", "size"),
    ("^[1-9][0-9]*/(s|m|h)$", "rate"),
    (r"^[0-9]+(\.[0-9]+)?%$", "percentage"),
];

/// Reads a schema.
pub(super) struct Reader<'s> {
    /// Its definitions.
    pub definitions: &'s Object,
}

/// What a row says beside its key.
#[derive(Default)]
struct Told {
    about: String,
    required: bool,
    default: Option<Value>,
}

impl<'s> Reader<'s> {
    /// The definition that a schema is a reference to, with its name.
    fn referred(&self, of: &'s Object) -> Option<(&'s str, &'s Object)> {
        let name = of.get("$ref")?.as_str()?.rsplit('/').next()?;
        Some((name, self.definitions.get(name)?.as_object()?))
    }

    /// The schemas of which one must fit, without `null`, which stands for a key that is not there.
    fn alternatives(of: &'s Object) -> Vec<&'s Object> {
        let all = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|word| of.get(word)?.as_array()).flatten();
        all.filter_map(Value::as_object).filter(|one| one.get("type").and_then(Value::as_str) != Some("null")).collect()
    }

    /// What a value looks like, in words.
    fn value(&self, of: &'s Object) -> String {
        if let Some((name, definition)) = self.referred(of) {
            let section = SECTIONS.iter().find(|(section, _)| *section == name);
            return section.map_or_else(|| self.value(definition), |(_, words)| (*words).to_owned());
        }
        if let Some(value) = of.get("const") {
            return code(&shown(value));
        }
        if let Some(values) = of.get("enum").and_then(Value::as_array) {
            return values.iter().map(|value| code(&shown(value))).collect::<Vec<_>>().join(", ");
        }
        let alternatives = Self::alternatives(of);
        if !alternatives.is_empty() {
            let mut words: Vec<String> = Vec::new();
            for alternative in alternatives {
                let word = self.value(alternative);
                if !words.contains(&word) {
                    words.push(word);
                }
            }
            return words.join(" or ");
        }
        let types: Vec<&str> = match of.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).filter(|one| *one != "null").collect(),
            _ => Vec::new(),
        };
        let words: Vec<String> = types.iter().map(|kind| self.plain(kind, of)).collect();
        if words.is_empty() { "any value".to_owned() } else { words.join(" or ") }
    }

    fn plain(&self, kind: &str, of: &'s Object) -> String {
        match kind {
            "string" => match of.get("pattern").and_then(Value::as_str) {
                Some(pattern) => match PATTERNS.iter().find(|(known, _)| *known == pattern) {
                    Some((_, words)) => (*words).to_owned(),
                    None => format!("text like {}", code(pattern)),
                },
                None => "text".to_owned(),
            },
            "integer" => "number".to_owned(),
            "number" => "number with a fraction".to_owned(),
            "boolean" => "`true` or `false`".to_owned(),
            "array" => match of.get("items").and_then(Value::as_object) {
                Some(items) => format!("list of {}", self.several(items)),
                None => "list".to_owned(),
            },
            "object" => match of.get("additionalProperties").and_then(Value::as_object) {
                Some(_) => "map by name".to_owned(),
                None => "map".to_owned(),
            },
            other => other.to_owned(),
        }
    }

    /// What a list holds.
    fn several(&self, of: &'s Object) -> String {
        match &*self.value(of) {
            "text" => "texts".to_owned(),
            "map" | "map by name" => "maps".to_owned(),
            other => other.to_owned(),
        }
    }

    /// What the values that can be named mean: `name`: its words.
    fn meanings(&self, of: &'s Object) -> String {
        if let Some((name, definition)) = self.referred(of) {
            return if SECTIONS.iter().any(|(section, _)| *section == name) { String::new() } else { self.meanings(definition) };
        }
        let told = Self::alternatives(of).into_iter().filter_map(|alternative| {
            let about = alternative.get("description")?.as_str()?;
            Some(format!(" {}: {}", code(&shown(alternative.get("const")?)), uncapitalised(about)))
        });
        told.collect()
    }

    /// Rows for a value and everything in it. `path` are the definitions that lead here: one of them again is not opened a second time.
    fn rows(&self, key: &str, of: &'s Object, told: Told, path: &[&'s str], rows: &mut Vec<Vec<String>>) {
        let default = match (&told.default, told.required) {
            (_, true) => "required".to_owned(),
            (Some(Value::Null | Value::Object(_)), _) | (None, _) => String::new(),
            (Some(Value::Array(list)), _) if list.is_empty() => String::new(),
            (Some(value), _) => code(&shown(value)),
        };
        rows.push(vec![code(key), self.value(of), default, format!("{}{}", told.about, self.meanings(of))]);
        self.inner(key, of, path, rows);
    }

    /// Rows for everything in a value.
    fn inner(&self, key: &str, of: &'s Object, path: &[&'s str], rows: &mut Vec<Vec<String>>) {
        if let Some((name, definition)) = self.referred(of) {
            if !path.contains(&name) && !SECTIONS.iter().any(|(section, _)| *section == name) {
                self.inner(key, definition, &[path, &[name]].concat(), rows);
            }
            return;
        }
        let within = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
        let required: Vec<&str> = of.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        // Where one of several maps is written, its key is required there and not in general.
        let alone = of.get("properties").and_then(Value::as_object).is_some_and(|properties| properties.len() == 1);
        for (name, property) in of.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let Some(property) = property.as_object() else { continue };
            let about = property.get("description").and_then(Value::as_str);
            let about = about.or_else(|| if alone { of.get("description")?.as_str() } else { None });
            let about = about.or_else(|| self.referred(property)?.1.get("description")?.as_str()).unwrap_or_default().to_owned();
            let default = property.get("default").cloned();
            let told = Told { about, required: !alone && required.contains(&&**name), default };
            self.rows(&within(name), property, told, path, rows);
        }
        if let Some(named) = of.get("additionalProperties").and_then(Value::as_object) {
            self.inner(&within("NAME"), named, path, rows);
        }
        if let Some(items) = of.get("items").and_then(Value::as_object) {
            self.inner(&format!("{key}[]"), items, path, rows);
        }
        Self::alternatives(of).into_iter().for_each(|alternative| self.inner(key, alternative, path, rows));
    }

    /// A table of a map's own keys; of these `closed` ones nothing is told of what is in them.
    pub(super) fn own(&self, of: &'s Object, closed: &[&str]) -> String {
        let mut rows = Vec::new();
        self.inner("", of, &[], &mut rows);
        rows.retain(|row: &Vec<String>| {
            let key = row[0].trim_matches('`');
            !closed.iter().any(|closed| key.starts_with(&format!("{closed}.")) || key.starts_with(&format!("{closed}[")))
        });
        table(&["key", "value", "default", "meaning"], &rows)
    }

    fn section(&self, key: &str, of: &'s Object) -> String {
        let mut rows = Vec::new();
        self.inner(key, of, &[], &mut rows);
        table(&["key", "value", "default", "meaning"], &rows)
    }
}

/// A value as it is written in YAML, as far as defaults need it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(shown).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn uncapitalised(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next();
    // `HTTP` keeps its capitals.
    match (first, characters.as_str().chars().next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => format!("{}{}", first.to_lowercase(), characters.as_str()),
        _ => text.to_owned(),
    }
}

/// The page.
pub(super) fn page() -> String {
    let schema: Value = serde_json::from_str(&schema::json()).expect("the schema is JSON");
    let root = schema.as_object().expect("and an object");
    let definitions = root["$defs"].as_object().expect("with definitions");
    let reader = Reader { definitions };
    let mut page = format!(
        "# Configuration keys\n\n{}\n\nEvery key with its whole path: `[]` is each element of a list, `NAME` a name of your own. A duration is `250ms`, `30s`, `5m` \
         or `1h`, a size `512B`, `64KiB`, `10MiB` or `1GiB`, a rate `100/s`, `600/m` or `10000/h`, a percentage `65%`. [The annotated example](../frontgate.yaml) shows all of it \
         in use, `frontgate config show` prints a configuration with its defaults.\n",
        super::MADE
    );
    for (name, section) in root["properties"].as_object().expect("with keys").iter() {
        let section = section.as_object().expect("each a schema");
        let about = section.get("description").and_then(Value::as_str).unwrap_or_default();
        page += &format!("\n## {name}\n\n{}\n", about.split_whitespace().collect::<Vec<_>>().join(" "));
        match name == "filters" {
            true => page += &kinds(&reader, definitions),
            false => {
                let table = reader.section(name, section);
                page += &if table.is_empty() { String::new() } else { format!("\n{table}") };
            }
        }
    }
    let selectors: Vec<Vec<String>> = FORMS.iter().map(|(form, finds)| vec![code(form), (*finds).to_owned()]).collect();
    page += "\n## Selectors\n\nA selector names a fact of the request, the same way wherever one can be written.\n\n";
    page += &table(&["selector", "what it finds"], &selectors);
    page
}

/// A section for each kind of filter, with a link to its page.
fn kinds<'s>(reader: &Reader<'s>, definitions: &'s Object) -> String {
    let kinds = definitions["Filter"]["properties"].as_object().expect("a filter is a map of one key, its kind");
    let mut page =
        String::from("\nA filter is a map of one key, its kind: `filters.NAME.KIND`. In a route's list it can also stand inline.\n");
    for (kind, options) in kinds {
        let options = options.as_object().expect("each kind has a schema");
        page += &format!("\n### {kind}\n\n[What it does](../../filters/src/{kind}/README.md).\n\n{}", reader.section(kind, options));
    }
    page
}

#[test]
fn every_key_of_the_schema_is_on_the_page_and_has_its_words() {
    let page = page();
    let schema: Value = serde_json::from_str(&schema::json()).expect("the schema is JSON");
    let mut names = Vec::new();
    fn collect(of: &Value, names: &mut Vec<String>) {
        let Some(object) = of.as_object() else {
            of.as_array().into_iter().flatten().for_each(|item| collect(item, names));
            return;
        };
        // `properties` may be the name of a key, too: then it has no map of schemas below it.
        if let Some(properties) = object.get("properties").and_then(Value::as_object) {
            names.extend(properties.keys().cloned());
        }
        object.iter().filter(|(key, _)| *key != "default").for_each(|(_, inner)| collect(inner, names));
    }
    collect(&schema, &mut names);

    for name in &names {
        let is_there = [format!(".{name}`"), format!("## {name}\n")].iter().any(|text| page.contains(text));
        assert!(is_there, "`{name}` is in the schema and not on the page");
    }
    let speechless: Vec<&str> = page.lines().filter(|line| line.starts_with("| `") && line.ends_with("|  |")).collect();
    assert!(speechless.is_empty(), "no words: {speechless:#?}");
    assert!(names.len() > 100);
}

#[test]
fn every_kind_has_the_page_that_is_linked() {
    for kind in frontgate_filters::registry::FilterConfig::KINDS {
        let path = format!("{}/filters/src/{kind}/README.md", env!("CARGO_MANIFEST_DIR"));
        assert!(std::path::Path::new(&path).is_file(), "{path}");
    }
}
