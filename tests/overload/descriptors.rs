//! Descriptors: what matters less is refused before clients are turned away, and who only holds a connection makes nobody be refused.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{Begun, is_refused, is_served, state, text};
use crate::harness::client::read_reply;
use crate::harness::gateway::simple;
use crate::harness::{Origin, Process, exchange, raw, until};

const LIMITS: [usize; 3] = [256, 1024, 4096];

/// How many clients' connections may come up to where there may be `most` descriptors.
fn for_clients(most: usize) -> usize {
    most - (most / 4).clamp(8, 512) / 4 * 3
}

/// How many connections were turned away, or ended, for this reason.
pub(super) fn refused(process: &Process, reason: &str) -> usize {
    let page = process.ask("GET", "/metrics").text();
    let series = format!("reason=\"{reason}\"}} ");
    let counts = page.lines().filter(|line| line.starts_with("frontgate_connections_refused_total{"));
    counts.filter_map(|line| line.split_once(&series)).map(|(_, count)| count.parse::<f64>().unwrap() as usize).sum()
}

/// How many connections of clients there are.
fn connections(process: &Process) -> usize {
    let page = process.ask("GET", "/metrics").text();
    let counts = page.lines().filter(|line| line.starts_with("frontgate_connections{"));
    counts.map(|line| line.split_once("} ").unwrap().1.parse::<usize>().unwrap()).sum()
}

/// What it says of itself, and why.
fn told(process: &Process) -> (String, Vec<String>) {
    let told = process.ask("GET", "/healthz?full=1").json();
    let reasons = told["reasons"].as_array().unwrap().iter().map(|reason| reason.as_str().unwrap().to_owned());
    (told["status"].as_str().unwrap().to_owned(), reasons.collect())
}

const TURNED_AWAY: &str = "new connections are turned away: file descriptors run short";

#[test]
fn at_any_limit_what_matters_less_is_refused_before_anybody_is_turned_away() {
    let _ = rlimit::increase_nofile_limit(16 << 10);
    for most in LIMITS {
        let (origin, _) = Origin::held("served");
        let server = "overload: {lag: 1h}\ntimeouts: {header: 1h, body: 1h}";
        let process = Process::start_with_descriptors(most, &format!("limit-{most}"), &text(origin.address, server));
        let [first, second, third] = [1, 2, 3].map(|number| {
            let paths = ["low", "normal", "high"].map(|route| format!("/{route}/{number}"));
            Begun::new(process.address, &paths.each_ref().map(String::as_str))
        });
        until("them to be accepted", || connections(&process) == 9);
        let (mut begun, mut opened) = (Vec::new(), 0);
        let mut fill = |percent: usize| {
            let wanted = (for_clients(most) * percent).div_ceil(100);
            while process.descriptors() < wanted {
                let more = wanted - process.descriptors();
                begun.push(Begun::new(process.address, &vec!["/high/more"; more]));
                opened += more;
                until("all of them to be accepted", || connections(&process) >= opened);
            }
        };

        fill(92);
        until("the first stage", || state(&process, "descriptors") == "1");
        let replies = first.finish();
        is_refused(&replies[0]);
        replies[1..].iter().for_each(is_served);
        let (status, reasons) = told(&process);
        assert!(status == "degraded" && reasons.len() == 1 && reasons[0].starts_with("it is overloaded: 9"), "{status}: {reasons:?}");

        fill(97);
        until("the second stage", || state(&process, "descriptors") == "2");
        let replies = second.finish();
        replies[..2].iter().for_each(is_refused);
        is_served(&replies[2]);
        assert_eq!(refused(&process, "descriptors"), 0, "of {most} there are some left for clients");

        // As many as there is room for, and then some.
        begun.push(Begun::new(process.address, &vec!["/high/more"; for_clients(most) / 25 + 20]));
        until("somebody to be turned away", || refused(&process, "descriptors") > 0);
        until("it to be said", || told(&process).1.iter().any(|reason| reason == TURNED_AWAY));
        assert_eq!((told(&process).0.as_str(), state(&process, "descriptors").as_str()), ("degraded", "2"));
        is_served(&third.finish()[2]);

        drop(begun);
        until("an end of it", || state(&process, "descriptors") == "0" && told(&process) == ("ok".to_owned(), Vec::new()));
        is_served(&exchange(process.address, b"GET /low/4 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap());
    }
}

#[test]
fn at_any_limit_idle_connections_make_room_and_nobody_is_refused_for_them() {
    let _ = rlimit::increase_nofile_limit(16 << 10);
    for most in LIMITS {
        let (origin, _) = Origin::held("served");
        let server = "overload: {lag: 1h}\ntimeouts: {header: 1h, keepalive: 1h}";
        let process = Process::start_with_descriptors(most, &format!("idle-{most}"), &text(origin.address, server));

        // One after the other, and not all in a moment: who has only begun is not taken for idle.
        let mut idle = Vec::new();
        for number in 0..most + most / 4 {
            let mut stream = raw(process.address);
            if number % 2 == 0 {
                stream.write_all(b"GET /low/idle HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
                is_served(&read_reply(&mut stream, false).expect("an answer"));
            }
            idle.push(stream);
            std::thread::sleep(Duration::from_millis(1));
        }
        // Most of them stay, and that was looked at.
        until("a look", || {
            let told = process.ask("GET", "/healthz?full=1").json();
            told["overload"]["descriptors"]["used"].as_u64().unwrap() as usize > for_clients(most) * 2 / 3
        });
        for _ in 0..20 {
            is_served(&exchange(process.address, b"GET /low/now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("an answer"));
        }

        assert_eq!((state(&process, "descriptors").as_str(), told(&process)), ("0", ("ok".to_owned(), Vec::new())), "{}", process.said());
        assert!(!process.said().contains("overloaded"), "{}", process.said());
        assert_eq!((refused(&process, "descriptors"), refused(&process, "idle") > 0), (0, true));
        assert_eq!(process.said().matches("file descriptors run short").count(), 1, "it is said once: {}", process.said());
    }
}

#[test]
fn that_all_places_are_taken_is_told() {
    let origin = Origin::json("{}");
    let process = Process::start("places", &simple(origin.address, "admin: 127.0.0.1:0\nlimits: {connections: 3}", ""));
    let taken: Vec<TcpStream> = (0..3).map(|_| raw(process.address)).collect();
    assert_eq!(told(&process).0, "ok");

    let mut fourth = raw(process.address);
    assert_eq!(fourth.read(&mut [0]).unwrap(), 0);

    let why = "new connections are turned away: there are as many as `limits.connections` allows";
    until("it to be said", || told(&process) == ("degraded".to_owned(), vec![why.to_owned()]));
    assert_eq!(state(&process, "descriptors"), "0", "nothing is given up for it");
    drop(taken);
    until("an end of it", || told(&process).0 == "ok");
}
