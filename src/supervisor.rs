//! What systemd, or whoever else started the gateway and gave it `NOTIFY_SOCKET`, is told: when it serves, reloads, ends, and that it turns.
//!
//! The messages are those of sd_notify(3), a datagram each. Who does not listen is not waited for for long, and without the variable there is
//! nobody to tell.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a message may wait for room in the socket.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whom the gateway tells of itself.
#[derive(Debug)]
pub(crate) struct Supervisor {
    socket: UnixDatagram,
    address: SocketAddr,
    watchdog: Option<Duration>,
    /// Whether it was told that the process ends, or that another is in its place: it hears of nothing else then.
    is_over: AtomicBool,
}

/// A reload that it was told of; dropping it says that the reload is over.
#[must_use = "it is over when this is dropped"]
pub(crate) struct Reloading<'a>(Option<&'a Supervisor>);

impl Supervisor {
    /// Whoever the environment names. `before` is the process whose place this one takes, which the variables may have been meant for, and how
    /// often that one told that it turns: whoever watched it goes on.
    pub(crate) fn of_environment(before: Option<(u32, Option<Duration>)>) -> Option<Self> {
        let path = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty())?;
        let variable = |name: &str| std::env::var(name).ok();
        let own = [Some(std::process::id()), before.map(|(process, _)| process)];
        let period = period(variable("WATCHDOG_USEC").as_deref(), variable("WATCHDOG_PID").as_deref(), &own);
        let period = period.or_else(|| before.and_then(|(_, period)| period));
        match Self::at(path.as_bytes(), period) {
            Ok(supervisor) => Some(supervisor),
            Err(error) => {
                log::warn!("NOTIFY_SOCKET `{}` cannot be written to: {error}", path.display());
                None
            }
        }
    }

    fn at(path: &[u8], watchdog: Option<Duration>) -> std::io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket, address: address(path)?, watchdog, is_over: AtomicBool::new(false) })
    }

    /// How often it wants to hear that the gateway turns, where it wants to.
    pub(crate) fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The gateway serves. As the main process, since another one may have been that.
    pub(crate) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nMAINPID={}\nSTATUS={}\n", std::process::id(), line(status)));
    }

    /// The gateway reads its configuration again, until what this gives is dropped.
    pub(crate) fn reloading(&self) -> Reloading<'_> {
        let mut message = "RELOADING=1\n".to_owned();
        if let Some(now) = monotonic_usec() {
            let _ = writeln!(message, "MONOTONIC_USEC={now}");
        }
        self.tell(&message);
        Reloading(Some(self))
    }

    /// What the gateway does now, for people.
    pub(crate) fn status(&self, status: &str) {
        self.tell(&format!("STATUS={}\n", line(status)));
    }

    /// The gateway turns.
    pub(crate) fn turns(&self) {
        self.tell("WATCHDOG=1\n");
    }

    /// The gateway is about to end, and may take so long: that is given to it, even where it is more than the supervisor meant to wait.
    pub(crate) fn stopping(&self, status: &str, longest: Duration) {
        self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}\nSTATUS={}\n", longest.as_micros(), line(status)));
        self.is_over.store(true, Ordering::Release);
    }

    /// Another process has taken this one's place.
    pub(crate) fn replaced_by(&self, process: u32) {
        self.tell(&format!("MAINPID={process}\n"));
        self.is_over.store(true, Ordering::Release);
    }

    fn tell(&self, message: &str) {
        if !self.is_over.load(Ordering::Acquire)
            && let Err(error) = self.socket.send_to_addr(message.as_bytes(), &self.address)
        {
            log::debug!("NOTIFY_SOCKET could not be told `{}`: {error}", message.trim().replace('\n', " "));
        }
    }
}

impl<'a> Reloading<'a> {
    /// Of this supervisor, where there is one.
    pub(crate) fn of(supervisor: Option<&'a Supervisor>) -> Self {
        supervisor.map_or(Self(None), Supervisor::reloading)
    }
}

impl Drop for Reloading<'_> {
    fn drop(&mut self) {
        if let Some(supervisor) = self.0 {
            supervisor.tell("READY=1\n");
        }
    }
}

