//! The keys under a prefix, and the endpoints that they name.

use std::collections::BTreeMap;

use super::Spec;
use super::value;
use crate::discovery::{Found, Reporter};

/// The most keys that are followed.
const MOST: usize = 200_000;

/// What every key under the prefix names.
#[derive(Default)]
pub(super) struct Listed {
    keys: BTreeMap<Vec<u8>, Option<Found>>,
    /// Values that could not be understood since the last report, and the key of one.
    skipped: usize,
    such: String,
}

impl Listed {
    /// A key has this value now.
    pub(super) fn put(&mut self, spec: &Spec, key: &[u8], value: &[u8]) -> Result<(), String> {
        let named = value::endpoint(value, spec.format, spec.http2);
        if named.is_none() {
            self.skipped += 1;
            let key = String::from_utf8_lossy(key).chars().take(100).collect::<String>().replace(char::is_control, "?");
            self.such = format!("the value of `{key}`: {}", value::why_not(value, spec.format));
        }
        self.keys.insert(key.to_vec(), named.flatten());
        if self.keys.len() > MOST { Err(format!("there are more than {MOST} keys")) } else { Ok(()) }
    }

    /// A key is gone.
    pub(super) fn delete(&mut self, key: &[u8]) {
        self.keys.remove(key);
    }

    /// Reports the endpoints, all of them.
    pub(super) fn tell(&mut self, reporter: &Reporter) {
        reporter.skipped(std::mem::take(&mut self.skipped), &self.such);
        reporter.found(self.keys.values().flatten().cloned().collect());
    }
}
