//! What a socket tells and takes beside its bytes: how much of what was written the client's side has taken, how long it may take nothing,
//! and how a listening socket is closed without a reset for anybody.
//!
//! All of it is Linux's. Elsewhere what is asked for is not to be had, and the deadlines fall back on what the kernel takes.

use std::os::fd::AsRawFd;
use std::time::Duration;

/// How many of the bytes that were written the client's side has not taken: what the kernel holds is not with the client.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "there is no safe way to ask for it")]
pub(super) fn not_taken(socket: &impl AsRawFd) -> Option<u64> {
    let mut count: libc::c_int = 0;
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and the kernel writes one number.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
    if result == 0 { u64::try_from(count).ok() } else { None }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn not_taken(_: &impl AsRawFd) -> Option<u64> {
    None
}

/// From now on the kernel ends the connection, even one that is closed already, once the client's side has taken nothing of what is there for
/// it for so long.
#[cfg(target_os = "linux")]
pub(super) fn end_unless_taken_within(socket: &impl AsRawFd, time: Duration) {
    // Of nothing at all the kernel would make its own default.
    let millis = u32::try_from(time.as_millis()).unwrap_or(u32::MAX).clamp(1, i32::MAX as u32);
    set(socket, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, &millis);
}

#[cfg(not(target_os = "linux"))]
pub(super) fn end_unless_taken_within(_: &impl AsRawFd, _: Duration) {}

/// From now on the kernel asks the other side now and then whether it is still there, while nothing else is said, and ends the connection two
/// minutes after the last sign of life.
#[cfg(target_os = "linux")]
pub(crate) fn keep_alive(socket: &impl AsRawFd) {
    const ON: libc::c_int = 1;
    const SECONDS: [(libc::c_int, libc::c_int); 3] = [(libc::TCP_KEEPIDLE, 60), (libc::TCP_KEEPINTVL, 15), (libc::TCP_KEEPCNT, 4)];
    set(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, &ON);
    for (option, value) in SECONDS {
        set(socket, libc::IPPROTO_TCP, option, &value);
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn keep_alive(_: &impl AsRawFd) {}

/// The kernel holds little of what cannot be sent yet, as it cannot where the client does not read: its memory is not for that. What is on
/// its way is not bounded by this.
#[cfg(target_os = "linux")]
pub(super) fn hold_little(socket: &impl AsRawFd) {
    const UNSENT: u32 = 128 << 10;
    set(socket, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, &UNSENT);
}

#[cfg(not(target_os = "linux"))]
pub(super) fn hold_little(_: &impl AsRawFd) {}

/// From now on nobody begins to connect, while whoever has begun is still let in. What is dropped here is sent again a second later, to a
/// socket that is closed by then.
#[cfg(target_os = "linux")]
pub(super) fn let_nobody_begin(listener: &impl AsRawFd) {
    const FLAGS: u32 = 13;
    const SYN: u32 = 2;
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    // Of a segment, which begins with TCP's header: drop it where it asks for a connection, else keep all of it.
    let mut steps = [
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, FLAGS),
        step(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 0, 1, SYN),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    set(listener, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program);
}

#[cfg(not(target_os = "linux"))]
pub(super) fn let_nobody_begin(_: &impl AsRawFd) {}

/// Sets an option; a kernel that does not know it goes on without.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "there is no safe way to set these")]
fn set<T>(socket: &impl AsRawFd, level: libc::c_int, option: libc::c_int, value: &T) {
    // SAFETY: the descriptor is open for as long as `socket` is borrowed; the kernel reads one `T`, and what a filter points to, at once.
    unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, std::ptr::from_ref(value).cast(), size_of::<T>() as libc::socklen_t) };
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Instant;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("it listens");
        (listener.accept().expect("a connection").0, client)
    }

    fn until(what: &str, mut condition: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < end, "{what} did not come about");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Writes until the kernel takes no more; how much that was.
    fn fill(mut socket: &TcpStream) -> u64 {
        socket.set_nonblocking(true).expect("a flag");
        let mut sent = 0;
        loop {
            match socket.write(&[b'x'; 1 << 16]) {
                Ok(count) => sent += count as u64,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    return sent;
                }
            }
        }
    }

    #[test]
    fn what_the_kernel_holds_is_not_taken() {
        let (server, mut client) = pair();
        assert_eq!(not_taken(&server), Some(0));
        let sent = fill(&server);
        let held = not_taken(&server).expect("a number");
        assert!((1..=sent).contains(&held), "{held} of {sent}");

        client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut all = vec![0; sent as usize];
        client.read_exact(&mut all).expect("all of it");

        until("all of it to be taken", || not_taken(&server) == Some(0));
    }

    #[test]
    fn little_is_held_for_who_does_not_read() {
        let (server, _client) = pair();
        let (other, _other_client) = pair();
        hold_little(&server);

        let (little, much) = (fill(&server), fill(&other));

        assert!(little < much && little < 1 << 20, "{little} and {much} bytes");
    }

    #[test]
    fn the_kernel_ends_who_takes_nothing() {
        let (server, _client) = pair();
        end_unless_taken_within(&server, Duration::from_millis(300));
        fill(&server);

        until("an end", || (&server).write(b"x").is_err_and(|error| error.kind() == ErrorKind::TimedOut));
    }

    #[test]
    fn who_has_begun_to_connect_is_let_in_and_nobody_else_begins() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let mut early: Vec<TcpStream> = (0..5).map(|_| TcpStream::connect(address).expect("it listens")).collect();

        let_nobody_begin(&listener);

        let late = TcpStream::connect_timeout(&address, Duration::from_millis(100));
        assert_eq!(late.expect_err("nobody is let in").kind(), ErrorKind::TimedOut);
        for client in &mut early {
            client.write_all(b"hello").expect("it is connected");
            let (mut server, _) = listener.accept().expect("it was let in");
            server.read_exact(&mut [0; 5]).expect("what it says is heard");
        }
    }
}
