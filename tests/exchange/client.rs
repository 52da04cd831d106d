//! A client on a raw socket: sends a case's requests as they are cut, and reads what comes back strictly.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::origin::reset;
use super::plan::{Asked, Body, Case, Fields, Framing, Turn};
use super::wire::{Broken, Head, Wire};

/// How long an answer may take to begin or to go on.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Met {
    pub informational: Vec<(u16, Fields)>,
    pub status: u16,
    pub reason: String,
    pub head: Head,
    pub framing: Framing,
    pub body: Vec<u8>,
    pub trailers: Fields,
    /// None where it was whole.
    pub broken: Option<Broken>,
    /// Whether it leaves the connection open.
    pub keeps: bool,
}

/// What a client met on its connection.
#[derive(Debug)]
pub struct Saw {
    pub met: Vec<Met>,
    /// Why there are no more answers: the connection's end, or something that is none. None after the last one of a connection that is open.
    pub end: Option<Broken>,
    /// Bytes behind an answer that was the last.
    pub extra: usize,
}

/// What the reading half tells the writing one.
#[derive(Default)]
struct Progress {
    told: Mutex<Told>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
struct Told {
    /// Final heads so far, and requests that were told to go on.
    finals: usize,
    hundreds: usize,
    /// Whole answers so far.
    wholes: usize,
    /// There will be no more.
    over: bool,
    /// Whether the last final head closes the connection.
    closes: bool,
    /// The writing half met a reset: a socket tells it only once.
    reset: bool,
}

impl Progress {
    fn tell(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.told.lock().unwrap());
        self.changed.notify_all();
    }

    fn wait(&self, mut enough: impl FnMut(&Told) -> bool) -> Told {
        let told = self.told.lock().unwrap();
        *self.changed.wait_timeout_while(told, PATIENCE, |told| !told.over && !enough(told)).unwrap().0
    }
}

/// The name of a case's request.
pub fn name(case: &Case, index: usize) -> String {
    format!("{}-{index}", case.seed)
}

/// Plays the case.
pub fn play(case: &Case, address: SocketAddr) -> Saw {
    let stream = TcpStream::connect(address).expect("the gateway listens");
    let _ = stream.set_nodelay(true);
    let progress = Progress::default();
    let writer = stream.try_clone().expect("a second handle");
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| send(case, writer, &progress));
        let saw = read(case, stream, &progress);
        progress.tell(|told| told.over = true);
        writing.join().expect("the writer ends");
        saw
    })
}

/// Sends requests ahead of their answers, except where a client waits for one.
fn send(case: &Case, mut stream: TcpStream, progress: &Progress) {
    let mut ahead = Vec::new();
    for (index, turn) in case.turns.iter().enumerate() {
        let head = turn.asked.head(&name(case, index));
        if let Some(leave) = case.leaves.filter(|_| index + 1 == case.turns.len()) {
            flush(case, &mut stream, &mut ahead, progress);
            progress.wait(|told| told.wholes >= index);
            let request = [&head[..], &turn.asked.body.wire].concat();
            let part = &request[..(request.len() - 1) * leave.share / 1000];
            write(case, &mut stream, part, progress);
            if leave.reset {
                reset(&stream);
            }
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
        if turn.asked.old {
            // Nobody sends ahead with HTTP/1.0.
            flush(case, &mut stream, &mut ahead, progress);
            if progress.wait(|told| told.wholes >= index).over {
                return;
            }
        }
        ahead.extend_from_slice(&head);
        if turn.asked.waits {
            flush(case, &mut stream, &mut ahead, progress);
            let told = progress.wait(|told| told.hundreds > index || told.finals > index);
            if told.over || told.finals > index && told.closes {
                return;
            }
        }
        ahead.extend_from_slice(&turn.asked.body.wire);
    }
    flush(case, &mut stream, &mut ahead, progress);
}

fn flush(case: &Case, stream: &mut TcpStream, ahead: &mut Vec<u8>, progress: &Progress) {
    write(case, stream, ahead, progress);
    ahead.clear();
}

fn write(case: &Case, stream: &mut TcpStream, bytes: &[u8], progress: &Progress) {
    case.cuts.each(bytes, |part| {
        let written = stream.write_all(part);
        if written.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset) {
            progress.tell(|told| told.reset = true);
        }
        written.is_ok()
    });
}

