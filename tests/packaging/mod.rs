//! What the gateway is shipped in: a Debian package, an image, manifests for Kubernetes, and its log's rotation.

mod booted;
mod debian;
mod image;
mod kubernetes;
mod rotation;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use frontgate_test_support::skipped;
use serde_json::Value;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder of the test's own.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("packaging-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn read(path: &str) -> String {
    std::fs::read_to_string(project().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of a YAML file of somebody else's language.
fn documents(path: &str) -> Vec<Value> {
    let parse = |text: &str| serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{path}: {error}"));
    read(path).split("\n---\n").map(parse).collect()
}

/// What the command says on both its outputs, once it has succeeded.
#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    said
}

/// Python with this module; where it has not got it, the test is skipped.
fn python_with(module: &str) -> Option<PathBuf> {
    let python = frontgate_test_support::tool("python3")?;
    let has = Command::new(&python).args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status().unwrap().success();
    if !has {
        skipped(&format!("python3 has no module `{module}`"));
    }
    has.then_some(python)
}
