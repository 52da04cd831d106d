//! Listeners that a reload adds, changes and removes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{at, free, is_long, text};
use crate::harness::client::read_reply;
use crate::harness::frames::{self, GOAWAY, SETTINGS, frame, greeting, types};
use crate::harness::http2::over_http2;
use crate::harness::{Origin, Process, exchange, get, raw, until};
use crate::tls::authority::{Authority, Directory};
use crate::websocket::socket::{self, Over, echo, frame as message, open, run};

/// A gateway that reads its configuration again when it is asked to, and not before.
fn start(name: &str, text: &str) -> Process {
    Process::start_by(name, text, &["--no-watch"])
}

/// Puts this in force.
#[track_caller]
fn reload(process: &Process, text: &str) {
    process.write(text);
    let reloaded = process.ask("POST", "/-/reload");
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
}

/// Asks for this on a connection that stays.
fn ask(stream: &mut TcpStream, path: &str) -> Option<crate::harness::Reply> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n").as_bytes()).ok()?;
    read_reply(stream, false)
}

/// Whether nobody listens there.
fn is_closed(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_err()
}

/// Whether a connection ends without another word.
fn ends(stream: &mut TcpStream) -> bool {
    stream.read(&mut [0]).is_ok_and(|count| count == 0)
}

#[test]
fn a_listener_comes_and_goes_and_what_was_asked_there_is_answered() {
    let (origin, gate) = Origin::held("whole");
    let (first, second) = (free(), free());
    let one = text(origin.address, &at(first), "");
    let both = text(origin.address, &format!("{}, {{address: \"{second}\", protocols: [h2, http1]}}", at(first)), "");
    let process = start("come-and-go", &one);
    let series = format!("frontgate_connections{{listener=\"{second}\"}}");
    assert!(is_closed(second));

    reload(&process, &both);

    assert_eq!(get(second, "/").text(), "whole");
    assert!(process.ask("GET", "/metrics").text().contains(&series));
    let mut stays = raw(first);
    assert_eq!(ask(&mut stays, "/").unwrap().header("connection"), None);
    let (mut idle, mut busy, mut http2) = (raw(second), raw(second), raw(second));
    assert_eq!(ask(&mut idle, "/").unwrap().status, 200);
    busy.write_all(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    http2.write_all(&[greeting(&[]), frame(SETTINGS, 1, 0, b""), frames::get(1, "/held")].concat()).unwrap();
    until("both to be under way", || origin.received().iter().filter(|request| request.line().contains("/held")).count() == 2);

    reload(&process, &one);

    assert!(ends(&mut idle), "between two requests it ends");
    until("the listener to be closed", || is_closed(second));
    assert!(!process.ask("GET", "/metrics").text().contains(&series));
    gate.open();
    let reply = read_reply(&mut busy, false).unwrap();
    assert_eq!((reply.text().as_str(), reply.header("connection")), ("whole", Some("close")));
    // It is told to end, and what was asked for is answered.
    let (mut all, mut space) = (Vec::new(), [0; 4096]);
    while !(types(&all).contains(&GOAWAY) && all.windows(5).any(|window| window == b"whole")) {
        let count = http2.read(&mut space).unwrap();
        assert!(count > 0, "it ended after {all:?}");
        all.extend_from_slice(&space[..count]);
    }
    assert_eq!(ask(&mut stays, "/").unwrap().header("connection"), None, "another listener's connection is not concerned");

    // It comes back, at once.
    reload(&process, &both);
    assert_eq!(get(second, "/").text(), "whole");
    reload(&process, &one);
    reload(&process, &both);
    assert_eq!(get(second, "/").text(), "whole");
}

#[test]
fn a_websocket_outlives_its_listener() {
    let origin = socket::origin(echo);
    let (first, second) = (free(), free());
    let one = text(origin.address, &at(first), "");
    let both = text(origin.address, &format!("{}, {{address: \"{second}\", protocols: [h2, http1]}}", at(first)), "");
    let process = start("outlives", &both);
    let said = message(1, true, b"still there?");

    run(async {
        let mut sockets = [open(second, Over::Http1, "/").await, open(second, Over::Http2, "/").await];
        reload(&process, &one);
        until("the listener to be closed", || is_closed(second));

        for socket in &mut sockets {
            socket.send(&said).await;
            assert!(socket.hear(said.len()).await == said);
        }
    });
}

#[test]
fn a_changed_listener_keeps_its_socket_and_whoever_it_concerns_ends() {
    let origin = Origin::json("{}");
    let address = free();
    let with = |more: &str| text(origin.address, &format!("{{address: \"{address}\"{more}}}"), "");
    let process = start("changed", &with(""));
    let mut stream = raw(address);
    assert_eq!(ask(&mut stream, "/").unwrap().status, 200);
    // Whoever waits in the queue meanwhile is let in: the socket stays open.
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let knocking = scope.spawn(|| {
            let mut count = 0;
            while !stop.load(Ordering::SeqCst) {
                drop(TcpStream::connect(address).expect("it listens all the time"));
                count += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            count
        });

        // Where requests are sent holds for the next one of whoever is there.
        reload(&process, &with(", redirect_to_https: 8443"));
        let redirected = ask(&mut stream, "/a?b").unwrap();
        assert_eq!((redirected.status, redirected.header("location")), (308, Some("https://a.example:8443/a?b")));
        assert_eq!(redirected.header("connection"), None);

        // Another protocol is spoken: whoever is there ends.
        reload(&process, &with(", protocols: [h2, http1]"));
        assert!(ends(&mut stream));
        over_http2(address, async |mut client| {
            let request = http::Request::get("http://a.example/").body(()).unwrap();
            assert_eq!(client.send_request(request, true).unwrap().0.await.unwrap().status(), 200);
        });

        // Others are believed.
        let mut stream = raw(address);
        assert_eq!(ask(&mut stream, "/").unwrap().status, 200);
        reload(&process, &with(", proxy_protocol: {from: [127.0.0.0/8]}"));
        assert!(ends(&mut stream));
        let introduced =
            exchange(address, b"PROXY TCP4 192.0.2.7 192.0.2.1 7 80\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(introduced.unwrap().status, 200);
        assert_eq!(origin.last().header("x-forwarded-for"), ["192.0.2.7"]);

        reload(&process, &with(""));
        assert_eq!(get(address, "/").status, 200);
        stop.store(true, Ordering::SeqCst);
        assert!(knocking.join().unwrap() > 10);
    });
}

#[test]
fn a_listener_begins_and_ceases_to_speak_tls_at_the_same_address() {
    let (authority, directory, origin) = (Authority::new(), Directory::new(), Origin::json("{}"));
    let issued = authority.issue(&["shop.example"]);
    directory.put("shop.pem", &issued.cert);
    directory.put("shop.key", &issued.key);
    let (address, folder) = (free(), directory.display().to_string());
    let tls = format!(", tls: {{cert: \"{folder}/shop.pem\", key: \"{folder}/shop.key\"}}");
    let with = |more: &str| text(origin.address, &format!("{{address: \"{address}\"{more}}}"), "");
    let process = start("begins-tls", &with(""));
    let mut clear = raw(address);
    assert_eq!(ask(&mut clear, "/").unwrap().status, 200);

    reload(&process, &with(&tls));

    assert!(ends(&mut clear), "nobody goes on in clear text");
    assert_eq!(get(address, "/").is_problem(400).json()["code"], "plain_http");
    let mut secure = super::clients::secure(&authority, address);
    assert_eq!(super::clients::ask(&mut secure, "/").unwrap().status, 200);
    let series = format!("frontgate_tls_handshakes_total{{listener=\"{address}\",result=\"ok\",version=\"1.3\"}} 1");
    assert!(process.ask("GET", "/metrics").text().contains(&series));

    // A certificate that is renewed, or named otherwise, ends nobody.
    let other = tls.replace("shop.pem", "./shop.pem");
    reload(&process, &with(&other));
    assert_eq!(super::clients::ask(&mut secure, "/").unwrap().header("connection"), None);

    reload(&process, &with(""));
    assert!(super::clients::ask(&mut secure, "/").is_none_or(|reply| reply.header("connection") == Some("close")));
    assert_eq!(get(address, "/").status, 200);
}

#[test]
fn an_address_that_cannot_be_had_leaves_everything_as_it_was() {
    let origin = Origin::json(r#"{"old":1}"#);
    let (first, second) = (free(), free());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_address = taken.local_addr().unwrap();
    let process = start("cannot", &text(origin.address, &at(first), ""));
    let mut stream = raw(first);
    assert_eq!(ask(&mut stream, "/").unwrap().status, 200);
    let descriptors = process.descriptors();

    let listeners = format!("{}, {}, {{address: \"{first}\", protocols: [h2, http1]}}", at(second), at(taken_address));
    process.write(&text(origin.address, &listeners, "").replace("upstream: main", "respond: {json: {new: 1}}"));
    let refused = process.ask("POST", "/-/reload");

    assert_eq!(refused.status, 422);
    assert!(refused.text().contains(&format!("cannot listen on {taken_address}")), "{}", refused.text());
    assert!(is_closed(second), "what could be had is given back");
    let reply = ask(&mut stream, "/").unwrap();
    assert_eq!((reply.json()["old"].as_u64(), reply.header("connection")), (Some(1), None));
    let metrics = process.ask("GET", "/metrics").text();
    assert!(metrics.contains("frontgate_config_last_reload_successful 0") && !metrics.contains(&second.to_string()), "{metrics}");
    // Some that it needs itself are opened soon after the start, and not by a reload.
    (0..20).for_each(|_| assert_eq!(process.ask("POST", "/-/reload").status, 422));
    until("the descriptors to be given back", || process.descriptors() < descriptors + 20);

    // Of the same port on other addresses it says what is in the way.
    process.write(&text(origin.address, &at(SocketAddr::new([0, 0, 0, 0].into(), first.port())), ""));
    let refused = process.ask("POST", "/-/reload").text();
    assert!(refused.contains("cannot listen on 0.0.0.0") && refused.contains(&format!("the listener {first} has the port")), "{refused}");

    drop(taken);
    process.write(&text(origin.address, &listeners, "").replace("upstream: main", "respond: {json: {new: 1}}"));
    until("the address to be free", || process.ask("POST", "/-/reload").status == 200);
    assert_eq!([first, second, taken_address].map(|address| get(address, "/").json()["new"] == 1), [true; 3]);
}

#[test]
fn reloads_that_change_listeners_lose_no_request_and_leave_nothing_behind() {
    let rounds = if is_long() { 1000 } else { 50 };
    let origin = Origin::json(r#"{"a":1}"#);
    let (always, some) = (free(), [free(), free(), free()]);
    let texts: Vec<String> = (0..4)
        .map(|round| {
            let others = some.iter().enumerate().filter(|(index, _)| *index != round % 4);
            let others: Vec<String> = others
                .map(|(index, address)| match (index + round) % 3 {
                    0 => format!("{{address: \"{address}\", protocols: [h2, http1]}}"),
                    1 => format!("{{address: \"{address}\", redirect_to_https: 8443}}"),
                    _ => at(*address),
                })
                .collect();
            text(origin.address, &format!("{}, {}", at(always), others.join(", ")), "")
        })
        .collect();
    let process = start("thousand", &texts[0]);
    let stop = AtomicBool::new(false);

    std::thread::scope(|scope| {
        let traffic: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let (mut stream, mut count) = (raw(always), 0);
                    while !stop.load(Ordering::SeqCst) {
                        assert_eq!(ask(&mut stream, "/").expect("an answer").status, 200);
                        count += 1;
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    count
                })
            })
            .collect();
        let round = |number: usize| {
            reload(&process, &texts[number % texts.len()]);
            for address in &some {
                // Whoever is met by a listener is answered.
                let Ok(mut stream) = TcpStream::connect_timeout(address, Duration::from_millis(50)) else { continue };
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                let status = ask(&mut stream, "/").map(|reply| reply.status);
                assert!(matches!(status, Some(200 | 308)), "{address}: {status:?}");
            }
        };
        // A few, until everything that is kept is there.
        (0..12).for_each(round);
        std::thread::sleep(Duration::from_millis(300));
        let (descriptors, memory) = (process.descriptors(), process.memory());
        (0..rounds).for_each(round);
        // What ends takes its moment.
        until("the descriptors to be as many as before", || process.descriptors() <= descriptors + 2);
        let grown = process.memory().saturating_sub(memory);
        stop.store(true, Ordering::SeqCst);
        let counts: Vec<u64> = traffic.into_iter().map(|thread| thread.join().unwrap()).collect();

        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        assert!(grown < 6 << 10, "{grown} KiB more after {rounds} reloads");
    });
}
