//! What a request costs: heap allocations and system calls, beside those of the smallest Pingora proxy. A ratchet, not a benchmark.
//!
//! Its own binary, because its allocator counts everything that the process allocates. Client and origin allocate nothing per request.
//!
//! A busy machine changes nothing here. A round can only have allocations too many, never too few, so the least of several rounds is what
//! requests take. Of the system calls those are counted that do something and succeed; how often a thread waits, or looks for bytes that
//! are not there yet, is the scheduler's affair.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use frontgate_filters::jwt::Algorithm;
use frontgate_filters::jwt::issuer::Issuer;
use frontgate_test_support::{tool, yaml};
use pingora_core::Result;
use pingora_core::server::Fds;
use pingora_core::server::configuration::ServerConf;
use pingora_core::services::Service as _;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

/// More allocations than this on a route without filters, or more system calls, is a regression.
const ALLOCATIONS: f64 = 13.0;
/// Two that read and two that send: one each at the client and at the upstream.
const SYSTEM_CALLS: f64 = 4.0;
/// System calls of a small trimmed answer over an untrimmed one's: though it says no length, it leaves in one send, too.
const TRIMMED_CALLS: f64 = 0.0;
/// What a `jwt` that has seen the token, one of its claims in a header, and an `rbac` may add.
const AUTHENTICATED: f64 = 1.0;
/// What a limit may add: its response half and the header that says what is left of it.
const LIMIT: f64 = 2.0;
/// A request that a limit refuses, its answer and all. What is kept of it for `frontgate why` adds nothing once there is room for it.
const REFUSAL: f64 = 30.0;
/// What `jwt`, `rbac`, `rate_limit`, `circuit_breaker` and `version_header` may add together.
const FIVE: f64 = 6.0;
/// What the choice between routes by a header may add, though the answer says so in `Vary`.
const BY_FACTS: f64 = 0.0;
/// What the choice of a version may add: what was chosen, who is asked where that cannot be reached, and the header that says it, each way.
const CANARY: f64 = 4.0;
/// Spans of no request, but of those that fail or take a minute.
const OF_NONE: &str = "tracing: {otlp: http://127.0.0.1:1, sample: 0%, keep: {errors: true, over: 1m}}";
/// What tracing may add to a request whose trace is not recorded.
const NOT_RECORDED: f64 = 0.0;
/// What the choice between reads and writes may add: what was chosen, and who is asked where that cannot be reached.
const SPLIT: f64 = 2.0;
/// What a mirror may add that hangs: nothing, once there are as many copies as there may be.
const HUNG_MIRROR: f64 = 0.0;
/// Allocations that come once in many requests: a table grows, a timer is made.
const STRAY: f64 = 0.25;
/// The same for system calls: memory that was asked for, a connection that is opened.
const TICK: f64 = 0.02;
/// System calls that wait, and the one that wakes a thread: their number depends on how fast the other side is, and on timers.
const WAITS: [&str; 11] = [
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "poll",
    "ppoll",
    "futex",
    "nanosleep",
    "clock_nanosleep",
    "restart_syscall",
    "sched_yield",
    "write",
];

struct Counting;
static COUNT: AtomicU64 = AtomicU64::new(0);

#[allow(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps alloc's contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps dealloc's contract.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps realloc's contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Bare(HttpPeer);

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();
    fn new_ctx(&self) {}
    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(self.0.clone()))
    }
}

/// Starts bare Pingora in a thread of this process.
fn bare(origin: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a flag");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let mut service = http_proxy_service(&Arc::new(ServerConf::default()), Bare(HttpPeer::new(origin, false, String::new())));
            service.add_tcp(&address.to_string());
            let mut fds = Fds::new();
            fds.add(address.to_string(), std::os::fd::IntoRawFd::into_raw_fd(listener));
            let (_keep, shutdown) = tokio::sync::watch::channel(false);
            service.start_service(Some(Arc::new(parking_lot::Mutex::new(fds))), shutdown, 1).await;
        });
    });
    address
}

