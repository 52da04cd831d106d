//! The engine against the slow reference, and that one against a DOM.

use std::collections::HashSet;

use serde_json::Value;

use super::random::Random;
use super::reference::{self, Rules};
use super::*;

fn compile(rules: &[Rules]) -> Arc<Policy> {
    let mut policies = rules.iter().map(|rules| if rules.keep { Policy::keep(&rules.paths) } else { Policy::drop(&rules.paths) });
    let first = policies.next().expect("a rule").expect("a policy");
    Arc::new(policies.fold(first, |all, policy| all.intersect(&policy.expect("a policy")).expect("a policy")))
}

/// Cases by default, and a million where time is no matter. `FRONTGATE_SEED` begins elsewhere.
pub fn cases(usual: u64, long: u64) -> std::ops::Range<u64> {
    let count = if std::env::var_os("FRONTGATE_LONG").is_some() { long } else { usual };
    let seed = std::env::var("FRONTGATE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1u64);
    seed..seed + count
}

fn describe(rules: &[Rules]) -> String {
    let one = |rules: &Rules| {
        let paths: Vec<_> = rules.paths.iter().map(Path::to_string).collect();
        format!("{} {}", if rules.keep { "keep" } else { "drop" }, paths.join(", "))
    };
    rules.iter().map(one).collect::<Vec<_>>().join(" and ")
}

#[test]
fn random_documents_come_out_as_from_the_reference() {
    let backends = Backend::available();
    let (mut with_candidates, mut dom) = (0u64, 0u64);
    for seed in cases(2_000, 1_000_000) {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let rules = random.rules();
        let policy = compile(&rules);
        let text = random.document();
        let (expected, defect) = reference::trim(&text, &rules);
        let shown = || format!("seed {seed}, {}\n{}", describe(&rules), String::from_utf8_lossy(&text));
        assert_eq!(defect, None, "{}", shown());
        dom += u64::from(same_as_dom(&text, &expected, &rules, &shown));
        with_candidates += u64::from(policy.prefilter.is_some());

        for round in 0..2 {
            let cuts = random.cuts(text.len());
            for &backend in &backends {
                for policy in [policy.clone(), without_candidates(&policy)] {
                    let (out, malformed) = run(&policy, OnMalformed::Abort, backend, &text, &cuts, round == 0);
                    assert!(
                        out == expected && malformed.is_none(),
                        "{}\ncut {cuts:?}, {backend:?}, {}\n{malformed:?}\n{}\nexpected\n{}",
                        shown(),
                        if policy.prefilter.is_some() { "candidates" } else { "members" },
                        String::from_utf8_lossy(&out),
                        String::from_utf8_lossy(&expected)
                    );
                }
            }
        }
    }
    println!("{with_candidates} cases by the candidate walker too, {dom} compared with a DOM");
    assert!(with_candidates > 0 && dom > 0);
}

#[test]
fn defective_documents_end_where_the_reference_ends_and_never_show_what_is_hidden() {
    let backends = Backend::available();
    for seed in cases(2_000, 1_000_000) {
        let mut random = Random(seed.wrapping_mul(0xd134_2543_de82_ef95) | 1);
        let rules = random.rules();
        let mut policy = compile(&rules);
        // The fate of a key longer than any name is decided where a cut shows it, so what a defect right after it shows depends on cuts.
        Arc::make_mut(&mut policy).longest = 10_000;
        let mut text = random.document();
        random.damage(&mut text);
        let (expected, defect) = reference::trim(&text, &rules);
        let cuts = random.cuts(text.len());
        let shown = |out: &[u8]| {
            let (text, out, expected) = (String::from_utf8_lossy(&text), String::from_utf8_lossy(out), String::from_utf8_lossy(&expected));
            format!("seed {seed}, {}\n{text}\ncut {cuts:?}\n{out}\nexpected\n{expected}", describe(&rules))
        };

        let members = without_candidates(&policy);
        let results: Vec<_> = backends.iter().map(|&backend| run(&members, OnMalformed::Pass, backend, &text, &cuts, true)).collect();
        for (out, malformed) in &results {
            // Where nothing can be dropped, nothing is looked at.
            if !policy.is_noop() {
                assert_eq!(malformed.map(|at| at as usize), defect, "{}", shown(out));
            }
            assert!(*out == expected, "{}", shown(out));
        }
        let results: Vec<_> = backends.iter().map(|&backend| run(&policy, OnMalformed::Pass, backend, &text, &cuts, true)).collect();
        assert!(results.iter().all(|result| *result == results[0]));
        assert!(is_subsequence(&results[0].0, &text), "by candidates: {}", shown(&results[0].0));
        if policy.prefilter.is_some() && defect.is_none() {
            assert!(results[0].0 == expected, "by candidates: {}", shown(&results[0].0));
        }
        // What went out before a failure is a beginning of what `Pass` lets out.
        let (aborted, malformed) = run(&policy, OnMalformed::Abort, backends[0], &text, &cuts, true);
        assert!(results[0].0.starts_with(&aborted), "{}", shown(&aborted));
        assert_eq!(malformed, results[0].1, "{}", shown(&aborted));
    }
}

#[test]
fn a_document_cut_short_shows_a_beginning_of_what_the_whole_shows() {
    for seed in cases(150, 10_000) {
        let mut random = Random(seed.wrapping_mul(0x9fb2_1c65_1e98_df25) | 1);
        let rules = [Rules { keep: true, paths: random.rules().remove(0).paths }];
        let policy = compile(&rules);
        let text = random.document();
        let (whole, _) = reference::trim(&text, &rules);
        for end in 0..text.len() {
            let (out, _) = run(&policy, OnMalformed::Pass, Backend::best(), &text[..end], &[end], true);
            assert!(whole.starts_with(&out), "seed {seed}, cut at {end}\n{}", String::from_utf8_lossy(&text));
        }
    }
}

fn is_subsequence(part: &[u8], whole: &[u8]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|byte| whole.any(|other| other == byte))
}

