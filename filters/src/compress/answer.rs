//! The response half: one answer being packed, or left as it is.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, VARY};
use http::{HeaderValue, StatusCode};
use pingora_http::ResponseHeader;

use super::{Rules, kinds, tags};
use crate::coding::accept::Choice;
use crate::coding::{Packer, Then};
use crate::filter::{Flow, Outcome, ResponseFilter, Want};
use crate::head::of_another_body;
use crate::reply::Reply;
use crate::words::{cache_control, fields};

/// One answer.
pub(super) struct Compressing {
    rules: Arc<Rules>,
    choice: Choice,
    /// The strong tags that the upstream was asked for beside the client's weak ones.
    undone: Vec<Bytes>,
    work: Option<Work>,
}

/// What is under way once the head has gone out.
struct Work {
    packer: Packer,
    input: u64,
    output: u64,
}

/// What becomes of an answer.
enum Course {
    /// It passes as it is, for whomever.
    AsItIs(&'static str),
    /// Clients are sent it packed, those that accept it.
    Packed,
}

impl Compressing {
    pub(super) fn new(rules: Arc<Rules>, choice: Choice, undone: Vec<Bytes>) -> Self {
        Self { rules, choice, undone, work: None }
    }

    fn course(&self, head: &ResponseHeader) -> Course {
        let headers = &head.headers;
        let length = fields::number(headers, &CONTENT_LENGTH);
        // Nobody need accept less than `min` as it is, but it is no reason to send what is refused.
        let is_small = length.is_some_and(|length| length == 0 || length < self.rules.min && !self.choice.refuses_plain);
        if !kinds::takes(&self.rules.types, headers) {
            Course::AsItIs("type")
        } else if is_small {
            Course::AsItIs("small")
        } else if fields::list(headers, &CONTENT_ENCODING).any(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
            Course::AsItIs("encoded")
        } else if headers.contains_key(CONTENT_RANGE) {
            Course::AsItIs("partial")
        } else if cache_control::says(headers, "no-transform") {
            Course::AsItIs("no_transform")
        } else {
            Course::Packed
        }
    }

    /// Passes what is packed on in place of what is not.
    fn pack(&mut self, body: &mut Option<Bytes>, then: Then) -> Flow {
        let Some(work) = &mut self.work else { return Flow::Go };
        let plain = body.take().unwrap_or_default();
        match work.packer.pack(&plain, then) {
            Ok(packed) => {
                work.input += plain.len() as u64;
                work.output += packed.as_ref().map_or(0, |packed| packed.len() as u64);
                *body = packed;
                Flow::Go
            }
            // The head says that it is packed, so nothing else than an end can be sent.
            Err(_) => Flow::Abort(Reply::problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal_error",
                "The gateway failed to handle the request.",
            )),
        }
    }
}

impl ResponseFilter for Compressing {
    fn head(&mut self, head: &mut ResponseHeader) -> Want {
        self.work = None;
        if head.status == StatusCode::NOT_MODIFIED {
            tags::weaken_confirmed(head, &self.undone);
            vary(head);
            return Want::Nothing;
        }
        if head.status.is_informational() || matches!(head.status.as_u16(), 204..=206) {
            return Want::Nothing;
        }
        if let Course::AsItIs(reason) = self.course(head) {
            self.rules.counts.skipped(reason);
            return Want::Nothing;
        }
        vary(head);
        let Some(coding) = self.choice.coding else {
            self.rules.counts.skipped("not_accepted");
            return Want::Nothing;
        };
        let Some(packer) = Packer::new(coding, fields::number(&head.headers, &CONTENT_LENGTH)) else {
            self.rules.counts.skipped("busy");
            return Want::Nothing;
        };
        tags::weaken(head);
        of_another_body(head);
        head.remove_header(&CONTENT_LENGTH);
        head.insert_header(CONTENT_ENCODING, HeaderValue::from_static(coding.name())).expect("a known name");
        self.work = Some(Work { packer, input: 0, output: 0 });
        Want::Chunks
    }

    fn body(&mut self, body: &mut Option<Bytes>, last: bool) -> Flow {
        self.pack(body, if last { Then::End } else { Then::More })
    }

    fn pause(&mut self, body: &mut Option<Bytes>) -> Flow {
        self.pack(body, Then::Pause)
    }

    fn done(self: Box<Self>, _: &Outcome) {
        if let Some(work) = &self.work {
            self.rules.counts.moved(work.packer.coding(), work.input, work.output);
        }
    }
}

/// The answer is another one for clients that accept other codings.
fn vary(head: &mut ResponseHeader) {
    if !fields::lists(&head.headers, &VARY, "accept-encoding") && !fields::lists(&head.headers, &VARY, "*") {
        head.append_header(VARY, HeaderValue::from_static("Accept-Encoding")).expect("a known name");
    }
}
