//! What is not the same in two configurations, a line each object, for a log and for the answer to a reload: with the keys that differ, and as
//! much of their values as a line has room for.

use std::collections::BTreeSet;

use super::difference::{Became, Change, Changed, objects};
use super::portrait::{Key, Node};
use crate::config::Loaded;

/// How many objects are told of with their keys; the others by their names alone.
const TOLD: usize = 50;
/// How many keys of an object are told.
const KEYS: usize = 4;
/// How many letters of a value or of a name.
const LETTERS: usize = 60;
/// How many letters before the first one that is another.
const BEFORE: usize = 20;
/// How many entries stand in a line.
const IN_A_LINE: usize = 8;

/// What is not the same in both, an entry each: objects of the configuration, and what the files hold that it names. Secrets are named, and
/// neither they nor anything that is derived from them is shown.
pub(crate) fn changes(old: &Loaded, new: &Loaded) -> Vec<String> {
    let mut changes = Vec::new();
    if old.hash != new.hash {
        let key = Key::fresh();
        let values = [old, new].map(|loaded| Node::values(loaded, &key));
        let objects = objects(&values[0], &values[1], key);
        changes.extend(objects.iter().enumerate().map(|(index, change)| in_words(change, index < TOLD)));
    }
    changes.extend(rotated(old, new));
    changes
}

/// What has changed, in a line that has an end.
pub(crate) fn listed(changes: &[String]) -> String {
    match changes.len().saturating_sub(IN_A_LINE) {
        0 => changes.join(", "),
        more => format!("{} and {more} more", changes[..IN_A_LINE].join(", ")),
    }
}

/// The first of them, and how many more there are.
pub(crate) fn first(mut changes: Vec<String>, most: usize) -> Vec<String> {
    if let Some(more) = changes.len().checked_sub(most).filter(|more| *more > 0) {
        changes.truncate(most);
        changes.push(format!("and {more} more"));
    }
    changes
}

fn in_words(Change { what, name, became, keys }: &Change, with_keys: bool) -> String {
    let said = format!("the {what} `{}`", short(name));
    match became {
        Became::Added => format!("{said} is new"),
        Became::Removed => format!("{said} is gone"),
        Became::Changed if with_keys => {
            let mut told: Vec<String> = keys.iter().take(KEYS).map(key).collect();
            match keys.len().saturating_sub(KEYS) {
                0 => {}
                1 => told.push("and 1 more key".to_owned()),
                more => told.push(format!("and {more} more keys")),
            }
            format!("{said} has changed ({})", told.join(", "))
        }
        Became::Changed => format!("{said} has changed"),
    }
}

fn key(Changed { key, old, new }: &Changed) -> String {
    let values = match (old, new) {
        // What is not shown.
        (Some(old), Some(new)) if old == new => format!("{} → another {}", short(old), short(new)),
        (Some(old), Some(new)) => parting(old, new).join(" → "),
        (None, Some(new)) => format!("+ {}", short(new)),
        (Some(old), None) => format!("- {}", short(old)),
        (None, None) => String::new(),
    };
    if key.is_empty() { values } else { format!("{}: {values}", short(key)) }
}

/// Both as much as a line has room for: of long ones that begin alike from shortly before where they part.
fn parting(old: &str, new: &str) -> [String; 2] {
    let shown = [old, new].map(short);
    if shown[0] != shown[1] {
        return shown;
    }
    let same = old.chars().zip(new.chars()).take_while(|(old, new)| old == new).count();
    let from = |text: &str| text.chars().skip(same.saturating_sub(BEFORE)).collect::<String>();
    [old, new].map(|text| short(&format!("…{}", from(text))))
}

/// A text of one line, as much of it as a line has room for.
fn short(text: &str) -> String {
    let mut letters = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    let mut short: String = letters.by_ref().take(LETTERS).collect();
    if letters.next().is_some() {
        short.pop();
        short.push('…');
    }
    short
}

