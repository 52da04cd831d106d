//! Faults at one service after the other while many users ask for pages that four services answer together.
//!
//! **What holds whatever is broken.** An answer is whole and well-formed. What it says is of the user who asked and of nobody else. What is not there is
//! marked: `X-BFF-Complete` and `X-BFF-Missing` say what a reader of the body finds, in the configuration's order, and nobody may keep such an answer.
//! A page is refused only where a call that it needs failed, by a problem that names that call. **In the end** the page is whole again, nothing is in
//! flight, and neither descriptors nor memory have grown.
//!
//! Every fault meets every service until enough pages have suffered from it; with `FRONTGATE_LONG=1` thirty minutes are shared by all of them.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::strict;
use crate::chaos::faulty::{FAULTS, Fault, Faulty, content};
use crate::harness::client::{raw, read_reply};
use crate::harness::{PATIENCE, Process, Reply, until, yaml};

const USERS: u64 = 12;
/// How many pages have to suffer from a fault, and how many have to be whole in a row when it is over.
const SUFFERED: usize = 15;
const IN_A_ROW: usize = 40;
/// In the configuration's order: the call, its path before the user's number, and whether the page needs it.
const CALLS: [(&str, &str, bool); 4] =
    [("user", "/user/", true), ("cart", "/cart%2Fuser%2F", false), ("news", "/news/", false), ("feed", "/feed/", false)];
const STAND_IN: &str = r#"{"items":[]}"#;

/// What became of the pages that were asked for.
#[derive(Default)]
struct Seen {
    whole: AtomicUsize,
    partial: AtomicUsize,
    refused: AtomicUsize,
    /// How many were whole since one was not.
    in_a_row: AtomicUsize,
    in_flight: AtomicUsize,
    wrong: Mutex<Vec<String>>,
}

impl Seen {
    fn suffered(&self) -> usize {
        self.partial.load(Ordering::SeqCst) + self.refused.load(Ordering::SeqCst)
    }

    fn note(&self, user: u64, reply: &Reply) {
        match judged(user, reply) {
            Ok(End::Whole) => {
                self.whole.fetch_add(1, Ordering::SeqCst);
                self.in_a_row.fetch_add(1, Ordering::SeqCst);
                return;
            }
            Ok(End::Partial) => self.partial.fetch_add(1, Ordering::SeqCst),
            Ok(End::Refused) => self.refused.fetch_add(1, Ordering::SeqCst),
            Err(words) => {
                self.wrong.lock().unwrap().push(format!("user {user}: {words}\n{}{}", reply.head, reply.text()));
                0
            }
        };
        self.in_a_row.store(0, Ordering::SeqCst);
    }
}

enum End {
    Whole,
    Partial,
    Refused,
}

/// How a page is, or what is wrong with it.
fn judged(user: u64, reply: &Reply) -> Result<End, String> {
    if !reply.whole || strict::value(&reply.body).is_none() {
        return Err("not whole, or no JSON".to_owned());
    }
    if reply.status != 200 {
        let json = reply.json();
        // What it needs failed, or all of it.
        let named = CALLS.iter().any(|(name, _, needed)| *needed && json["call"] == *name);
        let known = [502, 503, 504].contains(&reply.status) && reply.header("content-type") == Some("application/problem+json");
        return if known && named && !reply.text().contains("\"path\"") { Ok(End::Refused) } else { Err("no such refusal".to_owned()) };
    }
    let members = strict::members(&reply.body).ok_or("no object")?;
    let mut rest = members.iter().peekable();
    let mut missing = Vec::new();
    for (name, path, needed) in CALLS {
        let own = content(&format!("{path}{user}"));
        match rest.next_if(|(found, _)| found == name) {
            Some((_, value)) if *value == own => {}
            Some((_, value)) if name == "cart" && value == STAND_IN => missing.push(name),
            Some((_, value)) => return Err(format!("{name} is {value}")),
            None if !needed && name != "cart" => missing.push(name),
            None => return Err(format!("no {name}")),
        }
    }
    if let Some((name, _)) = rest.next() {
        return Err(format!("{name} is too much, or not in its place"));
    }
    let (complete, said) = (reply.header("x-bff-complete"), reply.header("x-bff-missing"));
    let kept = reply.header("cache-control");
    match missing.is_empty() {
        true if complete == Some("true") && said.is_none() => Ok(End::Whole),
        false if complete == Some("false") && said == Some(&*missing.join(", ")) && kept == Some("no-store") => Ok(End::Partial),
        _ => Err(format!("{missing:?} is missing, and that is not what it says")),
    }
}

