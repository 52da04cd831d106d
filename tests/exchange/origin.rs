//! An origin that does with each request what its script says, and remembers exactly what came.

use std::collections::HashMap;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::harness::until;

use super::plan::{Asked, Body, Cut, Framing, Script, put};
use super::wire::{Broken, Head, Wire};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Came {
    pub head: Head,
    pub body: Vec<u8>,
    /// Whether the body came to its end.
    pub whole: bool,
    /// Something was not HTTP.
    pub wrong: Option<String>,
}

/// The origin.
pub struct Origin {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    scripts: Mutex<HashMap<String, (Script, Asked)>>,
    came: Mutex<HashMap<String, Vec<Came>>>,
    strays: Mutex<Vec<String>>,
    active: AtomicUsize,
    stop: AtomicBool,
}

/// How long the origin waits for the rest of a request that it has begun to read.
const PATIENCE: Duration = Duration::from_secs(30);

impl Origin {
    pub fn on(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("the origin's address is free");
        let origin = Self { address: listener.local_addr().expect("an address"), shared: Arc::default() };
        let shared = origin.shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), shared) = (stream, shared.clone()) else { continue };
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        origin
    }

    /// What is to be done with the request of this name.
    pub fn expect(&self, name: &str, script: &Script, asked: &Asked) {
        self.shared.scripts.lock().unwrap().insert(name.to_owned(), (script.clone(), asked.clone()));
    }

    /// What came under this name; it is forgotten with that.
    pub fn take(&self, name: &str) -> Vec<Came> {
        self.shared.scripts.lock().unwrap().remove(name);
        self.shared.came.lock().unwrap().remove(name).unwrap_or_default()
    }

    /// Waits until the request of this name has come.
    pub fn wait_for(&self, name: &str) {
        until("the origin to have the request", || self.shared.came.lock().unwrap().contains_key(name));
    }

    /// How many requests are being read or answered.
    pub fn active(&self) -> usize {
        self.shared.active.load(Ordering::SeqCst)
    }

    /// What came and was no request of any case.
    pub fn strays(&self) -> Vec<String> {
        self.shared.strays.lock().unwrap().clone()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, shared: &Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let stopped = shared.clone();
    let began: Arc<Mutex<Option<Instant>>> = Arc::default();
    let reading = began.clone();
    let mut wire = Wire::new(stream, move || {
        stopped.stop.load(Ordering::SeqCst) || reading.lock().unwrap().is_some_and(|began| began.elapsed() > PATIENCE)
    });
    loop {
        *began.lock().unwrap() = None;
        let head = match wire.head() {
            Ok(Some(head)) => head,
            Ok(None) | Err(Broken::Reset | Broken::Silent) => return,
            Err(other) => return shared.strays.lock().unwrap().push(format!("a head: {other:?}")),
        };
        shared.active.fetch_add(1, Ordering::SeqCst);
        *began.lock().unwrap() = Some(Instant::now());
        let goes_on = one(&mut wire, head, shared);
        shared.active.fetch_sub(1, Ordering::SeqCst);
        if !goes_on {
            return;
        }
    }
}

