//! Turns a specification of Tailcall's into a schema and the calls of its fields. What its language has and ours has not is told in words.

use std::collections::HashMap;

use apollo_compiler::Node;
use apollo_compiler::ast::{Definition, Directive, DirectiveList, Document, FieldDefinition, Value as Written};
use apollo_compiler::parser::Parser;
use serde_json::{Map, Value, json};

/// A specification in our words.
pub(super) struct Converted {
    pub(super) sdl: String,
    /// `fields` of the graph.
    pub(super) fields: Value,
}

type Reason = &'static str;

/// Scalars that are there without being defined.
const SCALARS: [&str; 17] = [
    "JSON",
    "Email",
    "PhoneNumber",
    "Date",
    "DateTime",
    "Url",
    "Empty",
    "Bytes",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "Int128",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
];

/// A call as it is written there.
#[derive(Clone, Default)]
struct Http {
    url: String,
    method: String,
    query: Vec<(String, String)>,
    body: Option<String>,
    batch_key: Vec<String>,
}

/// The specification's schema and calls, or why it is out of reach.
pub(super) fn convert(spec: &Value) -> Result<Converted, Reason> {
    if spec.get("files").is_some() {
        return Err("further files: scripts, descriptors, operations");
    }
    let [sdl] = &spec["schema"].as_array().expect("schemas")[..] else { return Err("several schemas, linked") };
    let sdl = sdl.as_str().expect("a schema");
    let mut document = Parser::new().parse_ast(sdl, "").map_err(|_| "a schema that is not GraphQL")?;
    let roots = roots(&document);
    let mut fields = Map::new();
    for definition in &mut document.definitions {
        match definition {
            Definition::ObjectTypeDefinition(of) => {
                let of = of.make_mut();
                resolves_nothing(&of.directives)?;
                of.directives.0.clear();
                let is_root = of.name == "Query" || of.name == "Mutation";
                let mut kept = Vec::new();
                for field in of.fields.drain(..) {
                    if let Some(field) = converted(&of.name, field, is_root, &roots, &mut fields)? {
                        kept.push(field);
                    }
                }
                of.fields = kept;
            }
            Definition::InputObjectTypeDefinition(of) => {
                let of = of.make_mut();
                of.directives.0.clear();
                for field in &mut of.fields {
                    if !field.directives.is_empty() {
                        return Err("other names of members of arguments");
                    }
                }
            }
            Definition::EnumTypeDefinition(of) if of.values.iter().any(|value| value.directives.has("alias")) => {
                return Err("other names of an enum's values");
            }
            Definition::SchemaDefinition(of) => of.make_mut().directives.0.clear(),
            Definition::UnionTypeDefinition(_) | Definition::InterfaceTypeDefinition(_) => {
                return Err("types that are told by the shape of a value");
            }
            _ => {}
        }
    }
    let mut sdl: String = document.to_string();
    for scalar in SCALARS {
        let is_used = sdl.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == scalar);
        if is_used && !sdl.contains(&format!("scalar {scalar}")) {
            sdl.push_str(&format!("\nscalar {scalar}\n"));
        }
    }
    Ok(Converted { sdl, fields: fields.into() })
}

/// The calls of the roots, by their names: others refer to them.
fn roots(document: &Document) -> HashMap<String, Directive> {
    let mut all = HashMap::new();
    for definition in &document.definitions {
        if let Definition::ObjectTypeDefinition(of) = definition
            && (of.name == "Query" || of.name == "Mutation")
        {
            all.extend(of.fields.iter().filter_map(|field| Some((field.name.to_string(), (**field.directives.get("http")?).clone()))));
        }
    }
    all
}

fn resolves_nothing(directives: &DirectiveList) -> Result<(), Reason> {
    for directive in directives.iter() {
        match directive.name.as_str() {
            "cache" | "tag" | "protected" => {}
            "addField" => return Err("fields that are added at a distance: `@addField`"),
            "graphQL" => return Err("another GraphQL service behind: `@graphQL`"),
            "http" | "call" | "expr" => return Err("what finds an object of a type for a federation: our `subgraph` derives it"),
            _ => return Err("a directive that we have no word for"),
        }
    }
    Ok(())
}

