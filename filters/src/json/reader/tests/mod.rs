use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::json::bits::Backend;

mod agreement;
mod cases;
mod oracle;
mod suite;

/// What comes of `text`, cut where it is said.
pub fn read(plan: &Arc<Plan>, backend: Backend, text: &[u8], cuts: &[usize]) -> Result<Document, Fault> {
    let mut reader = Reader::with_backend(plan.clone(), backend);
    let mut from = 0;
    for &to in cuts {
        let before = reader.push(Bytes::copy_from_slice(&text[from..to]));
        if let Err(fault) = before {
            assert_eq!(reader.push(Bytes::from_static(b" ")), Err(fault), "once failed, it fails each time");
            assert_eq!(reader.finish().map(|_| ()), Err(fault));
            return Err(fault);
        }
        from = to;
    }
    assert_eq!(reader.length(), text.len() as u64);
    reader.finish()
}

/// Cuts every so many bytes.
pub fn steps(text: &[u8], step: usize) -> Vec<usize> {
    (step..text.len()).step_by(step).chain([text.len()]).collect()
}

/// The fault of a text, which must be the same in all chunkings of equal steps, for all backends.
pub fn fault(text: &[u8]) -> Option<Fault> {
    let mut results: Vec<_> = Backend::available()
        .into_iter()
        .flat_map(|backend| {
            (1..=text.len().max(1)).map(move |step| read(&Arc::default(), backend, text, &steps(text, step)).err()).collect::<Vec<_>>()
        })
        .collect();
    results.dedup();
    assert_eq!(results.len(), 1, "the same, whatever the backend and the cuts: {} {results:?}", text.escape_ascii());
    results[0]
}