/// One request; whether the connection goes on.
fn one(wire: &mut Wire, head: Head, shared: &Shared) -> bool {
    let name = head.all(Asked::NAME).first().map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default();
    let Some((script, asked)) = shared.scripts.lock().unwrap().get(&name).cloned() else {
        shared.strays.lock().unwrap().push(format!("{name:?}: {head:?}"));
        return false;
    };
    let mut came = Came { head, body: Vec::new(), whole: false, wrong: None };
    let note = |came: &Came| shared.came.lock().unwrap().entry(name.clone()).or_default().push(came.clone());
    if script.hundred && asked.expects {
        let _ = wire.stream().write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    let before = script.early.map(|share| asked.body.bytes.len() * share / 1000);
    let read = body(wire, &mut came, |read| before.is_some_and(|before| read >= before));
    if read == Ok(false) {
        // Answered before all of the body has come.
        let answered = answer(wire.stream(), &script, &asked.method);
        if script.abandons || !answered {
            note(&came);
            return false;
        }
        if script.close {
            let _ = wire.stream().shutdown(Shutdown::Write);
        }
        let read = body(wire, &mut came, |_| false);
        came.whole = read == Ok(true);
        note(&came);
        return came.whole && !script.close;
    }
    came.whole = read == Ok(true);
    if let Err(Broken::Wrong(why)) = read {
        came.wrong = Some(why);
    }
    note(&came);
    if !came.whole {
        return false;
    }
    let answered = answer(wire.stream(), &script, &asked.method);
    if answered && script.close {
        // Its end comes first, then the socket goes.
        let _ = wire.stream().shutdown(Shutdown::Write);
        wire.rest(&mut Vec::new());
    }
    answered && !script.close
}

/// The rest of the body, up to where `enough` says, for one in chunks up to a chunk's end; whether its own end was reached.
fn body(wire: &mut Wire, came: &mut Came, mut enough: impl FnMut(usize) -> bool) -> Result<bool, Broken> {
    if came.head.is_chunked()? {
        return wire.chunks(&mut came.body, enough).map(|end| end.is_some());
    }
    let length = came.head.length()?.unwrap_or(0) - came.body.len();
    if length > 0 && enough(came.body.len()) {
        return Ok(false);
    }
    wire.counted(length, &mut came.body, enough)
}

/// Writes the answer as the script says; false where it was cut or not taken.
fn answer(mut stream: &TcpStream, script: &Script, method: &str) -> bool {
    let mut interim = Vec::new();
    for (number, fields) in &script.informational {
        interim.extend_from_slice(format!("HTTP/1.1 {number} Wait\r\n").as_bytes());
        put(&mut interim, fields);
        put(&mut interim, &script.interim_dropped);
        interim.extend_from_slice(b"\r\n");
    }
    let head = script.head();
    let body = if script.has_body(method) { &script.body.wire[..] } else { b"" };
    let end = match script.cut {
        None => head.len() + body.len(),
        Some(Cut { in_head: true, share, .. }) => (head.len() - 1) * share / 1000,
        Some(Cut { share, .. }) => head.len() + (body.len() - least(&script.body)) * share / 1000,
    };
    let mut bytes = interim;
    let before = bytes.len();
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(body);
    bytes.truncate(before + end);
    let written = script.cuts.each(&bytes, |part| stream.write_all(part).is_ok());
    if script.abandons || script.cut.is_some() {
        // A reset takes with it what the kernel has not sent.
        arrived(stream);
    }
    if let Some(cut) = script.cut {
        if cut.reset {
            reset(stream);
        }
        return false;
    }
    written
}

/// How many bytes at a body's end are missed at least when it is cut.
fn least(body: &Body) -> usize {
    match body.framing {
        Framing::Close => 0,
        _ => 1,
    }
}

/// Waits until the other side's kernel has all that was written, or the connection is gone.
fn arrived(stream: &TcpStream) {
    use std::os::fd::AsRawFd;
    let began = Instant::now();
    loop {
        let mut waiting: libc::c_int = 0;
        #[allow(unsafe_code, reason = "ioctl(2) writes the number it is given a place for")]
        // SAFETY: the descriptor is open for as long as the stream is, and TIOCOUTQ writes one int.
        let result = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut waiting) };
        if result != 0 || waiting == 0 || began.elapsed() > PATIENCE {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The socket's end is a reset.
pub fn reset(stream: &TcpStream) {
    use std::os::fd::AsRawFd;
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    #[allow(unsafe_code, reason = "setsockopt(2) reads what it is given")]
    // SAFETY: the descriptor is open for as long as the stream is, and the length is that of the value.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            std::ptr::from_ref(&linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    assert_eq!(result, 0);
}
