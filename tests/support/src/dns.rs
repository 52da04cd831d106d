//! A small DNS server on loopback, over UDP and TCP at one port, that says what a test tells it to: its own reading of RFC 1035, so that
//! nothing of what is tested answers for itself.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the server says of a name.
#[derive(Clone, Debug)]
pub enum Answer {
    /// These addresses, for so many seconds; a family that is not among them is empty.
    Addresses(u32, Vec<IpAddr>),
    /// The name is another's, for so many seconds.
    Alias(u32, String),
    /// These services, for so many seconds: priority, weight, port, target. The targets' addresses are asked for separately.
    Services(u32, Vec<(u16, u16, u16, String)>),
    /// The name exists and has nothing.
    Empty,
    /// There is no such name.
    NoName,
    /// SERVFAIL.
    Failure,
    /// Nothing at all.
    Silence,
    /// That, after a while.
    Late(Duration, Box<Answer>),
    /// Over UDP only that it does not fit; over TCP that.
    Truncated(Box<Answer>),
    /// The first to questions for A, the second to those for AAAA.
    ByFamily(Box<Answer>, Box<Answer>),
}

impl Answer {
    /// Addresses that are written as text.
    pub fn addresses(ttl: u32, addresses: &[&str]) -> Self {
        Self::Addresses(ttl, addresses.iter().map(|address| address.parse().expect("an address")).collect())
    }
}

/// What is asked for (RFC 1035, section 3.2.2; RFC 3596; RFC 2782).
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// A DNS server that ends with the test.
pub struct DnsServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<HashMap<String, Answer>>,
    /// Names, types, and whether they came over TCP, in their order.
    asked: Mutex<Vec<(String, u16, bool)>>,
    over: AtomicBool,
}

impl Default for DnsServer {
    fn default() -> Self {
        Self::start()
    }
}

impl DnsServer {
    /// Listens on a free port; it knows no name yet.
    pub fn start() -> Self {
        let (udp, tcp) = (0..100)
            .find_map(|_| {
                let udp = UdpSocket::bind("127.0.0.1:0").ok()?;
                let tcp = TcpListener::bind(udp.local_addr().ok()?).ok()?;
                Some((udp, tcp))
            })
            .expect("a port that is free for both");
        let address = udp.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let (over_udp, over_tcp) = (shared.clone(), shared.clone());
        std::thread::spawn(move || serve_udp(&udp, &over_udp));
        std::thread::spawn(move || serve_tcp(&tcp, &over_tcp));
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it says this of a name.
    pub fn set(&self, name: &str, answer: Answer) {
        self.shared.answers.lock().expect("nobody has panicked").insert(name.to_ascii_lowercase(), answer);
    }

    /// How often it was asked for this name, whatever for.
    pub fn asked(&self, name: &str) -> usize {
        self.shared.asked.lock().expect("nobody has panicked").iter().filter(|(asked, ..)| asked == name).count()
    }

    /// How often over TCP.
    pub fn asked_over_tcp(&self, name: &str) -> usize {
        self.shared.asked.lock().expect("nobody has panicked").iter().filter(|(asked, _, tcp)| asked == name && *tcp).count()
    }

    /// The names that it was asked for, each once, in their order.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (name, ..) in self.shared.asked.lock().expect("nobody has panicked").iter() {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        // Both threads wait for something to come.
        let _ = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(&[], self.address));
        let _ = TcpStream::connect(self.address);
    }
}

fn serve_udp(socket: &UdpSocket, shared: &Arc<Shared>) {
    let mut buffer = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        if shared.over.load(Ordering::Acquire) {
            return;
        }
        let Some((answer, question)) = shared.answer(&buffer[..length], false) else { continue };
        let Ok(socket) = socket.try_clone() else { return };
        send(answer, question, false, move |bytes| drop(socket.send_to(bytes, from)));
    }
}

fn serve_tcp(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.over.load(Ordering::Acquire) {
            return;
        }
        let (Ok(mut stream), shared) = (stream, shared.clone()) else { continue };
        std::thread::spawn(move || {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
            let mut length = [0; 2];
            while stream.read_exact(&mut length).is_ok() {
                let mut asked = vec![0; usize::from(u16::from_be_bytes(length))];
                if stream.read_exact(&mut asked).is_err() {
                    return;
                }
                let Some((answer, question)) = shared.answer(&asked, true) else { return };
                let Ok(mut stream) = stream.try_clone() else { return };
                send(answer, question, true, move |bytes| {
                    let length = u16::try_from(bytes.len()).expect("a message that fits");
                    let _ = stream.write_all(&[&length.to_be_bytes(), bytes].concat());
                });
            }
        });
    }
}

