//! What people copy: every YAML block of the pages, and every configuration that is shipped, is checked by the binary as it is.

use std::path::{Path, PathBuf};
use std::process::Command;

use frontgate_test_support::tool;

/// What the shipped configurations leave to their surroundings.
const ENVIRONMENT: [(&str, &str); 19] = [
    ("GATEWAY_PORT", "8080"),
    ("ADMIN_PORT", "9901"),
    ("ORIGIN_PORT", "8081"),
    ("FLAKY_PORT", "8082"),
    ("DEMO_CATALOG", "127.0.0.1:8083"),
    ("DEMO_CATALOG_NEXT", "127.0.0.1:8084"),
    ("DEMO_ACCOUNTS", "127.0.0.1:8087"),
    ("DEMO_CARTS", "127.0.0.1:8088"),
    ("DEMO_NEWS", "127.0.0.1:8089"),
    ("DEMO_STOCK", "127.0.0.1:8090"),
    ("DEMO_BANK", "127.0.0.1:8091"),
    ("DEMO_OFFICE", "127.0.0.1:8092"),
    ("DEMO_STATE_DIR", "/tmp"),
    ("DEMO_ECHO", "127.0.0.1:8085"),
    ("DEMO_GREETER", "127.0.0.1:8086"),
    ("DEMO_CERT", "/nowhere/demo.pem"),
    ("DEMO_KEY", "/nowhere/demo.key"),
    ("BFF_VERSION", "v1"),
    ("KEYS", "/nowhere"),
];

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files below this folder whose names end like this, without what git does not track and the pages of the filters, which show parts of
/// configurations.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["target", "filters", "data", ".git", ".peers"].contains(&&*name) {
                found.extend(files(&path, ending));
            }
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Whether `frontgate check` finds nothing to say about this file, not even a warning.
fn check(name: &str, file: &Path) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_frontgate")).args(["check", "--no-files", "-c"]).arg(file).envs(ENVIRONMENT).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !words.contains("warning"), "{name}: {words}");
}

/// The YAML blocks of a page, with the lines on which they begin.
fn blocks(page: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut inside = false;
    for (index, line) in page.lines().enumerate() {
        match line.trim() {
            "```yaml" => {
                inside = true;
                found.push((index + 2, String::new()));
            }
            "```" => inside = false,
            _ => {
                if let (true, Some((_, block))) = (inside, found.last_mut()) {
                    block.push_str(line);
                    block.push('\n');
                }
            }
        }
    }
    found
}

#[test]
fn every_yaml_block_of_a_page_is_a_configuration() {
    let scratch = std::env::temp_dir().join(format!("frontgate-documents-{}.yaml", std::process::id()));
    let mut count = 0;

    for page in files(&project(), ".md") {
        for (line, block) in blocks(&std::fs::read_to_string(&page).unwrap()) {
            std::fs::write(&scratch, block).unwrap();
            check(&format!("{}:{line}", page.display()), &scratch);
            count += 1;
        }
    }

    let _ = std::fs::remove_file(&scratch);
    assert!(count > 0, "the README shows a configuration");
}

#[test]
fn every_configuration_that_is_shipped_is_a_good_one() {
    let mut all = files(&project().join("conf"), ".yaml");
    // Prometheus' own.
    all.retain(|file| !file.file_name().is_some_and(|name| name == "alerts.yaml" || name == "alerts.test.yaml"));
    // Beside the configuration that they mount, these are Kubernetes' own.
    all.retain(|file| !file.parent().is_some_and(|folder| folder.ends_with("kubernetes")) || file.ends_with("frontgate.yaml"));
    all.extend(files(&project().join("loadtest/peers/frontgate"), ".yaml"));
    all.push(project().join("loadtest/k6/gateway.yaml"));

    // Cases for `frontgate test` are none.
    all.retain(|file| !file.ends_with("frontgate-test.yaml"));
    for file in &all {
        check(&file.display().to_string(), file);
    }

    assert!(all.len() >= 9, "{all:?}");
}

#[test]
fn a_load_test_says_what_it_misses() {
    let Some(python) = tool("python3") else { return };
    // What is first in the path may be a script that finds the interpreter there.
    let told = Command::new(python).args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
    let python = String::from_utf8(told.stdout).unwrap();
    for (script, missing) in [("compare", "wrk"), ("scale", "wrk"), ("cachegrind", "valgrind"), ("k6/run", "k6")] {
        let output = Command::new(python.trim())
            .arg(project().join("loadtest").join(script))
            .arg("--no-build")
            .env("PATH", "/nowhere")
            .env("LOADTEST_PEERS", "/nowhere")
            .output()
            .unwrap();

        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(words.contains(&format!("{missing} is missing: ")), "{script}: {words}");
        assert!(!words.contains("Traceback") && output.status.code() == Some(1), "{script}: {words}");
    }
}
