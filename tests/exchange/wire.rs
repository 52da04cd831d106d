//! HTTP/1 read strictly from a socket: what is not as the RFC says is an error, and so is what ends too early.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;

use super::plan::{Fields, PAUSE};

/// A socket and what was read from it already.
pub struct Wire {
    stream: TcpStream,
    held: Vec<u8>,
    /// The most that is read at once, and after how many reads there is a pause; 0 for never.
    pub sip: usize,
    pub pause: usize,
    reads: usize,
    /// Asked where a read has waited for long: whether to give up.
    give_up: Box<dyn Fn() -> bool + Send>,
}

/// How something ended that should have gone on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The other side closed.
    Closed,
    /// The other side reset the connection.
    Reset,
    /// Nothing came for too long.
    Silent,
    /// What came is not HTTP.
    Wrong(String),
}

/// A head.
#[derive(Clone, Debug)]
pub struct Head {
    pub line: String,
    /// Names in lower case.
    pub fields: Fields,
}

impl Head {
    /// All values of a field, without the white space around them.
    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        self.fields.iter().filter(|(other, _)| other == name).map(|(_, value)| &value[..]).collect()
    }

    /// Whether a list field has this member.
    pub fn has(&self, name: &str, member: &str) -> bool {
        self.all(name)
            .iter()
            .any(|value| value.split(|byte| *byte == b',').any(|other| other.trim_ascii().eq_ignore_ascii_case(member.as_bytes())))
    }

    /// What Content-Length says: one number or nothing.
    pub fn length(&self) -> Result<Option<usize>, Broken> {
        let wrong = || Broken::Wrong(format!("Content-Length in {self:?}"));
        match &self.all("content-length")[..] {
            [] => Ok(None),
            [one] => std::str::from_utf8(one).ok().and_then(|text| text.parse().ok()).map(Some).ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }

    /// Whether the body is in chunks.
    pub fn is_chunked(&self) -> Result<bool, Broken> {
        match &self.all("transfer-encoding")[..] {
            [] => Ok(false),
            [one] if one.eq_ignore_ascii_case(b"chunked") && self.all("content-length").is_empty() => Ok(true),
            _ => Err(Broken::Wrong(format!("Transfer-Encoding in {self:?}"))),
        }
    }
}

impl Wire {
    pub fn new(stream: TcpStream, give_up: impl Fn() -> bool + Send + 'static) -> Self {
        stream.set_read_timeout(Some(std::time::Duration::from_millis(200))).expect("a timeout");
        Self { stream, held: Vec::new(), sip: 1 << 16, pause: 0, reads: 0, give_up: Box::new(give_up) }
    }

    /// Reads once.
    fn fill(&mut self) -> Result<(), Broken> {
        let mut space = [0_u8; 1 << 16];
        self.reads += 1;
        if self.pause > 0 && self.reads.is_multiple_of(self.pause) {
            std::thread::sleep(PAUSE);
        }
        loop {
            match self.stream.read(&mut space[..self.sip]) {
                Ok(0) => return Err(Broken::Closed),
                Ok(count) => {
                    self.held.extend_from_slice(&space[..count]);
                    return Ok(());
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                    if (self.give_up)() {
                        return Err(Broken::Silent);
                    }
                }
                Err(_) => return Err(Broken::Reset),
            }
        }
    }

    /// The bytes up to the end of a line, without it.
    fn line(&mut self) -> Result<Vec<u8>, Broken> {
        let mut seen = 0;
        loop {
            if let Some(at) = self.held[seen..].iter().position(|byte| *byte == b'\n') {
                let end = seen + at;
                if end == 0 || self.held[end - 1] != b'\r' || self.held[..end - 1].contains(&b'\r') {
                    return Err(Broken::Wrong("a line does not end in CRLF alone".to_owned()));
                }
                let line = self.held[..end - 1].to_vec();
                self.held.drain(..=end);
                return Ok(line);
            }
            seen = self.held.len();
            self.fill()?;
        }
    }

    fn fields(&mut self) -> Result<Fields, Broken> {
        let mut fields = Fields::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let colon = line.iter().position(|byte| *byte == b':').filter(|at| *at > 0);
            let colon = colon.ok_or_else(|| Broken::Wrong(format!("no field: {:?}", String::from_utf8_lossy(&line))))?;
            let name = String::from_utf8(line[..colon].to_vec()).map_err(|_| Broken::Wrong("a field's name".to_owned()))?;
            if name.contains([' ', '\t']) {
                return Err(Broken::Wrong(format!("white space in the field name {name:?}")));
            }
            fields.push((name.to_ascii_lowercase(), trim(&line[colon + 1..]).to_vec()));
        }
    }

    /// The next head; none where the connection ended before it began.
    pub fn head(&mut self) -> Result<Option<Head>, Broken> {
        if self.held.is_empty() {
            match self.fill() {
                Ok(()) => {}
                Err(Broken::Closed) => return Ok(None),
                Err(other) => return Err(other),
            }
        }
        let line = String::from_utf8(self.line()?).map_err(|_| Broken::Wrong("a first line".to_owned()))?;
        Ok(Some(Head { line, fields: self.fields()? }))
    }

    /// So many bytes, into `into`; `enough` says when no more of them are wanted.
    pub fn counted(&mut self, length: usize, into: &mut Vec<u8>, mut enough: impl FnMut(usize) -> bool) -> Result<bool, Broken> {
        let mut left = length;
        while left > 0 {
            if enough(into.len()) {
                return Ok(false);
            }
            if self.held.is_empty() {
                self.fill()?;
            }
            let count = left.min(self.held.len());
            into.extend(self.held.drain(..count));
            left -= count;
        }
        Ok(true)
    }

    /// Whatever comes next, at least a byte.
    pub fn some(&mut self, into: &mut Vec<u8>) -> Result<(), Broken> {
        if self.held.is_empty() {
            self.fill()?;
        }
        into.append(&mut self.held);
        Ok(())
    }

    /// A body in chunks, and its trailers; none where enough was read before its end, which is asked between two chunks.
    pub fn chunks(&mut self, into: &mut Vec<u8>, mut enough: impl FnMut(usize) -> bool) -> Result<Option<Fields>, Broken> {
        loop {
            if enough(into.len()) {
                return Ok(None);
            }
            let line = self.line()?;
            let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
            let size = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
            let size = size.ok_or_else(|| Broken::Wrong(format!("a chunk's size: {:?}", String::from_utf8_lossy(&line))))?;
            if size == 0 {
                return Ok(Some(self.fields()?));
            }
            self.counted(size, into, |_| false)?;
            if !self.line()?.is_empty() {
                return Err(Broken::Wrong("a chunk is longer than it says".to_owned()));
            }
        }
    }

    /// Everything up to the end of the connection, and how that came.
    pub fn rest(&mut self, into: &mut Vec<u8>) -> Broken {
        loop {
            into.append(&mut self.held);
            if let Err(end) = self.fill() {
                return end;
            }
        }
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

/// Without the white space that may stand around a value.
pub fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
