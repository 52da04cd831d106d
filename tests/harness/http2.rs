//! A client of HTTP/2 with prior knowledge.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};

use super::PATIENCE;

/// Runs this with a connection to the gateway, with an end to its waits.
pub fn over_http2<T>(address: SocketAddr, scenario: impl AsyncFnOnce(SendRequest<Bytes>) -> T) -> T {
    over_http2_as(&Builder::new(), address, scenario)
}

/// The same for a client with settings of its own.
pub fn over_http2_as<T>(settings: &Builder, address: SocketAddr, scenario: impl AsyncFnOnce(SendRequest<Bytes>) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(address).await.expect("the gateway listens");
        let (client, connection) = settings.handshake(socket).await.expect("HTTP/2 is spoken");
        tokio::spawn(async move {
            let _ = connection.await;
        });
        let scenario = scenario(client.ready().await.expect("a stream may be opened"));
        tokio::time::timeout(PATIENCE, scenario).await.expect("an end of the scenario")
    })
}
