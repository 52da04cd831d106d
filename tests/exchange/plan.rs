//! What a case is: a connection, the requests on it, and what the origin makes of each.

use std::time::Duration;

/// Names in lower case beside their values, in order.
pub type Fields = Vec<(String, Vec<u8>)>;

/// A connection of a client.
#[derive(Clone, Debug)]
pub struct Case {
    pub seed: u64,
    pub turns: Vec<Turn>,
    /// Where what the client sends is cut, as shares of a part's length, and whether it pauses there.
    pub cuts: Cuts,
    /// The most bytes that it reads at once, and after how many reads it pauses.
    pub sip: usize,
    pub pause_reading: usize,
    /// The client leaves in the middle of its last request.
    pub leaves: Option<Leave>,
}

/// A client that leaves after this share of its last request, in thousandths.
#[derive(Clone, Copy, Debug)]
pub struct Leave {
    pub share: usize,
    pub reset: bool,
}

/// How something is cut into writes.
#[derive(Clone, Debug, Default)]
pub struct Cuts {
    /// In thousandths of the length.
    pub at: Vec<usize>,
    /// Every byte on its own.
    pub every: bool,
    /// Pauses after every so many writes; 0 never does.
    pub pause: usize,
}

/// One request and its answer.
#[derive(Clone, Debug)]
pub struct Turn {
    pub asked: Asked,
    pub script: Script,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// The target as it is sent, and as the origin is to see it.
    pub target: String,
    pub path: String,
    /// HTTP/1.0.
    pub old: bool,
    pub host: Option<String>,
    /// What `Connection` says, apart from the fields it nominates.
    pub close: bool,
    pub keep_alive: bool,
    /// Fields that reach the origin, with the spelling that the client gives their names.
    pub fields: Fields,
    /// Fields of this hop, and those that only the gateway may say.
    pub dropped: Fields,
    /// Of those, the ones that `Connection` has to nominate.
    pub nominated: Vec<String>,
    pub body: Body,
    /// `Expect: 100-continue`; and whether the client waits for it.
    pub expects: bool,
    pub waits: bool,
}

/// A message's body as it is on the wire.
#[derive(Clone, Debug, Default)]
pub struct Body {
    pub framing: Framing,
    pub bytes: Vec<u8>,
    /// With its chunks, where it has any.
    pub wire: Vec<u8>,
    pub trailers: Fields,
}

/// How a body is framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    #[default]
    None,
    Length,
    Chunked,
    /// By the end of the connection.
    Close,
}

/// What the origin does with a request.
#[derive(Clone, Debug)]
pub struct Script {
    /// Answers after this share of the request's body, in thousandths, instead of after all of it.
    pub early: Option<usize>,
    /// Closes after an early answer instead of reading on; and how.
    pub abandons: bool,
    /// Says 100 before it reads the body of a request that expects it.
    pub hundred: bool,
    pub informational: Vec<(u16, Fields)>,
    /// Fields of each interim answer that no client is sent.
    pub interim_dropped: Fields,
    pub status: u16,
    pub reason: String,
    pub old: bool,
    /// Closes the connection after the answer, and says so.
    pub close: bool,
    pub fields: Fields,
    pub dropped: Fields,
    pub nominated: Vec<String>,
    pub body: Body,
    /// How a body's length is said.
    pub lengths: Lengths,
    /// Breaks off after this share of the answer, in thousandths.
    pub cut: Option<Cut>,
    pub cuts: Cuts,
}

/// How often a length is said: each is the same as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lengths {
    #[default]
    Once,
    InTwoFields,
    InOneList,
}

/// An answer that is not whole.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Within the head instead of the body.
    pub in_head: bool,
    pub share: usize,
    pub reset: bool,
}

/// How long a pause is: enough for the other side to run, and not more.
pub const PAUSE: Duration = Duration::from_micros(300);