/// A path, or a name that no file has where it begins with `@`.
fn address(path: &[u8]) -> std::io::Result<SocketAddr> {
    match path {
        [b'/', ..] => SocketAddr::from_pathname(std::path::Path::new(std::ffi::OsStr::from_bytes(path))),
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name),
        _ => Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is neither a path nor begins with `@`")),
    }
}

/// One line of at most so many bytes that a message stays small.
fn line(text: &str) -> String {
    const MOST: usize = 200;
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST).collect()
}

/// How often somebody wants to hear of this process, twice as often as is too seldom.
fn period(usec: Option<&str>, pid: Option<&str>, own: &[Option<u32>]) -> Option<Duration> {
    if let Some(pid) = pid
        && !own.contains(&Some(pid.parse().ok()?))
    {
        return None;
    }
    let usec: u64 = usec?.parse().ok().filter(|usec| *usec > 0)?;
    Some(Duration::from_micros(usec) / 2)
}

/// The time of the clock that systemd compares.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "there is no safe way to ask for it")]
fn monotonic_usec() -> Option<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one `timespec`, which is there.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).ok()?;
    (result == 0).then_some(seconds * 1_000_000 + u64::try_from(time.tv_nsec).ok()? / 1000)
}

#[cfg(not(target_os = "linux"))]
fn monotonic_usec() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A supervisor and who hears what it is told.
    fn pair(name: &str) -> (Supervisor, UnixDatagram) {
        let path = format!("@frontgate-supervisor-{}-{name}", std::process::id());
        let heard = UnixDatagram::bind_addr(&address(path.as_bytes()).expect("an address")).expect("a free name");
        heard.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        (Supervisor::at(path.as_bytes(), None).expect("a socket"), heard)
    }

    fn next(heard: &UnixDatagram) -> String {
        let mut space = [0; 1024];
        let count = heard.recv(&mut space).expect("a message");
        String::from_utf8_lossy(&space[..count]).into_owned()
    }

    #[test]
    fn a_reload_begins_and_ends_and_after_the_end_nothing_is_said() {
        let (supervisor, heard) = pair("reload");

        supervisor.ready("it\nserves");
        assert_eq!(next(&heard), format!("READY=1\nMAINPID={}\nSTATUS=it serves\n", std::process::id()));
        let reloading = supervisor.reloading();
        let said = next(&heard);
        let usec = said.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|rest| rest.trim().parse::<u64>().ok());
        assert!(usec.is_some_and(|usec| usec > 0), "{said}");
        drop(reloading);
        assert_eq!(next(&heard), "READY=1\n");

        supervisor.stopping("draining", Duration::from_secs(45));
        assert_eq!(next(&heard), "STOPPING=1\nEXTEND_TIMEOUT_USEC=45000000\nSTATUS=draining\n");
        drop(supervisor.reloading());
        supervisor.turns();
        heard.set_nonblocking(true).expect("a flag");
        assert!(heard.recv(&mut [0; 1024]).is_err());
    }

    #[test]
    fn a_watchdog_is_for_the_process_that_it_names() {
        let own = [Some(7), Some(9)];

        assert_eq!(period(Some("3000000"), None, &own), Some(Duration::from_millis(1500)));
        assert_eq!(period(Some("3000000"), Some("7"), &own), Some(Duration::from_millis(1500)));
        assert_eq!(period(Some("3000000"), Some("9"), &own), Some(Duration::from_millis(1500)), "whose place it takes");
        for (usec, pid) in
            [(Some("3000000"), Some("8")), (Some("3000000"), Some("x")), (Some("0"), None), (Some("x"), None), (None, Some("7"))]
        {
            assert_eq!(period(usec, pid, &own), None, "{usec:?} {pid:?}");
        }
    }

    #[test]
    fn other_addresses_than_paths_and_abstract_names_are_refused() {
        assert!(address(b"/run/systemd/notify").is_ok() && address(b"@name").is_ok());
        for path in [&b"vsock:2:1234"[..], b"relative", b""] {
            assert!(address(path).is_err());
        }
    }
}
