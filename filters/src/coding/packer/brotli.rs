//! Brotli (RFC 7932).

use std::io::{self, Write};

use brotli::CompressorWriter;

use super::{ROOM, Then, stuck, window};

/// Of eleven: the ones above are for what is packed once and sent often.
const QUALITY: u32 = 4;
/// 64 KiB: what a window costs is more than it saves in answers that are made for one request.
const WINDOW: u32 = 16;
/// The least that the format has.
const LEAST_WINDOW: u32 = 10;

/// Its writer cannot be used again; none once the body has ended.
pub(super) struct Brotli(Option<Box<CompressorWriter<Vec<u8>>>>);

impl Brotli {
    pub(super) fn new(length: Option<u64>) -> Self {
        Self(Some(Box::new(CompressorWriter::new(Vec::new(), ROOM, QUALITY, window(length, LEAST_WINDOW, WINDOW)))))
    }

    pub(super) fn pack(&mut self, bytes: &[u8], then: Then, out: &mut Vec<u8>) -> io::Result<()> {
        let writer = self.0.as_mut().ok_or_else(|| stuck("brotli"))?;
        writer.write_all(bytes)?;
        match then {
            Then::More => {}
            Then::Pause => writer.flush()?,
            Then::End => {
                // The writer ends its stream when it is taken apart.
                out.extend_from_slice(&self.0.take().map(|writer| writer.into_inner()).unwrap_or_default());
                return Ok(());
            }
        }
        out.append(writer.get_mut());
        Ok(())
    }
}
