mod crowd;
mod drain;
mod pause;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use crate::harness::client::read_reply;
use crate::harness::http2::over_http2_as;
use crate::harness::origin::response;
use crate::harness::{Gate, Gateway, Origin, frames, raw, until, yaml};

/// HTTP/1 alone, and HTTP/2 beside it, in front of `origin`, with answers of the gateway's own under /own.
fn both(origin: SocketAddr, server: &str) -> Gateway {
    Gateway::start(&yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}, {address: 127.0.0.1:0, protocols: [h2, http1]}]
          admin: 127.0.0.1:0
          status: 127.0.0.1:0
          $SERVER
        upstreams: {main: {endpoints: [$ORIGIN]}}
        routes:
          - {name: own, path: /own, respond: {status: 200, body: own}}
          - {name: all, path: /**, upstream: main}
        ",
        &[("$ORIGIN", &origin), ("$SERVER", &server)],
    ))
}

/// Whether the kernel still has the gateway's side of this connection: what a client that does not read cannot know.
fn has_connection(gateway: SocketAddr, client: SocketAddr) -> bool {
    let name = |address: SocketAddr| match address {
        SocketAddr::V4(address) => format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port()),
        SocketAddr::V6(_) => unreachable!("tests connect to 127.0.0.1"),
    };
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let pair = format!("{} {}", name(gateway), name(client));
    table.lines().any(|line| line.contains(&pair))
}

#[test]
fn what_needs_no_wait_is_answered_though_the_client_has_closed_its_half() {
    let origin = Origin::json("{}");
    let gateway = both(origin.address, "");
    let [plain, mixed] = [0, 1].map(|index| gateway.running.addresses()[index]);
    let operators = [gateway.running.admin().unwrap(), gateway.running.status().unwrap()];

    for address in [plain, mixed].into_iter().chain(operators) {
        for request in [
            "GET / HTTP/1.0\r\n\r\n",
            "OPTIONS / HTTP/1.0\r\n\r\n",
            "GET /own HTTP/1.0\r\n\r\n",
            "GET /own HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "P\r\n\r\n",
            "PRI * HTTP/2.1\r\n\r\n",
        ] {
            let mut stream = raw(address);
            stream.write_all(request.as_bytes()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();

            assert!(read_reply(&mut stream, false).is_some(), "{request:?}");
        }
    }
}

#[test]
fn a_wait_for_an_upstream_ends_with_the_client() {
    let held = Gate::default();
    let gate = held.clone();
    let origin = Origin::start(move |_, _| {
        gate.pass();
        false
    });
    let gateway = both(origin.address, "");

    for address in gateway.running.addresses() {
        let mut stream = raw(address);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        until("the request to be under way", || gateway.running.requests() == 1);
        stream.shutdown(Shutdown::Write).unwrap();

        until("the request to end", || gateway.running.requests() == 0);
        assert!(read_reply(&mut stream, false).is_none());
    }
    held.open();
}

#[test]
fn a_client_that_reads_nothing_is_ended_though_the_kernel_holds_its_answer() {
    // All of it fits into the kernel's buffers, or much more than they hold, and is or is not the connection's last.
    for length in [96 << 10, 32 << 20] {
        let body = "x".repeat(length);
        let origin = Origin::start(move |_, stream| stream.write_all(response("200 OK", "", &body).as_bytes()).is_ok());
        let gateway = both(origin.address, "timeouts: {write: 1s, keepalive: 1h}");

        let stuck: Vec<_> = ["", "Connection: close\r\n"]
            .into_iter()
            .flat_map(|option| gateway.running.addresses().into_iter().map(move |address| (address, option)))
            .map(|(address, option)| {
                // What is short must not fit into the client's own buffer.
                let mut stream = if length < 1 << 20 { small(address) } else { raw(address) };
                stream.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\n{option}\r\n").as_bytes()).unwrap();
                (address, stream.local_addr().unwrap(), stream)
            })
            .collect();

        for (address, client, _stream) in stuck {
            until("its end", || !has_connection(address, client));
        }
        until("the requests to end", || gateway.running.requests() == 0);
    }
}

/// A connection whose client takes little before it reads.
fn small(address: SocketAddr) -> std::net::TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(address).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

#[test]
fn a_client_of_http2_that_does_not_read_its_socket_is_ended_however_wide_its_windows() {
    let body = "x".repeat(32 << 20);
    let origin = Origin::start(move |_, stream| stream.write_all(response("200 OK", "", &body).as_bytes()).is_ok());
    let gateway = both(origin.address, "timeouts: {write: 1s, keepalive: 1h}");
    let address = gateway.running.addresses()[1];
    let widest = i32::MAX as u32;
    let mut stream = small(address);
    let asks = [frames::greeting(&[(frames::INITIAL_WINDOW_SIZE, widest)]), frames::window(0, widest - 65_535), frames::get(1, "/")];

    stream.write_all(&asks.concat()).unwrap();

    let client = stream.local_addr().unwrap();
    until("its end", || gateway.running.requests() == 0 && !has_connection(address, client));
}

#[test]
fn a_stream_that_nobody_reads_ends_while_another_one_flows() {
    let body = "x".repeat(1 << 20);
    let origin = Origin::start(move |_, stream| stream.write_all(response("200 OK", "", &body).as_bytes()).is_ok());
    let gateway = both(origin.address, "timeouts: {write: 500ms}");

    let windows = h2::client::Builder::new().initial_window_size(100_000).initial_connection_window_size(10 << 20).clone();
    over_http2_as(&windows, gateway.running.addresses()[1], async |mut client| {
        let ask = || http::Request::get("http://a.example/").body(()).unwrap();
        let mut stuck = client.send_request(ask(), true).unwrap().0.await.unwrap().into_body();
        let ended = async {
            // What there was room for comes, and then its end, which is none.
            loop {
                match stuck.data().await {
                    Some(Ok(_)) => {}
                    other => return other.is_some_and(|data| data.is_err()),
                }
            }
        };
        tokio::pin!(ended);
        loop {
            let flowing = async {
                let mut body = client.clone().send_request(ask(), true).unwrap().0.await.unwrap().into_body();
                let mut count = 0;
                while let Some(data) = body.data().await {
                    let data = data.expect("it is read");
                    count += data.len();
                    body.flow_control().release_capacity(data.len()).unwrap();
                }
                assert_eq!(count, 1 << 20);
            };
            tokio::select! {
                cut = &mut ended => {
                    assert!(cut, "a clean end");
                    break;
                }
                () = flowing => {}
            }
        }
    });
}

#[test]
fn a_body_that_breaks_off_is_a_reset_to_a_client_of_http_1_0() {
    for head in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let origin = Origin::start(move |_, stream| {
            let _ = write!(stream, "HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nhe");
            false
        });
        let gateway = both(origin.address, "");
        let mut stream = raw(gateway.address);
        stream.write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").unwrap();

        let mut all = Vec::new();
        let end = stream.read_to_end(&mut all);

        assert_eq!(end.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset), "{head}: {}", String::from_utf8_lossy(&all));
    }
}
