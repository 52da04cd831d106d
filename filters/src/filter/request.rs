//! A request as a filter sees it.

use std::borrow::Cow;
use std::time::Instant;

use pingora_http::RequestHeader;

use super::{Calling, Facts};

/// A request as a filter sees it.
pub struct Request<'r> {
    /// The head, with the normalised path.
    pub head: &'r mut RequestHeader,
    /// What is known of it.
    pub facts: &'r mut Facts,
    /// The time, as an argument so that tests need no sleep.
    pub now: Instant,
    /// Where reasons go while a decision is being explained.
    reasons: Option<&'r mut Vec<Cow<'static, str>>>,
    /// Whether a running gateway explains.
    live: bool,
    /// Whether it is served for real while filters' decisions are told.
    served: bool,
    /// Whether the filter that sees it may only look.
    observed: bool,
    /// What is known of the call that it is, where it is one.
    calling: Option<&'r Calling<'r>>,
}

impl<'r> Request<'r> {
    /// A request being served.
    pub fn new(head: &'r mut RequestHeader, facts: &'r mut Facts, now: Instant) -> Self {
        Self { head, facts, now, reasons: None, live: false, served: false, observed: false, calling: None }
    }

    /// A request being explained: what [`Request::because`] says is kept in `reasons`.
    pub fn explained(mut self, reasons: &'r mut Vec<Cow<'static, str>>) -> Self {
        self.reasons = Some(reasons);
        self
    }

    /// By a running gateway: what a filter holds is what requests meet just now, and worth telling.
    pub fn live(mut self, live: bool) -> Self {
        self.live = live;
        self
    }

    /// Served for real, while what each filter decides is told.
    pub fn served(mut self, served: bool) -> Self {
        self.served = served;
        self
    }

    /// A call that is made for a request, and no request of a client's.
    pub fn calling(mut self, calling: &'r Calling<'r>) -> Self {
        self.calling = Some(calling);
        self
    }

    /// What is known of the call that it is, where it is one.
    pub fn call(&self) -> Option<&Calling<'r>> {
        self.calling
    }

    /// Whether the filter that sees it may only look.
    pub(crate) fn is_observed(&self) -> bool {
        self.observed
    }

    /// Whether it is served for real while what each filter decides is told.
    pub(crate) fn is_served(&self) -> bool {
        self.served
    }

    /// Whether a running gateway explains it.
    pub fn is_live(&self) -> bool {
        self.live && self.is_explained()
    }

    /// Whether a running gateway would explain what is to be explained.
    pub(crate) fn would_be_live(&self) -> bool {
        self.live
    }

    /// Whether this is only being explained: then nothing is fetched, nothing waited for, nothing counted, and nothing taken of what requests
    /// share.
    pub fn is_explained(&self) -> bool {
        self.reasons.is_some()
    }

    /// Says why the filter decides as it does. The closure runs only while somebody asked, so it may format freely.
    pub fn because<S: Into<Cow<'static, str>>>(&mut self, reason: impl FnOnce() -> S) {
        if let Some(reasons) = &mut self.reasons {
            reasons.push(reason().into());
        }
    }

    /// The same request with another head, for a filter that may look but not alter.
    pub(crate) fn with_head<'s>(&'s mut self, head: &'s mut RequestHeader) -> Request<'s> {
        let (now, live, served, calling) = (self.now, self.live, self.served, self.calling);
        Request { head, facts: self.facts, now, reasons: self.reasons.as_deref_mut(), live, served, observed: true, calling }
    }
}
