//! Whole texts in, every problem out.

mod discover;
mod files;
mod filters;
mod golden;
mod mistakes;
mod names;
mod routes;
mod size;
mod tracing;

use super::*;

/// The least that every configuration needs.
const HEAD: &str = r#"
version: 1
server:
  listeners: [{address: "127.0.0.1:8080"}]
"#;

/// What is wrong with a text: `line:column message (help)`, or `warning: message` where it can be used all the same.
fn problems(text: &str) -> Vec<String> {
    match load_text("a.yaml", text) {
        Ok(loaded) => {
            let items = &loaded.warnings.items;
            items.iter().map(|item| format!("warning: {}", item.message)).collect()
        }
        Err(found) => {
            let told = |item: &Diagnostic| {
                let place = item.place.as_ref().map_or("?".to_owned(), |at| {
                    let (line, column) = found.sources[at.file].line_column(at.range.start);
                    format!("{line}:{column}")
                });
                format!("{place} {}{}", item.message, item.help.as_ref().map_or(String::new(), |help| format!(" ({help})")))
            };
            found.items.iter().map(told).collect()
        }
    }
}

/// Whether there is a problem at each of these places, in these words. The first line of a text that begins with a line break is line 2.
#[track_caller]
fn assert_located(found: &[String], expected: &[(&str, &str)]) {
    for (place, words) in expected {
        let is_there = found.iter().any(|problem| problem.starts_with(&format!("{place} ")) && problem.contains(words));
        assert!(is_there, "{place} {words}:\n{found:#?}");
    }
}

/// A configuration that must be good.
#[track_caller]
fn loaded(text: &str) -> Loaded {
    load_text("a.yaml", text).unwrap_or_else(|found| panic!("{}", found.render(false)))
}
