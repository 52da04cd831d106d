//! The demo's services behind an order: a stock, a bank, an office for orders. Each keeps a book of what it was asked for, in memory, and does what
//! it is asked for once, however often it is asked with the same `Idempotency-Key`.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, Response, StatusCode};
use parking_lot::Mutex;
use pingora_core::apps::http_app::{HttpServer, ServeHttp};
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::Fds;
use pingora_core::services::Service as _;
use pingora_core::services::listening::Service;
use serde_json::{Value, json};

use super::shop::answer;

/// How long the bank thinks about a card that is slow: time to kill the gateway.
const SLOW: Duration = Duration::from_secs(10);
/// The largest body, and how many entries are kept.
const LARGEST: usize = 64 << 10;
const MOST: usize = 1_000;

/// What one of the services has in its book, by key.
struct Book {
    /// What an entry's number begins with.
    name: &'static str,
    entries: Mutex<BTreeMap<String, Value>>,
}

/// Starts a service in a thread of its own that lives as long as the process.
pub(super) fn start(name: &'static str) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(format!("demo-{name}")).spawn(move || {
        runtime.block_on(async move {
            let mut service = Service::new(name.into(), HttpServer::new_app(Book { name, entries: Mutex::default() }));
            service.add_tcp(&address.to_string());
            let mut fds = Fds::new();
            fds.add(address.to_string(), listener.into_raw_fd());
            let (_keep, shutdown) = tokio::sync::watch::channel(false);
            service.start_service(Some(Arc::new(Mutex::new(fds))), shutdown, 1).await;
        });
    })?;
    Ok(address)
}

#[async_trait]
impl ServeHttp for Book {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let (method, path) = (session.req_header().method.clone(), session.req_header().uri.path().to_owned());
        let key = session.req_header().headers.get("idempotency-key").map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned());
        let (status, told) = match (method, path.strip_prefix("/entries").unwrap_or_default()) {
            (Method::GET, "") => (StatusCode::OK, self.entries.lock().values().cloned().collect()),
            (Method::POST, "") => match (key, body(session).await) {
                (Some(key), Some(asked)) => self.enter(key, &asked).await,
                _ => (StatusCode::BAD_REQUEST, json!({"error": "an Idempotency-Key and a body of JSON, please"})),
            },
            (Method::DELETE, rest) => self.take_back(rest.trim_start_matches("/by-key/")),
            _ => (StatusCode::NOT_FOUND, json!({"error": "no such page"})),
        };
        answer(status, "application/json", told.to_string())
    }
}

impl Book {
    /// Does what is asked for, or says again what was done.
    async fn enter(&self, key: String, asked: &Value) -> (StatusCode, Value) {
        let done = self.entries.lock().get(&key).cloned();
        if let Some(done) = done {
            return (StatusCode::OK, done);
        }
        match asked["card"].as_str() {
            Some("declined") => return (StatusCode::UNPROCESSABLE_ENTITY, json!({"error": "the card is declined"})),
            Some("slow") => tokio::time::sleep(SLOW).await,
            _ => {}
        }
        let mut entries = self.entries.lock();
        let id = format!("{}-{}", self.name, entries.len() + 1);
        let entry = json!({"id": id, "key": key, "asked": asked, "price": 1990, "state": "done"});
        if entries.len() < MOST {
            entries.insert(key, entry.clone());
        }
        (StatusCode::OK, entry)
    }

    fn take_back(&self, key: &str) -> (StatusCode, Value) {
        match self.entries.lock().get_mut(key) {
            Some(entry) => {
                entry["state"] = "taken back".into();
                (StatusCode::OK, entry.clone())
            }
            None => (StatusCode::NOT_FOUND, json!({"error": "no such entry"})),
        }
    }
}

/// The body as JSON, where it is one.
async fn body(session: &mut ServerSession) -> Option<Value> {
    let mut whole = Vec::new();
    while let Some(piece) = session.read_request_body().await.ok()? {
        if whole.len() + piece.len() > LARGEST {
            return None;
        }
        whole.extend_from_slice(&piece);
    }
    serde_json::from_slice(&whole).ok()
}
