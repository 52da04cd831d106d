//! Client and origin, which allocate nothing for a request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Answers every request head with the same small JSON, allocating nothing.
pub fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            std::thread::spawn(move || {
                let mut space = [0_u8; 4096];
                while stream.read(&mut space).is_ok_and(|count| count > 0) {
                    let answer =
                        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n{\"id\":1,\"name\":\"something\"}";
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Sends this many requests on one connection, each of which is answered well.
pub fn drive(address: SocketAddr, requests: usize, more: &str) {
    drive_to(address, requests, more, "200");
}

/// The same where each gets this status.
pub fn drive_to(address: SocketAddr, requests: usize, more: &str, status: &str) {
    let request = format!(
        "GET /api/v1/products/7?lang=en HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: budget\r\nAccept: application/json\r\n{more}\r\n"
    );
    send(address, requests, &request, status);
}

/// A POST to a graph.
#[cfg(feature = "graphql")]
pub fn question(body: &str) -> String {
    let length = body.len();
    format!(
        "POST /graphql HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: budget\r\nAccept: application/json\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// Sends this request so often on one connection, and each is answered with this status.
pub fn send(address: SocketAddr, requests: usize, request: &str, status: &str) {
    let begins = format!("HTTP/1.1 {status}");
    let mut stream = TcpStream::connect(address).expect("a listener");
    stream.set_nodelay(true).expect("a flag");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let mut space = [0_u8; 4096];
    for _ in 0..requests {
        stream.write_all(request.as_bytes()).expect("a request");
        let mut held = 0;
        while !space[..held].ends_with(b"}") && !space[..held].ends_with(b"\r\n0\r\n\r\n") {
            let count = stream.read(&mut space[held..]).expect("an answer");
            assert!(count > 0, "the connection was closed");
            held += count;
        }
        assert!(space.starts_with(begins.as_bytes()), "{}", String::from_utf8_lossy(&space[..held]));
    }
}
