//! The PROXY protocol, versions 1 and 2: who a load balancer in front says its client is, before the client's own first byte.
//!
//! Never more is read than belongs to the header, so what follows is the client's, in clear text or in TLS.
//! <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// What every header of version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header of version 1, with its line end.
const LONGEST_LINE: usize = 107;
/// The most of a header of version 2 after its first 16 bytes.
const LONGEST_REST: usize = 4096;

/// Whether a connection begins by saying, in a PROXY header, for whom it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Introduction {
    /// It is the client's own.
    None,
    /// It has to.
    Required,
    /// Others have to, and this one is not taken.
    Refused,
}

/// What came is no such header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoHeader;

/// Reads a header: the client's address, or none where the balancer speaks for itself or does not know.
pub(super) async fn read(io: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, NoHeader> {
    let mut start = [0; SIGNATURE.len()];
    io.read_exact(&mut start).await.map_err(|_| NoHeader)?;
    if start == SIGNATURE { binary(io).await } else { line(io, &start).await }
}

/// Version 1: a line of text, whose end is found byte by byte.
async fn line(io: &mut (impl AsyncRead + Unpin), start: &[u8]) -> Result<Option<SocketAddr>, NoHeader> {
    if !start.starts_with(b"PROXY ") {
        return Err(NoHeader);
    }
    let mut line = Vec::with_capacity(LONGEST_LINE);
    line.extend_from_slice(start);
    while !line.ends_with(b"\r\n") {
        if line.len() == LONGEST_LINE {
            return Err(NoHeader);
        }
        line.push(io.read_u8().await.map_err(|_| NoHeader)?);
    }
    let text = std::str::from_utf8(&line[6..line.len() - 2]).map_err(|_| NoHeader)?;
    let mut words = text.split(' ');
    let kind = words.next().unwrap_or_default();
    if kind == "UNKNOWN" {
        return Ok(None);
    }
    let (Some(from), Some(to), Some(port), Some(to_port), None) = (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Err(NoHeader);
    };
    let (from, to): (IpAddr, IpAddr) = (from.parse().map_err(|_| NoHeader)?, to.parse().map_err(|_| NoHeader)?);
    let (Some(port), Some(_)) = (port_of(port), port_of(to_port)) else { return Err(NoHeader) };
    let fits = match kind {
        "TCP4" => from.is_ipv4() && to.is_ipv4(),
        "TCP6" => from.is_ipv6() && to.is_ipv6(),
        _ => false,
    };
    if fits { Ok(Some(SocketAddr::new(from.to_canonical(), port))) } else { Err(NoHeader) }
}

/// A port in digits, without a sign and without zeros before it.
fn port_of(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_plain { text.parse().ok() } else { None }
}

/// Version 2, after its signature.
async fn binary(io: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, NoHeader> {
    let mut fixed = [0; 4];
    io.read_exact(&mut fixed).await.map_err(|_| NoHeader)?;
    let [command, family, high, low] = fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 || length > LONGEST_REST {
        return Err(NoHeader);
    }
    let mut rest = vec![0; length];
    io.read_exact(&mut rest).await.map_err(|_| NoHeader)?;
    match command & 0x0f {
        // The balancer's own, such as a health check: whatever addresses it has are not to be used.
        0 => return Ok(None),
        1 => {}
        _ => return Err(NoHeader),
    }
    match family {
        // TCP over IPv4 and IPv6: both addresses, then both ports. What follows are extensions.
        0x11 => {
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *rest.first_chunk::<12>().ok_or(NoHeader)?;
            Ok(Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low]))))
        }
        0x21 => {
            let addresses = rest.first_chunk::<36>().ok_or(NoHeader)?;
            let from: [u8; 16] = *addresses.first_chunk().ok_or(NoHeader)?;
            Ok(Some(SocketAddr::new(IpAddr::from(Ipv6Addr::from(from)).to_canonical(), u16::from_be_bytes([addresses[32], addresses[33]]))))
        }
        // A client that the balancer does not know, or that came to it over a socket of its own machine.
        0x00 | 0x31 => Ok(None),
        _ => Err(NoHeader),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Reading = Result<Option<SocketAddr>, NoHeader>;

    /// What is read of these bytes, and how many of them are left; it is the same wherever they are split in two.
    #[track_caller]
    fn reading(bytes: &[u8]) -> (Reading, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let mut whole = bytes;
        let result = (runtime.block_on(read(&mut whole)), whole.len());
        for at in 0..=bytes.len() {
            let (mut first, mut second) = bytes.split_at(at);
            let split = runtime.block_on(async { read(&mut (&mut first).chain(&mut second)).await });
            assert_eq!((&split, first.len() + second.len()), (&result.0, result.1), "split at {at}");
        }
        let mut one_by_one = tokio_util::io::StreamReader::new(Singly(bytes));
        assert_eq!(runtime.block_on(read(&mut one_by_one)), result.0, "byte by byte");
        assert_eq!(one_by_one.into_inner().0.len(), result.1, "byte by byte");
        result
    }

    /// Bytes that come one at a time.
    struct Singly<'a>(&'a [u8]);

    impl futures_core::Stream for Singly<'_> {
        type Item = std::io::Result<bytes::Bytes>;
        fn poll_next(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<std::io::Result<bytes::Bytes>>> {
            let Some((byte, rest)) = self.0.split_first() else { return std::task::Poll::Ready(None) };
            self.0 = rest;
            std::task::Poll::Ready(Some(Ok(bytes::Bytes::copy_from_slice(&[*byte]))))
        }
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend((rest.len() as u16).to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    /// 192.0.2.7:4711 to 10.0.0.1:80.
    const FOUR: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x67, 0, 80];

    /// This address and port 4711 to nowhere.
    fn six(from: &str) -> Vec<u8> {
        let from: Ipv6Addr = from.parse().expect("an address");
        [&from.octets()[..], &[0; 16], &[0x12, 0x67, 0, 80]].concat()
    }

    #[test]
    fn a_header_names_the_client_and_what_follows_is_not_touched() {
        let v4 = || Ok(Some("192.0.2.7:4711".parse().expect("an address")));
        let v6 = || Ok(Some("[2001:db8::7]:4711".parse().expect("an address")));

        assert_eq!(reading(b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\r\nGET /"), (v4(), 5));
        assert_eq!(reading(b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n"), (v6(), 0));
        assert_eq!(reading(b"PROXY TCP6 ::ffff:192.0.2.7 ::1 4711 80\r\n"), (v4(), 0));
        assert_eq!(reading(&[&v2(0x21, 0x11, &FOUR)[..], b"\x16\x03\x01"].concat()), (v4(), 3));
        assert_eq!(reading(&v2(0x21, 0x21, &six("2001:db8::7"))), (v6(), 0));
        assert_eq!(reading(&v2(0x21, 0x21, &six("::ffff:192.0.2.7"))), (v4(), 0));
    }

    #[test]
    fn the_longest_header_of_the_first_version_is_one() {
        let address = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let client: SocketAddr = format!("[{address}]:65535").parse().expect("an address");

        assert_eq!(reading(format!("PROXY TCP6 {address} {address} 65535 65535\r\n").as_bytes()), (Ok(Some(client)), 0));
        let unknown = format!("PROXY UNKNOWN {}\r\n", "f".repeat(LONGEST_LINE - 16));
        assert_eq!(unknown.len(), LONGEST_LINE);
        assert_eq!(reading(unknown.as_bytes()), (Ok(None), 0));
    }

    #[test]
    fn extensions_are_passed_over_whatever_they_are() {
        let v4 = || Ok(Some("192.0.2.7:4711".parse().expect("an address")));
        let extensions: [&[u8]; 4] = [
            // An authority, a unique identifier, padding, and one that is cut off.
            &[2, 0, 4, b's', b'h', b'o', b'p'],
            &[5, 0, 2, 1, 2, 4, 0, 3, 0, 0, 0],
            &[4, 0, 0],
            &[0xea, 0xff],
        ];
        for extension in extensions {
            assert_eq!(reading(&v2(0x21, 0x11, &[&FOUR[..], extension].concat())), (v4(), 0), "{extension:?}");
        }
        assert_eq!(reading(&v2(0x21, 0x11, &[&FOUR[..], &[4; LONGEST_REST - 12]].concat())), (v4(), 0));
    }

    #[test]
    fn a_balancer_that_speaks_for_itself_or_does_not_know_names_nobody() {
        assert_eq!(reading(b"PROXY UNKNOWN\r\nx"), (Ok(None), 1));
        assert_eq!(reading(b"PROXY UNKNOWN whatever stands here\r\n"), (Ok(None), 0));
        assert_eq!(reading(&v2(0x20, 0x00, b"")), (Ok(None), 0));
        assert_eq!(reading(&v2(0x20, 0x11, &FOUR)), (Ok(None), 0), "its addresses are not to be used");
        assert_eq!(reading(&v2(0x21, 0x00, b"")), (Ok(None), 0));
        assert_eq!(reading(&v2(0x21, 0x31, &[0; 216])), (Ok(None), 0));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_LINE));
        for bytes in [
            &b""[..],
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 80 1\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 80 \r\n",
            b"PROXY TCP4 2001:db8::7 ::1 4711 80\r\n",
            b"PROXY TCP6 192.0.2.7 10.0.0.1 4711 80\r\n",
            b"PROXY TCP4 192.0.2.7 ::1 4711 80\r\n",
            b"PROXY TCP4 192.0.2.07 10.0.0.1 4711 80\r\n",
            b"PROXY TCP4 192.0.2.256 10.0.0.1 4711 80\r\n",
            b"PROXY TCP4 shop.example 10.0.0.1 4711 80\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 +4711 80\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 04711 80\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 \r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 99999 80\r\n",
            b"PROXY TCP5 192.0.2.7 10.0.0.1 4711 80\r\n",
            b"PROXY tcp4 192.0.2.7 10.0.0.1 4711 80\r\n",
            b"PROXY  TCP4 192.0.2.7 10.0.0.1 4711 80\r\n",
            b"PROXY UNKNOWNS\r\n",
            b"proxy TCP4 192.0.2.7 10.0.0.1 4711 80\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\n\r\n",
            b"PROXY TCP4 \xff 10.0.0.1 4711 80\r\n",
            b"PROXY",
            long.as_bytes(),
            &v2(0x11, 0x11, &FOUR),
            &v2(0x31, 0x11, &FOUR),
            &v2(0x22, 0x11, &FOUR),
            &v2(0x21, 0x11, &FOUR[..11]),
            &v2(0x21, 0x21, &six("::1")[..35]),
            &v2(0x21, 0x12, &FOUR),
            &v2(0x21, 0x41, &FOUR),
            &v2(0x21, 0x11, &FOUR)[..20],
            &SIGNATURE,
            &v2(0x21, 0x11, &[0; LONGEST_REST + 1]),
        ] {
            assert_eq!(reading(bytes).0, Err(NoHeader), "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
