//! The access log of a gateway under test, in a file of its own.

use std::path::PathBuf;

use serde_json::Value;

use super::until;

/// A log that goes with its test.
pub struct Log(PathBuf);

impl Log {
    /// None written yet; `name` is the test's.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("frontgate-test-{}-{name}.log", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Self(path)
    }

    /// A configuration without a log, with this one.
    pub fn of(&self, text: &str) -> String {
        let off = "telemetry: {access_log: \"off\"}\n";
        assert!(text.contains(off), "it has a log already: {text}");
        text.replace(off, &format!("telemetry: {{access_log: {{to: {{file: \"{}\"}}}}}}\n", self.0.display()))
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// So many lines at least, once they are there.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<Value> {
        until("the lines of the log", || self.lines().len() >= count);
        self.lines()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
