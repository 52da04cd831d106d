//! `frontgate demo`: an embedded configuration in front of embedded upstreams, and lines to try.

mod books;
mod certificate;
mod echo;
mod greeter;
mod shop;

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use frontgate_filters::jwt::Algorithm;
use frontgate_filters::jwt::issuer::Issuer;
use serde_json::json;

use self::certificate::Certificate;
use super::{exit, fail, refused};
use crate::config;
use crate::server::{Running, start};

const CONFIGURATION: &str = include_str!("../../../conf/demo.yaml");

/// Serves the demo until a signal ends it.
pub(super) fn run() -> ExitCode {
    let upstreams = match Upstreams::start() {
        Ok(started) => started,
        Err(why) => return fail(exit::RUNTIME, &format!("the demo's upstreams cannot be started: {why}")),
    };
    let text = upstreams.configuration();
    let read = move || config::load_text("conf/demo.yaml", &text);
    match read() {
        Ok(loaded) => {
            crate::telemetry::own_log::init();
            match start(loaded, Box::new(read)) {
                Ok(running) => {
                    let _ = std::io::stdout().write_all(guide(&running, &upstreams).as_bytes());
                    super::run::serve(running, None, &super::upgrade::Takeover::default().place())
                }
                Err(why) => fail(exit::RUNTIME, &why),
            }
        }
        Err(problems) => refused(&problems),
    }
}

/// What the demo's identity provider gave to two people.
struct Tokens {
    user: String,
    admin: String,
}

/// What the gateway of the demo stands before, and what it needs.
struct Upstreams {
    catalog: SocketAddr,
    next: SocketAddr,
    accounts: SocketAddr,
    carts: SocketAddr,
    news: SocketAddr,
    stock: SocketAddr,
    bank: SocketAddr,
    office: SocketAddr,
    state: State,
    echo: SocketAddr,
    greeter: SocketAddr,
    certificate: Certificate,
    tokens: Tokens,
}

impl Upstreams {
    /// Starts them, with a certificate and the keys of an identity provider that are made now and lost with the process.
    fn start() -> Result<Self, String> {
        let issuer = Issuer::fresh("demo", Algorithm::ES256)?;
        let until = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() + 24 * 3600;
        let token = |subject: &str, roles: &[&str]| {
            issuer.token(&json!({"iss": "https://id.demo/", "aud": "shop", "sub": subject, "exp": until, "roles": roles}))
        };
        let tokens = Tokens { user: token("ursula", &["user"]), admin: token("adam", &["user", "admin"]) };
        let keys: Arc<str> = issuer.jwks().into();
        let down = Arc::default();
        let start = |version| shop::start(version, &keys, &down).map_err(|error| error.to_string());
        let alone = || shop::start("v1.0", &keys, &Arc::default()).map_err(|error| error.to_string());
        let echo = echo::start().map_err(|error| error.to_string())?;
        let greeter = greeter::start().map_err(|error| error.to_string())?;
        let (catalog, next) = (start("v2.4")?, start("v2.5")?);
        let [accounts, carts, news] = [alone()?, alone()?, alone()?];
        let (state, certificate) = (State::found()?, Certificate::fresh()?);
        let book = |name| books::start(name, &state.path).map_err(|error| format!("its {name}s: {error}"));
        let (stock, bank, office) = (book("reservation")?, book("charge")?, book("order")?);
        Ok(Self { catalog, next, accounts, carts, news, stock, bank, office, state, echo, greeter, certificate, tokens })
    }

