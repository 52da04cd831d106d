//! gzip (RFC 1952): a header, deflate (RFC 1951), a checksum and the length.

use std::cell::RefCell;
use std::io;
use std::thread::LocalKey;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use super::kept::{Kept, Reused};
use super::{ROOM, Then, stuck};

/// Of nine: beyond it, time grows quicker than what is saved.
const LEVEL: u32 = 5;
/// Deflate; no name, no time, an unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

pub(super) struct Gzip {
    deflate: Kept<Compress>,
    sum: Crc,
    begun: bool,
}

impl Reused for Compress {
    fn stock() -> &'static LocalKey<RefCell<Vec<Self>>> {
        thread_local! { static STOCK: RefCell<Vec<Compress>> = const { RefCell::new(Vec::new()) } }
        &STOCK
    }
    fn forget(&mut self) -> bool {
        self.reset();
        true
    }
}

impl Gzip {
    pub(super) fn new() -> Self {
        let deflate = Kept::or_new(|| Some(Compress::new(Compression::new(LEVEL), false)));
        Self { deflate: deflate.expect("one is made where none is kept"), sum: Crc::new(), begun: false }
    }

    pub(super) fn pack(&mut self, bytes: &[u8], then: Then, out: &mut Vec<u8>) -> io::Result<()> {
        if !std::mem::replace(&mut self.begun, true) {
            out.extend_from_slice(&HEADER);
        }
        self.sum.update(bytes);
        let flush = match then {
            Then::More => FlushCompress::None,
            Then::Pause => FlushCompress::Sync,
            Then::End => FlushCompress::Finish,
        };
        let mut rest = bytes;
        loop {
            out.reserve(ROOM);
            let (taken, given) = (self.deflate.total_in(), self.deflate.total_out());
            let status = self.deflate.compress_vec(rest, out, flush)?;
            let taken = (self.deflate.total_in() - taken) as usize;
            rest = &rest[taken..];
            match status {
                Status::StreamEnd => break,
                // With room to spare, all was given out that will be.
                _ if then != Then::End && rest.is_empty() && out.len() < out.capacity() => return Ok(()),
                _ if taken == 0 && self.deflate.total_out() == given => return Err(stuck("deflate")),
                _ => {}
            }
        }
        out.extend_from_slice(&self.sum.sum().to_le_bytes());
        out.extend_from_slice(&self.sum.amount().to_le_bytes());
        Ok(())
    }
}