/// Whether the comparison could be made: a DOM knows no duplicate keys and refuses lone surrogates.
fn same_as_dom(text: &[u8], trimmed: &[u8], rules: &[Rules], shown: &dyn Fn() -> String) -> bool {
    let parse = |text: &[u8]| serde_json::Deserializer::from_slice(text).into_iter::<Value>().collect::<Result<Vec<_>, _>>();
    let Ok(mut expected) = parse(text) else { return false };
    if has_duplicates(text) {
        return false;
    }
    let found = parse(trimmed).unwrap_or_else(|error| panic!("{error}: {}\n{}", shown(), String::from_utf8_lossy(trimmed)));
    for value in &mut expected {
        prune(value, &mut Vec::new(), rules);
    }
    // The order of members counts too.
    assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{}", shown());
    true
}

/// Deletes by the definition of paths alone: nothing is shared with the compiler or the reference.
pub fn prune(value: &mut Value, at: &mut Vec<String>, rules: &[Rules]) {
    match value {
        Value::Array(elements) => {
            elements.retain(|element| element.is_object() || element.is_array() || stays(element, at, rules));
            elements.iter_mut().for_each(|element| prune(element, at, rules));
        }
        Value::Object(members) => {
            members.retain(|name, member| {
                at.push(name.clone());
                let stays = stays(member, at, rules);
                if stays {
                    prune(member, at, rules);
                }
                at.pop();
                stays
            });
        }
        _ => {}
    }
}

pub fn stays(value: &Value, at: &[String], rules: &[Rules]) -> bool {
    let scalar = !value.is_object() && !value.is_array();
    rules.iter().all(|rules| {
        // A path names a place if it spells it or what it is in.
        let spells = |path: &Path| (0..=at.len()).any(|end| spelled(&pattern(path), &at[..end]));
        let leads = |path: &Path| (0..=pattern(path).len()).any(|end| spelled(&pattern(path)[..end], at));
        match rules.keep {
            false => !rules.paths.iter().any(spells),
            true => at.is_empty() && !scalar || rules.paths.iter().any(|path| spells(path) || (!scalar && leads(path))),
        }
    })
}

fn pattern(path: &Path) -> Vec<crate::json::path::Segment> {
    path.segments().to_vec()
}

fn spelled(pattern: &[crate::json::path::Segment], names: &[String]) -> bool {
    use crate::json::path::Segment;
    match pattern.split_first() {
        None => names.is_empty(),
        Some((Segment::Deep, rest)) => (0..=names.len()).any(|skip| spelled(rest, &names[skip..])),
        Some((Segment::Any, rest)) => !names.is_empty() && spelled(rest, &names[1..]),
        Some((Segment::Name(own), rest)) => names.first() == Some(own) && spelled(rest, &names[1..]),
    }
}

pub fn has_duplicates(text: &[u8]) -> bool {
    struct Unique;
    impl<'de> serde::de::DeserializeSeed<'de> for Unique {
        type Value = ();
        fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_any(self)
        }
    }
    impl<'de> serde::de::Visitor<'de> for Unique {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a document without duplicate keys")
        }
        fn visit_unit<E>(self) -> Result<(), E> {
            Ok(())
        }
        fn visit_bool<E>(self, _: bool) -> Result<(), E> {
            Ok(())
        }
        fn visit_i64<E>(self, _: i64) -> Result<(), E> {
            Ok(())
        }
        fn visit_u64<E>(self, _: u64) -> Result<(), E> {
            Ok(())
        }
        fn visit_f64<E>(self, _: f64) -> Result<(), E> {
            Ok(())
        }
        fn visit_str<E>(self, _: &str) -> Result<(), E> {
            Ok(())
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
            while elements.next_element_seed(Unique)?.is_some() {}
            Ok(())
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
            let mut names = HashSet::new();
            while let Some(name) = members.next_key::<String>()? {
                if !names.insert(name) {
                    return Err(serde::de::Error::custom("a duplicate"));
                }
                members.next_value_seed(Unique)?;
            }
            Ok(())
        }
    }
    let mut values = serde_json::Deserializer::from_slice(text);
    loop {
        if values.end().is_ok() {
            return false;
        }
        if serde::de::DeserializeSeed::deserialize(Unique, &mut values).is_err() {
            return true;
        }
    }
}
