//! The sockets that are listened on, and how one is given to a service.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Arc;

use parking_lot::Mutex;
use pingora_core::apps::ServerApp;
use pingora_core::listeners::{L4BufferSettings, ListenerConfig};
use pingora_core::server::Fds;
use pingora_core::services::Service as _;
use pingora_core::services::listening::Service;
use tokio::sync::watch;

/// One socket with the name that Pingora knows it by.
pub(super) struct Held {
    name: String,
    pub address: SocketAddr,
    listener: TcpListener,
}

pub(super) async fn listen<A: ServerApp + Send + Sync + 'static>(held: Held, app: A, shut: watch::Receiver<bool>) {
    let mut service = Service::new(held.name.clone(), app);
    service.add_listener(ListenerConfig::tcp(&held.name).l4_buffer(L4BufferSettings::default().read(0)));
    let mut fds = Fds::new();
    fds.add(held.name, held.listener.into_raw_fd());
    service.start_service(Some(Arc::new(Mutex::new(fds))), shut, 1).await;
}

impl Held {
    /// The socket, as the runtime of the thread that asks accepts on it.
    pub(super) fn into_tokio(self) -> std::io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(self.listener)
    }

    /// The same socket for one more thread.
    pub(super) fn share(&self) -> Result<Self, String> {
        let listener = self.listener.try_clone().map_err(|error| format!("the socket of {} cannot be shared: {error}", self.address))?;
        Ok(Self { name: self.name.clone(), address: self.address, listener })
    }
}

pub(super) fn bind(address: SocketAddr) -> Result<Held, String> {
    let cannot = |error: std::io::Error| format!("cannot listen on {address}: {error}");
    let listener = TcpListener::bind(address).map_err(cannot)?;
    listener.set_nonblocking(true).map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    Ok(Held { name: address.to_string(), address, listener })
}
