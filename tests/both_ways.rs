use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::client::read_reply;
use crate::harness::{Gate, Gateway, PATIENCE, raw, until, yaml};

/// An upstream at `origin` with these timeouts, and room for large uploads.
fn gateway(origin: SocketAddr, timeouts: &str) -> Gateway {
    Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], limits: {body: 1GiB}}
        upstreams:
          main:
            endpoints: [$ORIGIN]
            timeouts: {$TIMEOUTS}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin), ("$TIMEOUTS", &timeouts)],
    ))
}

/// An origin that reads the head of a request, and nothing more, before it does this; one connection after the other.
fn origin(behave: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let behave = Arc::new(behave);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, behave) = (stream.unwrap(), behave.clone());
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            std::thread::spawn(move || {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read(&mut byte).unwrap_or(0) == 0 {
                        return;
                    }
                    head.push(byte[0]);
                }
                behave(stream);
            });
        }
    });
    address
}

/// Uploads without end until it is not taken any more, on a thread of its own.
fn upload(stream: &TcpStream) -> std::thread::JoinHandle<()> {
    let mut writer = stream.try_clone().unwrap();
    writer.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n").unwrap();
    std::thread::spawn(move || {
        let part = vec![b'x'; 1 << 16];
        while writer.write_all(&part).is_ok() {}
    })
}

#[test]
fn an_upstream_that_has_answered_need_not_read_the_upload() {
    // All of the answer takes longer than one part of it may.
    let address = origin(|mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n").unwrap();
        for _ in 0..12 {
            std::thread::sleep(Duration::from_millis(250));
            stream.write_all(b"x").unwrap();
        }
        // Until the gateway closes.
        while stream.read(&mut [0; 1 << 16]).unwrap_or(0) > 0 {}
    });
    let gateway = gateway(address, "between_bytes: 2s");
    let mut client = raw(gateway.address);
    let uploading = upload(&client);

    let reply = read_reply(&mut client, false).unwrap();

    assert_eq!((reply.status, reply.whole, reply.text()), (200, true, "x".repeat(12)));
    drop(client);
    uploading.join().unwrap();
}

#[test]
fn an_upstream_that_answers_early_and_stalls_is_cut_off() {
    let address = origin(|mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nx").unwrap();
        // It neither reads nor writes until the gateway closes.
        until("the gateway to close", || stream.write(b"").is_err() || is_closed(&stream));
    });
    let gateway = gateway(address, "between_bytes: 300ms");
    let mut client = raw(gateway.address);
    let uploading = upload(&client);

    let reply = read_reply(&mut client, false).unwrap();

    assert_eq!((reply.status, reply.whole, reply.text()), (200, false, "x".to_owned()));
    uploading.join().unwrap();
}

/// Whether the other side is gone, though what it sent was not read.
fn is_closed(stream: &TcpStream) -> bool {
    use std::os::fd::AsRawFd;
    let mut poll = libc::pollfd { fd: stream.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
    #[allow(unsafe_code, reason = "poll(2) reads and writes the one value it is given")]
    // SAFETY: one descriptor, which is open for as long as the stream is.
    let count = unsafe { libc::poll(&raw mut poll, 1, 0) };
    count > 0
}

#[test]
fn a_client_that_pauses_its_upload_is_waited_for_though_the_answer_has_begun() {
    let address = origin(|mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nfir").unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
        stream.write_all(b"st!").unwrap();
    });
    let gateway = gateway(address, "between_bytes: 100ms");
    let mut client = raw(gateway.address);
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nx").unwrap();

    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\nfir") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    // Several times as long as the upstream has.
    std::thread::sleep(Duration::from_millis(600));
    client.write_all(b"yyy").unwrap();
    let mut rest = [0; 3];
    client.read_exact(&mut rest).unwrap();

    assert_eq!(&rest, b"st!");
}

#[test]
fn interim_answers_that_nobody_reads_take_no_memory() {
    let taken = Arc::new(AtomicUsize::new(0));
    let counting = taken.clone();
    let address = origin(move |mut stream| {
        let interim = format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", "x".repeat(500_000));
        while stream.write_all(interim.as_bytes()).is_ok() {
            counting.fetch_add(interim.len(), Ordering::SeqCst);
        }
    });
    let gateway = gateway(address, "first_byte: 2s");
    let mut client = raw(gateway.address);

    // They cost no more than what the kernel and a buffer hold.
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let ended = |result| gateway.metric(&format!("frontgate_upstream_attempts_total{{upstream=\"main\",result=\"{result}\"}}")) > 0.0;
    until("the upstream to be given up", || ended("timeout") || ended("error"));

    let taken = taken.load(Ordering::SeqCst) >> 20;
    assert!(taken < 24, "{taken} MiB were taken");
}

#[test]
fn a_refusal_reaches_a_client_that_is_still_sending() {
    let address = origin(|mut stream| {
        // The rest of the upload is never read: the kernel answers it with a reset.
        stream.write_all(b"HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch").unwrap();
    });
    let gateway = gateway(address, "");
    let mut client = raw(gateway.address);
    let uploading = upload(&client);

    let reply = read_reply(&mut client, false).unwrap();

    assert_eq!((reply.status, reply.whole, reply.text()), (413, true, "much".to_owned()));
    assert_eq!(reply.header("connection"), Some("close"));
    drop(client);
    uploading.join().unwrap();
    until("the request to end", || gateway.running.requests() == 0);
}

#[test]
fn an_upstream_that_takes_nothing_of_an_upload_is_given_up() {
    let gate = Gate::default();
    let pass = gate.clone();
    let address = origin(move |stream| {
        pass.pass();
        drop(stream);
    });
    let gateway = gateway(address, "between_bytes: 300ms");
    let mut client = raw(gateway.address);
    let uploading = upload(&client);

    let reply = read_reply(&mut client, false).unwrap();

    reply.is_problem(504);
    drop(client);
    uploading.join().unwrap();
    gate.open();
}

#[test]
fn nothing_that_is_pipelined_is_lost_to_a_reset() {
    // Larger than what a socket holds, and unread requests behind the last one that is answered.
    let address = origin(|mut stream| {
        let large = vec![b'x'; 8 << 20];
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        let _ = stream.write_all(&large);
    });
    let gateway = gateway(address, "");
    let mut client = raw(gateway.address);
    client.write_all(b"GET /1 HTTP/1.0\r\nHost: a\r\n\r\n").unwrap();
    client.write_all(&b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2000)).unwrap();

    let (mut count, mut space) = (0, vec![0; 1 << 16]);
    let end = loop {
        match client.read(&mut space) {
            Ok(0) => break None,
            Ok(read) => count += read,
            Err(error) => break Some(error.kind()),
        }
    };

    assert!(count > 8 << 20, "{count} bytes, then {end:?}");
    assert!(matches!(end, None | Some(ErrorKind::ConnectionReset)), "{end:?}");
}
