//! A sample of a public collection that is carried along: most of every class is told.

use std::collections::BTreeMap;

use frontgate_test_support::vectors;

use crate::device::Devices;

/// The least share of each class, in percent.
const LEAST: &[(&str, f64)] =
    &[("smart_tv", 90.0), ("console", 90.0), ("wearable", 88.0), ("desktop", 93.0), ("tablet", 90.0), ("mobile", 93.0), ("bot", 97.0)];

#[test]
fn the_builtin_table_tells_most_of_every_class() {
    let Some(file) = vectors("user-agents/cases.tsv") else { return };
    let text = std::fs::read_to_string(file).expect("a file of lines");
    let devices = Devices::builtin();

    let mut counts: BTreeMap<&str, (usize, Vec<&str>)> = BTreeMap::new();
    for line in text.lines() {
        let (class, agent) = line.split_once('\t').expect("a class and a User-Agent");
        let (all, wrong) = counts.entry(class).or_default();
        *all += 1;
        if &*devices.classes()[devices.classify_parts(agent.as_bytes(), None, None)] != class {
            wrong.push(agent);
        }
    }

    for (class, least) in LEAST {
        let (all, wrong) = &counts[class];
        let share = 100.0 * (all - wrong.len()) as f64 / *all as f64;
        assert!(share >= *least, "{class}: {share:.1} % of {all}, not {least} %: {wrong:#?}");
    }
}
