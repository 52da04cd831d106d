//! What tests need from outside, collections of test vectors and programs, what a test says that does not find them, and configurations
//! that are readable where they are written.
//!
//! libtest cannot skip a test that already runs: one that returns early is `ok`. So a skip is a line on standard error, past the capture of
//! output: `SKIPPED binary test: reason`. Where `FRONTGATE_SKIPS` names a file, the line is appended there, too, and `.ci/run` counts it.

pub mod dns;

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Says that the test which runs in this thread was skipped, or a part of it, and why.
pub fn skipped(reason: &str) {
    let line = line(reason);
    // One write each: tests run side by side.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(file) = std::env::var_os("FRONTGATE_SKIPS") {
        let written = OpenOptions::new().create(true).append(true).open(&file).and_then(|mut file| file.write_all(line.as_bytes()));
        assert!(written.is_ok(), "FRONTGATE_SKIPS={} cannot be written: {written:?}", file.display());
    }
}

/// libtest names each thread after its test; the name of a binary ends in a hash.
fn line(reason: &str) -> String {
    let binary = std::env::current_exe().unwrap_or_default();
    let binary = binary.file_stem().unwrap_or_default().to_string_lossy();
    let binary = binary.rsplit_once('-').map_or(&*binary, |(name, _)| name);
    let thread = std::thread::current();
    let test = thread.name().filter(|name| *name != "main").unwrap_or_default();
    format!("{}: {reason}\n", ["SKIPPED", binary, test].join(" ").trim_end())
}

/// A program in `PATH` or in `/usr/sbin`. Where it is not installed, the test is skipped.
pub fn tool(name: &str) -> Option<PathBuf> {
    any_tool(&[name])
}

/// The first of these programs that is installed.
pub fn any_tool(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]).collect();
    let mut places = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let found = places.find(|tool| tool.is_file());
    if found.is_none() {
        skipped(&format!("`{}` is not installed", names.join("` or `")));
    }
    found
}

/// A file or folder of a public collection: from `tests/data`, else from `FRONTGATE_VECTORS` or `../shared/vectors` beside the project.
/// Where it is in none of them, the test is skipped.
pub fn vectors(name: &str) -> Option<PathBuf> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let elsewhere = std::env::var_os("FRONTGATE_VECTORS").map_or_else(|| project.join("../shared/vectors"), PathBuf::from);
    let found = [project.join("tests/data"), elsewhere].into_iter().map(|folder| folder.join(name)).find(|place| place.exists());
    if found.is_none() {
        skipped(&format!("the collection `{name}` is not here; FRONTGATE_VECTORS may say where"));
    }
    found
}

/// A configuration that is written in a test, indented like the code around it. `$ORIGIN` and its like are filled in; where a name has a
/// line of its own, every line of its value is indented like it. The version, a listener on a free port and an access log that is off are
/// added where the text does not have them.
pub fn yaml(text: &str, filled: &[(&str, &dyn Display)]) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let margin = lines.iter().map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    let mut whole = String::new();
    for line in lines {
        let line = &line[margin..];
        let indentation = &line[..line.len() - line.trim_start().len()];
        let mut line = line.to_owned();
        for (name, value) in filled {
            line = line.replace(name, &value.to_string().trim().replace('\n', &format!("\n{indentation}")));
        }
        whole.push_str(&line);
        whole.push('\n');
    }
    for (section, usual) in [
        ("version:", "version: 1\n"),
        ("server:", "server: {listeners: [{address: 127.0.0.1:0}]}\n"),
        ("telemetry:", "telemetry: {access_log: \"off\"}\n"),
    ] {
        if !whole.lines().any(|line| line.starts_with(section)) {
            whole.push_str(usual);
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_names_its_test_and_its_reason() {
        let line = line("no `wrk`");

        assert_eq!(line, "SKIPPED frontgate_test_support tests::a_skip_names_its_test_and_its_reason: no `wrk`\n");
    }

    #[test]
    fn what_is_carried_along_is_found() {
        assert!(vectors("http1-probe/cases.json").is_some_and(|file| file.is_file()));
        assert!(tool("sh").is_some_and(|sh| any_tool(&["no-such-program", "sh"]) == Some(sh)));
    }

    #[test]
    fn a_configuration_is_filled_in_and_completed() {
        let text = yaml(
            "
            upstreams:
              main:
                endpoints: [$ORIGIN]
                $MORE
                $NOTHING
            server: {}
            ",
            &[("$ORIGIN", &"127.0.0.1:1"), ("$MORE", &"\nretry:\n  attempts: 2\n"), ("$NOTHING", &"")],
        );

        let expected = [
            "upstreams:",
            "  main:",
            "    endpoints: [127.0.0.1:1]",
            "    retry:",
            "      attempts: 2",
            "    ",
            "server: {}",
            "version: 1",
            "telemetry: {access_log: \"off\"}",
            "",
        ];
        assert_eq!(text, expected.join("\n"));
    }
}
