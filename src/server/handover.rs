//! One process takes the place of another and keeps its sockets: no connection is refused, and none that waits is lost.
//!
//! The new process waits at a Unix socket. The old one connects there when it is told to, and sends a list of its sockets and then the sockets,
//! as many as there are. The new one serves with them and says so; only then the old one says that it leaves, and drains. Whoever fails before
//! that leaves the old one serving as it did, and both serve for a moment where nobody fails: each connection is taken by one of them.
//!
//! Both have to be of one user, or of root, and the socket lies in a folder that nobody else can write to.

use std::fs::DirBuilder;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, getsockopt, recvmsg, sendmsg, sockopt::PeerCredentials};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, Interest};

use crate::door::{Bound, Handed, Inherited, Role};
use crate::files::own_user;
use crate::gateway::Passed;

/// What both have to speak.
const PROTOCOL: u32 = 1;
/// The variable that names the socket.
const VARIABLE: &str = "FRONTGATE_UPGRADE_SOCKET";
/// How many sockets one message carries; the kernel takes 253.
const AT_ONCE: usize = 64;
/// The most that the list may take.
const LONGEST: u32 = 1 << 20;
/// How long the new process may take until it serves, and has said so: it has read and checked its configuration before.
const START: Duration = Duration::from_secs(60);
/// How long one of them waits for all of what the other only has to say, however it drips.
const WORD: Duration = Duration::from_secs(10);
/// What the new process says, and what the old one answers.
const SERVING: &[u8; 8] = b"serving\n";
const LEAVING: &[u8; 8] = b"leaving\n";

/// What comes before the sockets.
#[derive(Serialize, Deserialize)]
struct Announced {
    protocol: u32,
    version: String,
    /// How often the supervisor of both wants to hear of the one that serves, in microseconds: its variables may name the old process alone, or be
    /// missing where it did not start the new one as the main process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    watchdog: Option<u64>,
    sockets: Vec<Socket>,
}

#[derive(Serialize, Deserialize)]
struct Socket {
    role: Role,
    configured: SocketAddr,
    /// Whether a third one listens there, too.
    shared: bool,
}

/// The process at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its process identifier.
    pub process: u32,
}

/// Why no other process took the place of this one, which serves on or drains accordingly.
#[derive(Debug)]
pub(crate) enum NotGiven {
    /// Nobody waits there; in words why not, where it is not that nothing is there.
    Nobody(Option<String>),
    /// Somebody does, and it came to nothing.
    Failed(String),
}

/// Where one process waits for the other: `named`, else what the environment names, else a place of its user's own.
pub(crate) fn place(named: Option<&Path>) -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = named.map(Path::to_owned).or_else(|| variable(VARIABLE).map(PathBuf::from)) {
        return path;
    }
    // Of several directories of a unit the first.
    let runtime = variable("RUNTIME_DIRECTORY").and_then(|paths| {
        let first = paths.to_string_lossy().split(':').next().unwrap_or_default().to_owned();
        (!first.is_empty()).then(|| PathBuf::from(first))
    });
    let folder = runtime.or_else(|| variable("XDG_RUNTIME_DIR").map(|folder| PathBuf::from(folder).join("frontgate")));
    folder
        .unwrap_or_else(|| match own_user() {
            0 => "/run/frontgate".into(),
            user => format!("/tmp/frontgate-{user}").into(),
        })
        .join("upgrade.sock")
}

/// The folder of this path, where nobody else can put something there.
fn folder(path: &Path) -> Result<&Path, String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cannot = |what: &str| format!("`{}` cannot be used for an upgrade: {what}", folder.display());
    // A link would be somebody's, too.
    let about = folder.symlink_metadata().map_err(|error| cannot(&error.to_string()))?;
    if !about.is_dir() {
        return Err(cannot("it is not a directory"));
    }
    if ![0, own_user()].contains(&about.uid()) {
        return Err(cannot(&format!("it belongs to another user ({})", about.uid())));
    }
    if about.mode() & 0o022 != 0 {
        return Err(cannot(&format!("others can write to it (its mode is {:o})", about.mode() & 0o7777)));
    }
    Ok(folder)
}

/// Who is at the other end, where that is this user or root.
fn peer(stream: &impl AsFd) -> Result<Peer, String> {
    let found = getsockopt(&stream.as_fd(), PeerCredentials).map_err(|error| format!("it is not known who is there: {error}"))?;
    if found.uid() != 0 && found.uid() != own_user() {
        return Err(format!("a process of another user ({}) is there", found.uid()));
    }
    Ok(Peer { process: u32::try_from(found.pid()).unwrap_or_default() })
}

