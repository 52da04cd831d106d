//! Where a running gateway is asked: as was typed, as the environment says, as the configuration says as far as it can be read, else where it
//! usually is.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use crate::cli::Admin;
use crate::config;

/// Where the admin address is unless something says otherwise.
const USUAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);
/// Names the admin address, for those who have no configuration at hand.
const ADDRESS: &str = "FRONTGATE_ADMIN";
/// The token that it asks for.
const TOKEN: &str = "FRONTGATE_ADMIN_TOKEN";
/// How long one waits for the admin address.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most of an answer that is read.
const LARGEST: u64 = 64 << 20;
/// The longest line of a head, or of what is followed.
const LONGEST_LINE: u64 = 64 << 10;
/// The most lines of a head.
const MOST_LINES: usize = 256;

/// A gateway that is asked through its admin address.
pub(super) struct Gateway {
    address: Result<SocketAddr, String>,
    token: Option<String>,
    /// Who said so.
    from: &'static str,
}

/// An answer.
pub(super) struct Answered {
    /// Its status.
    pub code: u16,
    /// Its body.
    pub body: Vec<u8>,
}

/// An address as people write it: `127.0.0.1:9901`, or a name in place of the address.
pub(in crate::cli) fn admin_address(text: &str) -> Result<SocketAddr, String> {
    let cannot = || format!("`{text}` is no address such as 127.0.0.1:9901");
    text.parse().or_else(|_| text.to_socket_addrs().ok().and_then(|mut addresses| addresses.next()).ok_or_else(cannot))
}

impl Gateway {
    /// Looks for it in every place there is.
    pub(super) fn find(path: Option<&Path>, admin: &Admin) -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let written = config::admin(path);
        let (address, from) = match (admin.admin, set(ADDRESS), &written) {
            (Some(address), ..) => (Ok(address), "as `--admin` says"),
            (None, Some(text), _) => (admin_address(&text), "as FRONTGATE_ADMIN says"),
            (None, None, Some(written)) => (Ok(written.address), "as the configuration says"),
            (None, None, None) if config::names_no_admin(path) => {
                (Ok(USUAL), "where it usually is, since the configuration here has no `server.admin`: name it with `--admin`")
            }
            (None, None, None) => (Ok(USUAL), "where it usually is, since no `server.admin` could be read: name it with `--admin`"),
        };
        Self { address, token: set(TOKEN).or_else(|| written.and_then(|written| written.token)), from }
    }

    /// Says that something answers there, and is no frontgate.
    pub(super) fn is_another(&self) -> String {
        let address = self.address.as_ref().map_or_else(Clone::clone, SocketAddr::to_string);
        format!("what answers on {address} ({}) is not the admin address of a frontgate", self.from)
    }

    /// Asks it. The error is a sentence.
    pub(super) fn ask(&self, method: &str, target: &str) -> Result<Answered, String> {
        self.ask_with(method, target, &[])
    }

    /// The same with a body of JSON.
    pub(super) fn ask_with(&self, method: &str, target: &str, body: &[u8]) -> Result<Answered, String> {
        self.reach(|address| exchange(address, self.token.as_deref(), method, target, body))
    }

    /// Asks for what has no end but the one that it says itself, and hands over each line as it comes. The error is a sentence.
    pub(super) fn follow(&self, target: &str, line: impl FnMut(&str) -> ControlFlow<()>) -> Result<Followed, String> {
        self.reach(|address| follow(address, self.token.as_deref(), target, line))
    }

    fn reach<T>(&self, with: impl FnOnce(SocketAddr) -> std::io::Result<T>) -> Result<T, String> {
        let address = self.address.clone().map_err(|why| format!("{ADDRESS}: {why}"))?;
        // An address to listen on everywhere is reached through loopback.
        let address = match address {
            SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, v4.port())),
            SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, v6.port())),
            other => other,
        };
        with(address).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => format!("the gateway on {address} ({}) has gone away", self.from),
            _ => format!("nothing answers on {address} ({}): {error}", self.from),
        })
    }
}

/// What came of following.
pub(super) enum Followed {
    /// All was told, or whoever asked has heard enough.
    Ended,
    /// It was refused, with this body.
    Refused(Vec<u8>),
    /// Another server is there.
    Another,
}

/// The head of an answer, as far as it matters here.
struct Head {
    code: u16,
    length: Option<u64>,
    chunked: bool,
    kind: String,
}