/// Reads answers until there are no more.
fn read(case: &Case, stream: TcpStream, progress: &Progress) -> Saw {
    let began: Arc<Mutex<Instant>> = Arc::new(Mutex::new(Instant::now()));
    let since = began.clone();
    let mut wire = Wire::new(stream, move || since.lock().unwrap().elapsed() > PATIENCE);
    (wire.sip, wire.pause) = (case.sip, case.pause_reading);
    let mut saw = Saw { met: Vec::new(), end: None, extra: 0 };
    for (index, turn) in case.turns.iter().enumerate() {
        *began.lock().unwrap() = Instant::now();
        match answer(&mut wire, index, turn, progress) {
            Ok(Some(met)) => {
                let (keeps, broken) = (met.keeps, met.broken.clone());
                saw.met.push(met);
                if !keeps || broken.is_some() {
                    let mut extra = Vec::new();
                    saw.end = Some(match broken {
                        Some(broken) => broken,
                        None => wire.rest(&mut extra),
                    });
                    saw.extra = extra.len();
                    return saw;
                }
            }
            Ok(None) => {
                saw.end = Some(Broken::Closed);
                return saw;
            }
            Err(end) => {
                saw.end = Some(end);
                return saw;
            }
        }
    }
    saw
}

/// One answer with what came before it; none where the connection ended without one.
fn answer(wire: &mut Wire, index: usize, turn: &Turn, progress: &Progress) -> Result<Option<Met>, Broken> {
    let mut informational = Vec::new();
    loop {
        let Some(head) = wire.head()? else { return Ok(None) };
        let (status, reason) = status(&head.line)?;
        if status < 200 {
            if status == 100 {
                progress.tell(|told| told.hundreds = told.hundreds.max(index + 1));
            }
            informational.push((status, head.fields));
            continue;
        }
        let framing = framing(&head, &turn.asked, status)?;
        let keeps =
            framing != Framing::Close && !head.has("connection", "close") && (!turn.asked.old || head.has("connection", "keep-alive"));
        progress.tell(|told| (told.finals, told.closes) = (index + 1, !keeps));
        let mut body = Body { framing, ..Body::default() };
        let broken = match framing {
            Framing::None => None,
            Framing::Length => {
                let length = head.length()?.unwrap_or(0);
                wire.counted(length, &mut body.bytes, |_| false).err()
            }
            Framing::Chunked => match wire.chunks(&mut body.bytes, |_| false) {
                Ok(trailers) => {
                    body.trailers = trailers.unwrap_or_default();
                    None
                }
                Err(broken) => Some(broken),
            },
            Framing::Close => match wire.rest(&mut body.bytes) {
                Broken::Closed if progress.told.lock().unwrap().reset => Some(Broken::Reset),
                Broken::Closed => None,
                other => Some(other),
            },
        };
        if broken.is_none() {
            progress.tell(|told| told.wholes = index + 1);
        }
        return Ok(Some(Met { informational, status, reason, head, framing, body: body.bytes, trailers: body.trailers, broken, keeps }));
    }
}

fn status(line: &str) -> Result<(u16, String), Broken> {
    let wrong = || Broken::Wrong(format!("the status line {line:?}"));
    let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 ")).ok_or_else(wrong)?;
    let (number, reason) = rest.split_once(' ').ok_or_else(wrong)?;
    match number.parse() {
        Ok(status @ 100..=999) if number.len() == 3 => Ok((status, reason.to_owned())),
        _ => Err(wrong()),
    }
}

/// How an answer's body is framed (RFC 9112, section 6.3).
fn framing(head: &Head, asked: &Asked, status: u16) -> Result<Framing, Broken> {
    let (chunked, length) = (head.is_chunked()?, head.length()?);
    if chunked && asked.old {
        return Err(Broken::Wrong("chunks for a client of HTTP/1.0".to_owned()));
    }
    Ok(match (chunked, length) {
        _ if asked.method == "HEAD" || matches!(status, 204 | 304) => Framing::None,
        (true, _) => Framing::Chunked,
        (false, Some(_)) => Framing::Length,
        (false, None) => Framing::Close,
    })
}
