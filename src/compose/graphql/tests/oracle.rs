//! The library's own executor, which resolves one field after the other, says the same of random schemas, documents and worlds.

use std::fmt::Write;
use std::sync::Arc;

use apollo_compiler::parser::Parser;
use apollo_compiler::resolvers::{Execution, FieldError, ObjectValue, ResolveInfo, ResolvedValue};
use apollo_compiler::response::JsonMap;
use serde_json::{Map, Value, json};

use super::super::{Request, schema as parsed};
use super::fuzz::Random;
use super::table::{Said, Table, ask, graph, json_of, nulled, ok, run, status};

const OBJECTS: usize = 4;

/// What a field is.
#[derive(Clone, Debug)]
struct Field {
    name: String,
    base: String,
    /// From the outermost list on, whether each may not be null; the last is what is in the innermost.
    required: Vec<bool>,
    is_call: bool,
}

/// A schema, and what is answered for it.
struct World {
    objects: Vec<Vec<Field>>,
    roots: Vec<Field>,
    seed: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut field = |name: String, is_root: bool| {
            let leaf = ["Int", "Float", "String", "Boolean", "ID", "E"];
            let base = match random.below(10) {
                0..5 if !is_root => (*random.one(&leaf)).to_owned(),
                9 => "I".to_owned(),
                8 => "U".to_owned(),
                _ => format!("T{}", random.below(OBJECTS)),
            };
            let lists = [0, 0, 0, 1, 1, 2][random.below(6)];
            let required = (0..=lists).map(|_| random.in_hundred(30)).collect();
            Field { name, base, required, is_call: is_root || random.in_hundred(25) }
        };
        let objects = (0..OBJECTS).map(|object| (0..6).map(|index| field(format!("t{object}f{index}"), false)).collect()).collect();
        let roots = (0..3).map(|index| field(format!("q{index}"), true)).collect();
        Self { objects, roots, seed }
    }

    fn sdl(&self) -> String {
        let mut sdl = "enum E { A B }\ninterface I { id: ID! }\nunion U = T0 | T1 | T2\n".to_owned();
        let written = |field: &Field| {
            let mark = |required: bool| if required { "!" } else { "" };
            let (last, lists) = field.required.split_last().expect("one");
            let inner = format!("{}{}", field.base, mark(*last));
            let whole = lists.iter().rev().fold(inner, |inner, required| format!("[{inner}]{}", mark(*required)));
            format!("{}: {whole}", field.name)
        };
        for (object, fields) in self.objects.iter().enumerate() {
            let fields: Vec<String> = fields.iter().map(written).collect();
            let _ = writeln!(sdl, "type T{object} implements I {{ id: ID! {} }}", fields.join(" "));
        }
        let roots: Vec<String> = self.roots.iter().map(written).collect();
        sdl + &format!("type Query {{ {} }}", roots.join(" "))
    }

    fn calls(&self) -> Value {
        let mut calls = Map::new();
        for field in &self.roots {
            calls.insert(format!("Query.{}", field.name), json!({"upstream": "w", "get": format!("/{}/0", field.name), "at": "v"}));
        }
        for (object, fields) in self.objects.iter().enumerate() {
            for field in fields.iter().filter(|field| field.is_call) {
                let get = format!("/{}/{{parent.key}}", field.name);
                calls.insert(format!("T{object}.{}", field.name), json!({"upstream": "w", "get": get, "at": "v"}));
            }
        }
        calls.into()
    }

    fn field(&self, name: &str) -> Option<&Field> {
        self.objects.iter().flatten().chain(&self.roots).find(|field| field.name == name)
    }

    /// What the call for a field of the object of this key is answered: a value, that there is none, or nothing.
    fn answer(&self, name: &str, key: u64) -> Result<Option<Value>, ()> {
        let field = self.field(name).expect("a field");
        let mut random = Random(self.seed ^ key.wrapping_mul(0x1_0001) ^ name.bytes().fold(0, |all, byte| all << 8 | u64::from(byte)));
        match random.below(20) {
            0 => Err(()),
            1 => Ok(None),
            _ => Ok(Some(self.value(field, 0, 0, &mut random))),
        }
    }

    fn value(&self, field: &Field, level: usize, depth: usize, random: &mut Random) -> Value {
        if random.in_hundred(if field.required[level] { 3 } else { 12 }) {
            return Value::Null;
        }
        if level + 1 < field.required.len() {
            if random.in_hundred(3) {
                return json!(5);
            }
            return (0..random.below(4)).map(|_| self.value(field, level + 1, depth, random)).collect();
        }
        let is_wrong = random.in_hundred(3);
        let object = match field.base.as_str() {
            "Int" | "Float" | "String" | "Boolean" | "ID" | "E" if is_wrong => return json!({"w": 1}),
            "Int" => return json!(random.below(1_000)),
            "Float" => return json!(random.below(1_000) as f64 + 0.5),
            "String" => return json!(format!("s\"{}é\\", random.below(1_000))),
            "Boolean" => return json!(random.in_hundred(50)),
            "ID" => return json!(random.below(1_000).to_string()),
            "E" => return json!(if random.in_hundred(50) { "A" } else { "B" }),
            "I" => random.below(OBJECTS),
            "U" => random.below(3),
            object => object[1..].parse().expect("a number"),
        };
        let is_abstract = matches!(field.base.as_str(), "I" | "U");
        let name = if is_wrong && is_abstract { "Zed".to_owned() } else { format!("T{object}") };
        let mut members = Map::new();
        members.insert("__typename".to_owned(), name.into());
        members.insert("key".to_owned(), (random.below(40) as u64).into());
        members.insert("id".to_owned(), if random.in_hundred(3) { Value::Null } else { random.below(9).to_string().into() });
        if depth < 3 {
            for field in self.objects[object].iter().filter(|field| !field.is_call) {
                members.insert(field.name.clone(), self.value(field, 0, depth + 1, random));
            }
        }
        members.into()
    }
}