/// Sends the answer at its time.
fn send(answer: Answer, question: Question, tcp: bool, send: impl FnOnce(&[u8]) + Send + 'static) {
    match answer {
        Answer::Silence => {}
        Answer::Late(time, answer) => {
            std::thread::spawn(move || {
                std::thread::sleep(time);
                self::send(*answer, question, tcp, send);
            });
        }
        Answer::ByFamily(v4, v6) => self::send(if question.kind == AAAA { *v6 } else { *v4 }, question, tcp, send),
        answer => send(&question.answered(&answer, tcp)),
    }
}

impl Shared {
    fn answer(&self, message: &[u8], tcp: bool) -> Option<(Answer, Question)> {
        let question = Question::read(message)?;
        self.asked.lock().expect("nobody has panicked").push((question.name.clone(), question.kind, tcp));
        let answer = self.answers.lock().expect("nobody has panicked").get(&question.name).cloned();
        Some((answer.unwrap_or(Answer::NoName), question))
    }
}

struct Question {
    id: [u8; 2],
    /// In lower case, without a dot at its end.
    name: String,
    kind: u16,
    /// As it was written.
    bytes: Vec<u8>,
}

impl Question {
    /// The one question of a message.
    fn read(message: &[u8]) -> Option<Self> {
        let id = message.get(..2)?.try_into().ok()?;
        let (mut at, mut labels) = (12, Vec::new());
        loop {
            let length = usize::from(*message.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels.push(String::from_utf8_lossy(message.get(at..at + length)?).to_ascii_lowercase());
            at += length;
        }
        let kind = u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?);
        Some(Self { id, name: labels.join("."), kind, bytes: message.get(12..at + 4)?.to_vec() })
    }

    fn answered(&self, answer: &Answer, tcp: bool) -> Vec<u8> {
        let (mut code, mut truncated) = (0_u8, false);
        let records: Vec<(u16, u32, Vec<u8>)> = match answer {
            Answer::Addresses(ttl, addresses) => {
                let records = addresses.iter().filter_map(|address| match (address, self.kind) {
                    (IpAddr::V4(address), A) => Some((A, *ttl, address.octets().to_vec())),
                    (IpAddr::V6(address), AAAA) => Some((AAAA, *ttl, address.octets().to_vec())),
                    _ => None,
                });
                records.collect()
            }
            Answer::Alias(ttl, target) => vec![(CNAME, *ttl, encoded(target))],
            Answer::Services(ttl, services) if self.kind == SRV => {
                let record = |(priority, weight, port, target): &(u16, u16, u16, String)| {
                    let numbers = [priority, weight, port].into_iter().flat_map(|number| number.to_be_bytes());
                    (SRV, *ttl, numbers.chain(encoded(target)).collect())
                };
                services.iter().map(record).collect()
            }
            Answer::Truncated(_) if !tcp => {
                truncated = true;
                Vec::new()
            }
            Answer::Truncated(answer) => return self.answered(answer, tcp),
            Answer::NoName => {
                code = 3;
                Vec::new()
            }
            Answer::Failure => {
                code = 2;
                Vec::new()
            }
            _ => Vec::new(),
        };
        let count = u16::try_from(records.len()).expect("a message that fits");
        // An answer, recursion asked for and had.
        let mut message = vec![self.id[0], self.id[1], 0x81 | if truncated { 2 } else { 0 }, 0x80 | code, 0, 1];
        message.extend(count.to_be_bytes());
        message.extend([0, 0, 0, 0]);
        message.extend(&self.bytes);
        for (kind, ttl, data) in records {
            // The name that the question has.
            message.extend([0xc0, 12]);
            message.extend(kind.to_be_bytes());
            message.extend([0, 1]);
            message.extend(ttl.to_be_bytes());
            message.extend(u16::try_from(data.len()).expect("a record that fits").to_be_bytes());
            message.extend(data);
        }
        message
    }
}

/// A name as it is written in a message.
fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).expect("a label that fits"));
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
