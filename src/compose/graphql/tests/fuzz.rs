//! Documents and answers that nobody would write: whatever they are, what comes back is an answer of GraphQL, and nothing panics.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::super::{Kind, Request};
use super::table::{Said, Table, ask, graph, run};

/// SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, most: usize) -> usize {
        (self.next() % most as u64) as usize
    }

    pub(super) fn one<'o, T>(&mut self, of: &'o [T]) -> &'o T {
        &of[self.below(of.len())]
    }

    pub(super) fn in_hundred(&mut self, chance: u64) -> bool {
        self.next() % 100 < chance
    }
}

/// A text in which some bytes are others, missing, or twice there.
fn mutated(text: &str, random: &mut Random) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len().max(1));
        match random.below(5) {
            0 => {
                let parts = ["{", "}", "[", "]", "\"", "\\", "$", "...", "@skip(if: $v)", "!", ":", "null", "0", ","];
                bytes.splice(at..at, random.one(&parts).bytes());
            }
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 if at < bytes.len() => bytes[at] = random.next() as u8,
            3 => {
                let end = (at + random.below(20)).min(bytes.len());
                let part = bytes[at.min(end)..end].to_vec();
                let to = random.below(bytes.len().max(1));
                bytes.splice(to..to, part);
            }
            _ => bytes.truncate(at.max(1)),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn whatever_is_asked_and_answered_an_answer_comes_back() {
    let cases: Value = serde_json::from_str(include_str!("../../../../tests/data/compose/graphql/cases.json")).expect("JSON");
    let schema = cases["schema"].as_str().expect("a schema");
    let graph = graph(schema, json!({"fields": cases["fields"], "types": cases["types"]}));
    let mut documents: Vec<String> =
        cases["cases"].as_array().expect("cases").iter().filter_map(|case| case["query"].as_str().map(str::to_owned)).collect();
    documents.push("query Q($v: Boolean! = true, $x: [ID!]! = [1]) { users(ids: $x) { ...F @include(if: $v) } __schema { types { name } } } fragment F on User { id orders(limit: 1) { items { product { name } } } }".to_owned());
    let texts: Vec<String> = [&cases["data"]["users"], &cases["data"]["products"], &cases["data"]["orders"]]
        .iter()
        .flat_map(|all| all.as_object().expect("objects").values().map(Value::to_string))
        .chain([
            cases["data"]["reviews"].to_string(),
            json!({"items": cases["data"]["reviews"], "hits": [cases["data"]["users"]["1"]]}).to_string(),
        ])
        .collect();
    let (rounds, state) = (3_000, AtomicU64::new(7));
    let mut random = Random(20_261_128);
    let (mut executed, mut refused) = (0, 0);
    for _ in 0..rounds {
        let document = random.one(&documents).clone();
        let document = if random.in_hundred(50) { mutated(&document, &mut random) } else { document };
        let variables = mutated(r#"{"v": true, "x": [1, "2", null], "id": 1}"#, &mut random);
        let texts = texts.clone();
        let seed = state.fetch_add(0x1000, Ordering::Relaxed);
        let seen = AtomicU64::new(seed);
        let table = Table::new(move |_| {
            let mut random = Random(seen.fetch_add(1, Ordering::Relaxed));
            let text = random.one(&texts).clone();
            let text = if random.in_hundred(30) { mutated(&text, &mut random) } else { text };
            Said::Answer(if random.in_hundred(90) { 200 } else { 404 + (random.below(3) * 48) as u16 }, Vec::new(), text)
        });

        let outcome = run(&graph, Request { variables: Some(variables.as_bytes()), ..ask(&document) }, &table).await;

        let read: Result<Value, _> = serde_json::from_slice(&outcome.body);
        let read = read.unwrap_or_else(|error| panic!("{error}: {document}\n{}", String::from_utf8_lossy(&outcome.body)));
        match outcome.kind {
            Kind::Data => {
                executed += 1;
                assert!(read.get("data").is_some_and(|data| data.is_object() || data.is_null()), "{document}");
                assert!(!read["data"].is_null() || outcome.errors > 0, "{document}");
            }
            Kind::Refused(_) => {
                refused += 1;
                assert!(read.get("data").is_none() && read["errors"].as_array().is_some_and(|errors| !errors.is_empty()), "{document}");
                assert!(table.lines().is_empty(), "{document}");
            }
        }
    }
    assert!(executed > rounds / 3 && refused > rounds / 10, "{executed} executed, {refused} refused");
}