    /// The embedded text, with their addresses in it.
    fn configuration(&self) -> String {
        let files = [self.certificate.cert(), self.certificate.key()].map(|path| path.display().to_string());
        let [cert, key] = &files;
        let addresses =
            [self.catalog, self.next, self.accounts, self.carts, self.news, self.stock, self.bank, self.office, self.echo, self.greeter];
        let addresses = addresses.map(|address| address.to_string());
        let [catalog, next, accounts, carts, news, stock, bank, office, echo, greeter] = &addresses;
        let state = self.state.path.display().to_string();
        let filled = [
            ("${DEMO_CATALOG}", catalog),
            ("${DEMO_CATALOG_NEXT}", next),
            ("${DEMO_ACCOUNTS}", accounts),
            ("${DEMO_CARTS}", carts),
            ("${DEMO_NEWS}", news),
            ("${DEMO_STOCK}", stock),
            ("${DEMO_BANK}", bank),
            ("${DEMO_OFFICE}", office),
            ("${DEMO_STATE_DIR}", &state),
            ("${DEMO_ECHO}", echo),
            ("${DEMO_GREETER}", greeter),
            ("${DEMO_CERT}", cert),
            ("${DEMO_KEY}", key),
        ];
        filled.iter().fold(served(), |text, (name, value)| text.replace(name, value))
    }
}

/// The embedded text, without the parts that are not built in.
fn served() -> String {
    let order = (cfg!(feature = "saga"), "# An order: all three, or none of them.", "# So far the order.");
    let graph = (cfg!(feature = "graphql"), "# A graph over the same services.", "# So far the graph.");
    let mut within = None;
    let is_there = |line: &&str| {
        let line = line.trim();
        within = within.filter(|end| *end != line);
        within =
            within.or_else(|| [order, graph].into_iter().find(|(is_built, begin, _)| !is_built && *begin == line).map(|(.., end)| end));
        within.is_none()
    };
    CONFIGURATION.lines().filter(is_there).map(|line| format!("{line}\n")).collect()
}

/// The directory in which orders are remembered: the one that `DEMO_STATE_DIR` names, which stays, or one that goes with this run.
struct State {
    path: PathBuf,
    goes: bool,
}

