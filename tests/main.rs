//! One binary over real sockets. Each module is one behaviour:
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so")]

mod harness;

/// What the access log says of a request.
mod access_log;
/// Who may ask: tokens, key sets that rotate, roles, preflights.
mod auth;
/// Uploads and answers that cross: early answers, pauses, interim answers, clients that send ahead.
mod both_ways;
/// Upstreams that fail behind a circuit breaker: fallbacks, operators, recovery.
mod breaker;
/// Versions beside a route's own upstream: who gets which, who may choose, what gives way to what.
mod canary;
/// What `frontgate test` plays, tells and refuses.
mod cases;
/// An upstream that fails in every way there is, under steady load, over and over.
mod chaos;
/// What `frontgate check` opens, says and does not say.
mod check;
/// Requests that many services answer together.
mod compose;
/// Answers that are compressed on their way.
mod compress;
/// The page that the admin address shows, in a real browser.
mod dashboard;
/// The demo, killed in the middle of an order.
#[cfg(feature = "saga")]
mod demo;
/// Endpoints that come and go by themselves: from files and from etcd, kept over a restart, under load.
mod discovery;
/// What people copy: the pages' YAML and every configuration that is shipped.
mod documents;
/// Listeners that come, change and go; processes that take each other's place; what systemd gives and hears.
mod doors;
/// Drills: faults that are injected for a time, and how they end.
mod drills;
/// Upstreams that know which endpoints are healthy: retries, probes, ejection, hashing, adaptive timeouts.
mod endpoints;
/// Streams of events, which nothing holds back and no pause ends.
mod events;
/// Random requests and answers through the gateway, beside what the RFCs say of them.
mod exchange;
/// Clients that hold their body back until they are told to go on.
mod expect;
/// What `frontgate explain` says, beside what the same request meets on the wire.
mod explain;
/// Routes of one path that differ by facts of the request.
mod facts;
/// Clients and origins that are slow, gone or broken.
mod failures;
/// Clients of HTTP/2 that attack.
mod floods;
/// Connections of HTTP/2 that are asked to end: when they are old, and when the gateway drains.
mod goodbyes;
/// GraphQL over REST services.
#[cfg(feature = "graphql")]
mod graphql;
/// gRPC: refusals, statuses, deadlines, streams that are silent, pages that call.
mod grpc;
/// What belongs to one hop, and who has handed a request on: connection options, `Via`, circles, methods for proxies.
mod hops;
/// Upstreams that are spoken to in HTTP/2.
mod http2_upstream;
/// What a request must be: one reading, one host, one path, limits.
mod hygiene;
/// Interim answers, which are never the answer.
mod interim;
/// Clients that leave, and what they held.
mod leaving;
/// Reload, drain, health, metrics, and the binary itself.
mod lifecycle;
/// Rate limits: refusals, headers, requests in flight, reload.
mod limits;
/// What a running gateway says it would do, and that it does nothing by that.
mod live;
/// The access log that is rotated, a disk that is full, and how much the gateway's own log tells.
mod logs;
/// What becomes of single messages: lengths, connection options, trailers, ends.
mod messages;
/// What a scrape of a busy gateway shows.
mod metrics;
/// Copies of requests for another upstream.
mod mirrors;
/// Endpoints that are names, and services that the DNS knows.
mod names;
/// What operators ask a running gateway, and who is none.
mod operators;
/// More to do than can be done: what runs short, what is refused for it, and how it ends.
mod overload;
/// What the gateway is shipped in: the Debian package, the image, the manifests for Kubernetes, the rotation of its log.
mod packaging;
/// Real peers from their packages: nginx, Python, curl, wrk.
mod peers;
/// Upstreams of many endpoints that come and go, and what operators set for single ones.
mod pools;
/// Listeners behind load balancers that speak the PROXY protocol, and how many connections there may be.
mod proxied;
/// What the filters' documentation shows is a configuration.
mod readmes;
/// Why a line of the access log is as it is, and whom it is about.
mod reasons;
/// Steps that all come about or are taken back, through kills, full disks and processes that take each other's place.
#[cfg(feature = "saga")]
mod saga;
/// What `frontgate config` shows and compares, and what `check --strict` refuses.
mod shown;
/// What signals do, and what never keeps them waiting.
mod signals;
/// Streams of many small frames, which are no attack.
mod small_frames;
/// Everything at once, for as long as one likes.
mod soak;
/// Reads and writes apart: where each is sent, and who finds what he wrote.
mod split;
/// Clients of HTTP/2: answers without a body, streams that break off, clients that do not read.
mod streams;
/// Thousands of slow clients and upstreams at once.
mod stress;
/// What others wrote to try servers with: h2spec, slowhttptest, h2load, nghttp.
mod suites;
/// Lines of the access log as they come.
mod tap;
/// Listeners with TLS: certificates by name, clients that show their own, renewal, HTTP/2.
mod tls;
/// Spans of requests for a collector of OpenTelemetry.
#[cfg(feature = "otel")]
mod tracing;
/// Requests through to an origin and back: upstreams, rewrites, filters, keep-alive.
mod traffic;
/// JSON answers that are trimmed on their way.
mod trim;
/// Connections that change their protocol.
mod tunnels;
/// Public collections of malformed requests, replayed over raw sockets.
mod vectors;
/// Every wait for a client has its own deadline: clients that stop, do not read, leave, or come too late or too many.
mod waits;
/// The pages for operators, walked: their configurations are served, their commands run.
mod walks;
/// Configurations that are put in force when their files change, kept, and rolled back to.
mod watching;
/// WebSockets over HTTP/1 and HTTP/2: who gets one, what passes, how they end.
mod websocket;
/// Why a request was refused or failed, asked later or with the request.
mod why;
