//! Who operates: what the log says of whoever changed something.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// An operator, as far as the gateway can tell: an address, and the name of the token that was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    peer: SocketAddr,
    token: Option<String>,
}

impl Who {
    /// The operator at this address, with the token of this name where one is asked for.
    pub(crate) fn new(peer: SocketAddr, token: Option<String>) -> Self {
        let ip: IpAddr = peer.ip().to_canonical();
        Self { peer: SocketAddr::new(ip, peer.port()), token }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.token {
            Some(name) => write!(f, "{} with the token of `{name}`", self.peer),
            None => write!(f, "{} without a token", self.peer),
        }
    }
}