fn configuration(services: &[Faulty]) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
          admin: 127.0.0.1:0
        upstreams:
          users: {endpoints: [$USERS], $TIMES}
          carts: {endpoints: [$CARTS], $TIMES}
          news: {endpoints: [$NEWS], $TIMES}
          feeds: {endpoints: [$FEEDS], $TIMES}
        routes:
          - name: home
            path: /home/{id}
            methods: [GET]
            timeout: 6s
            aggregate:
              calls:
                user: {upstream: users, get: '/user/{id}', timeout: 1500ms}
                cart: {upstream: carts, get: '/cart{user.path}', timeout: 1500ms, otherwise: $STAND_IN}
                news: {upstream: news, get: '/news/{id}', timeout: 1500ms, optional: true}
                feed: {upstream: feeds, get: '/feed/{id}', timeout: 1500ms, optional: true}
        ",
        &[
            ("$USERS", &services[0].list()),
            ("$CARTS", &services[1].list()),
            ("$NEWS", &services[2].list()),
            ("$FEEDS", &services[3].list()),
            ("$TIMES", &"timeouts: {connect: 1s, first_byte: 1s, between_bytes: 1s, idle: 2s}"),
            ("$STAND_IN", &STAND_IN),
        ],
    )
}

/// One user after the other on a connection that is kept, until it is over.
fn client(address: std::net::SocketAddr, number: &AtomicU64, seen: &Seen, over: &AtomicBool) {
    let mut stream = raw(address);
    while !over.load(Ordering::SeqCst) {
        let user = number.fetch_add(1, Ordering::SeqCst) % USERS;
        seen.in_flight.fetch_add(1, Ordering::SeqCst);
        use std::io::Write;
        let sent = stream.write_all(format!("GET /home/{user} HTTP/1.1\r\nHost: shop.example\r\n\r\n").as_bytes());
        match sent.ok().and_then(|()| read_reply(&mut stream, false)) {
            Some(reply) => seen.note(user, &reply),
            None => {
                seen.wrong.lock().unwrap().push(format!("user {user}: no answer"));
                stream = raw(address);
            }
        }
        seen.in_flight.fetch_sub(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn each_lasts() -> Duration {
    let long = std::env::var_os("FRONTGATE_LONG").is_some();
    if long { Duration::from_secs(1800) / (FAULTS.len() * CALLS.len()) as u32 } else { Duration::ZERO }
}

#[test]
fn a_fault_at_one_service_leaves_everybody_his_own_page_and_says_what_is_missing() {
    let services: Vec<Faulty> = CALLS.iter().map(|_| Faulty::start()).collect();
    services.iter().for_each(|service| service.late.store(3_000, Ordering::SeqCst));
    let process = Process::start("compose-chaos", &configuration(&services));
    let (seen, over, number) = (Arc::<Seen>::default(), Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (seen, over, number, address) = (seen.clone(), over.clone(), number.clone(), process.address);
            std::thread::spawn(move || client(address, &number, &seen, &over))
        })
        .collect();
    let whole_again = |what: &str| {
        seen.in_a_row.store(0, Ordering::SeqCst);
        until(&format!("pages that are whole {what}"), || {
            seen.in_a_row.load(Ordering::SeqCst) >= IN_A_ROW || !seen.wrong.lock().unwrap().is_empty()
        });
        judge(&seen);
    };
    whole_again("at first");
    let mut after_first = None;

    for fault in FAULTS {
        for (index, (name, _, needed)) in CALLS.iter().enumerate() {
            let (suffered, refused) = (seen.suffered(), seen.refused.load(Ordering::SeqCst));
            let began = Instant::now();
            services[index].set(fault);
            until(&format!("{fault:?} at {name} to be seen"), || {
                seen.suffered() >= suffered + SUFFERED || !seen.wrong.lock().unwrap().is_empty()
            });
            while began.elapsed() < each_lasts() && seen.wrong.lock().unwrap().is_empty() {
                std::thread::sleep(Duration::from_millis(50));
            }
            services[index].set(Fault::None);
            // A page without what it needs is none.
            let refused = seen.refused.load(Ordering::SeqCst) - refused;
            assert!(!needed || refused > 0, "{fault:?} at {name} refused nothing");
            println!("{fault:?} at {name}: {} partial, {refused} refused", seen.suffered() - suffered - refused);
            whole_again(&format!("after {fault:?} at {name}"));
        }
        after_first.get_or_insert_with(|| (process.descriptors(), process.memory()));
    }

    over.store(true, Ordering::SeqCst);
    let end = Instant::now() + PATIENCE;
    while clients.iter().any(|client| !client.is_finished()) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    for client in clients {
        client.join().unwrap();
    }
    judge(&seen);
    until("nothing to be in flight", || {
        let full = process.ask("GET", "/healthz?full=1").json();
        ["users", "carts", "news", "feeds"].iter().all(|pool| full["upstreams"][pool]["in_flight"] == 0)
    });
    let (descriptors, memory) = after_first.expect("there are faults");
    until("every connection to be let go", || process.descriptors() <= descriptors);
    let grown = process.memory().saturating_sub(memory);
    println!(
        "{} whole, {} partial, {} refused; {memory} KiB after the first fault, {grown} KiB more in the end",
        seen.whole.load(Ordering::SeqCst),
        seen.partial.load(Ordering::SeqCst),
        seen.refused.load(Ordering::SeqCst)
    );
    assert!(grown < 16 << 10, "{memory} KiB have grown by {grown} KiB");
    drop(services);
}

#[track_caller]
fn judge(seen: &Seen) {
    let wrong = seen.wrong.lock().unwrap();
    assert!(wrong.is_empty(), "{} pages are wrong: {}", wrong.len(), wrong.iter().take(3).cloned().collect::<Vec<_>>().join("\n"));
}
