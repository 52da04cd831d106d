//! Scripts of `npm/` with the packages that they stand on, which `.ci/run` installs: for a browser and for Node.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aws_lc_rs::digest::{SHA256, digest};
use frontgate_test_support::{any_tool, skipped};

/// The packages that the lock file names; where they are not installed, the test is skipped.
fn packages() -> Option<PathBuf> {
    let hash = digest(&SHA256, include_bytes!("npm/package-lock.json"));
    let name: String = hash.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/npm").join(name).join("node_modules");
    if !folder.join(".package-lock.json").is_file() {
        skipped("the npm packages of tests/graphql/npm are not installed; .ci/run does that");
        return None;
    }
    Some(folder)
}

/// A program with an end, whatever it does.
fn run(program: &Path, arguments: &[&str], environment: &[(&str, &Path)]) -> Output {
    let output = Command::new("timeout").arg("120").arg(program).args(arguments).envs(environment.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    output
}

/// A script and its packages in one text.
fn bundled(script: &str, options: &[&str]) -> Option<String> {
    any_tool(&["node"])?;
    let packages = packages()?;
    let path = format!("{}/tests/graphql/npm/{script}", env!("CARGO_MANIFEST_DIR"));
    let arguments = [&[&*path, "--bundle", "--log-level=error"], options].concat();
    let output = run(&packages.join(".bin/esbuild"), &arguments, &[("NODE_PATH", &packages)]);
    Some(String::from_utf8(output.stdout).unwrap())
}

/// For a page: what the script exports is in `peer`.
pub fn for_browser(script: &str) -> Option<String> {
    bundled(script, &["--format=iife", "--global-name=peer"])
}

/// Runs a script with Node; what it writes.
pub fn with_node(name: &str, script: &str, arguments: &[&str]) -> Option<Vec<u8>> {
    let text = bundled(script, &["--format=cjs", "--platform=node"])?;
    let file = crate::harness::Process::folder(name).join("script.cjs");
    std::fs::write(&file, text).unwrap();
    let node = any_tool(&["node"])?;
    Some(run(&node, &[&[file.to_str().unwrap()], arguments].concat(), &[]).stdout)
}
