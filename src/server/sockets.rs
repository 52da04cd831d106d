//! The sockets that are listened on.

use std::net::{SocketAddr, TcpListener};

/// One socket, and the address that it has.
pub(super) struct Held {
    pub address: SocketAddr,
    listener: TcpListener,
}

impl Held {
    /// The socket, as the runtime of the thread that asks accepts on it.
    pub(super) fn into_tokio(self) -> std::io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(self.listener)
    }

    /// The same socket for one more thread.
    pub(super) fn share(&self) -> Result<Self, String> {
        let listener = self.listener.try_clone().map_err(|error| format!("the socket of {} cannot be shared: {error}", self.address))?;
        Ok(Self { address: self.address, listener })
    }
}

pub(super) fn bind(address: SocketAddr) -> Result<Held, String> {
    let cannot = |error: std::io::Error| format!("cannot listen on {address}: {error}");
    let listener = TcpListener::bind(address).map_err(cannot)?;
    listener.set_nonblocking(true).map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    Ok(Held { address, listener })
}
