use std::path::{Path, PathBuf};

use frontgate::config::load_text;
use frontgate_filters::registry::FilterConfig;

/// Every file of this name or kind under a folder.
fn files(folder: &Path, takes: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path, takes)),
            false if takes(&path) => found.push(path),
            false => {}
        }
    }
    found.sort();
    found
}

/// The texts between ```` ```yaml ```` and ```` ``` ````.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        match &mut open {
            None if line.trim_end() == "```yaml" => open = Some(String::new()),
            None => {}
            Some(_) if line.trim_end() == "```" => blocks.extend(open.take()),
            Some(block) => *block += &format!("{line}\n"),
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// A whole configuration around what a block shows: a section, definitions of filters, or one filter.
fn whole(block: &str) -> String {
    const SECTIONS: &[&str] = &["version", "server", "upstreams", "devices", "filters", "routes", "telemetry"];
    let keys: Vec<&str> = block
        .lines()
        .filter(|line| !line.starts_with([' ', '#', '-']))
        .filter_map(|line| line.split_once(':'))
        .map(|(key, _)| key)
        .collect();
    let indented = |by: &str| block.lines().map(|line| format!("{by}{line}\n")).collect::<String>();
    let shown = match keys.first() {
        Some(key) if SECTIONS.contains(key) => block.to_owned(),
        Some(key) if FilterConfig::KINDS.contains(key) => format!("filters:\n  shown:\n{}", indented("    ")),
        _ => format!("filters:\n{}", indented("  ")),
    };
    let rest = [
        ("version", "version: 1\n"),
        ("server", "server: {listeners: [{address: \"127.0.0.1:8080\"}]}\n"),
        ("upstreams", "upstreams: {catalog: {endpoints: [\"127.0.0.1:1\"]}, catalog-next: {endpoints: [\"127.0.0.1:2\"]}}\n"),
        ("routes", "routes: [{name: all, path: \"/**\", upstream: catalog}]\n"),
    ];
    rest.iter().filter(|(key, _)| !keys.contains(key)).fold(shown, |whole, (_, text)| whole + text)
}

fn load(path: &Path, block: &str) {
    let text = whole(block);
    if let Err(problems) = load_text("block.yaml", &text) {
        panic!("{}:\n{text}\n{}", path.display(), problems.render(false));
    }
}

#[test]
fn every_yaml_block_of_the_filters_readmes_is_a_configuration() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("filters");
    let is_readme = |path: &Path| path.file_name().is_some_and(|name| name == "README.md");
    let mut shown = Vec::new();

    for path in files(&folder, &is_readme) {
        let blocks = blocks(&std::fs::read_to_string(&path).unwrap());
        blocks.iter().for_each(|block| load(&path, block));
        if !blocks.is_empty() {
            shown.push(path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned());
        }
    }

    for kind in FilterConfig::KINDS {
        assert!(shown.iter().any(|folder| folder == kind), "the README of `{kind}` shows no configuration");
    }
}

#[test]
fn every_yaml_block_of_what_routes_lead_to_is_a_configuration() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut count = 0;

    for path in files(&folder, &|path| path.file_name().is_some_and(|name| name == "README.md")) {
        let blocks = blocks(&std::fs::read_to_string(&path).unwrap());
        blocks.iter().for_each(|block| load(&path, block));
        count += blocks.len();
    }

    assert!(count >= 2, "{count} blocks were found");
}

#[test]
fn every_yaml_block_of_the_filters_sources_is_a_configuration() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("filters/src");
    let mut count = 0;

    for path in files(&folder, &|path| path.extension().is_some_and(|extension| extension == "rs")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let docs: String = text
            .lines()
            .filter_map(|line| line.strip_prefix("//!"))
            .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
            .collect();
        let blocks = blocks(&docs);
        blocks.iter().for_each(|block| load(&path, block));
        count += blocks.len();
    }

    assert!(count >= FilterConfig::KINDS.len() - 1, "{count} blocks were found");
}
