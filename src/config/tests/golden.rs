//! What people write wrong and what they are told, a file each: the text above the line of dashes, the answer below it.

use std::path::PathBuf;

use super::*;

const LINE: &str = "----\n";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/diagnostics")
}

/// What `check` says of a text.
fn told(text: &str) -> String {
    match load_text("frontgate.yaml", text) {
        Ok(loaded) if loaded.warnings.is_empty() => "the configuration is valid\n".to_owned(),
        Ok(loaded) => format!("{}\nthe configuration is valid\n", loaded.warnings.render(false)),
        Err(found) => format!("{}\n", found.render(false)),
    }
}

#[test]
fn every_mistake_gets_the_answer_that_was_written_down_for_it() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder()).expect("a folder").flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    let mut wrong = Vec::new();

    for file in &files {
        let golden = std::fs::read_to_string(file).expect("a text");
        let at = golden.find(&format!("\n{LINE}")).map_or(0, |at| at + 1);
        let (text, answer) = golden.split_at(at);
        let answer = answer.strip_prefix(LINE).unwrap_or_else(|| panic!("{}: no line of dashes", file.display()));
        let told = told(text);
        if update {
            std::fs::write(file, format!("{text}{LINE}{told}")).expect("it can be written");
        } else if told != answer {
            wrong.push(format!("{}:\n{told}\nin place of:\n{answer}", file.display()));
        }
    }

    assert!(wrong.is_empty(), "{} of {} (UPDATE_GOLDEN=1 writes them anew):\n{}", wrong.len(), files.len(), wrong.join("\n"));
    assert!(files.len() >= 60, "{}", files.len());
}

#[test]
fn no_answer_holds_a_secret() {
    for entry in std::fs::read_dir(folder()).expect("a folder").flatten() {
        let golden = std::fs::read_to_string(entry.path()).expect("a text");
        let at = golden.find(LINE).unwrap_or_default();

        assert!(!golden[at..].contains("s3cr3t"), "{}", entry.path().display());
        assert!(!golden[at..].contains("of-the-shop"), "{}", entry.path().display());
    }
}

#[test]
fn every_problem_has_a_code_for_programs() {
    for entry in std::fs::read_dir(folder()).expect("a folder").flatten() {
        let golden = std::fs::read_to_string(entry.path()).expect("a text");
        let text = golden.split_once(LINE).map_or("", |(text, _)| text);
        let found = match load_text("frontgate.yaml", text) {
            Ok(loaded) => loaded.warnings,
            Err(found) => found,
        };

        let json = found.to_json();

        let problems = json.as_array().expect("a list");
        assert!(!problems.is_empty(), "{}", entry.path().display());
        for problem in problems {
            assert!(problem["code"].as_str().is_some_and(|code| !code.is_empty()), "{problem}");
            assert!(!problem.to_string().contains("s3cr3t"), "{problem}");
        }
    }
}
