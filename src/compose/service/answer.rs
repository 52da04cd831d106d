//! The answer of a GraphQL service: its data, or why it has none.

use std::sync::{Arc, LazyLock};

use frontgate_filters::json::{Mark, Place, Plan, Policy, Proved, Reader};
use http::header::CONTENT_TYPE;

use crate::compose::Answered;

/// Why an answer is a failure although its status is a good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoData {
    /// It has errors: so many, whatever data there is beside them.
    Errors(usize),
    /// It is no answer of a GraphQL service: another type, no JSON, no data, or errors that are no list.
    Malformed,
}

const DATA: u16 = 0;
const ERRORS: u16 = 1;
const EACH_ERROR: u16 = 2;

/// The members of an answer.
static MEMBERS: LazyLock<Arc<Plan>> = LazyLock::new(|| {
    let mark = |number, name: &str, each| Mark { number, place: name.parse::<Place>().expect("a name is a place"), each };
    let marks = [mark(DATA, "data", false), mark(ERRORS, "errors", false), mark(EACH_ERROR, "errors", true)];
    let all = Policy::drop(&[]).expect("nothing is a policy");
    Arc::new(Plan::new(&all, &[], &marks).expect("three marks are a plan"))
});

/// The data of an answer whose status is a good one. Errors count before all else: a service that has some has not done what it was asked for.
pub(crate) fn data(answered: &Answered) -> Result<Proved, NoData> {
    let kind = answered.headers.get(&CONTENT_TYPE);
    // What says nothing of itself is looked at.
    if kind.is_some_and(|kind| !is_json(kind.as_bytes())) {
        return Err(NoData::Malformed);
    }
    let mut reader = Reader::new(MEMBERS.clone());
    let read = answered.body.iter().try_for_each(|chunk| reader.push(chunk.clone())).and_then(|()| reader.finish());
    let answer = read.map_err(|_| NoData::Malformed)?;
    // Places lead through arrays, and a list of answers is none.
    if answer.whole().first() != b'{' {
        return Err(NoData::Malformed);
    }
    // What says that there are none is written by some services, though the specification does not want it.
    let errors = answer.marked(EACH_ERROR).count();
    for found in answer.marked(ERRORS) {
        match answer.get(found).first() {
            b'[' if errors > 0 => return Err(NoData::Errors(errors)),
            b'[' | b'n' => {}
            _ => return Err(NoData::Malformed),
        }
    }
    let mut all = answer.marked(DATA).map(|found| answer.get(found));
    match (all.next(), all.next()) {
        (Some(data), None) if data.first() == b'{' => Ok(data),
        _ => Err(NoData::Malformed),
    }
}

/// Whether a media type is one of JSON.
fn is_json(kind: &[u8]) -> bool {
    let essence = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    essence.strip_prefix(b"application/").is_some_and(|own| own == b"json" || own.ends_with(b"+json"))
}
