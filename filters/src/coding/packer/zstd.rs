//! Zstandard (RFC 8878).

use std::cell::RefCell;
use std::io;
use std::thread::LocalKey;

use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{CCtx, CParameter, ErrorCode, InBuffer, OutBuffer, ResetDirective, get_error_name};

use super::kept::{Kept, Reused};
use super::{ROOM, Then, stuck, window};

/// The library's own default: quicker than gzip at its quickest, and smaller.
const LEVEL: i32 = 3;
/// 64 KiB: with it a body takes 0.65 MiB, with the level's own window 3.5.
const WINDOW: u32 = 16;
const LEAST_WINDOW: u32 = 10;
/// What goes with such a window.
const HASH: u32 = 15;
const CHAIN: u32 = 14;

pub(super) struct Zstd(Kept<CCtx<'static>>);

impl Reused for CCtx<'static> {
    fn stock() -> &'static LocalKey<RefCell<Vec<Self>>> {
        thread_local! { static STOCK: RefCell<Vec<CCtx<'static>>> = const { RefCell::new(Vec::new()) } }
        &STOCK
    }
    fn forget(&mut self) -> bool {
        self.reset(ResetDirective::SessionOnly).is_ok()
    }
}

impl Zstd {
    pub(super) fn new(length: Option<u64>) -> io::Result<Self> {
        let mut context = Kept::or_new(CCtx::try_create).ok_or(io::ErrorKind::OutOfMemory)?;
        let window = window(length, LEAST_WINDOW, WINDOW);
        for parameter in [
            CParameter::CompressionLevel(LEVEL),
            CParameter::WindowLog(window),
            CParameter::HashLog(HASH.min(window + 1)),
            CParameter::ChainLog(CHAIN.min(window)),
        ] {
            context.set_parameter(parameter).map_err(error)?;
        }
        Ok(Self(context))
    }

    pub(super) fn pack(&mut self, bytes: &[u8], then: Then, out: &mut Vec<u8>) -> io::Result<()> {
        let directive = match then {
            Then::More => ZSTD_EndDirective::ZSTD_e_continue,
            Then::Pause => ZSTD_EndDirective::ZSTD_e_flush,
            Then::End => ZSTD_EndDirective::ZSTD_e_end,
        };
        let mut input = InBuffer::around(bytes);
        loop {
            out.reserve(ROOM);
            let before = (input.pos(), out.len());
            let length = out.len();
            let left = self.0.compress_stream2(&mut OutBuffer::around_pos(out, length), &mut input, directive).map_err(error)?;
            if input.pos() == bytes.len() && (left == 0 || then == Then::More) {
                return Ok(());
            }
            if before == (input.pos(), out.len()) {
                return Err(stuck("zstd"));
            }
        }
    }
}

fn error(code: ErrorCode) -> io::Error {
    io::Error::other(get_error_name(code))
}
