//! The reference pages in `conf/reference`, made from the code, so that they say what this very gateway does: the keys from the schema, the
//! metrics from the families that are registered, the log from the line that is written, the commands from what the command line accepts.
//!
//! Only tests need it. They fail where a page and the code differ; `UPDATE_GOLDEN=1 cargo test -p frontgate --lib reference` writes the pages.

mod commands;
mod configuration;
mod log;
mod markdown;
mod metrics;
mod source;
mod suite;

use std::path::Path;

/// What stands below the title of every page.
const MADE: &str = "<!-- Made from the code: UPDATE_GOLDEN=1 cargo test -p frontgate --lib reference -->";

/// The pages by file name.
fn pages() -> [(&'static str, String); 5] {
    [
        ("configuration.md", configuration::page()),
        ("metrics.md", metrics::page()),
        ("access-log.md", log::page()),
        ("commands.md", commands::page()),
        ("tests.md", suite::page()),
    ]
}

#[test]
fn the_committed_pages_are_those_of_the_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/reference");
    let pages = pages();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        for (name, page) in &pages {
            std::fs::write(folder.join(name), page).expect("a page can be written");
        }
    }

    let drifted: Vec<&str> = pages
        .iter()
        .filter(|(name, page)| std::fs::read_to_string(folder.join(name)).ok().as_ref() != Some(page))
        .map(|(name, _)| *name)
        .collect();

    assert!(
        drifted.is_empty(),
        "conf/reference: {drifted:?} differ from the code: UPDATE_GOLDEN=1 cargo test -p frontgate --lib reference"
    );
}

#[test]
fn the_first_page_that_people_read_leads_to_each() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("there is one");

    for (name, _) in pages() {
        assert!(readme.contains(&format!("(conf/reference/{name})")), "README.md has no link to conf/reference/{name}");
    }
}
