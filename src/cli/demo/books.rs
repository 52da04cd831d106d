//! The demo's services behind an order: a stock, a bank, an office for orders. Each keeps a book of what it was asked for, in a file beside what the
//! gateway remembers, and does what it is asked for once, however often it is asked with the same `Idempotency-Key`.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};
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
    file: PathBuf,
    entries: Mutex<BTreeMap<String, Value>>,
}

/// Starts a service in a thread of its own that lives as long as the process. Its book is in this folder, where it goes on with one that is
/// there.
pub(super) fn start(name: &'static str, folder: &Path) -> io::Result<SocketAddr> {
    let file = folder.join(format!("{name}s.json"));
    let entries = match std::fs::read(&file) {
        Ok(book) => serde_json::from_slice(&book)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => return Err(error),
    };
    let book = Book { name, file, entries: Mutex::new(entries) };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(format!("demo-{name}")).spawn(move || {
        runtime.block_on(async move {
            let mut service = Service::new(name.into(), HttpServer::new_app(book));
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
        self.write(&entries, entry)
    }

    fn take_back(&self, key: &str) -> (StatusCode, Value) {
        let mut entries = self.entries.lock();
        let Some(entry) = entries.get_mut(key) else { return (StatusCode::NOT_FOUND, json!({"error": "no such entry"})) };
        entry["state"] = "taken back".into();
        let entry = entry.clone();
        self.write(&entries, entry)
    }

    /// Answers with an entry once it is in the file, which is replaced as a whole: the process may be killed at any moment.
    fn write(&self, entries: &BTreeMap<String, Value>, entry: Value) -> (StatusCode, Value) {
        let new = self.file.with_extension("new");
        let text = json!(entries).to_string();
        match std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &self.file)) {
            Ok(()) => (StatusCode::OK, entry),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, json!({"error": format!("the book cannot be written: {error}")})),
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