fn start(text: &str) -> frontgate::Running {
    let loaded = frontgate::config::load_text("budget.yaml", text).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    frontgate::start(loaded, Box::new(|| frontgate::config::load(None))).expect("the gateway starts")
}

/// One worker, one upstream, one route with these filters.
fn gateway(origin: SocketAddr, filters: &str) -> frontgate::Running {
    start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], threads: 1}
        upstreams:
          main: {endpoints: [$ORIGIN]}
        routes:
          - {name: all, path: /**, upstream: main, filters: [$FILTERS]}
        ",
        &[("$ORIGIN", &origin), ("$FILTERS", &filters)],
    ))
}

/// The same with five filters defined, `login` knowing these keys; those of the list are on the route.
fn authenticated(origin: SocketAddr, keys: &str, filters: &str) -> frontgate::Running {
    let file = std::env::temp_dir().join(format!("frontgate-budget-{}.json", std::process::id()));
    std::fs::write(&file, keys).expect("a file");
    let running = start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], threads: 1}
        upstreams:
          main: {endpoints: [$ORIGIN]}
        filters:
          login:
            jwt:
              issuer: any
              audience: any
              algorithms: [ES256]
              keys: {jwks: {file: $KEYS}}
              claim_headers: {X-User-Id: claim.sub}
          roles:
            rbac: {claim: roles, any_of: [user], roles: {user: [GET /api/**]}}
          per_user:
            rate_limit: {key: claim.sub, rate: 1000000/s, concurrency: 50}
          guard:
            circuit_breaker: {fallback: [{respond: {status: 503}}]}
          stamp:
            version_header: {value: v2.4, to: [client, upstream]}
        routes:
          - {name: all, path: /**, upstream: main, filters: [$FILTERS]}
        ",
        &[("$ORIGIN", &origin), ("$KEYS", &file.display()), ("$FILTERS", &filters)],
    ));
    let _ = std::fs::remove_file(&file);
    running
}

/// A route that another one of its path comes before, for requests with a header.
fn by_facts(origin: SocketAddr) -> frontgate::Running {
    start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], threads: 1}
        upstreams:
          main: {endpoints: [$ORIGIN]}
        routes:
          - {name: new, path: /**, when: {header.X-Api-Version: \"2\", client_ip: 127.0.0.0/8}, upstream: main}
          - {name: all, path: /**, upstream: main}
        ",
        &[("$ORIGIN", &origin)],
    ))
}

/// A route whose requests go to one of two upstreams: as `keys` say.
fn chosen(origin: SocketAddr, keys: &str) -> frontgate::Running {
    start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], threads: 1}
        upstreams:
          main: {endpoints: [$ORIGIN]}
          next: {endpoints: [$ORIGIN]}
        routes:
          - {name: all, path: /**, $KEYS}
        ",
        &[("$ORIGIN", &origin), ("$KEYS", &keys)],
    ))
}

/// A route without filters, and another whose requests are all refused by a limit, with these keys of the log.
fn logging(origin: SocketAddr, log: &str) -> frontgate::Running {
    start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], threads: 1}
        upstreams:
          main: {endpoints: [$ORIGIN]}
        routes:
          - {name: none, path: /**, when: {header.X-None: \"*\"}, upstream: main, filters: [{rate_limit: {key: client_ip, rate: 1/h, burst: 1}}]}
          - {name: all, path: /**, upstream: main}
        telemetry: {access_log: {to: {file: /dev/null}, $LOG}}
        ",
        &[("$ORIGIN", &origin), ("$LOG", &log)],
    ))
}

/// A route whose requests are copied for an upstream that takes them and never answers, one at a time.
fn mirrored(origin: SocketAddr) -> frontgate::Running {
    start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], threads: 1}
        upstreams:
          main: {endpoints: [$ORIGIN]}
          hung: {endpoints: [$HUNG], timeouts: {first_byte: 1h}}
        routes:
          - {name: all, path: /**, upstream: main, mirror: {upstream: hung, max_in_flight: 1, timeout: 1h}}
        ",
        &[("$ORIGIN", &origin), ("$HUNG", &hung())],
    ))
}

/// A route whose clients may say which trace their requests belong to; `tracing` says what is recorded.
fn traced(origin: SocketAddr, tracing: &str) -> frontgate::Running {
    start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], threads: 1, trusted_proxies: [127.0.0.1]}
        upstreams:
          main: {endpoints: [$ORIGIN]}
        routes:
          - {name: all, path: /**, upstream: main}
        telemetry:
          access_log: \"off\"
          $TRACING
        ",
        &[("$ORIGIN", &origin), ("$TRACING", &tracing)],
    ))
}

/// Takes connections and is silent on all of them.
fn hung() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let held: Vec<_> = listener.incoming().collect();
        drop(held);
    });
    address
}

/// Answers every request head with the same small JSON, allocating nothing.
fn origin() -> SocketAddr {
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
fn drive(address: SocketAddr, requests: usize, more: &str) {
    drive_to(address, requests, more, "200");
}

/// The same where each gets this status.
fn drive_to(address: SocketAddr, requests: usize, more: &str, status: &str) {
    let begins = format!("HTTP/1.1 {status}");
    let mut stream = TcpStream::connect(address).expect("a listener");
    stream.set_nodelay(true).expect("a flag");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let mut space = [0_u8; 4096];
    let request = format!(
        "GET /api/v1/products/7?lang=en HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: budget\r\nAccept: application/json\r\n{more}\r\n"
    );
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

/// Allocations a request, with `more` headers.
fn allocations(address: SocketAddr, more: &str) -> f64 {
    allocations_to(address, more, "200")
}

/// The same where each gets this status.
fn allocations_to(address: SocketAddr, more: &str, status: &str) -> f64 {
    drive_to(address, 200, more, status);
    const REQUESTS: usize = 2000;
    let rounds = (0..5).map(|_| {
        let before = COUNT.load(Ordering::SeqCst);
        drive_to(address, REQUESTS, more, status);
        COUNT.load(Ordering::SeqCst) - before
    });
    rounds.min().unwrap_or_default() as f64 / REQUESTS as f64
}

/// What one request costs this binary while it serves as `kind`.
#[derive(Default)]
struct Calls {
    /// Those that do something and succeed.
    done: f64,
    /// Those of them that send: one to the upstream, the others to the client.
    sends: f64,
    /// Of every kind, also those that wait, and those that find nothing.
    all: f64,
}

impl Calls {
    /// From the table that `strace -c` writes.
    fn read(table: &str) -> Self {
        let mut calls = Self::default();
        for line in table.lines() {
            // Share, seconds, microseconds a call, calls, errors where there are some, name.
            let words: Vec<&str> = line.split_whitespace().collect();
            let (Some(name), Some(count)) = (words.last(), words.get(3).and_then(|word| word.parse::<f64>().ok())) else { continue };
            let errors = if words.len() == 6 { words[4].parse().unwrap_or(0.0) } else { 0.0 };
            if *name == "total" {
                calls.all = count;
            } else if !WAITS.contains(name) {
                calls.done += count - errors;
                calls.sends += if ["sendto", "sendmsg", "writev"].contains(name) { count - errors } else { 0.0 };
            }
        }
        assert!(calls.all > 0.0, "no total in {table}");
        calls
    }
}

/// System calls a request, from the difference of two runs.
fn system_calls(strace: &Path, kind: &str, origin: SocketAddr) -> Calls {
    let count = |requests: usize| -> Calls {
        let file = std::env::temp_dir().join(format!("frontgate-budget-{}-{kind}-{requests}", std::process::id()));
        let mut child = Command::new(strace)
            .args(["-f", "-c", "-o"])
            .arg(&file)
            .arg(std::env::current_exe().expect("this binary"))
            .args(["serve", kind, &origin.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("strace runs");
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().expect("a pipe")), &mut line).expect("an address");
        drive(line.trim().parse().expect("an address"), requests, "");
        drop(child.stdin.take());
        child.wait().expect("an end");
        let table = std::fs::read_to_string(&file).expect("a table");
        let _ = std::fs::remove_file(&file);
        Calls::read(&table)
    };
    let (many, few) = (count(2200), count(200));
    let each = |many: f64, few: f64| (many - few) / 2000.0;
    Calls { done: each(many.done, few.done), sends: each(many.sends, few.sends), all: each(many.all, few.all) }
}

/// Serves as `kind` until standard input ends.
fn serve(kind: &str, origin: SocketAddr) {
    let filters = match kind {
        "trimming" => "{trim: {by: query.lang, profiles: {en: {drop: [name]}}}}",
        _ => "",
    };
    let running = match kind {
        "bare" => None,
        "mirrored" => Some(mirrored(origin)),
        "traced" => Some(traced(origin, OF_NONE)),
        _ => Some(gateway(origin, filters)),
    };
    let address = running.as_ref().map_or_else(|| bare(origin), |running| running.addresses()[0]);
    #[allow(clippy::print_stdout, reason = "the parent reads it")]
    {
        println!("{address}");
    }
    let _ = std::io::stdin().read(&mut [0_u8; 1]);
    std::process::exit(0);
}

/// Whether this much is in the budget.
#[allow(clippy::print_stdout, reason = "the figures are this test's product")]
fn holds(what: &str, figure: f64, most: f64) -> bool {
    let good = figure <= most;
    if !good {
        println!("OVER BUDGET: {what}: {figure:.2} instead of at most {most:.2}");
    }
    good
}

#[allow(clippy::print_stdout, reason = "the figures are this test's product")]
fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, command, kind, origin] = &arguments[..]
        && command == "serve"
    {
        return serve(kind, origin.parse().expect("an address"));
    }
    let origin = origin();
    let running = gateway(origin, "");
    let (bare_count, ours) = (allocations(bare(origin), ""), allocations(running.addresses()[0], ""));
    println!("allocations a request: bare {bare_count:.2}, filterless route {ours:.2}, {:+.2}", ours - bare_count);
    let mut good = holds("allocations of a filterless route", ours, ALLOCATIONS + STRAY);
    let issuer = Issuer::fresh("k1", Algorithm::ES256).expect("a key");
    let token = issuer.token(&serde_json::json!({"sub": "user-1", "exp": 9_999_999_999_u64, "roles": ["user", "editor"]}));
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let guarded = authenticated(origin, &issuer.jwks(), "login, roles");
    let (open, closed) = (allocations(running.addresses()[0], &bearer), allocations(guarded.addresses()[0], &bearer));
    println!("with a token: filterless route {open:.2}, jwt and rbac {closed:.2}, {:+.2}", closed - open);
    good &= holds("allocations of jwt and rbac", closed - open, AUTHENTICATED + STRAY);
    let all = authenticated(origin, &issuer.jwks(), "login, roles, per_user, stamp, guard");
    let five = allocations(all.addresses()[0], &bearer);
    println!("with a token: five filters {five:.2}, {:+.2}", five - open);
    good &= holds("allocations of five filters", five - open, FIVE + STRAY);
    good &= holds("allocations of a request with five filters", five, ALLOCATIONS + FIVE + STRAY);
    for exact in [true, false] {
        let filters = format!("{{rate_limit: {{key: client_ip, rate: 1000000/s, concurrency: 50, exact: {exact}}}}}");
        let limited = gateway(origin, &filters);
        let count = allocations(limited.addresses()[0], "");
        println!("allocations a request: a rate limit, exact {exact}: {:+.2}", count - ours);
        good &= holds("allocations of a limit", count - ours, LIMIT + STRAY);
    }
    let facts = by_facts(origin);
    for (what, more) in [("the first", "X-Api-Version: 2\r\n"), ("the second", "X-Api-Version: 1\r\n")] {
        let (plain, chosen) = (allocations(running.addresses()[0], more), allocations(facts.addresses()[0], more));
        println!("allocations a request: {what} of two routes that a header tells apart: {:+.2}", chosen - plain);
        good &= holds("allocations of routes that a header tells apart", chosen - plain, BY_FACTS + STRAY);
    }
    for share in ["100%", "0.001%"] {
        let canary = format!("upstream: main, canary: [{{version: v2, upstream: next, share: {share}, by: [client_ip]}}]");
        let count = allocations(chosen(origin, &canary).addresses()[0], "");
        println!("allocations a request: a version with a share of {share}: {:+.2}", count - ours);
        good &= holds("allocations of a version", count - ours, CANARY + STRAY);
    }
    let apart = allocations(chosen(origin, "upstream: {read: next, write: main}").addresses()[0], "");
    println!("allocations a request: reads and writes apart: {:+.2}", apart - ours);
    good &= holds("allocations of reads and writes apart", apart - ours, SPLIT + STRAY);
    let copied = allocations(mirrored(origin).addresses()[0], "");
    println!("allocations a request: a mirror that hangs: {:+.2}", copied - ours);
    good &= holds("allocations of a mirror that hangs", copied - ours, HUNG_MIRROR + STRAY);
    let by_facts = allocations(facts.addresses()[0], "X-Api-Version: 1\r\n");
    for when in ["status>=400", "share 0%", "duration>1h or path~*/none/* or user_agent~curl and not client_ip=10.0.0.0/8"] {
        let count = allocations(logging(origin, &format!("when: \"{when}\"")).addresses()[0], "X-Api-Version: 1\r\n");
        println!("allocations a request: kept out of the log by `{when}`: {:+.2}", count - by_facts);
        good &= holds("allocations of a request that is kept out of the log", count - by_facts, STRAY);
    }
    let limited = logging(origin, "when: \"share 0%\"");
    drive_to(limited.addresses()[0], 1, "X-None: 1\r\n", "200");
    let refused = allocations_to(limited.addresses()[0], "X-None: 1\r\n", "429");
    println!("allocations a request: refused by a limit {refused:.2}");
    good &= holds("allocations of a refusal", refused, REFUSAL + STRAY);
    if cfg!(feature = "otel") {
        let (plain, traced) = (traced(origin, ""), traced(origin, OF_NONE));
        let parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\n";
        for (what, more) in [("that begins here", ""), ("of a trusted proxy's", parent)] {
            let (plain, count) = (allocations(plain.addresses()[0], more), allocations(traced.addresses()[0], more));
            println!("allocations a request: in a trace {what} and is not recorded: {:+.2}", count - plain);
            good &= holds("allocations of a request that is not recorded", count - plain, NOT_RECORDED + STRAY);
        }
    }
    if let Some(strace) = tool("strace") {
        let [bare, ours, trimmed, mirrored] = ["bare", "gateway", "trimming", "mirrored"].map(|kind| system_calls(&strace, kind, origin));
        for (what, calls) in
            [("bare", &bare), ("filterless route", &ours), ("trimmed answer", &trimmed), ("beside a mirror that hangs", &mirrored)]
        {
            println!("system calls a request: {what} {:.2}, {:.2} of them sends; with waits {:.2}", calls.done, calls.sends, calls.all);
        }
        good &= holds("system calls of a filterless route", ours.done, SYSTEM_CALLS + TICK);
        good &= holds("system calls of a trimmed answer", trimmed.done - ours.done, TRIMMED_CALLS + TICK);
        good &= holds("system calls beside a mirror that hangs", mirrored.done - ours.done, HUNG_MIRROR + TICK);
        if cfg!(feature = "otel") {
            let traced = system_calls(&strace, "traced", origin);
            println!("system calls a request: in a trace that is not recorded {:.2}", traced.done);
            good &= holds("system calls of a request that is not recorded", traced.done - ours.done, TICK);
        }
        good &= holds("sends of a trimmed answer", trimmed.sends - 1.0, 1.0 + TICK);
    }
    println!("{} passed, {} failed", u8::from(good), u8::from(!good));
    assert!(good, "over budget: see above");
}
