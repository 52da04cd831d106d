//! `compress`: packs answers for clients that accept it, while they stream.
//!
//! ```yaml
//! small:
//!   compress: {min: 1KiB, types: [text/*, application/json, "+json"], codings: [zstd, br, gzip]}
//! ```
//!
//! What is packed together is what came together: as soon as the upstream makes a pause, all that came is on its way to the client.

mod answer;
mod kinds;
mod tags;

use std::sync::Arc;

use http::HeaderMap;
use http::header::CACHE_CONTROL;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::answer::Compressing;
pub use self::kinds::MediaTypes;
use crate::coding::Coding;
use crate::coding::accept::Choice;
use crate::count::metrics::Families;
use crate::count::stripe::{Counter, CounterVec};
use crate::filter::build::Build;
use crate::filter::options::{Options, Placement};
use crate::filter::{Filter, Request, Verdict};
use crate::words::cache_control;
use crate::words::spanned::{Problem, Spanned};
use crate::words::units::Size;

/// The options of `compress`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Answers that say that they are shorter pass as they are.
    pub min: Spanned<Size>,
    /// The media types that are compressed: `text/*`, `application/json`, or the ends of their names, as in `+json`.
    pub types: Spanned<Vec<Spanned<MediaTypes>>>,
    /// The codings to choose from; between those that a client likes alike the first one is taken.
    pub codings: Spanned<Vec<Spanned<Coding>>>,
}

impl Default for Config {
    fn default() -> Self {
        let types = ["text/*", "application/json", "+json", "+xml", "application/javascript", "image/svg+xml"];
        let types = types.into_iter().map(|text| Spanned::nowhere(text.parse().expect("a media type"))).collect();
        Self {
            min: Spanned::nowhere(Size(1 << 10)),
            types: Spanned::nowhere(types),
            codings: Spanned::nowhere(Coding::ALL.into_iter().map(Spanned::nowhere).collect()),
        }
    }
}

impl Options for Config {
    fn build(&self, with: &Build<'_>) -> Result<Arc<dyn Filter>, String> {
        with.kept_or(|| Ok(Compress::new(self, with.name, with.metrics)))
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (place, is_empty, what) in
            [(self.types.place, self.types.is_empty(), "media type"), (self.codings.place, self.codings.is_empty(), "coding")]
        {
            if is_empty {
                problems.push(Problem::lacking(place, format!("the list is empty: name at least one {what}")));
            }
        }
        for kind in self.types.iter().filter(|kind| kind.is_never_taken()) {
            problems
                .push(Problem::at(kind.place, format!("`{}` is never compressed: what streams so is not held back for it", kind.value)));
        }
        for (index, coding) in self.codings.iter().enumerate() {
            if self.codings[..index].contains(coding) {
                problems.push(Problem::at(coding.place, format!("`{}` is listed twice", coding.name())));
            }
        }
        problems
    }

    fn placement(&self) -> Vec<Placement> {
        vec![Placement::Once, Placement::Before("trim", "the answer is trimmed first, and what is compressed cannot be trimmed")]
    }
}

/// The compiled filter.
pub struct Compress {
    codings: Box<[Coding]>,
    rules: Arc<Rules>,
}

/// What of the options an answer is judged by, and where is counted what became of it.
struct Rules {
    min: u64,
    types: Box<[MediaTypes]>,
    counts: Counts,
}

/// What is counted.
struct Counts {
    /// Bytes before and after, by coding.
    moved: [(Counter, Counter); Coding::ALL.len()],
    skipped: CounterVec,
    filter: Box<str>,
}

impl Counts {
    fn new(filter: &str, families: &Families) -> Self {
        let labels = &["filter", "coding"];
        let input = families.counters("compress_input_bytes_total", "Bytes of answers before they were compressed.", labels);
        let output = families.counters("compress_output_bytes_total", "The same after.", labels);
        let skipped = families.counters("compress_skipped_total", "Answers that were not compressed.", &["filter", "reason"]);
        let of = |coding: Coding| (input.with_label_values(&[filter, coding.name()]), output.with_label_values(&[filter, coding.name()]));
        Self { moved: Coding::ALL.map(of), skipped, filter: filter.into() }
    }

    fn skipped(&self, reason: &'static str) {
        self.skipped.with_label_values(&[&*self.filter, reason]).inc();
    }

    fn moved(&self, coding: Coding, input: u64, output: u64) {
        let (before, after) = &self.moved[coding as usize];
        before.inc_by(input);
        after.inc_by(output);
    }
}

impl Compress {
    /// Compiles checked options.
    pub fn new(config: &Config, name: &str, families: &Families) -> Self {
        let types = config.types.iter().map(|kind| kind.value.clone()).collect();
        Self {
            codings: config.codings.iter().map(|coding| coding.value).collect(),
            rules: Arc::new(Rules { min: config.min.value.0, types, counts: Counts::new(name, families) }),
        }
    }

    /// What this client is sent. One that asks for its answer unchanged is not asked twice.
    fn choice(&self, headers: &HeaderMap) -> Choice {
        if headers.contains_key(CACHE_CONTROL) && cache_control::says(headers, "no-transform") {
            return Choice::default();
        }
        Choice::of(headers, &self.codings)
    }
}

impl Filter for Compress {
    fn request<'a>(&'a self, request: &'a mut Request<'_>) -> Verdict<'a> {
        let choice = self.choice(&request.head.headers);
        let weakened = tags::undo(request.head);
        request.facts.packed = choice.coding.is_some();
        request.because(|| match choice.coding {
            Some(coding) => {
                format!("the client is sent {}, where the answer is of a listed type and {} or longer", coding.name(), Size(self.rules.min))
            }
            None => {
                let names: Vec<_> = self.codings.iter().map(|coding| coding.name()).collect();
                format!("the client accepts none of {}, or asks for the answer as it is", names.join(", "))
            }
        });
        Verdict::ContinueWith(Box::new(Compressing::new(self.rules.clone(), choice, weakened)))
    }
}

#[cfg(test)]
mod tests;
