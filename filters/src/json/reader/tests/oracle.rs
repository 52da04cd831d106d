//! What is left, renamed and marked, beside what the trimmer leaves and what a DOM says.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::json::engine::tests::equality::{cases, has_duplicates, prune, stays};
use crate::json::engine::tests::random::Random;
use crate::json::engine::tests::reference::{self, Rules};
use crate::json::path::{Path, Segment};
use crate::json::place::{Place, Step};
use crate::json::policy::Policy;

fn compile(rules: &[Rules]) -> Policy {
    let mut policies = rules.iter().map(|rules| if rules.keep { Policy::keep(&rules.paths) } else { Policy::drop(&rules.paths) });
    let first = policies.next().expect("a rule").expect("a policy");
    policies.fold(first, |all, policy| all.intersect(&policy.expect("a policy")).expect("a policy"))
}

/// What leads to a value.
#[derive(Clone, Debug, PartialEq)]
enum Way {
    Name(String),
    Index(u32),
}

fn names(ways: &[Way]) -> Vec<String> {
    let name = |way: &Way| if let Way::Name(name) = way { Some(name.clone()) } else { None };
    ways.iter().filter_map(name).collect()
}

/// Whether a mark means the value at the end of these ways. By the definition alone: nothing is shared with the compiler.
fn means(steps: &[Step], ways: &[Way], each: bool) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return ways.is_empty() || each && ways.iter().all(|way| matches!(way, Way::Index(_)));
    };
    match (step, ways.split_first()) {
        (Step::Segment(Segment::Deep), first) => means(rest, ways, each) || first.is_some_and(|(_, others)| means(steps, others, each)),
        (_, None) => false,
        (Step::Element(wanted), Some((way, others))) => *way == Way::Index(*wanted) && means(rest, others, each),
        (Step::Segment(_), Some((Way::Index(_), others))) => means(steps, others, each),
        (Step::Segment(Segment::Any), Some((_, others))) => means(rest, others, each),
        (Step::Segment(Segment::Name(name)), Some((way, others))) => *way == Way::Name(name.clone()) && means(rest, others, each),
    }
}

/// As `means`, of a path and names.
fn spells(path: &Path, names: &[String]) -> bool {
    let ways: Vec<_> = names.iter().cloned().map(Way::Name).collect();
    means(Place::from(path).steps(), &ways, false)
}

fn rename(value: &mut Value, at: &mut Vec<String>, renames: &[(Path, String)]) {
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(|element| rename(element, at, renames)),
        Value::Object(members) => {
            let old = std::mem::take(members);
            for (name, mut member) in old {
                at.push(name.clone());
                rename(&mut member, at, renames);
                let new = renames.iter().find(|(path, _)| spells(path, at)).map_or(name, |(_, new)| new.clone());
                at.pop();
                members.insert(new, member);
            }
        }
        _ => {}
    }
}

struct Oracle<'a> {
    rules: &'a [Rules],
    renames: &'a [(Path, String)],
    marks: &'a [Mark],
    found: Vec<(u16, Value, Vec<u32>)>,
}

impl Oracle<'_> {
    fn visit(&mut self, value: &Value, ways: &mut Vec<Way>) {
        let at = names(ways);
        let container = value.is_object() || value.is_array();
        // Containers in an array stay, and so does the whole.
        let always = ways.is_empty() || container && matches!(ways.last(), Some(Way::Index(_)));
        if !always && !stays(value, &at, self.rules) {
            return;
        }
        let mut meant: Vec<&Mark> =
            self.marks.iter().filter(|mark| !(mark.each && value.is_array()) && means(mark.place.steps(), ways, mark.each)).collect();
        meant.sort_by_key(|mark| mark.each);
        if !meant.is_empty() {
            let mut left = value.clone();
            if container {
                prune(&mut left, &mut at.clone(), self.rules);
            }
            rename(&mut left, &mut at.clone(), self.renames);
            let indexes: Vec<u32> = ways.iter().filter_map(|way| if let Way::Index(index) = way { Some(*index) } else { None }).collect();
            self.found.extend(meant.iter().map(|mark| (mark.number, left.clone(), indexes.clone())));
        }
        match value {
            Value::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    ways.push(Way::Index(index as u32));
                    self.visit(element, ways);
                    ways.pop();
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    ways.push(Way::Name(name.clone()));
                    self.visit(member, ways);
                    ways.pop();
                }
            }
            _ => {}
        }
    }
}