impl Cuts {
    /// Hands out the parts in turn, with pauses between; stops when one is not taken.
    pub fn each(&self, bytes: &[u8], mut part: impl FnMut(&[u8]) -> bool) -> bool {
        let ends: Vec<usize> = match self.every {
            true => (1..bytes.len()).collect(),
            false => {
                let mut ends: Vec<usize> = self.at.iter().map(|share| bytes.len() * share / 1000).collect();
                ends.sort_unstable();
                ends
            }
        };
        let mut from = 0;
        for (count, end) in ends.into_iter().chain([bytes.len()]).enumerate() {
            if end > from && !part(&bytes[from..end]) {
                return false;
            }
            from = end.max(from);
            if self.pause > 0 && count % self.pause == self.pause - 1 && end < bytes.len() {
                std::thread::sleep(PAUSE);
            }
        }
        true
    }
}

impl Asked {
    /// What says which script belongs to this request.
    pub const NAME: &'static str = "x-case";

    /// The head's bytes.
    pub fn head(&self, case: &str) -> Vec<u8> {
        let version = if self.old { "HTTP/1.0" } else { "HTTP/1.1" };
        let mut head = format!("{} {} {version}\r\n", self.method, self.target).into_bytes();
        let mut put = |name: &str, value: &[u8]| {
            head.extend_from_slice(name.as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        };
        if let Some(host) = &self.host {
            put("Host", host.as_bytes());
        }
        put(Self::NAME, case.as_bytes());
        for (name, value) in self.fields.iter().chain(&self.dropped) {
            put(name, value);
        }
        let options = self.connection();
        if !options.is_empty() {
            put("Connection", options.as_bytes());
        }
        if self.expects {
            put("Expect", b"100-continue");
        }
        match self.body.framing {
            Framing::Length => put("Content-Length", self.body.bytes.len().to_string().as_bytes()),
            Framing::Chunked => put("Transfer-Encoding", b"chunked"),
            Framing::None | Framing::Close => {}
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    fn connection(&self) -> String {
        let mut options: Vec<&str> = self.nominated.iter().map(String::as_str).collect();
        if self.keep_alive {
            options.push("keep-alive");
        }
        if self.close {
            options.push("close");
        }
        options.join(", ")
    }

    /// Whether the client wants to use its connection for another request.
    pub fn keeps(&self) -> bool {
        !self.close && (!self.old || self.keep_alive)
    }
}

impl Script {
    /// A plain answer.
    pub fn plain(body: &str) -> Self {
        let body = Body { framing: Framing::Length, bytes: body.into(), wire: body.into(), trailers: Vec::new() };
        Self {
            early: None,
            abandons: false,
            hundred: true,
            informational: Vec::new(),
            interim_dropped: Vec::new(),
            status: 200,
            reason: "OK".to_owned(),
            old: false,
            close: false,
            fields: Vec::new(),
            dropped: Vec::new(),
            nominated: Vec::new(),
            body,
            lengths: Lengths::Once,
            cut: None,
            cuts: Cuts::default(),
        }
    }

    /// Whether an answer to this method has a body.
    pub fn has_body(&self, method: &str) -> bool {
        method != "HEAD" && !matches!(self.status, 204 | 304)
    }

    /// The bytes of the final head.
    pub fn head(&self) -> Vec<u8> {
        let version = if self.old { "HTTP/1.0" } else { "HTTP/1.1" };
        let mut head = format!("{version} {} {}\r\n", self.status, self.reason).into_bytes();
        put(&mut head, &self.fields);
        put(&mut head, &self.dropped);
        let mut options: Vec<&str> = self.nominated.iter().map(String::as_str).collect();
        if self.close && !self.old {
            options.push("close");
        }
        if !self.close && self.old {
            options.push("Keep-Alive");
        }
        if !options.is_empty() {
            put(&mut head, &[("Connection".to_owned(), options.join(", ").into_bytes())]);
        }
        match self.body.framing {
            Framing::Length => {
                let length = self.body.bytes.len();
                let (value, times) = match self.lengths {
                    Lengths::Once => (length.to_string(), 1),
                    Lengths::InTwoFields => (length.to_string(), 2),
                    Lengths::InOneList => (format!("{length}, {length}"), 1),
                };
                put(&mut head, &vec![("Content-Length".to_owned(), value.into_bytes()); times]);
            }
            Framing::Chunked => put(&mut head, &[("Transfer-Encoding".to_owned(), b"chunked".to_vec())]),
            Framing::None | Framing::Close => {}
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

/// Writes fields, each in a line of its own.
pub fn put(head: &mut Vec<u8>, fields: &[(String, Vec<u8>)]) {
    for (name, value) in fields {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    }
}
