//! Content codings (RFC 9110, section 8.4.1): which one a client takes, and bodies that are opened or packed while they stream.

pub mod accept;
mod opener;
mod packer;

use std::io;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use opener::Opener;
pub use packer::{Packer, Then};

/// A coding that answers may be packed in.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum Coding {
    /// RFC 8878: the quickest, and as small as the others.
    #[serde(rename = "zstd")]
    Zstd,
    /// RFC 7932: the smallest for text.
    #[serde(rename = "br")]
    Brotli,
    /// RFC 1952: what every client reads.
    #[serde(rename = "gzip")]
    Gzip,
}

impl Coding {
    /// All of them, the one that packs best for its time first.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// As headers and metrics write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// The one that a header names.
    pub fn of(name: &[u8]) -> Option<Self> {
        // `x-gzip` is the same (RFC 9110, section 8.4.1.3).
        let name = if name.eq_ignore_ascii_case(b"x-gzip") { b"gzip" } else { name };
        Self::ALL.into_iter().find(|coding| name.eq_ignore_ascii_case(coding.name().as_bytes()))
    }
}

/// A whole body without its coding; nothing for a coding that is none of these.
pub fn unpacked(coding: &[u8], body: &[u8]) -> Option<io::Result<Vec<u8>>> {
    match Coding::of(coding)? {
        Coding::Zstd => Some(zstd::decode_all(body)),
        Coding::Gzip | Coding::Brotli => Some(Opener::of(coding)?.push(body, true).map(Into::into)),
    }
}
