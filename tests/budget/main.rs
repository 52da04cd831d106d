//! What a request costs: heap allocations and system calls, beside those of the smallest Pingora proxy. A ratchet, not a benchmark.
//!
//! Its own binary, because its allocator counts everything that the process allocates. Client and origin allocate nothing per request.
//!
//! A busy machine changes nothing here. A round can only have allocations too many, never too few, so the least of several rounds is what
//! requests take. Of the system calls those are counted that do something and succeed; how often a thread waits, or looks for bytes that
//! are not there yet, is the scheduler's affair.

mod calls;
mod counting;
#[cfg(feature = "graphql")]
mod graphs;
mod proxies;
mod traffic;

use frontgate_filters::jwt::Algorithm;
use frontgate_filters::jwt::issuer::Issuer;
use frontgate_test_support::tool;

use calls::{serve, system_calls};
use counting::{allocations, allocations_to};
use proxies::{authenticated, bare, by_facts, chosen, composed, gateway, logging, mirrored, traced};
use traffic::{drive_to, origin};

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
const REFUSAL: f64 = 24.0;
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
/// A request that is answered from three calls, all of them and its answer.
const COMPOSED: f64 = 63.0;
/// Allocations that come once in many requests: a table grows, a timer is made.
const STRAY: f64 = 0.25;
/// The same for system calls: memory that was asked for, a connection that is opened.
const TICK: f64 = 0.02;
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
    let answered = allocations(composed(origin).addresses()[0], "");
    println!("allocations a request: answered from three calls {answered:.2}");
    good &= holds("allocations of a request that is answered from three calls", answered, COMPOSED + STRAY);
    #[cfg(feature = "graphql")]
    {
        good &= graphs::hold(origin);
    }
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
