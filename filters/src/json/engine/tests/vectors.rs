//! A public suite of good and bad texts, and whole documents that are too large to be carried along.

use std::fs;

use frontgate_test_support::vectors;
use serde_json::Value;

use super::reference::{self, Rules};
use super::*;

fn base64(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut bits, mut have) = (0u32, 0);
    for byte in text.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(digit);
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
        }
    }
    out
}

/// The texts of the suite, with their names. Nothing where there is none.
pub fn suite() -> Vec<(String, Vec<u8>)> {
    let Some(folder) = vectors("json-test-suite") else { return Vec::new() };
    let cases = fs::read_to_string(folder.join("cases.jsonl")).expect("the suite");
    let text = |case: &Value| match case["b64"].as_str() {
        Some(text) => base64(text),
        None => {
            let mut text = base64(case["repeat_b64"].as_str().expect("repeat_b64")).repeat(case["times"].as_u64().expect("times") as usize);
            text.extend(base64(case["suffix_b64"].as_str().unwrap_or_default()));
            text
        }
    };
    let cases = cases.lines().map(|line| serde_json::from_str(line).expect("a case"));
    cases.map(|case: Value| (case["name"].as_str().expect("a name").to_owned(), text(&case))).collect()
}

#[test]
fn the_json_test_suite_is_read_as_it_says() {
    let rules = [(false, vec!["a"]), (false, vec!["**.b", "a.c"]), (false, vec!["*"]), (true, vec!["a"]), (true, vec!["**.asd", "b.*"])];
    let (mut good, mut other) = (0, 0);
    let suite = suite();
    if suite.is_empty() {
        return;
    }
    for (name, text) in suite {
        for (keep, paths) in &rules {
            let rules = [Rules { keep: *keep, paths: super::paths(paths) }];
            let policy = if *keep { keeping(paths) } else { dropping(paths) };
            let cuts: Vec<Vec<usize>> =
                vec![vec![text.len()], vec![text.len() / 2, text.len()], (1..=text.len().min(300)).chain([text.len()]).collect()];
            let valid = name.starts_with("y_");
            good += usize::from(valid);
            other += usize::from(!valid);
            let expected = valid.then(|| reference::trim(&text, &rules));
            for cuts in cuts {
                let all: Vec<_> = Backend::available()
                    .into_iter()
                    .map(|backend| [OnMalformed::Pass, OnMalformed::Abort].map(|on| run(&policy, on, backend, &text, &cuts, true)))
                    .collect();
                assert!(all.iter().all(|one| *one == all[0]), "{name}");
                let [(passed, defect), (aborted, same_defect)] = &all[0];
                assert_eq!(defect, same_defect);
                assert!(passed.starts_with(aborted));
                match &expected {
                    Some((expected, _)) => {
                        assert_eq!(defect, &None, "{name}");
                        assert_eq!(String::from_utf8_lossy(passed), String::from_utf8_lossy(expected), "{name}");
                    }
                    // Where nothing of it is to go, all of it goes out.
                    None if !keep && !text.contains(&b'{') => assert!(*passed == text, "{name}"),
                    None => {}
                }
            }
        }
    }
    println!("{good} runs of valid texts, {other} of others");
    assert!(good > 100 && other > 100);
}

#[test]
fn whole_documents_come_out_as_from_the_reference_however_they_are_cut() {
    let Some(folder) = vectors("json-documents") else { return };
    let long = std::env::var_os("FRONTGATE_LONG").is_some();
    for (file, keep, paths) in [
        ("twitter.json", false, vec!["statuses.user.description", "statuses.entities.urls", "**.profile_image_url_https"]),
        ("twitter.json", true, vec!["statuses.id", "statuses.text", "statuses.user.screen_name", "search_metadata"]),
        ("twitterescaped.json", false, vec!["statuses.user.description", "statuses.retweeted_status", "**.lang"]),
        ("citm_catalog.json", false, vec!["performances.seatCategories", "events.*.logo", "**.id"]),
        ("citm_catalog.json", true, vec!["events.*.name", "performances.prices.amount"]),
        ("github_events.json", false, vec!["actor.gravatar_id", "payload.commits.author", "repo.url"]),
        ("github_events.json", true, vec!["id", "type", "payload.commits.sha"]),
    ] {
        let text = fs::read(folder.join(file)).expect("a document");
        let rules = [Rules { keep, paths: super::paths(&paths) }];
        let policy = if keep { keeping(&paths) } else { dropping(&paths) };
        let (expected, defect) = reference::trim(&text, &rules);
        assert_eq!(defect, None);
        assert!(expected.len() < text.len());
        for backend in Backend::available() {
            for policy in [policy.clone(), without_candidates(&policy)] {
                let steps: &[usize] = if long { &[1, 7, 63, 64, 65, 1000, 1024, 4096, 16_384, 65_536] } else { &[61, 1024, 65_536] };
                for &step in steps {
                    let cuts: Vec<_> = (step..text.len()).step_by(step).chain([text.len()]).collect();
                    let (out, malformed) = run(&policy, OnMalformed::Abort, backend, &text, &cuts, true);
                    assert_eq!(malformed, None, "{file} {paths:?} {backend:?} in steps of {step}");
                    assert!(out == expected, "{file} {paths:?} {backend:?} in steps of {step}");
                }
            }
        }
    }
}
