//! Endpoints that come and go by themselves: from files and from etcd, kept over a restart, under load.

#[cfg(feature = "etcd")]
mod etcd;
mod file;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Origin, origin::response};

/// A folder that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("frontgate-discovery-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file anew, as an editor does: another one takes its place.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let (new, path) = (self.path(&format!(".{name}")), self.path(name));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &path).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An origin that says who it is.
fn named(name: &str) -> Origin {
    let answer = response("200 OK", "Content-Type: text/plain\r\n", name);
    Origin::start(move |_, stream| stream.write_all(answer.as_bytes()).is_ok())
}

/// A file's text that lists these.
fn list(origins: &[&Origin]) -> String {
    json!(origins.iter().map(|origin| origin.address.to_string()).collect::<Vec<_>>()).to_string()
}

/// What the gateway has as the upstream's endpoints, by their addresses.
fn endpoints(status: &Value) -> Vec<String> {
    let endpoints = status["upstreams"]["main"]["endpoints"].as_array().unwrap();
    let mut endpoints: Vec<String> = endpoints.iter().map(|endpoint| endpoint["address"].as_str().unwrap().to_owned()).collect();
    endpoints.sort();
    endpoints
}

/// The addresses of these, as the gateway tells them.
fn addresses(origins: &[&Origin]) -> Vec<String> {
    let mut addresses: Vec<String> = origins.iter().map(|origin| origin.address.to_string()).collect();
    addresses.sort();
    addresses
}

/// The state of the upstream's only source.
fn source(status: &Value) -> Value {
    status["upstreams"]["main"]["discovery"]["sources"][0].clone()
}

/// A path as YAML takes it.
fn quoted(path: &Path) -> String {
    json!(path.display().to_string()).to_string()
}
