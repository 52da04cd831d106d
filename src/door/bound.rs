//! Sockets that are listened on: bound by this process, or handed to it by who had them before.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};

use serde::{Deserialize, Serialize};

/// One socket, and the address that it has.
#[derive(Debug)]
pub(crate) struct Bound {
    /// The address, with the port that was taken for 0.
    pub address: SocketAddr,
    /// Whether somebody else keeps it, too, and listens on: whoever waits there when this process ends is theirs.
    pub is_shared: bool,
    listener: TcpListener,
}

impl Bound {
    /// Listens at this address from now on.
    pub(crate) fn listen(address: SocketAddr) -> Result<Self, std::io::Error> {
        Self::of(TcpListener::bind(address)?, false)
    }

    /// The same in words, where it cannot be had.
    pub(crate) fn listen_or_say(address: SocketAddr) -> Result<Self, String> {
        Self::listen(address).map_err(|error| cannot(address, &error))
    }

    /// A socket that listens already; an error where it is none.
    pub(crate) fn handed(descriptor: OwnedFd, is_shared: bool) -> std::io::Result<Self> {
        if !nix::sys::socket::getsockopt(&descriptor.as_fd(), nix::sys::socket::sockopt::AcceptConn)? {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it does not listen"));
        }
        Self::of(TcpListener::from(descriptor), is_shared)
    }

    fn of(listener: TcpListener, is_shared: bool) -> std::io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { address: listener.local_addr()?, is_shared, listener })
    }

    /// The socket, as the runtime of the thread that asks accepts on it.
    pub(crate) fn into_tokio(self) -> std::io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(self.listener)
    }

    /// The same socket for one more.
    pub(crate) fn share(&self) -> Result<Self, String> {
        let listener = self.listener.try_clone().map_err(|error| format!("the socket of {} cannot be shared: {error}", self.address))?;
        Ok(Self { address: self.address, is_shared: self.is_shared, listener })
    }
}

impl AsFd for Bound {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// Why an address cannot be listened on.
pub(crate) fn cannot(address: SocketAddr, error: &std::io::Error) -> String {
    format!("cannot listen on {address}: {error}")
}

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Clients.
    Listener,
    /// `server.admin`.
    Admin,
    /// `server.status`.
    Status,
}

/// Sockets that others had before, until they are taken.
#[derive(Debug, Default)]
pub(crate) struct Inherited(Vec<Handed>);

/// One of them.
#[derive(Debug)]
pub(crate) struct Handed {
    /// What it is for, where that was said.
    pub role: Option<Role>,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// What its address was in the configuration of who had it.
    pub configured: Option<SocketAddr>,
    /// The socket.
    pub bound: Bound,
}

impl Inherited {
    /// These.
    pub(crate) fn new(sockets: Vec<Handed>) -> Self {
        Self(sockets)
    }

    /// The socket for this address of the configuration, which may have a name: the one of that name, else the one that was for it before, else
    /// the first that has the address.
    pub(crate) fn take(&mut self, role: Role, name: Option<&str>, address: SocketAddr) -> Option<Bound> {
        let for_it = |socket: &Handed| socket.role.is_none_or(|other| other == role);
        let ways: [&dyn Fn(&Handed) -> bool; 5] = [
            &|socket| for_it(socket) && name.is_some() && socket.name.as_deref() == name,
            &|socket| for_it(socket) && socket.configured == Some(address),
            // Of these there is one each.
            &|socket| role != Role::Listener && socket.role == Some(role),
            &|socket| for_it(socket) && socket.bound.address == address,
            &|socket| for_it(socket) && is_everywhere(socket.bound.address, address),
        ];
        let index = ways.iter().find_map(|way| self.0.iter().position(way))?;
        Some(self.0.remove(index).bound)
    }

    /// These, and then the others.
    pub(crate) fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// The addresses of those that nobody took.
    pub(crate) fn left(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().map(|socket| socket.bound.address)
    }
}

/// Whether both are all addresses of a machine with the same port: those of IPv6 with those of IPv4 among them, as systemd has them.
fn is_everywhere(bound: SocketAddr, written: SocketAddr) -> bool {
    bound.port() == written.port() && bound.ip().is_unspecified() && written.ip().is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(role: Option<Role>, configured: Option<&str>, at: &str) -> Handed {
        let bound = Bound::listen(at.parse().expect("an address")).expect("a free port");
        Handed { role, name: None, configured: configured.map(|address| address.parse().expect("an address")), bound }
    }

    #[test]
    fn a_socket_is_for_who_had_it_then_for_whose_address_it_has() {
        let port_0: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let sockets = [
            socket(Some(Role::Admin), Some("127.0.0.1:0"), "127.0.0.1:0"),
            socket(Some(Role::Listener), Some("127.0.0.1:0"), "127.0.0.1:0"),
            socket(Some(Role::Listener), Some("127.0.0.1:0"), "127.0.0.1:0"),
            socket(None, None, "127.0.0.1:0"),
            socket(None, None, "0.0.0.0:0"),
            socket(Some(Role::Status), None, "127.0.0.1:0"),
        ];
        let at: Vec<SocketAddr> = sockets.iter().map(|socket| socket.bound.address).collect();
        let mut inherited = Inherited::new(sockets.into());
        let web = Handed { name: Some("web".to_owned()), ..socket(None, None, "127.0.0.1:0") };
        let web_at = web.bound.address;
        inherited.0.push(web);
        assert_eq!(
            inherited.take(Role::Listener, Some("web"), port_0).map(|bound| bound.address),
            Some(web_at),
            "by its name before all else"
        );
        let mut take = |role, address| inherited.take(role, Some("other"), address).map(|bound| bound.address);

        assert_eq!(take(Role::Listener, port_0), Some(at[1]), "in the order in which they were configured");
        assert_eq!(take(Role::Listener, port_0), Some(at[2]));
        assert_eq!(take(Role::Listener, port_0), None);
        assert_eq!(take(Role::Listener, at[0]), None, "it is for operators");
        assert_eq!(take(Role::Admin, port_0), Some(at[0]));
        assert_eq!(take(Role::Listener, at[3]), Some(at[3]));
        assert_eq!(take(Role::Listener, SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), at[4].port())), Some(at[4]));
        assert_eq!(take(Role::Status, port_0), Some(at[5]), "by its name");
        assert_eq!(inherited.left().count(), 0);
    }

    #[test]
    fn what_does_not_listen_is_no_socket_to_inherit() {
        let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");

        assert!(Bound::handed(datagrams.into(), false).is_err());

        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        assert_eq!(Bound::handed(listener.into(), true).map(|bound| (bound.address, bound.is_shared)).ok(), Some((address, true)));
    }
}
