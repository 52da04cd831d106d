//! How a connection is turned away for which there is no room: who has asked already, in clear text, is told so, and nobody is reset for what was
//! sent in vain.
//!
//! Nothing is waited for. There may be a flood of these connections, and each has its descriptor for this moment only.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use super::wire::Opening;

/// How much of what was sent is read, in pieces of this many bytes.
const PIECES: (usize, usize) = (16, 4096);

/// Closes the connection, after `word` where a request has come that can be answered in HTTP/1.
pub(super) fn part(mut socket: TcpStream, word: Option<impl FnOnce() -> Vec<u8>>) {
    let mut piece = [0; PIECES.1];
    // A socket that was just accepted waits for nothing; one that somehow does must not hold up the thread.
    let (true, Ok(count)) = (socket.set_nonblocking(true).is_ok(), socket.read(&mut piece)) else { return };
    if let Some(word) = word.filter(|_| Opening::of(&piece[..count]) == Opening::Request) {
        let _ = socket.write_all(&word());
    }
    let _ = socket.shutdown(Shutdown::Write);
    for _ in 1..PIECES.0 {
        // What nobody has read would make a reset of the end, and that the client's system take back what it was told.
        if !matches!(socket.read(&mut piece), Ok(1..)) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;

    /// What a client sees of its end that has sent this before.
    fn seen(sent: &[u8], speaks: bool) -> std::io::Result<Vec<u8>> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut client = TcpStream::connect(listener.local_addr().expect("an address")).expect("it listens");
        client.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        client.write_all(sent).expect("it is open");
        let (socket, _) = listener.accept().expect("a connection");
        if !sent.is_empty() {
            // All of it has come.
            let mut all = vec![0; sent.len()];
            while socket.peek(&mut all).expect("it is open") < sent.len() {}
        }
        part(socket, speaks.then_some(|| b"busy".to_vec()));
        let mut told = Vec::new();
        client.read_to_end(&mut told).map(|_| told)
    }

    #[test]
    fn who_has_asked_is_told_and_everybody_s_connection_ends_without_a_reset() {
        let request = [&b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n"[..], &[b'x'; 20_000]].concat();

        assert_eq!(seen(&request, true).expect("no reset"), b"busy");
        assert_eq!(seen(&request, false).expect("no reset"), b"", "it is not spoken to in clear text");
        for other in [&b""[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", b"\x16\x03\x01\x02\0\x01"] {
            assert_eq!(seen(other, true).expect("no reset"), b"");
        }
    }
}
