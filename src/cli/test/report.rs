//! The results of cases: for people, as TAP, or as JUnit's XML.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::suite::{Failure, Tested};

/// How results are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Human,
    /// The Test Anything Protocol, version 14.
    Tap,
    /// The XML of JUnit, as CI servers read it.
    Junit,
}

/// Results as they come.
pub(super) struct Report {
    format: Format,
    number: usize,
    failed: usize,
    requests: u32,
    files: Vec<File>,
}

/// The results of one file, for those who want them together.
struct File {
    path: PathBuf,
    cases: Vec<Case>,
}

struct Case {
    name: String,
    took: Duration,
    /// What was not as expected; empty where all was.
    why: String,
}

impl Report {
    /// Nothing has come yet of so many cases.
    pub(super) fn new(format: Format, count: usize) -> Self {
        if format == Format::Tap {
            print(&format!("TAP version 14\n1..{count}\n"));
        }
        Self { format, number: 0, failed: 0, requests: 0, files: Vec::new() }
    }

    /// The cases of this file follow.
    pub(super) fn begin(&mut self, file: &Path) {
        if self.format == Format::Human {
            print(&format!("{}\n", file.display()));
        }
        self.files.push(File { path: file.to_owned(), cases: Vec::new() });
    }

    /// What came of a case.
    pub(super) fn add(&mut self, tested: &Tested, took: Duration) {
        self.number += 1;
        self.requests += tested.requests;
        let good = tested.failures.is_empty();
        self.failed += usize::from(!good);
        let name = tested.name.replace(char::is_control, " ");
        match self.format {
            Format::Human if good => print(&format!("  ok    {name}\n")),
            Format::Human => print(&format!("  FAIL  {name} ({})\n{}", tested.place, told(&tested.failures, "        "))),
            // What stands behind `#` is a directive.
            Format::Tap if good => print(&format!("ok {} - {}\n", self.number, name.replace('#', "\\#"))),
            Format::Tap => print(&format!("not ok {} - {}\n{}", self.number, name.replace('#', "\\#"), yaml(tested))),
            Format::Junit => {}
        }
        if let Some(file) = self.files.last_mut() {
            file.cases.push(Case { name, took, why: told(&tested.failures, "") });
        }
    }

    /// All of them have come.
    pub(super) fn end(self) {
        match self.format {
            Format::Human => {
                let passed = self.number - self.failed;
                print(&format!("\n{passed} passed, {} failed, {} requests\n", self.failed, self.requests));
            }
            Format::Tap => {}
            Format::Junit => print(&junit(&self.files)),
        }
    }
}

/// What was not as expected, in lines.
fn told(failures: &[Failure], indent: &str) -> String {
    let mut out = String::new();
    for Failure { request, mismatches, told } in failures {
        // A string takes whatever is written to it.
        if !request.is_empty() {
            let _ = writeln!(out, "{indent}{request}:");
        }
        for mismatch in mismatches {
            let _ = writeln!(out, "{indent}{} ({})", mismatch.what, mismatch.place);
            let _ = writeln!(out, "{indent}  - expected: {}", lines(&mismatch.expected, indent));
            let _ = writeln!(out, "{indent}  + found:    {}", lines(&mismatch.found, indent));
        }
        let _ = writeln!(out, "{indent}what became of it:");
        for line in told {
            let _ = writeln!(out, "{indent}  {}", lines(line, indent));
        }
    }
    out
}

/// A text that may be of several lines.
fn lines(text: &str, indent: &str) -> String {
    text.replace('\n', &format!("\n{indent}              "))
}

/// What was not as expected, as a block of YAML: JSON is that.
fn yaml(tested: &Tested) -> String {
    let mut out = format!("  ---\n  at: {}\n  failures:\n", Value::from(tested.place.as_str()));
    for Failure { request, mismatches, told } in &tested.failures {
        for mismatch in mismatches {
            let entry = serde_json::json!({
                "request": request, "what": mismatch.what, "expected": mismatch.expected, "found": mismatch.found, "at": mismatch.place,
            });
            let _ = writeln!(out, "    - {entry}");
        }
        let _ = writeln!(out, "    - {}", serde_json::json!({"told": told}));
    }
    out + "  ...\n"
}

fn junit(files: &[File]) -> String {
    let count = |file: &File| (file.cases.len(), file.cases.iter().filter(|case| !case.why.is_empty()).count());
    let (tests, failures) = files.iter().map(count).fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    let mut out = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{tests}\" failures=\"{failures}\">\n");
    for file in files {
        let (tests, failures) = count(file);
        let name = escaped(&file.path.display().to_string());
        let time: Duration = file.cases.iter().map(|case| case.took).sum();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" time=\"{:.3}\">",
            time.as_secs_f64()
        );
        for case in &file.cases {
            let head =
                format!("    <testcase classname=\"{name}\" name=\"{}\" time=\"{:.3}\"", escaped(&case.name), case.took.as_secs_f64());
            let _ = match case.why.lines().next() {
                None => writeln!(out, "{head}/>"),
                Some(first) => {
                    writeln!(
                        out,
                        "{head}>\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
                        escaped(first),
                        escaped(&case.why)
                    )
                }
            };
        }
        out += "  </testsuite>\n";
    }
    out + "</testsuites>\n"
}

/// A text as XML has it: what no character of XML can be is left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// A reader that has left wants no more of the report; the exit code says the rest.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
