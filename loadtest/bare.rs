//! The measure of all figures: the smallest proxy that Pingora allows, with the gateway's allocator and profile.
//!
//! `cargo run --release --example bare -- 127.0.0.1:8081 127.0.0.1:8090` forwards everything from the second address to the first; with a
//! certificate and its key after that, clients speak TLS.

use async_trait::async_trait;
use pingora_core::Result;
use pingora_core::apps::HttpServerOptions;
use pingora_core::listeners::tls::TlsSettings;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    let (origin, listen, pair) = match &addresses[..] {
        [origin, listen] => (origin, listen, None),
        [origin, listen, cert, key] => (origin, listen, Some((cert, key))),
        _ => panic!("two addresses, the origin's and ours, and perhaps a certificate and its key"),
    };
    let mut server = Server::new_with_opt_and_conf(None, ServerConf { threads: 1, ..ServerConf::default() });
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Bare(HttpPeer::new(origin.as_str(), false, String::new())));
    // One look at each connection's first bytes, for the scenario in which clients speak HTTP/2.
    let mut options = HttpServerOptions::default();
    options.h2c = true;
    service.app_logic_mut().expect("a service has its logic until it starts").server_options = Some(options);
    match pair {
        None => service.add_tcp(listen),
        Some((cert, key)) => {
            let mut settings = TlsSettings::intermediate(cert, key).expect("a certificate and its key");
            settings.enable_h2();
            service.add_tls_with_settings(listen, None, settings);
        }
    }
    server.add_service(service);
    server.run_forever();
}