impl State {
    fn found() -> Result<Self, String> {
        let named = std::env::var_os("DEMO_STATE_DIR").filter(|path| !path.is_empty()).map(PathBuf::from);
        let goes = named.is_none();
        let path = named.unwrap_or_else(|| std::env::temp_dir().join(format!("frontgate-demo-{}", uuid::Uuid::now_v7())));
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|error| format!("`{}`: {error}", path.display()))?;
        Ok(Self { path, goes })
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if self.goes {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// What to type for this program, which need not be on the path.
fn program() -> String {
    let path = std::env::current_exe().map_or_else(|_| "frontgate".to_owned(), |path| path.display().to_string());
    let is_plain = path.chars().all(|c| c.is_alphanumeric() || "-_./+".contains(c));
    if is_plain { path } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

fn guide(running: &Running, upstreams: &Upstreams) -> String {
    let (tokens, state) = (&upstreams.tokens, upstreams.state.path.display());
    let [clear, tls] = [0, 1].map(|listener| running.addresses()[listener]);
    let (gateway, secure) = (format!("http://{clear}"), format!("https://{tls}"));
    let operators = running.admin().map(|admin| admin.to_string()).unwrap_or_default();
    let admin = format!("http://{operators}");
    let mut text = String::from("\nA small shop is behind the gateway, and two people have tokens for it:\n\n");
    text.push_str(&format!("  USER_TOKEN={}\n  ADMIN_TOKEN={}\n\nTry:\n\n", tokens.user, tokens.admin));
    for (line, what) in [
        (format!("curl -i {gateway}/api/v1/products"), "a list; X-BFF-Version tells which of two endpoints answered"),
        (
            format!("curl -s -A 'SMART-TV; Tizen 6.0' {gateway}/api/v1/products | wc -c"),
            "the same list for a television: no HD pictures, no debug",
        ),
        (format!("curl -s -A 'iPhone; Mobile' {gateway}/api/v1/products | wc -c"), "for a phone: only what it shows"),
        (format!("curl -s -A 'X11; Linux' {gateway}/api/v1/products | wc -c"), "for a desktop: everything"),
        (
            format!("curl -s '{gateway}/api/v1/products?fields=items.id,items.title'"),
            "the fields that the client asks for, of those that it may have",
        ),
        (
            format!("curl -s {gateway}/demo/off; curl -i {gateway}/api/v1/products"),
            "the catalogue fails, and the last good list is served: X-BFF-Fallback, Age and Cache-Status say so",
        ),
        (
            format!("for i in 1 2 3 4 5; do curl -s -o /dev/null {gateway}/api/v1/products/1; done; curl -s '{admin}/healthz?full=1'"),
            "after a few failures the circuit is open",
        ),
        (format!("{} upstreams --admin {operators}", program()), "the same for people, beside the endpoints"),
        (format!("curl -s {gateway}/demo/on; sleep 3; curl -i {gateway}/api/v1/products"), "it recovers by itself"),
        (
            format!("curl -s {gateway}/api/v1/home/1 | python3 -m json.tool"),
            "a home page: four services are asked, and the products are joined to the cart",
        ),
        (
            format!("curl -s -A 'SMART-TV; Tizen 6.0' {gateway}/api/v1/home/1 | python3 -m json.tool"),
            "the same for a television: no HD pictures, and the news, which it does not show, are not asked for",
        ),
        (
            format!("curl -s {gateway}/demo/news/off; curl -i {gateway}/api/v1/home/1"),
            "one of the four fails: the rest is served, and X-BFF-Complete and X-BFF-Missing say what is not there",
        ),
        (
            format!(
                "curl -s {gateway}/demo/carts/off; curl -i {gateway}/api/v1/home/1; curl -s {gateway}/demo/carts/on; curl -s {gateway}/demo/news/on"
            ),
            "two of them: an empty cart stands in; then both are well again",
        ),
        (format!("curl -i {gateway}/api/v1/home/0"), "404: the page needs its user, and there is none of this number"),
        (
            format!("{} explain --live --admin {operators} GET {gateway}/api/v1/home/1", program()),
            "what it would ask, in which order, without asking",
        ),
        (
            format!("for i in $(seq 20); do curl -s -o /dev/null -w '%{{http_code}} ' {gateway}/limited; done"),
            "ten at once, then 429 with Retry-After",
        ),
        (format!("curl -i {gateway}/api/v1/products/7"), "one product, its path rewritten on the way"),
        (format!("curl -ik {secure}/api/v1/products/7"), "the same over TLS and HTTP/2; the certificate was made for this run, hence -k"),
        (
            format!("curl -sk --compressed -o /dev/null -w '%{{size_download}} bytes, HTTP/%{{http_version}}\\n' {secure}/api/v1/products"),
            "the list, compressed",
        ),
        (
            format!(
                "printf '\\0\\0\\0\\0\\7\\n\\5world' | curl -s --http2-prior-knowledge -H 'TE: trailers' -H 'Content-Type: application/grpc' \\\n      \
                 --data-binary @- {gateway}/helloworld.Greeter/SayHello | tail -c 12"
            ),
            "a gRPC call by hand",
        ),
        (
            format!(
                "python3 -c 'import grpc; print(grpc.insecure_channel(\"{clear}\").unary_unary(\"/helloworld.Greeter/SayHello\")(b\"\\n\\5world\"))'"
            ),
            "the same by a library (pip install grpcio)",
        ),
        (format!("python3 -m websockets ws://{clear}/echo"), "a WebSocket that says what it is told (pip install websockets)"),
        (format!("curl -i {gateway}/api/v1/users/1"), "401: this route needs a token"),
        (
            format!("curl -i -H \"Authorization: Bearer $USER_TOKEN\" {gateway}/api/v1/users/1"),
            "200: the token is valid, and this route needs no role",
        ),
        (format!("curl -i -H \"Authorization: Bearer $USER_TOKEN\" {gateway}/api/v1/admin/users/1"), "403: valid, but not an admin's"),
        (format!("curl -i -H \"Authorization: Bearer $ADMIN_TOKEN\" {gateway}/api/v1/admin/users/1"), "200"),
        (
            format!(
                "curl -i -X OPTIONS -H 'Origin: http://localhost:3000' -H 'Access-Control-Request-Method: GET' {gateway}/api/v1/users/1"
            ),
            "204: a browser's preflight needs no token",
        ),
        (format!("curl -i -X DELETE {gateway}/api/v1/products/7"), "405 with Allow: the route has GET only"),
        (format!("curl -i {gateway}/slow"), "504: the endpoint takes longer than first_byte allows"),
        (format!("curl -i {gateway}/failing"), "the endpoint's own 500, passed on and stamped"),
        (format!("curl -i {gateway}/gone"), "502: nothing listens there"),
        (format!("curl -i {gateway}/old/7"), "a redirect"),
        (format!("curl -i --path-as-is {gateway}/images/../api//v1/%70roducts/7"), "the path is normalised before it is routed"),
        (format!("curl -i {gateway}/a%2fb"), "400: servers disagree on what an encoded slash means"),
        (format!("curl -s {admin}/metrics | grep frontgate_requests_total"), "the metrics"),
        (format!("curl -s -X POST {admin}/-/reload"), "reads the configuration again"),
    ] {
        text.push_str(&format!("  {line}\n      {what}\n"));
    }
    for (line, what) in if cfg!(feature = "graphql") { queries(&gateway) } else { Vec::new() } {
        text.push_str(&format!("  {line}\n      {what}\n"));
    }
    for (line, what) in if cfg!(feature = "saga") { orders(clear, &operators, &state.to_string()) } else { Vec::new() } {
        text.push_str(&format!("  {line}\n      {what}\n"));
    }
    text.push_str("\nThe access log follows. Ctrl-C ends the demo.\n\n");
    text
}

/// Lines to try with the graph.
fn queries(gateway: &str) -> Vec<(String, &'static str)> {
    let ask = |more: &str, query: &str| {
        let body = json!({"query": query}).to_string();
        format!("curl -s {more}-H 'Content-Type: application/json' -d '{body}' {gateway}/graphql")
    };
    let page = "{products(first: 3) {title hd stock {count} reviews {stars author {name}}}}";
    vec![
        (ask("", page), "a graph over the same services: products with stock and reviews, one call for each level"),
        (format!("xdg-open {gateway}/graphql"), "the same address in a browser: GraphiQL, to write queries in"),
        (ask("-A 'SMART-TV; Tizen 6.0' ", page), "the same for a television: no HD pictures, and reviews are not asked for"),
        (ask("", "{user(id: 1) {name}}"), "null: users are for those who have a token"),
        (
            ask("-H \"Authorization: Bearer $USER_TOKEN\" ", "{user(id: 1) {name cart {quantity product {title}}}}"),
            "with a token: the user, and the products of the cart",
        ),
        (ask("", "{products {titel}}"), "a field that there is not"),
    ]
}

/// Lines to try with orders, each of which is made of three calls or of none.
fn orders(gateway: SocketAddr, operators: &str, state: &str) -> Vec<(String, &'static str)> {
    let checkout = format!("http://{gateway}/api/v1/checkout");
    let order =
        |key: &str, card: &str| format!("curl -i -H 'Idempotency-Key: {key}' -d '{{\"sku\":\"lamp-7\",\"card\":\"{card}\"}}' {checkout}");
    let (program, port, pid) = (program(), gateway.port(), std::process::id());
    let admin = operators.rsplit(':').next().unwrap_or_default();
    vec![
        (order("order-1", "good"), "an order: a lamp is reserved, a card charged, the order confirmed; all of it or nothing"),
        (order("order-1", "good"), "the same once more: the answer is given again (Idempotency-Replayed), and nothing is ordered twice"),
        (
            format!("{}; sleep 1; curl -s http://{gateway}/demo/stock", order("order-2", "declined")),
            "the card is declined: what was reserved is taken back",
        ),
        (
            format!("{}; kill -9 {pid}", order("order-3", "slow")),
            "the bank takes ten seconds: 202 after three, and then the gateway is killed in the middle of it",
        ),
        (
            format!("DEMO_STATE_DIR={state} DEMO_PORT={port} DEMO_ADMIN_PORT={admin} {program} demo"),
            "in another terminal: it finds the order, asks the bank again with the same key, and ends it",
        ),
        (format!("curl -i -H 'Idempotency-Key: order-3' {checkout}"), "what became of it: running, then done"),
        (format!("{program} saga list --state done --admin {operators}"), "the orders that have ended, as operators see them"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a WebSocket opens, answers a ping, says what it is told and closes.
    fn echoed(address: SocketAddr) -> bool {
        use std::io::Read;
        let mut stream = std::net::TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("a timeout");
        let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        write!(stream, "GET /echo HTTP/1.1\r\nHost: demo\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n\r\n")
            .expect("a request");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        assert!(head.starts_with("HTTP/1.1 101") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        stream.write_all(b"\x89\x80\0\0\0\0\x81\x85\x20\x20\x20\x20HELLO\x88\x82\0\0\0\0\x03\xe8").expect("frames");
        let mut back = Vec::new();
        stream.read_to_end(&mut back).expect("an end");
        back == b"\x8a\x00\x81\x05hello\x88\x02\x03\xe8"
    }

    /// The status of a gRPC call, and its message in its frame.
    fn greeted(address: SocketAddr) -> (Vec<u8>, Vec<u8>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let call = async {
            let socket = tokio::net::TcpStream::connect(address).await.expect("it listens");
            let (client, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
            tokio::spawn(connection);
            let request = http::Request::post(format!("http://{address}/helloworld.Greeter/SayHello"));
            let request = request.header("content-type", "application/grpc").header("te", "trailers").body(()).expect("a request");
            let (answer, mut stream) = client.ready().await.expect("a stream").send_request(request, false).expect("it is sent");
            stream.send_data(bytes::Bytes::from_static(b"\0\0\0\0\x07\n\x05world"), true).expect("it is sent");
            let mut body = answer.await.expect("an answer").into_body();
            let mut message = Vec::new();
            while let Some(data) = body.data().await {
                message.extend_from_slice(&data.expect("its data"));
            }
            let trailers = body.trailers().await.expect("an end").expect("trailers");
            (trailers["grpc-status"].as_bytes().to_vec(), message)
        };
        runtime.block_on(async { tokio::time::timeout(std::time::Duration::from_secs(20), call).await.expect("an end") })
    }

    /// What the listener with TLS answers to a client that knows the demo's certificate.
    fn secure(address: SocketAddr, certificate: &Certificate) -> String {
        use std::io::Read;

        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject;
        let mut roots = rustls::RootCertStore::empty();
        let own = std::fs::read(certificate.cert()).expect("it can be read");
        roots.add(CertificateDer::from_pem_slice(&own).expect("a certificate")).expect("an anchor");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
        let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
        let name = "127.0.0.1".try_into().expect("a name");
        let connection = rustls::ClientConnection::new(config, name).expect("a client");
        let mut stream = rustls::StreamOwned::new(connection, std::net::TcpStream::connect(address).expect("it listens"));
        write!(stream, "GET /api/v1/products/7 HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n").expect("a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text
    }

    #[test]
    fn the_demo_serves_what_it_tells_to_try() {
        let upstreams = Upstreams::start().expect("upstreams");
        let tokens = &upstreams.tokens;
        let text = upstreams.configuration().replace("{access_log: {to: stdout}}", "{access_log: \"off\"}");
        let loaded = config::load_text("conf/demo.yaml", &text).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings.render(false));
        let running = start(loaded, Box::new(|| config::load(None))).expect("it starts");

        let ask = |path: &str, token: &str| {
            use std::io::Read;
            let bearer = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
            let mut stream = std::net::TcpStream::connect(running.addresses()[0]).expect("it listens");
            write!(stream, "GET {path} HTTP/1.1\r\nHost: demo\r\n{bearer}Connection: close\r\n\r\n").expect("a request");
            let mut text = String::new();
            stream.read_to_string(&mut text).expect("an answer");
            text
        };

        for (path, status, words) in [
            ("/api/v1/products", 200, "\"items\""),
            ("/api/v1/products/7", 200, "\"id\":7"),
            ("/images/7.svg", 200, "<svg"),
            ("/slow", 504, "upstream_timeout"),
            ("/failing", 500, "out of order"),
            ("/gone", 502, "upstream_unreachable"),
            ("/old/7", 308, "/api/v1/products/7"),
            ("/", 200, "hello"),
            ("/a%2fb", 400, "bad_request"),
        ] {
            let answer = ask(path, "");
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(words), "{path}: {answer}");
        }
        for (path, token, status) in [
            ("/api/v1/users/1", "", 401),
            ("/api/v1/users/1", &*tokens.user, 200),
            ("/api/v1/admin/users/1", "", 401),
            ("/api/v1/admin/users/1", &tokens.user, 403),
            ("/api/v1/admin/users/1", &tokens.admin, 200),
        ] {
            let answer = ask(path, token);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        }
        let products = |agent: &str| {
            use std::io::Read;
            let mut stream = std::net::TcpStream::connect(running.addresses()[0]).expect("it listens");
            write!(stream, "GET /api/v1/products HTTP/1.1\r\nHost: demo\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n")
                .expect("a request");
            let mut text = String::new();
            stream.read_to_string(&mut text).expect("an answer");
            text
        };
        let (tv, phone, desktop) = (products("SMART-TV; Tizen 6.0"), products("iPhone; Mobile"), products("X11; Linux"));
        assert!(phone.len() < tv.len() && tv.len() < desktop.len(), "{} {} {}", phone.len(), tv.len(), desktop.len());
        ask("/demo/off", "");
        for _ in 0..6 {
            let stale = products("X11; Linux");
            assert!(
                stale.starts_with("HTTP/1.1 200") && stale.contains("X-BFF-Fallback: cached") || stale.contains("x-bff-fallback: cached"),
                "{stale}"
            );
        }
        ask("/demo/on", "");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while products("X11; Linux").to_ascii_lowercase().contains("x-bff-fallback") {
            assert!(std::time::Instant::now() < deadline, "the catalogue does not recover");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let home = |path: &str, agent: &str| {
            use std::io::Read;
            let mut stream = std::net::TcpStream::connect(running.addresses()[0]).expect("it listens");
            write!(stream, "GET {path} HTTP/1.1\r\nHost: demo\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n").expect("a request");
            let mut text = String::new();
            stream.read_to_string(&mut text).expect("an answer");
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            (head.to_ascii_lowercase(), serde_json::from_str::<serde_json::Value>(body).unwrap_or_else(|error| panic!("{error}: {text}")))
        };
        let (head, page) = home("/api/v1/home/1", "X11; Linux");
        assert!(head.contains("x-bff-complete: true"), "{head}");
        assert_eq!((&page["user"]["id"], &page["cart"]["items"][1]["product"]["title"]), (&json!("1"), &json!("Lamp No. 5")), "{page}");
        assert!(page["news"].is_array() && page["cart"]["items"][0]["product"]["images"]["hd"].is_string(), "{page}");
        ask("/demo/news/off", "");
        let (head, page) = home("/api/v1/home/1", "X11; Linux");
        assert!(head.contains("x-bff-complete: false") && head.contains("x-bff-missing: news"), "{head}");
        assert!(page.get("news").is_none() && page["user"]["id"] == "1", "{page}");
        // A television shows no news: what is not asked for is not missing.
        let (head, page) = home("/api/v1/home/1", "SMART-TV; Tizen 6.0");
        assert!(head.contains("x-bff-complete: true") && page.get("news").is_none(), "{head} {page}");
        assert!(page["cart"]["items"][0]["product"]["images"].get("hd").is_none(), "{page}");
        ask("/demo/carts/off", "");
        let (head, page) = home("/api/v1/home/1", "X11; Linux");
        assert!(head.contains("x-bff-missing: cart, news") && page["cart"] == json!({"items": []}), "{head} {page}");
        ask("/demo/carts/on", "");
        ask("/demo/news/on", "");
        let (head, page) = home("/api/v1/home/0", "X11; Linux");
        assert!(head.starts_with("http/1.1 404") && page["call"] == "user", "{head} {page}");
        if cfg!(feature = "graphql") {
            let ask = |query: &str, more: &str| {
                use std::io::Read;
                let body = json!({"query": query}).to_string();
                let mut stream = std::net::TcpStream::connect(running.addresses()[0]).expect("it listens");
                let head = format!("POST /graphql HTTP/1.1\r\nHost: demo\r\nContent-Type: application/json\r\nConnection: close\r\n{more}");
                write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).expect("a request");
                let mut text = String::new();
                stream.read_to_string(&mut text).expect("an answer");
                let (_, body) = text.split_once("\r\n\r\n").expect("a head");
                serde_json::from_str::<serde_json::Value>(body).unwrap_or_else(|error| panic!("{error}: {text}"))
            };
            let page = "{products(first: 2) {title hd stock {count} reviews {stars author {name}}}}";
            let first = json!({"title": "Lamp No. 1", "hd": "/images/1.svg?width=3840", "stock": {"count": 7},
                               "reviews": [{"stars": 3, "author": {"name": "User 1"}}]});
            let told = ask(page, "User-Agent: X11; Linux\r\n");
            assert_eq!((&told["data"]["products"][0], told.get("errors")), (&first, None), "{told}");
            let told = ask(page, "User-Agent: SMART-TV; Tizen 6.0\r\n");
            assert_eq!(told["data"]["products"][0], json!({"title": "Lamp No. 1", "hd": null, "stock": {"count": 7}, "reviews": null}));
            let cart = "{user(id: 1) {name cart {product {title}}}}";
            assert_eq!(ask(cart, "")["data"], json!({"user": null}));
            let told = ask(cart, &format!("Authorization: Bearer {}\r\n", tokens.user));
            assert_eq!(told["data"]["user"]["cart"][1]["product"]["title"], "Lamp No. 5", "{told}");
        }
        if cfg!(feature = "saga") {
            let order = |key: &str, card: &str| {
                use std::io::Read;
                let body = json!({"sku": "lamp-7", "card": card}).to_string();
                let mut stream = std::net::TcpStream::connect(running.addresses()[0]).expect("it listens");
                let head = format!("POST /api/v1/checkout HTTP/1.1\r\nHost: demo\r\nIdempotency-Key: {key}\r\nConnection: close");
                write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).expect("a request");
                let mut text = String::new();
                stream.read_to_string(&mut text).expect("an answer");
                text
            };
            let first = order("order-1", "good");
            assert!(first.starts_with("HTTP/1.1 200") && first.contains("\"order\":\"order-1\""), "{first}");
            assert!(order("order-1", "good").to_ascii_lowercase().contains("idempotency-replayed: true"));
            let declined = order("order-2", "declined");
            assert!(declined.starts_with("HTTP/1.1 422") && declined.contains("saga_undone"), "{declined}");
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
            while ask("/demo/stock", "").matches("taken back").count() != 1 {
                assert!(std::time::Instant::now() < deadline, "what was reserved is not taken back");
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            assert_eq!(ask("/demo/bank", "").matches("\"done\"").count(), 1, "one card was charged");
        }
        // As many as it takes to be quicker than five a second.
        assert!((0..1_000).any(|_| ask("/limited", "").starts_with("HTTP/1.1 429 ")));
        assert!(echoed(running.addresses()[0]), "a WebSocket brings back what it was told");
        assert_eq!(greeted(running.addresses()[0]), (b"0".to_vec(), b"\0\0\0\0\x0e\n\x0cHello, world".to_vec()));
        assert!(secure(running.addresses()[1], &upstreams.certificate).contains("\"id\":7"), "TLS is spoken");
        let guide = guide(&running, &upstreams);
        assert!(guide.contains("curl") && guide.contains(&tokens.admin));
        let admin = running.admin().expect("an address").port();
        assert!(cfg!(not(feature = "saga")) || guide.contains(&format!(" DEMO_ADMIN_PORT={admin} ")), "{guide}");
    }
}