/// An object, as the library sees it.
struct Object {
    world: Arc<World>,
    name: String,
    json: Value,
}

impl Object {
    fn resolved<'a>(world: &Arc<World>, value: &Value) -> ResolvedValue<'a> {
        match value {
            Value::Array(all) => {
                let all: Vec<ResolvedValue<'a>> = all.iter().map(|value| Self::resolved(world, value)).collect();
                ResolvedValue::list(all)
            }
            Value::Object(members) => {
                let name = members.get("__typename").and_then(Value::as_str).unwrap_or_default().to_owned();
                ResolvedValue::object(Self { world: world.clone(), name, json: value.clone() })
            }
            leaf => ResolvedValue::leaf(serde_json::from_value::<apollo_compiler::response::JsonValue>(leaf.clone()).expect("JSON")),
        }
    }
}

impl ObjectValue for Object {
    fn type_name(&self) -> &str {
        &self.name
    }

    fn resolve_field<'a>(&'a self, info: &'a ResolveInfo<'a>) -> Result<ResolvedValue<'a>, FieldError> {
        let name = info.field_name();
        match self.world.field(name).filter(|field| field.is_call) {
            None => Ok(Self::resolved(&self.world, &self.json[name])),
            Some(_) => match self.world.answer(name, self.json["key"].as_u64().unwrap_or(0)) {
                Ok(value) => Ok(Self::resolved(&self.world, &value.unwrap_or_default())),
                Err(()) => Err(FieldError { message: "failed".to_owned() }),
            },
        }
    }
}

/// A random document for a world.
struct Writing<'w> {
    world: &'w World,
    random: Random,
    aliases: usize,
    /// Fragments by their numbers, each on a type.
    fragments: Vec<(String, String)>,
}

