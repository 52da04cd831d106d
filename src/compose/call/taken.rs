//! The answer to a call as it comes: opened where it is packed, and within every bound that it has.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use frontgate_filters::coding::Opener;
use frontgate_filters::words::fields;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};

use super::Common;
use crate::compose::memory::Held;
use crate::compose::{Answered, Keeping};
use crate::upstream::call::NoAnswer;
use crate::upstream::h1::Headers;

/// Parts shorter than this are put together: each has its own cost, and keeps all that was read with it. An upstream that sends byte by byte would
/// take forty times of what it sends.
const SMALL: usize = 2 << 10;
/// How much of them is put together at most.
const TOGETHER: usize = 16 << 10;

/// What was taken of an answer so far.
pub(super) struct Taken<'t> {
    common: &'t Common,
    most: usize,
    /// The most bytes of all answers of its request.
    all: usize,
    /// How many bytes came, and how many they were once they were opened.
    came: usize,
    length: usize,
    opener: Option<Opener>,
    body: Vec<Bytes>,
    /// Small parts behind those.
    small: BytesMut,
    held: Held,
    refused: bool,
}

/// All bytes of the answers of one request.
#[derive(Debug, Default)]
pub(crate) struct Total(AtomicUsize);

impl Total {
    fn grow(&self, bytes: usize, most: usize) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |all| all.checked_add(bytes).filter(|all| *all <= most)).is_ok()
    }
}

impl<'t> Taken<'t> {
    /// Nothing yet of an answer of so many bytes at most; `bounded` where all answers of its request have a bound.
    pub(super) fn new(common: &'t Common, most: usize, bounded: bool) -> Self {
        let held = Held::of(&common.calls.budget);
        let all = if bounded { common.most } else { usize::MAX };
        Self { common, most, all, came: 0, length: 0, opener: None, body: Vec::new(), small: BytesMut::new(), held, refused: false }
    }

    /// Whether it is the gateway that does not take it, and not the upstream that has broken off.
    pub(super) fn was_refused(&self) -> bool {
        self.refused
    }

    /// The answer has this head.
    pub(super) fn begin(&mut self, status: StatusCode, headers: &Headers) -> Result<(), NoAnswer> {
        if matches!(status.as_u16(), 204 | 304) {
            return Ok(());
        }
        let mut codings = headers.list(&CONTENT_ENCODING).filter(|coding| !coding.eq_ignore_ascii_case(b"identity"));
        if let Some(coding) = codings.next() {
            let opener = Opener::of(coding).filter(|_| codings.next().is_none());
            self.opener = Some(opener.ok_or(NoAnswer::Malformed("its coding cannot be opened"))?);
        }
        // What is packed is no longer than what it is opened to, or nearly so.
        match fields::same_number(headers.list(&CONTENT_LENGTH)) {
            Some(length) if length > self.most as u64 && self.opener.is_none() => Err(NoAnswer::TooLarge),
            _ => Ok(()),
        }
    }

    /// A part of its body.
    pub(super) fn push(&mut self, part: Bytes) -> Result<(), NoAnswer> {
        self.came += part.len();
        // Nothing that is to be had of it may need more than twice the room of what it is.
        if self.came > self.most.saturating_mul(2).max(64 << 10) {
            return Err(NoAnswer::TooLarge);
        }
        match &mut self.opener {
            None => self.keep(part),
            Some(_) => self.open(&part, false),
        }
    }

    /// Its end.
    pub(super) fn end(&mut self) -> Result<(), NoAnswer> {
        // An empty body is no packed one, and none.
        if self.came > 0 { self.open(&[], true) } else { Ok(()) }
    }

    fn open(&mut self, part: &[u8], last: bool) -> Result<(), NoAnswer> {
        let Some(opener) = &mut self.opener else { return Ok(()) };
        match opener.push_within(part, last, self.most - self.length) {
            Ok(opened) => self.keep(opened),
            Err(_) if opener.was_too_long() => Err(NoAnswer::TooLarge),
            Err(_) => {
                self.refused = true;
                Err(NoAnswer::Malformed("it cannot be opened"))
            }
        }
    }

    fn keep(&mut self, part: Bytes) -> Result<(), NoAnswer> {
        if part.is_empty() {
            return Ok(());
        }
        self.length += part.len();
        if self.length > self.most || !self.common.told.total.grow(part.len(), self.all) {
            return Err(NoAnswer::TooLarge);
        }
        if !self.held.grow(part.len()) {
            return Err(NoAnswer::NoMemory);
        }
        // Most answers are one part, which is kept as it came.
        if part.len() < SMALL && !self.body.is_empty() {
            self.small.extend_from_slice(&part);
            if self.small.len() >= TOGETHER {
                self.put_together();
            }
            return Ok(());
        }
        self.put_together();
        self.body.push(part);
        Ok(())
    }

    fn put_together(&mut self) {
        if !self.small.is_empty() {
            self.body.push(self.small.split().freeze());
        }
    }

    /// All of it.
    pub(super) fn answered(mut self, status: StatusCode, headers: Headers) -> Answered {
        self.put_together();
        Answered { status, headers, body: self.body, held: self.held, keeping: Keeping::default() }
    }
}
