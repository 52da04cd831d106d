use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::*;
use crate::json::path::Path;

mod cases;
mod emission;
pub mod equality;
pub mod random;
pub mod reference;
pub mod vectors;

pub fn paths(texts: &[&str]) -> Vec<Path> {
    texts.iter().map(|text| text.parse().expect("a path")).collect()
}

pub fn dropping(texts: &[&str]) -> Arc<Policy> {
    Arc::new(Policy::drop(&paths(texts)).expect("a policy"))
}

pub fn keeping(texts: &[&str]) -> Arc<Policy> {
    Arc::new(Policy::keep(&paths(texts)).expect("a policy"))
}

/// The same policy for the member walker only.
pub fn without_candidates(policy: &Policy) -> Arc<Policy> {
    let mut policy = policy.clone();
    policy.prefilter = None;
    Arc::new(policy)
}

/// What comes of `text`, cut where it is said; whether each chunk is the only owner of its bytes; and whether it was found defective.
pub fn run(policy: &Arc<Policy>, on: OnMalformed, backend: Backend, text: &[u8], cuts: &[usize], unique: bool) -> (Vec<u8>, Option<u64>) {
    let mut trimmer = Trimmer::with_backend(policy.clone(), on, backend);
    let shared = Bytes::copy_from_slice(text);
    let mut out = Vec::new();
    let mut from = 0;
    for (index, &to) in cuts.iter().enumerate() {
        let chunk = if unique { BytesMut::from(&text[from..to]).freeze() } else { shared.slice(from..to) };
        let mut body = Some(chunk);
        let result = trimmer.push(&mut body, index + 1 == cuts.len());
        if result.is_err() {
            assert_eq!(on, OnMalformed::Abort);
            assert_eq!(body, None);
        }
        assert!(body.as_ref().is_none_or(|body| !body.is_empty()));
        out.extend_from_slice(body.as_deref().unwrap_or_default());
        from = to;
    }
    assert_eq!(trimmer.input_bytes(), text.len() as u64);
    assert_eq!(trimmer.output_bytes(), out.len() as u64);
    (out, trimmer.malformed_at().map(|malformed| malformed.at))
}

/// As text goes through in one chunk; it must be well-formed.
pub fn trimmed(policy: &Arc<Policy>, text: &str) -> String {
    let mut results: Vec<_> = Backend::available()
        .into_iter()
        .flat_map(|backend| {
            [policy.clone(), without_candidates(policy)].map(|policy| {
                (1..=text.len())
                    .map(|step| {
                        let cuts: Vec<_> = (step..text.len()).step_by(step).chain([text.len()]).collect();
                        let (out, malformed) = run(&policy, OnMalformed::Pass, backend, text.as_bytes(), &cuts, true);
                        assert_eq!(malformed, None, "{text} in steps of {step}");
                        String::from_utf8(out).expect("text")
                    })
                    .collect::<Vec<_>>()
            })
        })
        .flatten()
        .collect();
    results.dedup();
    assert_eq!(results.len(), 1, "the same, whatever the backend, the walker and the cuts: {results:?}");
    results.remove(0)
}