/// A field without its directives, and what answers it in `fields`.
fn converted(
    of: &str,
    mut field: Node<FieldDefinition>,
    is_root: bool,
    roots: &HashMap<String, Directive>,
    fields: &mut Map<String, Value>,
) -> Result<Option<Node<FieldDefinition>>, Reason> {
    let mut directives = std::mem::take(&mut field.make_mut().directives);
    let own = field.name.clone();
    let (mut call, mut name, mut is_omitted) = (None, None, false);
    for directive in directives.0.drain(..) {
        match directive.name.as_str() {
            "http" => call = Some(http(&directive)?),
            "call" => call = Some(called(&directive, roots)?),
            "modify" => {
                name = directive.specified_argument_by_name("name").and_then(|name| name.as_str()).map(str::to_owned);
                is_omitted = directive.specified_argument_by_name("omit").and_then(|omit| omit.to_bool()) == Some(true);
            }
            "omit" => is_omitted = true,
            "cache" | "deprecated" => {}
            "expr" => return Err("values that the configuration makes up: `@expr`"),
            "graphQL" => return Err("another GraphQL service behind: `@graphQL`"),
            _ => return Err("a directive that we have no word for"),
        }
    }
    if is_omitted {
        return Ok(None);
    }
    if let Some(name) = &name {
        field.make_mut().name = apollo_compiler::Name::new(name).map_err(|_| "a name that is none")?;
    }
    let coordinate = format!("{of}.{}", field.name);
    match call {
        Some(call) => {
            let is_list = field.ty.is_list();
            fields.insert(coordinate, call.ours(is_root, is_list)?);
        }
        None if name.is_some() => {
            fields.insert(coordinate, json!({"from": own.as_str()}));
        }
        None => {}
    }
    Ok(Some(field))
}

fn http(directive: &Directive) -> Result<Http, Reason> {
    let mut http = Http { method: "GET".to_owned(), ..Http::default() };
    for argument in &directive.arguments {
        let value = plain(&argument.value);
        let text = || value.as_str().unwrap_or_default().to_owned();
        match argument.name.as_str() {
            "url" => http.url = text(),
            "method" => http.method = text(),
            "body" => http.body = Some(if value.is_string() { text() } else { value.to_string() }),
            "query" => {
                for pair in value.as_array().into_iter().flatten() {
                    let word = |name: &str| pair[name].as_str().map_or_else(|| pair[name].to_string(), str::to_owned);
                    http.query.push((word("key"), word("value")));
                }
            }
            "batchKey" => {
                http.batch_key = value.as_array().into_iter().flatten().filter_map(|key| key.as_str().map(str::to_owned)).collect();
            }
            // Calls that ask for the same are made once here, too.
            "dedupe" => {}
            _ => return Err("scripts and selections on the way of an answer"),
        }
    }
    Ok(http)
}

/// A field that another field of a root answers, with other arguments.
fn called(directive: &Directive, roots: &HashMap<String, Directive>) -> Result<Http, Reason> {
    let steps = directive.specified_argument_by_name("steps").map(|steps| plain(steps)).unwrap_or_default();
    let Some([step]) = steps.as_array().map(Vec::as_slice) else { return Err("several steps, each of the result of the one before") };
    let name = step["query"].as_str().or_else(|| step["mutation"].as_str()).unwrap_or_default();
    let mut http = http(roots.get(name).ok_or("a step that is no call")?)?;
    let arguments = &step["args"];
    let mut missing = false;
    let mut with = |text: &str| {
        replaced(text, &mut |path| {
            let Some(rest) = path.strip_prefix("args.") else { return format!("{{{{.{path}}}}}") };
            let (name, below) = rest.split_once('.').map_or((rest, ""), |(name, below)| (name, below));
            match &arguments[name] {
                Value::String(text) if below.is_empty() => text.clone(),
                Value::String(text) => text.replace("}}", &format!(".{below}}}}}")),
                Value::Null => {
                    missing = true;
                    String::new()
                }
                value => value.to_string(),
            }
        })
    };
    http.url = with(&http.url);
    http.query.iter_mut().for_each(|(_, value)| *value = with(value));
    http.body = http.body.as_deref().map(&mut with);
    if missing { Err("a step without an argument that its call needs") } else { Ok(http) }
}