/// Sends a request and reads the head of the answer.
fn send(
    address: SocketAddr,
    token: Option<&str>,
    method: &str,
    target: &str,
    body: &[u8],
) -> std::io::Result<(Head, BufReader<TcpStream>)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(3))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let length = body.len();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: {address}\r\n{authorization}{kind}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let broken = || std::io::Error::new(ErrorKind::InvalidData, "it does not speak HTTP");
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    (&mut stream).take(LONGEST_LINE).read_line(&mut line)?;
    let code = line.strip_prefix("HTTP/1.").and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or_else(broken)?;
    let mut head = Head { code, length: None, chunked: false, kind: String::new() };
    for _ in 0..MOST_LINES {
        line.clear();
        (&mut stream).take(LONGEST_LINE).read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        let value = value.trim();
        match name {
            _ if name.eq_ignore_ascii_case("content-length") => head.length = value.parse().ok(),
            _ if name.eq_ignore_ascii_case("transfer-encoding") => head.chunked = value.eq_ignore_ascii_case("chunked"),
            _ if name.eq_ignore_ascii_case("content-type") => value.clone_into(&mut head.kind),
            _ => {}
        }
    }
    Ok((head, stream))
}

fn exchange(address: SocketAddr, token: Option<&str>, method: &str, target: &str, body: &[u8]) -> std::io::Result<Answered> {
    let (head, stream) = send(address, token, method, target, body)?;
    let mut body = Vec::new();
    // Whoever does not close the connection, as it is asked to, says how long its answer is.
    stream.take(head.length.unwrap_or(LARGEST).min(LARGEST)).read_to_end(&mut body)?;
    Ok(Answered { code: head.code, body })
}

fn follow(
    address: SocketAddr,
    token: Option<&str>,
    target: &str,
    mut on: impl FnMut(&str) -> ControlFlow<()>,
) -> std::io::Result<Followed> {
    let (head, stream) = send(address, token, "GET", target, &[])?;
    if head.kind == "application/problem+json" {
        let mut body = Vec::new();
        stream.take(head.length.unwrap_or(LARGEST).min(LARGEST)).read_to_end(&mut body)?;
        return Ok(Followed::Refused(body));
    }
    if head.code != 200 || !head.chunked || head.kind != "application/x-ndjson" {
        return Ok(Followed::Another);
    }
    let mut lines = BufReader::new(Chunks { stream, left: 0, ended: false });
    let mut line = String::new();
    loop {
        line.clear();
        if (&mut lines).take(LONGEST_LINE).read_line(&mut line)? == 0 || on(line.trim_end()).is_break() {
            return Ok(Followed::Ended);
        }
    }
}

/// The inside of a chunked body (RFC 9112, section 7.1). An end that is not said is an error.
struct Chunks<R> {
    stream: R,
    left: u64,
    ended: bool,
}

impl<R: BufRead> Read for Chunks<R> {
    fn read(&mut self, space: &mut [u8]) -> std::io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        if self.left == 0 {
            let mut line = String::new();
            (&mut self.stream).take(LONGEST_LINE).read_line(&mut line)?;
            let size = line.trim_end().split(';').next().unwrap_or_default();
            // Of an answer that broke off there is no such line.
            self.left = u64::from_str_radix(size, 16).map_err(|_| ErrorKind::UnexpectedEof)?;
            if self.left == 0 {
                self.ended = true;
                return Ok(0);
            }
        }
        let most = space.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.stream.read(&mut space[..most])?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        if self.left == 0 {
            // The line's end after the chunk.
            self.stream.read_exact(&mut [0; 2])?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_a_name() {
        assert_eq!(admin_address("127.0.0.1:7001").map(|address| address.to_string()).as_deref(), Ok("127.0.0.1:7001"));
        assert!(admin_address("localhost:7001").is_ok_and(|address| address.ip().is_loopback() && address.port() == 7001));
        assert!(admin_address("7001").is_err_and(|why| why.contains("`7001`")));
    }

    #[test]
    fn what_comes_in_chunks_is_put_together_and_an_end_that_is_not_said_is_none() {
        let read = |wire: &str| {
            let mut text = String::new();
            let read = Chunks { stream: wire.as_bytes(), left: 0, ended: false }.read_to_string(&mut text);
            (text, read.map_err(|error| error.kind()).err())
        };

        assert_eq!(read("5\r\na\nbcd\r\n2;x=y\r\n\nz\r\n0\r\n\r\n"), ("a\nbcd\nz".to_owned(), None));
        for broken in ["", "5\r\nab", "2\r\nab\r\n", "2\r\nab", "no\r\n"] {
            assert_eq!(read(broken).1, Some(ErrorKind::UnexpectedEof), "{broken:?}");
        }
    }

    #[test]
    fn what_was_typed_comes_first_and_the_usual_address_last() {
        let nowhere = Path::new("/nonexistent/frontgate.yaml");
        let typed = Admin { admin: Some("127.0.0.1:7001".parse().expect("an address")) };

        assert_eq!(Gateway::find(Some(nowhere), &typed).address, Ok("127.0.0.1:7001".parse().expect("an address")));
        assert_eq!(Gateway::find(Some(nowhere), &Admin { admin: None }).address, Ok(USUAL));
    }
}
