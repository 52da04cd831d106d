//! The measure of all figures: the smallest proxy that Pingora allows, with the gateway's allocator and profile.
//!
//! `cargo run --release --example bare -- 127.0.0.1:8081 127.0.0.1:8090` forwards everything from the second address to the first; with a
//! certificate and its key after that, clients speak TLS. `h2` in front of those: the origin speaks HTTP/2.

use async_trait::async_trait;
use pingora_core::Result;
use pingora_core::apps::HttpServerOptions;
use pingora_core::listeners::tls::TlsSettings;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

#[cfg(feature = "mimalloc")]
#[path = "../src/allocator.rs"]
mod allocator;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

struct Bare(HttpPeer);

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();
    fn new_ctx(&self) {}
    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(self.0.clone()))
    }
}

fn main() {
    let addresses: Vec<String> = std::env::args().skip(1).collect();
    let [origin, listen, rest @ ..] = &addresses[..] else { panic!("two addresses: the origin's and ours") };
    let (h2, rest) = match rest {
        [first, rest @ ..] if first == "h2" => (true, rest),
        rest => (false, rest),
    };
    let mut peer = HttpPeer::new(origin.as_str(), false, String::new());
    if h2 {
        peer.options.set_http_version(2, 2);
        peer.options.max_h2_streams = 100;
    }
    let mut server = Server::new_with_opt_and_conf(None, ServerConf { threads: 1, ..ServerConf::default() });
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Bare(peer));
    // One look at each connection's first bytes, for the scenario in which clients speak HTTP/2.
    let mut options = HttpServerOptions::default();
    options.h2c = true;
    service.app_logic_mut().expect("a service has its logic until it starts").server_options = Some(options);
    match rest {
        [] => service.add_tcp(listen),
        [cert, key] => {
            let mut settings = TlsSettings::intermediate(cert, key).expect("a certificate and its key");
            settings.enable_h2();
            service.add_tls_with_settings(listen, None, settings);
        }
        _ => panic!("a certificate and its key"),
    }
    server.add_service(service);
    server.run_forever();
}
