//! A file of the kernel's that is read over and over: it stays open, and a look at it is one system call and no allocation.

use std::fs::File;
use std::path::Path;

/// More than any of these files is read of holds.
const MOST: usize = 8 << 10;

/// Such a file.
pub(super) struct Source {
    file: File,
    text: Box<[u8]>,
}

impl Source {
    /// Opens it, where it is there.
    pub(super) fn open(path: &Path) -> Option<Self> {
        Some(Self { file: File::open(path).ok()?, text: vec![0; MOST].into() })
    }

    /// What it says now.
    #[cfg(unix)]
    pub(super) fn read(&mut self) -> Option<&str> {
        let count = std::os::unix::fs::FileExt::read_at(&self.file, &mut self.text, 0).ok()?;
        std::str::from_utf8(&self.text[..count]).ok()
    }

    #[cfg(not(unix))]
    pub(super) fn read(&mut self) -> Option<&str> {
        None
    }

    /// The number that it says, where it says one.
    pub(super) fn number(&mut self) -> Option<u64> {
        self.read()?.trim().parse().ok()
    }
}

/// The first number on the line that begins with this word.
pub(super) fn number(text: &str, name: &str) -> Option<u64> {
    let mut words = text.lines().map(str::split_whitespace).find_map(|mut words| (words.next()? == name).then_some(words))?;
    words.next()?.parse().ok()
}

/// The same of a number of KiB, in bytes.
pub(super) fn kibibytes(text: &str, name: &str) -> Option<u64> {
    number(text, name)?.checked_mul(1024)
}
