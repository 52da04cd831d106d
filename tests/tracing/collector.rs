//! A collector that takes spans and can read them: the wire format of Protocol Buffers and the messages of OTLP as their specifications have
//! them, and nothing of the gateway's own code.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::net::TcpStream;

use crate::harness::origin::{Request, response};
use crate::harness::{Origin, until};

/// A field's value.
#[derive(Clone, Debug)]
enum Field<'m> {
    Number(u64),
    Bytes(&'m [u8]),
}

/// The fields of a message, in their order.
fn fields(mut message: &[u8]) -> Vec<(u64, Field<'_>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let (byte, rest) = bytes.split_first().expect("a whole number");
            *bytes = rest;
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return number;
            }
        }
    }
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let value = match key & 7 {
            0 => Field::Number(varint(&mut message)),
            kind @ (1 | 5) => {
                let (bytes, rest) = message.split_at(if kind == 1 { 8 } else { 4 });
                message = rest;
                Field::Number(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
            }
            2 => {
                let length = varint(&mut message) as usize;
                let (bytes, rest) = message.split_at(length);
                message = rest;
                Field::Bytes(bytes)
            }
            other => panic!("no kind of field: {other}"),
        };
        fields.push((key >> 3, value));
    }
    fields
}

fn all<'m>(message: &'m [u8], number: u64) -> impl Iterator<Item = &'m [u8]> + use<'m> {
    fields(message).into_iter().filter_map(move |(field, value)| match value {
        Field::Bytes(bytes) if field == number => Some(bytes),
        _ => None,
    })
}

fn text(message: &[u8], number: u64) -> String {
    all(message, number).last().map(|bytes| String::from_utf8(bytes.to_vec()).expect("UTF-8")).unwrap_or_default()
}

fn hex(message: &[u8], number: u64) -> String {
    all(message, number).last().unwrap_or_default().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn number(message: &[u8], number: u64) -> u64 {
    let found = fields(message).into_iter().rev().find_map(|(field, value)| match value {
        Field::Number(value) if field == number => Some(value),
        _ => None,
    });
    found.unwrap_or(0)
}

/// `KeyValue`s as text.
fn attributes(message: &[u8], field: u64) -> BTreeMap<String, String> {
    let pairs = all(message, field).map(|pair| {
        let value = all(pair, 2).next().expect("a value");
        let told = match &fields(value)[..] {
            [(1, Field::Bytes(bytes))] => String::from_utf8(bytes.to_vec()).expect("UTF-8"),
            [(3, Field::Number(number))] => (*number as i64).to_string(),
            other => panic!("{other:?}"),
        };
        (text(pair, 1), told)
    });
    let list: Vec<_> = pairs.collect();
    let map: BTreeMap<_, _> = list.iter().cloned().collect();
    assert_eq!(map.len(), list.len(), "said twice: {list:?}");
    map
}

/// A span that was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub trace: String,
    pub id: String,
    /// Empty where there is none.
    pub parent: String,
    pub name: String,
    /// 2 for a server's, 3 for a client's.
    pub kind: u64,
    /// Nanoseconds since 1970.
    pub start: u64,
    pub end: u64,
    pub attributes: BTreeMap<String, String>,
    /// Whether it has failed, and the words.
    pub failed: Option<String>,
    pub flags: u64,
    /// What the sender says of itself.
    pub resource: BTreeMap<String, String>,
}

impl Span {
    /// An attribute, or nothing.
    pub fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map(String::as_str).unwrap_or_default()
    }

    pub fn is_server(&self) -> bool {
        self.kind == 2
    }
}

/// The spans of an `ExportTraceServiceRequest`.
pub fn spans(body: &[u8]) -> Vec<Span> {
    let mut found = Vec::new();
    for of_resource in all(body, 1) {
        let resource = all(of_resource, 1).next().map(|resource| attributes(resource, 1)).unwrap_or_default();
        for of_scope in all(of_resource, 2) {
            let scope = all(of_scope, 1).next().expect("a scope");
            assert_eq!(text(scope, 1), "frontgate");
            assert!(text(of_scope, 3).starts_with("https://opentelemetry.io/schemas/"));
            found.extend(all(of_scope, 2).map(|span| {
                let status = all(span, 15).next();
                Span {
                    trace: hex(span, 1),
                    id: hex(span, 2),
                    parent: hex(span, 4),
                    name: text(span, 5),
                    kind: number(span, 6),
                    start: number(span, 7),
                    end: number(span, 8),
                    attributes: attributes(span, 9),
                    failed: status.filter(|status| number(status, 3) == 2).map(|status| text(status, 2)),
                    flags: number(span, 16),
                    resource: resource.clone(),
                }
            }));
        }
    }
    found
}

/// A collector on a port of its own.
pub struct Collector(pub Origin);

impl Collector {
    /// One that takes everything.
    pub fn start() -> Self {
        Self::behaving(|_, stream| taken(stream))
    }

    /// One that behaves so.
    pub fn behaving(behave: impl Fn(&Request, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        Self(Origin::start(behave))
    }

    /// What it was sent so far.
    pub fn spans(&self) -> Vec<Span> {
        self.0.received().iter().flat_map(|request| spans(&request.body)).collect()
    }

    /// So many spans at least, once they are there.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<Span> {
        until("the spans", || self.spans().len() >= count);
        self.spans()
    }
}

/// Takes what was sent.
pub fn taken(stream: &mut TcpStream) -> bool {
    stream.write_all(response("200 OK", "Content-Type: application/x-protobuf\r\n", "").as_bytes()).is_ok()
}
