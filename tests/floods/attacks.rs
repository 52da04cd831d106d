//! What attackers of HTTP/2 send: frames that cost them little.

use crate::harness::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, RST_STREAM, SETTINGS, frame, get, greeting, head, window,
};

const PRIORITY: u8 = 2;
const PING: u8 = 6;

/// A client that attacks.
#[derive(Clone, Copy)]
pub struct Attack {
    pub name: &'static str,
    /// What it sends at first.
    pub begin: fn() -> Vec<u8>,
    /// What it sends over and over; nothing where it waits. The number is how often it has.
    pub then: fn(u32) -> Vec<u8>,
    /// Whether it reads what it is sent.
    pub reads: bool,
}

/// The identifiers of the `count` streams of this round.
fn streams(round: u32, count: u32) -> impl Iterator<Item = u32> {
    (round * count..(round + 1) * count).map(|index| index * 2 + 1)
}

fn each(round: u32, count: u32, what: impl FnMut(u32) -> Vec<u8>) -> Vec<u8> {
    streams(round, count).flat_map(what).collect()
}

fn nothing(_: u32) -> Vec<u8> {
    Vec::new()
}

fn plain() -> Vec<u8> {
    greeting(&[])
}

fn upload(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &head("POST", "/upload"))
}

/// A header without an entry in any table.
fn literal(name: &str, value: &str) -> Vec<u8> {
    [&[0, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
}

/// A header of about four thousand bytes that is put into the table, and then named over and over, a byte each.
fn bomb(stream: u32) -> Vec<u8> {
    let length = 3_900 - 127;
    let value = vec![b'v'; 3_900];
    let stored = [&[0x40, 1, b'x', 0x7f, (length % 128) as u8 | 0x80, (length / 128) as u8], &value[..]].concat();
    // The one that came last is the first behind the static table.
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &[head("GET", "/"), stored, vec![0xbe; 12_000]].concat())
}

pub const ATTACKS: &[Attack] = &[
    Attack {
        name: "requests that are taken back at once",
        begin: plain,
        then: |round| each(round, 50, |stream| [get(stream, "/"), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()),
        reads: true,
    },
    Attack {
        // Every other write, so that they are under way by then.
        name: "requests that are taken back a moment later",
        begin: plain,
        then: |round| match round % 2 {
            0 => each(round / 2, 20, |stream| get(stream, "/slow")),
            _ => each(round / 2, 20, |stream| frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())),
        },
        reads: true,
    },
    Attack {
        name: "empty CONTINUATION frames",
        begin: || [plain(), frame(HEADERS, END_STREAM, 1, &head("GET", "/"))].concat(),
        then: |_| frame(CONTINUATION, 0, 1, b"").repeat(1000),
        reads: true,
    },
    Attack {
        name: "CONTINUATION frames full of headers",
        begin: || [plain(), frame(HEADERS, END_STREAM, 1, &head("GET", "/"))].concat(),
        then: |_| frame(CONTINUATION, 0, 1, &literal("x-more", &"v".repeat(100)).repeat(100)),
        reads: true,
    },
    Attack { name: "PING, reading what comes back", begin: plain, then: |_| frame(PING, 0, 0, b"01234567").repeat(500), reads: true },
    Attack { name: "PING, reading nothing", begin: plain, then: |_| frame(PING, 0, 0, b"01234567").repeat(500), reads: false },
    Attack {
        name: "SETTINGS, reading what comes back",
        begin: plain,
        then: |round| frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, (round % 256) as u8]).repeat(500),
        reads: true,
    },
    Attack { name: "SETTINGS, reading nothing", begin: plain, then: |_| frame(SETTINGS, 0, 0, b"").repeat(500), reads: false },
    Attack { name: "empty DATA", begin: || [plain(), upload(1)].concat(), then: |_| frame(DATA, 0, 1, b"").repeat(500), reads: true },
    Attack {
        name: "DATA of one byte",
        begin: || [plain(), upload(1)].concat(),
        then: |_| frame(DATA, 0, 1, b"x").repeat(500),
        reads: true,
    },
    Attack { name: "an HPACK bomb", begin: plain, then: |round| bomb(round * 2 + 1), reads: true },
    Attack {
        name: "windows that are never opened",
        begin: || [greeting(&[(INITIAL_WINDOW_SIZE, 0)]), each(0, 100, |stream| get(stream, "/large"))].concat(),
        then: nothing,
        reads: true,
    },
    Attack {
        name: "a connection's window that is never opened",
        begin: || [greeting(&[(INITIAL_WINDOW_SIZE, 1 << 30)]), each(0, 100, |stream| get(stream, "/large"))].concat(),
        then: nothing,
        reads: true,
    },
    Attack {
        name: "windows that are opened by one byte",
        begin: || [greeting(&[(INITIAL_WINDOW_SIZE, 0)]), each(0, 100, |stream| get(stream, "/large"))].concat(),
        then: |round| each(0, 100, |stream| window(stream, 1)).repeat(1 + round as usize % 2),
        reads: true,
    },
    Attack {
        name: "wide windows, reading nothing",
        begin: || {
            let wide = [greeting(&[(INITIAL_WINDOW_SIZE, 1 << 30)]), window(0, 1 << 30)].concat();
            [wide, each(0, 100, |stream| get(stream, "/large"))].concat()
        },
        then: nothing,
        reads: false,
    },
    Attack { name: "uploads that stall", begin: || [plain(), each(0, 100, upload)].concat(), then: nothing, reads: true },
    Attack {
        name: "uploads that stall after as much as they may send",
        begin: || [plain(), each(0, 4, |stream| [upload(stream), frame(DATA, 0, stream, &[b'u'; 16_000])].concat())].concat(),
        then: nothing,
        reads: true,
    },
    Attack {
        name: "more requests than may be open",
        begin: plain,
        then: |round| each(round, 50, |stream| get(stream, "/slow")),
        reads: true,
    },
    Attack {
        name: "PRIORITY",
        begin: plain,
        then: |round| each(round, 500, |stream| frame(PRIORITY, 0, stream, &[0, 0, 0, 0, (round % 256) as u8])),
        reads: true,
    },
    Attack { name: "frames of no known type", begin: plain, then: |_| frame(200, 0, 0, b"whatever").repeat(500), reads: true },
    Attack {
        name: "requests that are none",
        begin: plain,
        then: |round| each(round, 50, |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &literal("X-Upper", "case"))),
        reads: true,
    },
    Attack {
        name: "requests for no host",
        begin: plain,
        then: |round| {
            let fields: Vec<u8> =
                [(":method", "GET"), (":scheme", "http"), (":path", "/")].iter().flat_map(|(n, v)| literal(n, v)).collect();
            each(round, 20, |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields))
        },
        reads: true,
    },
];