impl Http {
    /// In our words.
    fn ours(&self, is_root: bool, is_list: bool) -> Result<Value, Reason> {
        let rest = self.url.strip_prefix("http://").or_else(|| self.url.strip_prefix("https://")).ok_or("an upstream without a name")?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if host.contains("{{") {
            return Err("a host that a request chooses");
        }
        let mut target = if path.is_empty() { "/".to_owned() } else { path.to_owned() };
        for (index, (key, value)) in self.query.iter().enumerate() {
            let sign = if index > 0 || target.contains('?') { '&' } else { '?' };
            target.push_str(&format!("{sign}{key}={value}"));
        }
        let mut call = json!({"upstream": upstream(host)});
        if !self.batch_key.is_empty() && !is_root {
            if self.body.is_some() {
                return Err("batches in bodies");
            }
            let place = mustaches(&target).into_iter().find_map(|path| path.strip_prefix("value.").map(str::to_owned));
            let place = place.ok_or("a batch without a value of the parent")?;
            target = target.replace(&format!("{{{{.value.{place}}}}}"), "{each}").replace(&format!("{{{{value.{place}}}}}"), "{each}");
            let (by, at) = self.batch_key.split_last().ok_or("a batch without a key")?;
            call["each"] = format!("parent.{place}").into();
            call["batch"] = 100.into();
            call["by"] = by.as_str().into();
            if !at.is_empty() {
                call["at"] = at.join(".").into();
            }
            if is_list {
                call["many"] = true.into();
            }
        }
        call[self.method.to_ascii_lowercase()] = ours(&target)?.into();
        if let Some(body) = &self.body {
            call["body"] = in_body(body)?;
        }
        Ok(call)
    }
}

/// The name of a host's upstream.
pub(super) fn upstream(host: &str) -> String {
    host.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect()
}

/// References in our words.
fn ours(text: &str) -> Result<String, Reason> {
    let mut wrong = None;
    let converted = replaced(text, &mut |path| match path.split_once('.').unwrap_or((path, "")) {
        ("args", "") => "{args}".to_owned(),
        ("value", "") => "{parent}".to_owned(),
        ("args", rest) => format!("{{args.{rest}}}"),
        ("value", rest) => format!("{{parent.{rest}}}"),
        ("headers", rest) => format!("{{header.{rest}}}"),
        _ => {
            wrong = Some("variables of the environment or of the configuration");
            String::new()
        }
    });
    wrong.map_or(Ok(converted), Err)
}

/// A body: text in which references stand, between quotes or not.
fn in_body(text: &str) -> Result<Value, Reason> {
    let mut quoted = String::new();
    let (mut rest, mut is_in_string) = (text, false);
    while let Some(begin) = rest.find("{{") {
        let (before, behind) = rest.split_at(begin);
        is_in_string ^= before.matches('"').count() % 2 == 1;
        let end = behind.find("}}").ok_or("a reference without an end")? + 2;
        let reference = ours(&behind[..end])?;
        quoted.push_str(before);
        quoted.push_str(&if is_in_string { reference } else { format!("\"{reference}\"") });
        rest = &behind[end..];
    }
    quoted.push_str(rest);
    serde_json::from_str(&quoted).map_err(|_| "a body that is not JSON")
}

/// All references of a text, without the dot that they may begin with.
fn mustaches(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    replaced(text, &mut |path| {
        all.push(path.to_owned());
        String::new()
    });
    all
}

fn replaced(text: &str, each: &mut dyn FnMut(&str) -> String) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, behind)) = rest.split_once("{{") {
        let Some((path, after)) = behind.split_once("}}") else { break };
        out.push_str(before);
        out.push_str(&each(path.trim().trim_start_matches('.')));
        rest = after;
    }
    out + rest
}

/// A value of a directive as JSON.
fn plain(value: &Written) -> Value {
    match value {
        Written::Null | Written::Variable(_) => Value::Null,
        Written::Boolean(value) => (*value).into(),
        Written::Enum(name) => name.as_str().into(),
        Written::String(text) => text.as_str().into(),
        Written::Int(digits) => serde_json::from_str(digits.as_str()).expect("a number"),
        Written::Float(digits) => serde_json::from_str(digits.as_str()).expect("a number"),
        Written::List(all) => all.iter().map(|one| plain(one)).collect(),
        Written::Object(members) => Value::Object(members.iter().map(|(name, value)| (name.to_string(), plain(value))).collect()),
    }
}
