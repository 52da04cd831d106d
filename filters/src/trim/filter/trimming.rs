//! The response half: one answer being trimmed.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, VARY};
use http::{HeaderValue, StatusCode};
use pingora_http::ResponseHeader;

use super::counts::Counters;
use super::kind::{Kind, opener};
use super::mark::Mark;
use super::validators::mark_tag;
use crate::coding::{Coding, Opener, Packer, Then};
use crate::filter::{Attempt, Flow, Outcome, Rescue, ResponseFilter, Want};
use crate::json::{OnMalformed, Policy, Trimmer};
use crate::reply::Reply;
use crate::words::{cache_control, fields};

/// Shorter answers are not worth packing.
const WORTH_PACKING: u64 = 1024;

/// One answer being trimmed.
pub(super) struct Trimming {
    pub(super) policy: Arc<Policy>,
    /// What marks the tags of what it leaves.
    pub(super) fingerprint: u64,
    /// None where nothing is left out.
    pub(super) profile: Option<Arc<str>>,
    pub(super) on_malformed: OnMalformed,
    pub(super) counters: Arc<Counters>,
    pub(super) coding: Option<Coding>,
    pub(super) vary: HeaderValue,
    pub(super) work: Option<Box<Work>>,
}

/// What is under way once the head has gone out.
pub(super) struct Work {
    opener: Option<Opener>,
    mark: Mark,
    trimmer: Trimmer,
    packer: Option<Packer>,
    skipped: bool,
}

impl Trimming {
    /// What is sent of what was trimmed.
    fn pack(&mut self, body: &mut Option<Bytes>, then: Then) -> Flow {
        let Some(packer) = self.work.as_mut().and_then(|work| work.packer.as_mut()) else { return Flow::Go };
        match packer.pack(body.as_deref().unwrap_or_default(), then) {
            Ok(packed) => *body = packed,
            Err(_) => return Flow::Abort(unreadable()),
        }
        Flow::Go
    }

    /// Whether what this head announces is looked at. What hides members looks at whatever may be JSON.
    fn takes(&self, head: &ResponseHeader) -> bool {
        match Kind::of(&head.headers) {
            Kind::Json => true,
            Kind::Unclear => self.policy.hides(),
            Kind::Other => false,
        }
    }
}

impl ResponseFilter for Trimming {
    /// What is hidden stays hidden where the body cannot be read.
    fn attempt(&mut self, attempt: &Attempt<'_>) -> Rescue {
        let Ok(head) = &attempt.result else { return Rescue::Pass };
        if !attempt.last || !self.policy.hides() || !head.status.is_success() || !self.takes(head) {
            return Rescue::Pass;
        }
        // Nobody asked for a part, and a part cannot be read.
        let reason = match head.status {
            StatusCode::PARTIAL_CONTENT => "partial",
            _ if opener(&head.headers).is_err() => "encoding",
            _ => return Rescue::Pass,
        };
        self.counters.skipped(reason, self.profile.as_deref().unwrap_or_default());
        Rescue::Reply(unreadable())
    }

    fn moved(&mut self, _: &str, _: Instant) {
        self.fingerprint = self.policy.fingerprint();
    }

    fn head(&mut self, head: &mut ResponseHeader) -> Want {
        self.work = None;
        let is_news = head.status.is_success() && !matches!(head.status.as_u16(), 204..=206);
        let is_unchanged = head.status == StatusCode::NOT_MODIFIED;
        if !is_unchanged && (!is_news || !self.takes(head)) {
            if is_news && self.profile.is_some() {
                self.counters.skipped("not_json", "");
            }
            return Want::Nothing;
        }
        // What hides is there to keep something from the client; all else leaves alone what it is told to (RFC 9110, section 7.7).
        if !self.policy.hides() && cache_control::says(&head.headers, "no-transform") {
            if !is_unchanged && self.profile.is_some() {
                self.counters.skipped("no_transform", "");
            }
            return Want::Nothing;
        }
        head.append_header(VARY, self.vary.clone()).expect("a known name");
        let Some(profile) = &self.profile else { return Want::Nothing };
        let Ok(opener) = (if is_unchanged { Ok(None) } else { opener(&head.headers) }) else {
            self.counters.skipped("encoding", profile);
            return Want::Nothing;
        };
        mark_tag(head, self.fingerprint);
        crate::head::of_another_body(head);
        if is_unchanged {
            return Want::Nothing;
        }
        let length = fields::number(&head.headers, &CONTENT_LENGTH);
        let worth = opener.is_some() || length.is_none_or(|length| length >= WORTH_PACKING);
        let packer = self.coding.filter(|_| worth).and_then(|coding| Packer::new(coding, None));
        head.remove_header(&CONTENT_LENGTH);
        head.remove_header(&CONTENT_ENCODING);
        if let Some(packer) = &packer {
            head.insert_header(CONTENT_ENCODING, HeaderValue::from_static(packer.coding().name())).expect("a known name");
        }
        self.work = Some(Box::new(Work {
            opener,
            mark: Mark::new(),
            trimmer: Trimmer::new(self.policy.clone(), self.on_malformed),
            packer,
            skipped: false,
        }));
        Want::Chunks
    }

    fn body(&mut self, body: &mut Option<Bytes>, last: bool) -> Flow {
        let Some(work) = &mut self.work else { return Flow::Go };
        let profile = self.profile.as_deref().unwrap_or_default();
        if let Some(opener) = &mut work.opener {
            match opener.push(body.as_deref().unwrap_or_default(), last) {
                Ok(opened) => *body = Some(opened).filter(|opened| !opened.is_empty()),
                // Its head says that it is plain by now, so nothing else than an end can be sent.
                Err(_) => {
                    self.counters.skipped("encoding", profile);
                    return Flow::Abort(unreadable());
                }
            }
        }
        work.mark.pass(body, last);
        let result = work.trimmer.push(body, last);
        if (result.is_err() || work.trimmer.was_malformed()) && !std::mem::replace(&mut work.skipped, true) {
            self.counters.skipped("malformed", profile);
        }
        if result.is_err() {
            return Flow::Abort(unreadable());
        }
        self.pack(body, if last { Then::End } else { Then::More })
    }

    fn pause(&mut self, body: &mut Option<Bytes>) -> Flow {
        self.pack(body, Then::Pause)
    }

    fn done(self: Box<Self>, _: &Outcome) {
        if let Some(work) = &self.work {
            self.counters.input.inc_by(work.trimmer.input_bytes());
            self.counters.output.inc_by(work.trimmer.output_bytes());
        }
    }
}

/// The answer in place of a body that cannot be read and must not be passed on as it is.
fn unreadable() -> Reply {
    Reply::problem(StatusCode::BAD_GATEWAY, "upstream_unreadable", "The upstream service sent an answer that cannot be read.")
}
