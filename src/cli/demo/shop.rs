//! The demo's upstreams: a catalogue with products, images and users, a slow and a failing endpoint, and services of one kind each, on loopback.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http::{Response, StatusCode};
use parking_lot::Mutex;
use pingora_core::apps::http_app::{HttpServer, ServeHttp};
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::Fds;
use pingora_core::services::Service as _;
use pingora_core::services::listening::Service;
use serde_json::{Value, json};

/// How long the slow endpoint takes.
const SLOW: Duration = Duration::from_secs(3);
const PRODUCTS: u32 = 24;

struct Shop {
    version: &'static str,
    /// The key set of the demo's identity provider, which lives here, too.
    keys: Arc<str>,
    /// Whether what it serves is out of order, at every shop that shares this.
    down: Arc<AtomicBool>,
}

/// Starts a shop in a thread of its own that lives as long as the process.
pub(super) fn start(version: &'static str, keys: &Arc<str>, down: &Arc<AtomicBool>) -> io::Result<SocketAddr> {
    let (keys, down) = (keys.clone(), down.clone());
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("demo-shop".into()).spawn(move || {
        runtime.block_on(async move {
            let mut service = Service::new("shop".into(), HttpServer::new_app(Shop { version, keys, down }));
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
impl ServeHttp for Shop {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let path = session.req_header().uri.path().to_owned();
        match path.split('/').skip(1).collect::<Vec<_>>()[..] {
            ["demo", switch @ ("off" | "on")] => {
                self.down.store(switch == "off", Ordering::Relaxed);
                answer(StatusCode::OK, "application/json", json!({"service": switch}).to_string())
            }
            ["products" | "carts" | "news" | "reviews", ..] if self.down.load(Ordering::Relaxed) => {
                answer(StatusCode::SERVICE_UNAVAILABLE, "application/json", json!({"error": "the service is closed"}).to_string())
            }
            ["products"] | ["products", ""] => {
                let query = session.req_header().uri.query().unwrap_or_default().to_owned();
                let most = query.strip_prefix("first=").and_then(|first| first.parse().ok()).unwrap_or(PRODUCTS as usize);
                let items: Vec<Value> =
                    (1..=PRODUCTS).filter(|id| is_asked(&query, "ids", *id)).take(most).map(|id| self.product(id)).collect();
                answer(StatusCode::OK, "application/json", json!({"code": 0, "items": items}).to_string())
            }
            ["products", id] => match id.parse().ok().filter(|id| (1..=PRODUCTS).contains(id)) {
                Some(id) => answer(StatusCode::OK, "application/json", self.product(id).to_string()),
                None => answer(StatusCode::NOT_FOUND, "application/json", json!({"error": "no such product"}).to_string()),
            },
            ["stock"] => {
                let query = session.req_header().uri.query().unwrap_or_default().to_owned();
                let asked = (1..=PRODUCTS).filter(|id| is_asked(&query, "ids", *id));
                let stock: Vec<Value> = asked.map(|id| json!({"id": id, "count": id * 7 % 11, "warehouse": "north"})).collect();
                answer(StatusCode::OK, "application/json", json!(stock).to_string())
            }
            ["reviews"] => {
                let query = session.req_header().uri.query().unwrap_or_default().to_owned();
                let asked = (1..=PRODUCTS).filter(|id| is_asked(&query, "of", *id));
                let of =
                    |id: u32| (0..id % 3).map(move |nth| json!({"of": id, "stars": 3 + nth, "text": "It gives light.", "author": nth + 1}));
                answer(StatusCode::OK, "application/json", json!(asked.flat_map(of).collect::<Vec<_>>()).to_string())
            }
            ["users"] => {
                let query = session.req_header().uri.query().unwrap_or_default().to_owned();
                let users: Vec<Value> = (1..10).filter(|id| is_asked(&query, "ids", *id)).map(|id| user(&id.to_string())).collect();
                answer(StatusCode::OK, "application/json", json!(users).to_string())
            }
            ["users", "0"] => answer(StatusCode::NOT_FOUND, "application/json", json!({"error": "no such user"}).to_string()),
            ["users", id] => answer(StatusCode::OK, "application/json", user(id).to_string()),
            ["carts", id] => {
                let first = id.parse::<u32>().unwrap_or_default() % (PRODUCTS - 5) + 1;
                let items: Vec<Value> = [first, first + 3].iter().map(|product| json!({"product_id": product, "quantity": 1})).collect();
                answer(StatusCode::OK, "application/json", json!({"id": id, "items": items}).to_string())
            }
            ["news"] => {
                let news = json!([{"title": "Lamps that dim", "text": "From today on every lamp has a dimmer."}]);
                answer(StatusCode::OK, "application/json", news.to_string())
            }
            ["images", _] => {
                let image = r##"<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><circle cx="32" cy="32" r="24" fill="#c63"/></svg>"##;
                answer(StatusCode::OK, "image/svg+xml", image.to_owned())
            }
            ["keys"] => answer(StatusCode::OK, "application/jwk-set+json", self.keys.to_string()),
            ["slow"] => {
                tokio::time::sleep(SLOW).await;
                answer(StatusCode::OK, "application/json", json!({"late": true}).to_string())
            }
            ["failing"] => answer(StatusCode::INTERNAL_SERVER_ERROR, "application/json", json!({"error": "out of order"}).to_string()),
            _ => answer(StatusCode::NOT_FOUND, "application/json", json!({"error": "no such page"}).to_string()),
        }
    }
}

/// Whether this one is asked for: all are where a query does not list some.
fn is_asked(query: &str, parameter: &str, id: u32) -> bool {
    let listed = query.strip_prefix(parameter).and_then(|rest| rest.strip_prefix('='));
    listed.is_none_or(|ids| ids.split(',').any(|wanted| wanted == id.to_string()))
}

fn user(id: &str) -> Value {
    let plan = if id == "1" { "plus" } else { "free" };
    json!({"id": id, "name": format!("User {id}"), "plan": plan})
}

impl Shop {
    fn product(&self, id: u32) -> Value {
        json!({
            "id": id,
            "title": format!("Lamp No. {id}"),
            "price": {"amount": 1990 + id * 100, "currency": "EUR"},
            "images": {
                "thumb": format!("/images/{id}.svg"),
                "hd": format!("/images/{id}.svg?width=3840"),
                "gallery_hd": (1..=8).map(|view| format!("/images/{id}.svg?width=3840&view={view}")).collect::<Vec<_>>(),
            },
            "description": "A lamp that gives a warm light, from a small workshop. It comes with a bulb and two metres of cable.",
            "debug": {"served_by": self.version, "shard": id % 4},
        })
    }
}

pub(super) fn answer(status: StatusCode, kind: &'static str, body: String) -> Response<Vec<u8>> {
    let mut answer = Response::new(body.into_bytes());
    *answer.status_mut() = status;
    let length = answer.body().len();
    answer.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    answer.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
    answer
}
