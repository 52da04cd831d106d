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

/// What came is no such header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoHeader;

/// Reads a header: the client's address, or none where the balancer speaks for itself or does not know.
pub(super) async fn read(io: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, NoHeader> {
    let mut start = [0; SIGNATURE.len()];
    io.read_exact(&mut start).await.map_err(|_| NoHeader)?;
    if start == SIGNATURE { binary(io).await } else { line(io, &start).await }
}

/// Version 1: a line of text.
async fn line(io: &mut (impl AsyncRead + Unpin), start: &[u8]) -> Result<Option<SocketAddr>, NoHeader> {
    if !start.starts_with(b"PROXY ") {
        return Err(NoHeader);
    }
    let mut line = start.to_vec();
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
    let (Some(from), Some(to), Some(port), Some(to_port), None) = (words.next(), words.next(), words.next(), words.next(), words.next()) else {
        return Err(NoHeader);
    };
    let number = |text: &str| if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse::<u16>().ok() } else { None };
    let (from, port): (IpAddr, u16) = (from.parse().map_err(|_| NoHeader)?, number(port).ok_or(NoHeader)?);
    let to: IpAddr = to.parse().map_err(|_| NoHeader)?;
    let fits = match kind {
        "TCP4" => from.is_ipv4() && to.is_ipv4(),
        "TCP6" => from.is_ipv6() && to.is_ipv6(),
        _ => false,
    };
    if !fits || number(to_port).is_none() {
        return Err(NoHeader);
    }
    Ok(Some(SocketAddr::new(from.to_canonical(), port)))
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
        // The balancer's own: a health check of its.
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
        0x00 => Ok(None),
        _ => Err(NoHeader),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of these bytes, and how many of them are left.
    fn reading(mut bytes: &[u8]) -> (Result<Option<SocketAddr>, NoHeader>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let result = runtime.block_on(read(&mut bytes));
        (result, bytes.len())
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend((rest.len() as u16).to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    #[test]
    fn a_header_names_the_client_and_what_follows_is_not_touched() {
        let v4 = Ok(Some("192.0.2.7:4711".parse().expect("an address")));
        let v6 = Ok(Some("[2001:db8::7]:4711".parse().expect("an address")));
        let four = [192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x67, 0, 80];
        let mut six = Vec::from("2001:db8::7".parse::<Ipv6Addr>().expect("an address").octets());
        six.extend([0; 16]);
        six.extend([0x12, 0x67, 0, 80]);

        assert_eq!(reading(b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\r\nGET /"), (v4.clone(), 5));
        assert_eq!(reading(b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n"), (v6.clone(), 0));
        assert_eq!(reading(b"PROXY TCP6 ::ffff:192.0.2.7 ::1 4711 80\r\n"), (v4.clone(), 0));
        assert_eq!(reading(b"PROXY UNKNOWN\r\nx"), (Ok(None), 1));
        assert_eq!(reading(b"PROXY UNKNOWN whatever stands here\r\n"), (Ok(None), 0));
        assert_eq!(reading(&v2(0x21, 0x11, &four)), (v4.clone(), 0));
        assert_eq!(reading(&v2(0x21, 0x11, &[&four[..], &[3, 0, 4, 1, 2, 3, 4]].concat())), (v4, 0));
        assert_eq!(reading(&v2(0x21, 0x21, &six)), (v6, 0));
        assert_eq!(reading(&v2(0x20, 0x00, b"")), (Ok(None), 0));
        assert_eq!(reading(&v2(0x21, 0x00, b"")), (Ok(None), 0));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_LINE));
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 80 1\r\n",
            b"PROXY TCP4 2001:db8::7 ::1 4711 80\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 +4711 80\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 99999 80\r\n",
            b"PROXY TCP5 192.0.2.7 10.0.0.1 4711 80\r\n",
            b"PROXY  TCP4 192.0.2.7 10.0.0.1 4711 80\r\n",
            b"proxy TCP4 192.0.2.7 10.0.0.1 4711 80\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\n",
            b"PROXY",
            long.as_bytes(),
            &v2(0x11, 0x11, &[0; 12]),
            &v2(0x22, 0x11, &[0; 12]),
            &v2(0x21, 0x11, &[0; 11]),
            &v2(0x21, 0x21, &[0; 35]),
            &v2(0x21, 0x12, &[0; 12]),
            &v2(0x21, 0x11, &[0; 12])[..20],
            &v2(0x21, 0x11, &[0; LONGEST_REST + 1]),
        ] {
            assert_eq!(reading(bytes).0, Err(NoHeader), "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