/// The files that both name and that hold something else, each with the keys that name it.
fn rotated(old: &Loaded, new: &Loaded) -> Vec<String> {
    let rotated = new.ledger().rotated(old.ledger());
    let places: BTreeSet<u32> = rotated.iter().flat_map(|file| file.named_by.iter().copied()).collect();
    let keys = new.keys_to(&places);
    let in_words = rotated.iter().map(|file| {
        let named_by: BTreeSet<&String> = file.named_by.iter().filter_map(|place| keys.get(place)).collect();
        let mut named_by: Vec<String> = named_by.into_iter().map(|key| short(key)).collect();
        let more = named_by.len().saturating_sub(KEYS);
        named_by.truncate(KEYS);
        if more > 0 {
            named_by.push(format!("and {more} more"));
        }
        let what = if file.is_secret { "the secret in" } else { "the file" };
        let path = file.path.display().to_string().replace(char::is_control, " ");
        let named_by = if named_by.is_empty() { String::new() } else { format!(" ({})", named_by.join(", ")) };
        format!("{what} `{path}`{named_by} has changed")
    });
    in_words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;

    fn loaded(rest: &str) -> Loaded {
        let text = format!("version: 1\nserver: {{listeners: [{{address: 127.0.0.1:0}}]}}\n{rest}");
        load_text("a.yaml", &text).unwrap_or_else(|problems| panic!("{}", problems.render(false)))
    }

    #[test]
    fn what_came_went_and_changed_is_named_with_its_keys() {
        let old = loaded("routes: [{name: a, path: /a, respond: {}}, {name: b, path: /b, respond: {}}]\n");
        let new = loaded("routes: [{name: b, path: /bb, respond: {}}, {name: c, path: /c, respond: {}}]\ntelemetry: {access_log: off}\n");

        let found = changes(&old, &new);

        assert_eq!(found[..3], ["the route `a` is gone", "the route `b` has changed (path: /b → /bb)", "the route `c` is new"]);
        assert!(found.len() == 4 && found[3].starts_with("the section `telemetry` has changed (access_log"), "{found:?}");
        assert!(changes(&old, &old).is_empty());
    }

    #[test]
    fn calls_that_came_went_changed_or_moved_are_named() {
        let config = |calls: &str, answer: &str| {
            let upstreams = "upstreams: {p: {endpoints: [127.0.0.1:1]}}";
            loaded(&format!("{upstreams}\nroutes: [{{name: home, path: /, aggregate: {{calls: {{{calls}}}, answer: {answer}}}}}]\n"))
        };
        let old = config("a: {upstream: p, get: /a}, b: {upstream: p, get: /b}, c: {upstream: p, get: /c}", "{a: \"{a}\", b: \"{b}{c}\"}");
        let new = config(
            "d: {upstream: p, post: /d, body: {token: hunter2}}, b: {upstream: p, get: /bb}, a: {upstream: p, get: /a}",
            "{b: \"{b}\", a: \"{a}\"}",
        );

        let found = changes(&old, &new);

        let all = "the route `home` has changed (aggregate.calls.b.get: /b → /bb, aggregate.calls.c: - {upstream: p, get: /c}";
        assert!(found[0].starts_with(all), "{found:?}");
        let more = difference_of(&old, &new);
        for words in [
            "aggregate.calls.d",
            "aggregate.calls (order): [a, b] → [b, a]",
            "aggregate.answer (order): [a, b] → [b, a]",
            "aggregate.answer.b: {b}{c} → {b}",
        ] {
            assert!(more.iter().any(|key| key.contains(words)), "{words}: {more:#?}");
        }
        assert!(!more.iter().any(|key| key.contains("hunter2")), "{more:#?}");
    }

    #[test]
    fn steps_of_a_saga_that_came_went_changed_or_moved_are_named() {
        let config = |times: &str, steps: &str| {
            let upstreams = "upstreams: {p: {endpoints: [127.0.0.1:1]}}";
            let server = "server: {listeners: [{address: 127.0.0.1:0}], state_dir: /var/lib/frontgate}";
            let text =
                format!("version: 1\n{server}\n{upstreams}\nroutes: [{{name: buy, path: /, saga: {{{times}, steps: {{{steps}}}}}}}]\n");
            load_text("a.yaml", &text).unwrap_or_else(|problems| panic!("{}", problems.render(false)))
        };
        let old = config(
            "deadline: 2m",
            "a: {upstream: p, post: /a, undo: {delete: /a}}, b: {upstream: p, post: /b, undo: none}, c: {upstream: p, post: /c, undo: none}",
        );
        let new = config(
            "deadline: 3m, key: [header.X-Key]",
            "b: {upstream: p, post: /b, body: {token: hunter2}, undo: none}, a: {upstream: p, post: /a, attempts: 9, undo: {delete: /aa}}",
        );

        let found = difference_of(&old, &new);

        for words in [
            "saga.deadline: 2m → 3m",
            "saga.key",
            "saga.steps (order): [a, b] → [b, a]",
            "saga.steps.a.undo.delete: /a → /aa",
            "saga.steps.a.attempts:  → 9",
            "saga.steps.b.body",
            "saga.steps.c",
        ] {
            assert!(found.iter().any(|key| key.contains(words)), "{words}: {found:#?}");
        }
        assert!(!found.iter().any(|key| key.contains("hunter2")), "{found:#?}");
        let named = &changes(&old, &new)[0];
        assert!(named.starts_with("the route `buy` has changed (saga."), "{named}");
    }

    #[cfg(feature = "graphql")]
    #[test]
    fn of_the_schema_of_a_graph_its_elements_are_told_and_never_all_of_it() {
        let upstreams = "upstreams: {p: {endpoints: [127.0.0.1:1]}}";
        let config = |schema: &str| {
            let schema = schema.replace('\n', "\n        ");
            let fields = "fields: {Query.a: {upstream: p, get: /a}}";
            loaded(&format!(
                "{upstreams}\nroutes:\n  - name: g\n    path: /g\n    graphql:\n      {fields}\n      schema: |\n        {schema}\n"
            ))
        };
        let before = "type Query { a(n: Int = 1, x: String): A b: E }\ntype A { x: Int gone: Int }\nenum E { ONE TWO }\nscalar S";
        let after = "\"New words.\"\ntype Query { a(n: Int = 2): A! b: E }\ntype A implements I { x: Int new: [Int!] @deprecated }\ninterface I { x: Int }\nenum E { ONE }\nextend enum E { SIX }";
        let (old, new) = (config(before), config(after));

        assert_eq!(
            difference_of(&old, &new),
            [
                "graphql.schema A: type → type implements I",
                "graphql.schema A.gone: Int → ",
                "graphql.schema A.new:  → [Int!] @deprecated",
                "graphql.schema E.SIX:  → value",
                "graphql.schema E.TWO: value → ",
                "graphql.schema I:  → interface",
                "graphql.schema I.x:  → Int",
                "graphql.schema Query.a: (n: Int = 1, x: String): A → (n: Int = 2): A!",
                "graphql.schema S: scalar → ",
            ]
        );
        let words = config(&before.replace("type A", "\"Other words.\"\ntype A"));
        assert_eq!(
            difference_of(&old, &words),
            ["graphql.schema: a schema of 4 types and 6 fields, said otherwise → a schema of 4 types and 6 fields, said otherwise"]
        );
        let many: String = (0..100).map(|number| format!("type T{number} {{ a: Int }} ")).collect();
        let found = difference_of(&old, &config(&format!("{before}\n{many}")));
        assert_eq!((found.len(), found[40].split(':').next()), (41, Some("graphql.schema (and 160 more)")), "{found:#?}");
        let none = loaded(&format!("{upstreams}\nroutes: [{{name: g, path: /g, respond: {{}}}}]\n"));
        for told in [difference_of(&none, &new), difference_of(&new, &none), changes(&none, &new)] {
            assert!(told.iter().any(|key| key.contains("a schema of 4 types and ")), "{told:#?}");
            assert!(told.iter().all(|key| !key.contains("deprecated")), "{told:#?}");
        }
        let other = loaded(&format!("{upstreams}\nroutes: [{{name: h, path: /h, respond: {{}}}}]\n"));
        let added = difference_of(&other, &new);
        assert!(added.iter().any(|key| key.contains("a schema of 4 types and 7 fields")), "{added:#?}");
    }

    /// All keys that differ, and how.
    fn difference_of(old: &Loaded, new: &Loaded) -> Vec<String> {
        let key = Key::fresh();
        let [old, new] = [old, new].map(|loaded| Node::values(loaded, &key));
        let keys = objects(&old, &new, key).into_iter().flat_map(|change| change.keys);
        keys.map(|key| format!("{}: {} → {}", key.key, key.old.unwrap_or_default(), key.new.unwrap_or_default())).collect()
    }

    #[test]
    fn a_line_has_an_end_and_forges_no_other_one() {
        let config = |number: usize| {
            let keys: Vec<String> = (0..20).map(|key| format!("k{key}: \"{number}\\n[ERROR] {}\"", "x".repeat(100))).collect();
            let route = |route: usize| format!("{{name: r{route}, path: /r{route}, respond: {{json: {{{}}}}}}}", keys.join(", "));
            loaded(&format!("routes: [{}]\n", (0..60).map(route).collect::<Vec<_>>().join(", ")))
        };

        let found = changes(&config(1), &config(2));

        assert_eq!(found.len(), 60);
        assert!(found[0].starts_with("the route `r0` has changed (respond.json.k0: 1 [ERROR] xxx"), "{}", found[0]);
        assert!(found[0].ends_with("xx…, and 16 more keys)"), "{}", found[0]);
        assert!(found.iter().all(|line| line.len() < 1000 && !line.contains('\n')));
        assert_eq!(found[59], "the route `r59` has changed");
        assert!(listed(&found).ends_with(" and 52 more"));
    }

    #[test]
    fn long_values_that_begin_alike_are_told_from_where_they_part() {
        let config = |stock: &str| {
            let schema = format!("type Query {{ book: Book }} type Book {{ {} stock: {stock} }}", "title: String ".repeat(9));
            loaded(&format!("routes: [{{name: a, path: /a, respond: {{json: {{schema: \"{schema}\"}}}}}}]\n"))
        };

        let found = changes(&config("Int"), &config("Int!"));

        let expected = "respond.json.schema: …: String  stock: Int } → …: String  stock: Int! })";
        assert!(found[0].ends_with(expected), "{found:?}");
    }

    #[test]
    fn secrets_are_named_and_never_shown() {
        let config = |password: &str| loaded(&format!("routes: [{{name: a, path: /a, respond: {{json: {{password: {password}}}}}}}]\n"));

        let found = changes(&config("hunter1"), &config("hunter2"));

        assert_eq!(found, ["the route `a` has changed (respond.json.password: *** → another ***)"]);
    }
}
