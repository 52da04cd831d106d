//! Where a running gateway is asked: as was typed, as the environment says, as the configuration says as far as it can be read, else where it
//! usually is.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
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
        let address = self.address.clone().map_err(|why| format!("{ADDRESS}: {why}"))?;
        // An address to listen on everywhere is reached through loopback.
        let address = match address {
            SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, v4.port())),
            SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, v6.port())),
            other => other,
        };
        exchange(address, self.token.as_deref(), method, target)
            .map_err(|error| format!("nothing answers on {address} ({}): {error}", self.from))
    }
}

fn exchange(address: SocketAddr, token: Option<&str>, method: &str, target: &str) -> std::io::Result<Answered> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(3))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n{authorization}Content-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let broken = || std::io::Error::new(std::io::ErrorKind::InvalidData, "it does not speak HTTP");
    let mut stream = BufReader::new((&stream).take(LARGEST));
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let code = line.strip_prefix("HTTP/1.").and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or_else(broken)?;
    let mut length = None;
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<u64>().ok();
        }
    }
    let mut body = Vec::new();
    // Whoever does not close the connection, as it is asked to, says how long its answer is.
    stream.take(length.unwrap_or(LARGEST)).read_to_end(&mut body)?;
    Ok(Answered { code, body })
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
    fn what_was_typed_comes_first_and_the_usual_address_last() {
        let nowhere = Path::new("/nonexistent/frontgate.yaml");
        let typed = Admin { admin: Some("127.0.0.1:7001".parse().expect("an address")) };

        assert_eq!(Gateway::find(Some(nowhere), &typed).address, Ok("127.0.0.1:7001".parse().expect("an address")));
        assert_eq!(Gateway::find(Some(nowhere), &Admin { admin: None }).address, Ok(USUAL));
    }
}
