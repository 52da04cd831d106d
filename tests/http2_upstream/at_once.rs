//! Every way in which a stream of HTTP/2 can end, all at once: nobody's end is another's.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::HeaderValue;

use super::gateway_with;
use crate::harness::http2_origin::{Http2Origin, send_all};
use crate::harness::{exchange, get, raw, until};

/// A body that says where each of its bytes belongs.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

/// The next number of a sequence that looks random, and is the same each time.
fn next(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize
}

#[test]
fn who_is_answered_is_answered_whole_whatever_others_meet() {
    let seen: Arc<Mutex<HashSet<HeaderValue>>> = Arc::default();
    let origin = Http2Origin::leaving(40, move |mut asked| {
        let seen = seen.clone();
        async move {
            let path = asked.head.uri.path().to_owned();
            let length = path.rsplit('/').next().and_then(|length| length.parse().ok()).unwrap_or(0);
            match path.split('/').nth(1).unwrap_or_default() {
                // None is even looked at that comes for the first time.
                "refused" if seen.lock().unwrap().insert(asked.head.headers["x-request-id"].clone()) => {
                    asked.respond.send_reset(Reason::REFUSED_STREAM);
                }
                "reset" => {
                    let mut stream = asked.head(200, &[], false);
                    send_all(&mut stream, Bytes::from(pattern(length)), false).await;
                    stream.send_reset(Reason::INTERNAL_ERROR);
                }
                "slow" => {
                    let mut stream = asked.head(200, &[], false);
                    for part in pattern(length).chunks(100) {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                        if stream.send_data(Bytes::copy_from_slice(part), false).is_err() {
                            return;
                        }
                    }
                    let _ = stream.send_data(Bytes::new(), true);
                }
                "early" => {
                    let mut stream = asked.head(413, &[], false);
                    let _ = stream.send_data(Bytes::from_static(b"too much"), true);
                }
                "echo" => {
                    let (body, _) = asked.read().await;
                    let mut stream = asked.head(200, &[], false);
                    send_all(&mut stream, Bytes::from(body), true).await;
                }
                _ => {
                    let mut stream = asked.head(200, &[], false);
                    send_all(&mut stream, Bytes::from(pattern(length)), true).await;
                }
            }
        }
    });
    let gateway = gateway_with(&[origin.address], "threads: 2", "", "");
    let address = gateway.address;

    std::thread::scope(|scope| {
        for client in 0..8_u64 {
            scope.spawn(move || {
                let mut seed = client;
                for _ in 0..60 {
                    let length = [0, 1, 1000, 70_000, 600_000][next(&mut seed) % 5];
                    match next(&mut seed) % 8 {
                        0 => {
                            let reply = get(address, &format!("/refused/{length}"));
                            assert_eq!((reply.status, reply.body == pattern(length)), (200, true), "refused {length}");
                        }
                        1 => {
                            let reply = get(address, &format!("/reset/{length}"));
                            assert!(reply.status == 200 && !reply.whole || reply.status == 502, "reset {length}: {}", reply.status);
                        }
                        2 => {
                            let reply = get(address, &format!("/slow/{}", length.min(1000)));
                            assert_eq!((reply.status, reply.whole, reply.body == pattern(length.min(1000))), (200, true, true));
                        }
                        3 => {
                            // Leaves in the middle of its answer.
                            let mut stream = raw(address);
                            stream.write_all(format!("GET /ok/{length} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
                            let _ = stream.read(&mut [0; 100]).unwrap();
                        }
                        4 => {
                            let mut all = format!("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n").into_bytes();
                            all.extend(pattern(length));
                            let reply = exchange(address, &all).expect("an answer");
                            assert_eq!((reply.status, reply.text().as_str()), (413, "too much"));
                        }
                        5 => {
                            let mut all = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n").into_bytes();
                            all.extend(pattern(length));
                            let reply = exchange(address, &all).expect("an answer");
                            assert_eq!((reply.status, reply.body == pattern(length)), (200, true), "echo {length}");
                        }
                        _ => {
                            let reply = get(address, &format!("/ok/{length}"));
                            assert_eq!((reply.status, reply.whole, reply.body == pattern(length)), (200, true, true), "ok {length}");
                        }
                    }
                }
            });
        }
    });

    until("nothing is left in flight", || gateway.running.requests() == 0);
    assert!(origin.connections() > 5, "connections were left in the middle of it");
    until("connections that were left end", || origin.open() <= 4);
}