/// A process that waits to take another one's place; dropping it removes the socket.
pub(crate) struct Waiting {
    listener: UnixListener,
    path: PathBuf,
}

impl Waiting {
    /// Waits at this path.
    pub(crate) fn at(path: &Path) -> Result<Self, String> {
        let cannot = |error: io::Error| format!("`{}` cannot be waited at: {error}", path.display());
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
            DirBuilder::new().mode(0o700).create(folder).map_err(cannot)?;
        }
        folder(path)?;
        match path.symlink_metadata() {
            Ok(about) if !about.file_type().is_socket() => return Err(format!("`{}` is there, and is no socket", path.display())),
            Ok(_) if UnixStream::connect(path).is_ok() => return Err(format!("another process waits at `{}` already", path.display())),
            // Left there by one that ended without a chance to clear up.
            Ok(_) => std::fs::remove_file(path).map_err(cannot)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(cannot(error)),
        }
        let listener = UnixListener::bind(path).map_err(cannot)?;
        let waiting = Self { listener, path: path.to_owned() };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(cannot)?;
        waiting.listener.set_nonblocking(true).map_err(cannot)?;
        Ok(waiting)
    }

    /// Waits for the other process, and takes its sockets. Whoever comes and is not let in, or fails, is told of in the log, and waited on for.
    pub(crate) async fn taken(&self) -> io::Result<Taken> {
        let listener = tokio::net::UnixListener::from_std(self.listener.try_clone()?)?;
        loop {
            let stream = listener.accept().await?.0;
            let too_long = |_| Err(format!("it took longer than {WORD:?} to hand over its sockets"));
            match tokio::time::timeout(WORD, receive(stream)).await.unwrap_or_else(too_long) {
                Ok(taken) => return Ok(taken),
                Err(why) => log::error!("an upgrade came to nothing, and the next one is waited for: {why}"),
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Another process's sockets, while that one waits to hear that they are served.
pub(crate) struct Taken {
    /// The sockets.
    pub inherited: Inherited,
    /// Whose they were.
    pub peer: Peer,
    /// How often that one told its supervisor that it turns, where it did.
    pub watchdog: Option<Duration>,
    stream: UnixStream,
}

async fn receive(mut stream: tokio::net::UnixStream) -> Result<Taken, String> {
    let peer = peer(&stream)?;
    let wrong = |error: io::Error| error.to_string();
    let mut length = [0; 4];
    stream.read_exact(&mut length).await.map_err(wrong)?;
    let length = u32::from_be_bytes(length);
    if length > LONGEST {
        return Err(format!("the list of sockets has {length} bytes"));
    }
    let mut list = vec![0; length as usize];
    stream.read_exact(&mut list).await.map_err(wrong)?;
    let list: Announced = serde_json::from_slice(&list).map_err(|error| format!("the list of sockets cannot be read: {error}"))?;
    if list.protocol != PROTOCOL {
        return Err(format!("frontgate {} has another way to hand over its sockets", list.version));
    }
    let mut sockets = Vec::new();
    for batch in list.sockets.chunks(AT_ONCE) {
        let descriptors = stream.async_io(Interest::READABLE, || receive_some(&stream)).await.map_err(wrong)?;
        if descriptors.len() != batch.len() {
            return Err(format!("{} sockets came instead of {}: are there descriptors left?", descriptors.len(), batch.len()));
        }
        for (descriptor, socket) in descriptors.into_iter().zip(batch) {
            let bound =
                Bound::handed(descriptor, socket.shared).map_err(|error| format!("the socket of {}: {error}", socket.configured))?;
            sockets.push(Handed { role: Some(socket.role), name: None, configured: Some(socket.configured), bound });
        }
    }
    let watchdog = list.watchdog.filter(|usec| *usec > 0).map(Duration::from_micros);
    let stream = stream.into_std().map_err(wrong)?;
    stream.set_nonblocking(false).map_err(wrong)?;
    Ok(Taken { inherited: Inherited::new(sockets), peer, watchdog, stream })
}

impl Taken {
    /// Says that the sockets are served. An error where the other process does not leave because of that: it goes on as if nothing had been.
    pub(crate) fn served(mut self) -> Result<(), String> {
        let mut answer = [0; LEAVING.len()];
        let until = Instant::now() + WORD;
        let said = self.stream.set_write_timeout(Some(WORD)).and_then(|()| self.stream.write_all(SERVING));
        let said = said.and_then(|()| read_all(&mut self.stream, &mut answer, until));
        match said {
            Ok(()) if answer == *LEAVING => Ok(()),
            Ok(()) => Err("the process before does not leave".to_owned()),
            Err(error) => Err(format!("the process before does not leave: {error}")),
        }
    }
}

/// Hands these sockets to the process that waits at this path, and returns once it serves: this one must leave them then. `watchdog` is how often
/// that one has to tell the supervisor that it turns.
pub(crate) fn give(path: &Path, sockets: &[Passed], watchdog: Option<Duration>) -> Result<Peer, NotGiven> {
    if path.symlink_metadata().is_err() {
        return Err(NotGiven::Nobody(None));
    }
    folder(path).map_err(|why| NotGiven::Nobody(Some(why)))?;
    let mut stream = UnixStream::connect(path).map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => NotGiven::Nobody(None),
        _ => NotGiven::Nobody(Some(format!("`{}`: {error}", path.display()))),
    })?;
    let peer = peer(&stream).map_err(|why| NotGiven::Failed(format!("`{}`: {why}", path.display())))?;
    send(&mut stream, sockets, watchdog).map_err(|error| NotGiven::Failed(format!("the sockets cannot be handed over: {error}")))?;
    let mut said = [0; SERVING.len()];
    match read_all(&mut stream, &mut said, Instant::now() + START) {
        Ok(()) if said == *SERVING => {}
        Ok(()) => return Err(NotGiven::Failed(format!("process {} says something else than that it serves", peer.process))),
        Err(error) => {
            let why = match error.kind() {
                io::ErrorKind::UnexpectedEof => "it has ended, or given up; its own log says why".to_owned(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => format!("nothing was heard of it for {START:?}"),
                _ => error.to_string(),
            };
            return Err(NotGiven::Failed(format!("process {} has not begun to serve: {why}", peer.process)));
        }
    }
    // Where this cannot be said any more the other one has ended meanwhile.
    stream.write_all(LEAVING).map_err(|error| NotGiven::Failed(format!("process {} has ended: {error}", peer.process)))?;
    Ok(peer)
}

/// Reads all of it, until then at the latest.
fn read_all(stream: &mut UnixStream, space: &mut [u8], until: Instant) -> io::Result<()> {
    let mut held = 0;
    while held < space.len() {
        // Of no time at all an error would be made.
        stream.set_read_timeout(Some(until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))))?;
        match stream.read(&mut space[held..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => held += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if held < space.len() && Instant::now() >= until {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    Ok(())
}

fn send(stream: &mut UnixStream, sockets: &[Passed], watchdog: Option<Duration>) -> io::Result<()> {
    stream.set_write_timeout(Some(WORD))?;
    let list = sockets.iter().map(|socket| Socket { role: socket.role, configured: socket.configured, shared: socket.bound.is_shared });
    let watchdog = watchdog.and_then(|period| u64::try_from(period.as_micros()).ok());
    let list = Announced { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned(), watchdog, sockets: list.collect() };
    let list = serde_json::to_vec(&list)?;
    let length = u32::try_from(list.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(&list)?;
    for batch in sockets.chunks(AT_ONCE) {
        let descriptors: Vec<RawFd> = batch.iter().map(|socket| socket.bound.as_fd().as_raw_fd()).collect();
        let message = [ControlMessage::ScmRights(&descriptors)];
        // They travel with a byte.
        let sent = sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(b"s")], &message, MsgFlags::MSG_NOSIGNAL, None)?;
        if sent != 1 {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    Ok(())
}

/// The sockets of one message, which no other program gets.
#[allow(unsafe_code, reason = "descriptors come as numbers, and are nobody's yet")]
fn receive_some(stream: &impl AsRawFd) -> io::Result<Vec<OwnedFd>> {
    let (mut byte, mut space) = ([0; 1], nix::cmsg_space!([RawFd; AT_ONCE]));
    let mut parts = [IoSliceMut::new(&mut byte)];
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    if message.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut descriptors = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            // SAFETY: the kernel has just made these descriptors for this process, and nothing else knows of them.
            descriptors.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    Ok(descriptors)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A folder of its own, which goes with its test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("frontgate-handover-{}-{name}", std::process::id()));
            DirBuilder::new().mode(0o700).create(&folder).expect("a folder");
            Self(folder)
        }

        fn path(&self) -> PathBuf {
            self.0.join("upgrade.sock")
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn passed(count: usize) -> Vec<Passed> {
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let socket = |_| Passed { role: Role::Listener, configured: any, bound: Bound::listen(any).expect("a free port") };
        (0..count).map(socket).collect()
    }

    fn taken(waiting: &Waiting) -> Taken {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { tokio::time::timeout(PATIENCE, waiting.taken()).await.expect("an end").expect("sockets") })
    }

    #[test]
    fn as_many_sockets_as_there_are_are_handed_over_in_their_order() {
        let scratch = Scratch::new("many");
        let waiting = Waiting::at(&scratch.path()).expect("a place");
        let sockets = passed(3 * AT_ONCE + 7);
        let addresses: Vec<SocketAddr> = sockets.iter().map(|socket| socket.bound.address).collect();
        let path = scratch.path();

        let giving = std::thread::spawn(move || give(&path, &sockets, Some(Duration::from_millis(1500))).map(|peer| (peer, sockets)));
        let mut got = taken(&waiting);
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let found: Vec<SocketAddr> =
            (0..addresses.len()).filter_map(|_| got.inherited.take(Role::Listener, None, any)).map(|bound| bound.address).collect();
        let (peer, watchdog) = (got.peer, got.watchdog);
        got.served().expect("the other one leaves");

        let (other, _sockets) = giving.join().expect("no panic").expect("they were given");
        assert_eq!((found, watchdog), (addresses, Some(Duration::from_millis(1500))));
        assert_eq!((other.process, peer.process), (std::process::id(), std::process::id()));
        drop(waiting);
        assert!(!scratch.path().exists());
    }

    #[test]
    fn where_nobody_waits_nothing_is_given_and_where_somebody_fails_nothing_is_lost() {
        let scratch = Scratch::new("nobody");
        assert!(matches!(give(&scratch.path(), &passed(1), None), Err(NotGiven::Nobody(None))));

        let waiting = Waiting::at(&scratch.path()).expect("a place");
        assert!(Waiting::at(&scratch.path()).is_err_and(|why| why.contains("already")));
        let path = scratch.path();
        let giving = std::thread::spawn(move || give(&path, &passed(1), None));
        drop(taken(&waiting));
        let failed = giving.join().expect("no panic");
        assert!(matches!(&failed, Err(NotGiven::Failed(why)) if why.contains("has not begun to serve")), "{failed:?}");

        // As a process leaves it that was killed.
        std::mem::forget(waiting);
    }

    #[test]
    fn a_socket_that_nobody_waits_at_any_more_is_replaced() {
        let scratch = Scratch::new("stale");
        drop(UnixListener::bind(scratch.path()).expect("a place"));
        assert!(matches!(give(&scratch.path(), &passed(1), None), Err(NotGiven::Nobody(None))));

        let waiting = Waiting::at(&scratch.path()).expect("a place");

        let mode = scratch.path().metadata().expect("it is there").mode() & 0o777;
        assert_eq!(mode, 0o600);
        drop(waiting);
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_not_used() {
        let scratch = Scratch::new("open");
        std::fs::set_permissions(&scratch.0, std::fs::Permissions::from_mode(0o777)).expect("a mode");

        assert!(Waiting::at(&scratch.path()).is_err_and(|why| why.contains("others can write to it")));

        std::os::unix::fs::symlink(&scratch.0, scratch.0.join("link")).expect("a link");
        assert!(Waiting::at(&scratch.0.join("link/upgrade.sock")).is_err_and(|why| why.contains("not a directory")));
        std::fs::write(scratch.0.join("file"), "").expect("written");
        std::fs::set_permissions(&scratch.0, std::fs::Permissions::from_mode(0o700)).expect("a mode");
        assert!(Waiting::at(&scratch.0.join("file")).is_err_and(|why| why.contains("no socket")));
    }

    #[test]
    fn who_says_something_else_than_sockets_is_not_believed() {
        let scratch = Scratch::new("garbage");
        let waiting = Waiting::at(&scratch.path()).expect("a place");
        let path = scratch.path();
        let both = std::thread::spawn(move || {
            for garbage in [&[0xff; 8][..], b"\0\0\0\x02{}", b""] {
                let mut stream = UnixStream::connect(&path).expect("somebody waits");
                stream.write_all(garbage).expect("it listens");
            }
            give(&path, &passed(1), None)
        });

        let got = taken(&waiting);
        got.served().expect("the other one leaves");

        assert!(both.join().expect("no panic").is_ok());
    }
}
