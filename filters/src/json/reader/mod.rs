//! Reads a text that must be exactly one JSON value (RFC 8259), chunk by chunk, and does on the way what a [`Plan`] says: members are removed
//! or get other names, and the places of marked values are noted.
//!
//! Nothing of a [`Document`] can be had before all of its text was found right: UTF-8, strings closed, their control characters escaped and
//! their escapes known, numbers and words spelled right, commas, colons and brackets where they belong, at most [`MOST_DEPTH`] containers
//! open at once, one value and nothing else but white space. Half a surrogate pair (`\ud800`) is right by the grammar, and is left as it is.
//! A byte order mark is not. At most [`MOST_TOUCHED`] values may be marked or renamed.
//!
//! ```
//! use std::sync::Arc;
//! use bytes::Bytes;
//! use frontgate_filters::json::{Mark, Plan, Policy, Reader};
//!
//! let policy = Policy::keep(&["id".parse()?, "items.sku".parse()?, "date".parse()?])?;
//! let marks = [Mark { number: 7, place: "items.sku".parse()?, each: true }];
//! let plan = Arc::new(Plan::new(&policy, &[("date".parse()?, "created_at".to_owned())], &marks)?);
//!
//! let mut reader = Reader::new(plan);
//! reader.push(Bytes::from_static(br#"{"id": 1.0, "debug": {}, "date": "20"#))?;
//! reader.push(Bytes::from_static(br#"26", "items": [{"sku": "a"}, {"sku": "b", "x": 1}]}"#))?;
//! let document = reader.finish()?;
//!
//! let skus: Vec<_> = document.found().iter().map(|found| document.get(found).into_bytes()).collect();
//! assert_eq!(skus, [r#""a""#, r#""b""#]);
//! assert_eq!(document.whole().into_bytes(), r#"{"id": 1.0, "created_at": "2026", "items": [{"sku": "a"}, {"sku": "b"}]}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod document;
mod fault;
mod found;
mod output;
mod plan;
mod scalar;
mod state;
mod strings;
mod walk;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;

use super::bits::Backend;
pub use document::{Change, Document};
pub use fault::{Fault, What};
pub use found::{Element, Found};
pub use plan::{Mark, Plan};
use state::State;
use walk::Walk;

/// The most containers that may be open at once.
pub const MOST_DEPTH: usize = 512;

/// The most values of one text that may be marked or renamed: what is noted of each takes more memory than a short one itself.
pub const MOST_TOUCHED: usize = 65_536;

/// Reads one text. It keeps the chunks, so that the caller bounds their length.
#[derive(Debug)]
pub struct Reader {
    plan: Arc<Plan>,
    backend: Backend,
    state: State,
    /// Each with how many bytes there are before it.
    chunks: Vec<(u64, Bytes)>,
    length: u64,
    fault: Option<Fault>,
}

impl Reader {
    /// Before the first byte. Allocates nothing.
    pub fn new(plan: Arc<Plan>) -> Self {
        Self::with_backend(plan, Backend::best())
    }

    /// With a backend of one's own choice: for tests and measurements.
    pub fn with_backend(plan: Arc<Plan>, backend: Backend) -> Self {
        Self { plan, backend, state: State::new(), chunks: Vec::new(), length: 0, fault: None }
    }

    /// The next part of the text. Once it failed, it fails each time.
    #[inline(never)]
    pub fn push(&mut self, chunk: Bytes) -> Result<(), Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if chunk.is_empty() {
            return Ok(());
        }
        let base = self.length;
        self.length += chunk.len() as u64;
        let walk = Walk { plan: &self.plan, state: &mut self.state, data: &chunk, base };
        if let Err((at, what)) = self.backend.run(walk) {
            self.chunks.clear();
            return Err(*self.fault.insert(Fault { at, what }));
        }
        self.chunks.push((base, chunk));
        Ok(())
    }

    /// Bytes taken in so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The text is over: what was read of it, if it is one JSON value.
    #[inline(never)]
    pub fn finish(mut self) -> Result<Document, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        walk::ended(&self.state).map_err(|what| Fault { at: self.length, what })?;
        walk::end(&mut self.state, self.length);
        Ok(Document::new(self.plan, self.chunks, self.state, self.length))
    }
}

/// Whether `text` is one JSON value.
pub fn check(text: &Bytes) -> Result<(), Fault> {
    let mut reader = Reader::new(Arc::default());
    reader.push(text.clone())?;
    reader.finish().map(|_| ())
}