impl Writing<'_> {
    fn document(&mut self) -> String {
        // Fragments spread only those that were written before them.
        for _ in 0..self.random.below(4) {
            let on = ["T0", "T1", "T2", "T3", "I", "U"][self.random.below(6)];
            let text = self.set(on, 2);
            self.fragments.push((on.to_owned(), text));
        }
        // What is not used is not written, for a document may have nothing of the kind.
        let mut text = self.set("Query", 4);
        for (index, (on, set)) in self.fragments.iter().enumerate().rev() {
            if text.contains(&format!("...F{index}")) {
                let _ = write!(text, "\nfragment F{index} on {on} {set}");
            }
        }
        let head = if text.contains("$v") { "query Q($v: Boolean!) " } else { "" };
        format!("{head}{text}")
    }

    fn set(&mut self, of: &str, depth: usize) -> String {
        let fields: &[Field] = match of {
            "Query" => &self.world.roots,
            "I" | "U" => &[],
            object => &self.world.objects[object[1..].parse::<usize>().expect("a number")],
        };
        let mut set = "{ __typename".to_owned();
        for _ in 0..1 + self.random.below(4) {
            let mut one = String::new();
            match self.random.below(8) {
                0 if of != "Query" => {
                    let on = match of {
                        "I" | "U" => format!("T{}", self.random.below(3)),
                        own => own.to_owned(),
                    };
                    let inner = self.set(&on, depth);
                    let _ = write!(one, "... on {on}{} {inner}", self.condition());
                }
                1 if !self.fragments.is_empty() && of != "Query" => {
                    let index = self.random.below(self.fragments.len());
                    let on = &self.fragments[index].0;
                    let fits = on == of || *on == "I" || of == "I" || (of == "U" && on != "T3") || (on == "U" && of != "T3");
                    if fits {
                        let _ = write!(one, "...F{index}{}", self.condition());
                    }
                }
                2 if of != "U" && of != "Query" => one.push_str("id"),
                _ if !fields.is_empty() => {
                    let field = self.random.one(fields).clone();
                    if self.random.in_hundred(40) {
                        self.aliases += 1;
                        let _ = write!(one, "a{}: ", self.aliases);
                    }
                    one.push_str(&field.name);
                    one.push_str(self.condition());
                    if matches!(field.base.as_str(), "I" | "U") || field.base.starts_with('T') {
                        let inner = if depth > 0 { self.set(&field.base, depth - 1) } else { "{ __typename }".to_owned() };
                        let _ = write!(one, " {inner}");
                    }
                }
                _ => {}
            }
            let _ = write!(set, " {one}");
        }
        set + " }"
    }

    fn condition(&mut self) -> &'static str {
        match self.random.below(12) {
            0 => " @skip(if: $v)",
            1 => " @include(if: $v)",
            2 => " @skip(if: false)",
            3 => " @include(if: true) @skip(if: false)",
            _ => "",
        }
    }
}

#[tokio::test]
async fn another_executor_says_the_same_of_random_worlds() {
    let (mut compared, mut with_errors, mut with_data) = (0, 0, 0);
    for seed in 0..40_u64 {
        let world = Arc::new(World::new(seed + 1));
        let sdl = world.sdl();
        let schema = parsed(&sdl, false).unwrap_or_else(|problems| panic!("{problems:?}: {sdl}"));
        let limits = json!({"depth": 100, "fields": 100_000, "aliases": 1_000, "cost": 4_000_000_000_u32, "calls": 100_000, "errors": 100_000, "tokens": 100_000});
        let graph = graph(&sdl, json!({"fields": world.calls(), "limits": limits}));
        for number in 0..15 {
            let random = Random(seed << 32 | number);
            let document = Writing { world: &world, random, aliases: 0, fragments: Vec::new() }.document();
            let flag = number % 2 == 0;
            let variables = json!({"v": flag}).to_string();
            // Fields of one name may not go together: that is not what is compared here.
            let Ok(valid) = Parser::new()
                .parse_ast(document.clone(), "")
                .map_err(|_| ())
                .and_then(|ast| ast.to_executable_validate(&schema).map_err(|_| ()))
            else {
                continue;
            };
            let answers = world.clone();
            let table = Table::new(move |made| {
                let [_, name, key] = made.line.rsplit(' ').next().expect("a target").split('/').collect::<Vec<_>>()[..] else {
                    panic!("{}", made.line)
                };
                match answers.answer(name, key.parse().expect("a key")) {
                    Ok(Some(value)) => ok(json!({"v": value})),
                    Ok(None) => status(404),
                    Err(()) => Said::Answer(500, Vec::new(), "{}".to_owned()),
                }
            });

            let outcome = run(&graph, Request { variables: Some(variables.as_bytes()), ..ask(&document) }, &table).await;

            let ours = json_of(&outcome);
            let values: JsonMap = serde_json::from_str(&variables).expect("JSON");
            let root = Object { world: world.clone(), name: "Query".to_owned(), json: json!({"key": 0}) };
            let theirs = Execution::new(&schema, &valid).raw_variable_values(&values).execute_sync(&root);
            let theirs = serde_json::to_value(theirs.expect("an answer")).expect("JSON");
            assert_eq!(ours["data"], theirs["data"], "{sdl}\n{document}\n{ours}\n{theirs}");
            assert_eq!(
                nulled(&ours["data"], &ours["errors"]),
                nulled(&theirs["data"], &theirs["errors"]),
                "{sdl}\n{document}\n{ours}\n{theirs}"
            );
            compared += 1;
            with_errors += usize::from(outcome.errors > 0);
            with_data += usize::from(!ours["data"].is_null());
        }
    }
    assert!(compared > 400 && with_errors > 50 && with_data > 150, "{compared} compared, {with_errors} with errors, {with_data} with data");
}