fn place(random: &mut Random, document: Option<&Value>) -> Place {
    if random.one_in(15) {
        return Place::WHOLE;
    }
    if let Some(value) = document
        && !random.one_in(3)
        && let Ok(place) = place_in(random, value).join(".").parse()
    {
        return place;
    }
    let mut text = random.path().to_string();
    for _ in 0..random.below(2) {
        text = if random.one_in(2) { format!("{text}.{}", random.below(3)) } else { format!("{}.{text}", random.below(3)) };
    }
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A way that leads to something, most often.
fn place_in(random: &mut Random, mut value: &Value) -> Vec<String> {
    let mut steps = Vec::new();
    for _ in 0..1 + random.below(6) {
        match value {
            Value::Array(elements) if !elements.is_empty() => {
                let index = random.below(elements.len());
                if random.one_in(3) {
                    steps.push(index.to_string());
                }
                value = &elements[index];
            }
            Value::Object(members) if !members.is_empty() => {
                let (name, member) = members.iter().nth(random.below(members.len())).expect("a member");
                steps.push(match random.below(12) {
                    0 => "*".to_owned(),
                    1 => "**.a".to_owned(),
                    _ => format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")),
                });
                value = member;
            }
            _ => break,
        }
    }
    steps
}

#[test]
fn random_documents_are_left_renamed_and_marked_as_by_a_dom() {
    let backends = Backend::available();
    let (mut compared, mut marked, mut renamed) = (0u64, 0u64, 0u64);
    for seed in cases(3_000, 1_000_000) {
        let mut random = Random(seed.wrapping_mul(0xe703_7ed1_a0b4_28db) | 1);
        let rules = if random.one_in(3) { vec![Rules { keep: false, paths: vec![] }] } else { random.rules() };
        let policy = compile(&rules);
        let renames: Vec<_> = (0..random.below(3)).map(|index| (random.path(), format!("new \"{index}\""))).collect();
        let renames: Vec<_> = renames.into_iter().filter(|(path, _)| matches!(path.segments().last(), Some(Segment::Name(_)))).collect();
        let text = random.value_text();
        let value = serde_json::from_slice::<Value>(&text).ok();
        let count = random.below(5);
        let mut mark = |number| Mark { number, place: place(&mut random, value.as_ref()), each: random.one_in(2) };
        let marks: Vec<_> = (0..count as u16).map(&mut mark).collect();
        // Two new names for one member.
        let Ok(plan) = Plan::new(&policy, &renames, &marks) else { continue };
        let plan = Arc::new(plan);
        let shown = || {
            let rules: Vec<_> =
                rules.iter().map(|rules| (rules.keep, rules.paths.iter().map(Path::to_string).collect::<Vec<_>>())).collect();
            let renames: Vec<_> = renames.iter().map(|(path, name)| format!("{path} → {name}")).collect();
            let marks: Vec<_> = marks.iter().map(|mark| format!("{} {} {}", mark.number, mark.place, mark.each)).collect();
            format!("seed {seed}, {rules:?} {renames:?} {marks:?}\n{}", String::from_utf8_lossy(&text))
        };
        let all = |document: &Document| {
            let one = |found: &Found| (found.number, document.get(found).into_bytes(), document.passed(found));
            (document.whole().into_bytes(), document.found().iter().map(one).collect::<Vec<_>>())
        };
        let first = all(&read(&plan, backends[0], &text, &[text.len()]).unwrap_or_else(|fault| panic!("{fault}: {}", shown())));
        for &backend in &backends {
            for cuts in [vec![text.len()], steps(&text, 1), random.cuts(text.len()), random.cuts(text.len())] {
                let found = all(&read(&plan, backend, &text, &cuts).unwrap_or_else(|fault| panic!("{fault}: {}", shown())));
                assert_eq!(found, first, "cut {cuts:?}, {backend:?}: {}", shown());
            }
        }

        // The trimmer leaves the same bytes.
        if renames.is_empty() {
            let (expected, _) = reference::trim(&text, &rules);
            assert_eq!(first.0.escape_ascii().to_string(), expected.trim_ascii().escape_ascii().to_string(), "{}", shown());
        }
        // A DOM knows no duplicate keys and refuses lone surrogates.
        let Some(value) = value.filter(|_| !has_duplicates(&text)) else { continue };
        let mut expected = value.clone();
        if value.is_object() || value.is_array() {
            prune(&mut expected, &mut Vec::new(), &rules);
        }
        rename(&mut expected, &mut Vec::new(), &renames);
        let parse = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap_or_else(|error| panic!("{error}: {}", shown()));
        // The order of members counts too.
        assert_eq!(format!("{:?}", parse(&first.0)), format!("{expected:?}"), "{}", shown());
        let mut oracle = Oracle { rules: &rules, renames: &renames, marks: &marks, found: Vec::new() };
        oracle.visit(&value, &mut Vec::new());
        let found: Vec<_> = first.1.iter().map(|(number, text, indexes)| (*number, parse(text), indexes.clone())).collect();
        assert_eq!(found, oracle.found, "{}", shown());

        compared += 1;
        marked += found.len() as u64;
        renamed += u64::from(!renames.is_empty() && expected != value);
    }
    println!("{compared} compared with a DOM, {marked} values marked, {renamed} renamed or trimmed");
    assert!(compared > 500 && marked > 500 && renamed > 100);
}

#[test]
fn a_place_without_stars_is_a_json_pointer() {
    let mut hits = 0;
    for seed in cases(1_500, 200_000) {
        let mut random = Random(seed.wrapping_mul(0x8ebc_6af0_9c88_c6e3) | 1);
        let text = random.value_text();
        let Ok(value) = serde_json::from_slice::<Value>(&text) else { continue };
        if has_duplicates(&text) {
            continue;
        }
        // Every place of the document, by its names and numbers.
        let mut all = BTreeMap::new();
        list(&value, &mut Vec::new(), &mut all);
        let picked: Vec<_> = all.into_iter().filter(|_| random.one_in(3)).take(20).collect();
        let marks: Vec<_> = picked
            .iter()
            .enumerate()
            .map(|(number, (_, steps))| Mark { number: number as u16, place: steps.join(".").parse().unwrap_or(Place::WHOLE), each: false })
            .collect();
        let plan = Arc::new(Plan::new(&Policy::drop(&[]).expect("a policy"), &[], &marks).expect("a plan"));
        let document = read(&plan, Backend::best(), &text, &random.cuts(text.len())).expect("a value");
        for (number, (pointer, _)) in picked.iter().enumerate() {
            let expected = value.pointer(pointer).expect("it is there");
            let found: Vec<Value> = document
                .marked(number as u16)
                .map(|found| serde_json::from_slice(&document.get(found).into_bytes()).expect("a value"))
                .collect();
            // A name after an array also means its elements' members: those are others.
            assert!(found.contains(expected), "seed {seed} {pointer}: {found:?}\n{}", String::from_utf8_lossy(&text));
            hits += 1;
        }
    }
    assert!(hits > 1000, "{hits}");
}

fn list(value: &Value, steps: &mut Vec<String>, all: &mut BTreeMap<String, Vec<String>>) {
    fn pointer(steps: &[String]) -> String {
        let plain = |step: &String| {
            let text =
                if step.starts_with('"') { step[1..step.len() - 1].replace("\\\"", "\"").replace("\\\\", "\\") } else { step.clone() };
            format!("/{}", text.replace('~', "~0").replace('/', "~1"))
        };
        steps.iter().map(plain).collect()
    }
    all.insert(pointer(steps), steps.clone());
    let mut into = |step: String, value: &Value| {
        steps.push(step);
        list(value, steps, all);
        steps.pop();
    };
    match value {
        Value::Array(elements) => elements.iter().enumerate().for_each(|(index, element)| into(index.to_string(), element)),
        Value::Object(members) => {
            // No name with a backslash before a quote: one way to write it is enough here.
            let plain = members.iter().filter(|(name, _)| !name.contains('\\') && !name.contains('\0'));
            plain.for_each(|(name, member)| into(format!("\"{}\"", name.replace('"', "\\\"")), member));
        }
        _ => {}
    }
}
