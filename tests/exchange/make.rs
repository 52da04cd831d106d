//! Cases from seeds: valid requests of every shape, and answers of every shape that an origin may give.

use super::dice::Dice;
use super::plan::{Asked, Body, Case, Cut, Cuts, Fields, Framing, Leave, Lengths, Script, Turn};

const TOKEN: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";
const UNRESERVED: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
const SUB_DELIMITERS: &[u8] = b"!$&'()*+,;=:@";
/// Lengths around what buffers hold.
const LENGTHS: &[usize] =
    &[0, 0, 1, 2, 5, 17, 100, 700, 4095, 4096, 4097, 8192, 16_383, 16_384, 16_385, 40_000, 65_535, 65_536, 65_537, 150_000];

/// The case of this seed.
pub fn case(seed: u64) -> Case {
    let dice = &mut Dice::new(seed);
    let number = if dice.percent(55) { 1 } else { dice.within(2, 6) };
    let old = dice.percent(15);
    let mut turns: Vec<Turn> = (0..number).map(|index| turn(dice, old, index + 1 == number)).collect();
    let leaves = dice.percent(6).then(|| Leave { share: dice.below(1000), reset: dice.percent(50) });
    if leaves.is_some() {
        // Of those before it each keeps the connection, so that the last is begun.
        for turn in &mut turns {
            stay(&mut turn.asked);
            turn.script = Script::plain("kept");
            turn.asked.waits = false;
        }
    }
    let most = turns.iter().map(|turn| turn.asked.body.wire.len()).max().unwrap_or(0);
    let large = turns.iter().any(|turn| turn.script.body.wire.len() > 20_000);
    Case {
        seed,
        turns,
        cuts: cuts(dice, most < 2_000),
        sip: if large { dice.pick(&[1 << 16, 1 << 14, 4096]) } else { dice.pick(&[1 << 16, 1 << 16, 4096, 100, 7, 1]) },
        pause_reading: dice.pick(&[0, 0, 0, 3, 20, 100]),
        leaves,
    }
}

fn stay(asked: &mut Asked) {
    asked.close = false;
    asked.keep_alive |= asked.old;
}

fn turn(dice: &mut Dice, old: bool, last: bool) -> Turn {
    let mut asked = asked(dice, old, last);
    let mut script = script(dice, &asked);
    asked.waits &= asked.expects && !old && !asked.body.bytes.is_empty();
    if asked.waits && !script.hundred {
        // Who is not told to go on is told why.
        script.early = Some(0);
    }
    if asked.body.bytes.is_empty() {
        script.early = None;
    }
    script.abandons &= script.early.is_some();
    if script.abandons {
        // Small enough to be sent before the reset that follows it.
        script.close = true;
        script.cut = None;
        if script.has_body(&asked.method) {
            shorten(&mut script);
        }
    }
    Turn { asked, script }
}

fn shorten(script: &mut Script) {
    if script.body.wire.len() > 8_000 || script.body.framing == Framing::Close {
        script.body = Body { framing: Framing::Length, bytes: b"short".to_vec(), wire: b"short".to_vec(), trailers: Vec::new() };
        script.fields.retain(|(name, _)| name != "Trailer");
    }
}

fn cuts(dice: &mut Dice, small: bool) -> Cuts {
    let every = small && dice.percent(8);
    let number = if dice.percent(40) { 0 } else { dice.within(1, 12) };
    Cuts { at: (0..number).map(|_| dice.below(1000)).collect(), every, pause: if every { 97 } else { dice.pick(&[0, 0, 1, 2, 5]) } }
}

fn asked(dice: &mut Dice, old: bool, last: bool) -> Asked {
    let method = match dice.below(20) {
        0..6 => "GET".to_owned(),
        6..8 => "HEAD".to_owned(),
        8..13 => "POST".to_owned(),
        13..15 => "PUT".to_owned(),
        15 => "DELETE".to_owned(),
        16 => "PATCH".to_owned(),
        17 => "OPTIONS".to_owned(),
        18 => "PURGE".to_owned(),
        _ => {
            let length = dice.within(1, 20);
            dice.text(TOKEN, length)
        }
    };
    // A method of chance may be one that is never sent on.
    let method = if method.eq_ignore_ascii_case("connect") { "GET".to_owned() } else { method };
    let carries = match method.as_str() {
        "POST" | "PUT" | "PATCH" => dice.percent(95),
        _ => dice.percent(12),
    };
    let body = match (carries, old) {
        (false, _) => Body::default(),
        (true, true) => counted(dice),
        (true, false) if dice.percent(50) => counted(dice),
        (true, false) => chunked(dice),
    };
    let host = (!old || dice.percent(60)).then(|| dice.pick(&["a.example", "A.Example:8080", "10.0.0.7", "[::1]:80", "x"]).to_owned());
    let path = target(dice);
    let absolute = !old && dice.percent(5);
    let target = match (&host, absolute) {
        (Some(host), true) => format!("http://{host}{path}"),
        _ => path.clone(),
    };
    let (dropped, nominated) = hop_of_request(dice);
    Asked {
        method,
        target,
        path,
        old,
        host,
        close: dice.percent(if last { 15 } else { 4 }),
        keep_alive: dice.percent(if old { 70 } else { 5 }),
        fields: fields(
            dice,
            &[
                "User-Agent",
                "Accept",
                "COOKIE",
                "Cookie",
                "Authorization",
                "Range",
                "If-None-Match",
                "Content-Type",
                "Origin",
                "Via",
                "VIA",
            ],
        ),
        dropped,
        nominated,
        expects: !body.bytes.is_empty() && dice.percent(12),
        waits: dice.percent(70),
        body,
    }
}

/// A path in its normal form, and a query of anything that may stand there.
fn target(dice: &mut Dice) -> String {
    let mut target = String::new();
    for _ in 0..dice.within(1, 5) {
        target.push('/');
        // A letter first: it is no dot segment then.
        target.push('s');
        for _ in 0..dice.below(12) {
            if dice.percent(20) {
                target.push_str(dice.pick(&["%20", "%C3%A9", "%25", "%22", "%3F", "%E2%82%AC", "%7B", "%3B"]));
            } else {
                let alphabet = if dice.percent(80) { UNRESERVED } else { SUB_DELIMITERS };
                target.push_str(&dice.text(alphabet, 1));
            }
        }
    }
    if dice.percent(5) {
        target = "/".to_owned();
    }
    if dice.percent(40) {
        target.push('?');
        let length = if dice.percent(10) { dice.within(1000, 6000) } else { dice.below(40) };
        target.push_str(&dice.text(b"abcXYZ019-._~!$&'()*+,;=:@/?%", length).replace('%', "%2f"));
    }
    target
}

/// Fields that pass from end to end: names of chance and these.
fn fields(dice: &mut Dice, known: &[&str]) -> Fields {
    let number = if dice.percent(5) { dice.within(20, 60) } else { dice.below(7) };
    let mut fields = Fields::new();
    for _ in 0..number {
        let name = if dice.percent(30) && !known.is_empty() {
            dice.pick(known).to_owned()
        } else if dice.percent(20) && !fields.is_empty() {
            fields[dice.below(fields.len())].0.clone()
        } else {
            let length = dice.within(1, 15);
            format!("X-E{}", dice.text(TOKEN, length))
        };
        let value = value(dice);
        fields.push((name, value));
    }
    fields
}

/// Anything that a field may hold, with white space around it.
fn value(dice: &mut Dice) -> Vec<u8> {
    let length = if dice.percent(3) { dice.within(500, 3000) } else { dice.below(30) };
    let mut value: Vec<u8> = match dice.below(4) {
        0 => dice.text(UNRESERVED, length).into_bytes(),
        1 => (0..length).map(|_| dice.within(0x80, 0x100) as u8).collect(),
        _ => (0..length).map(|_| dice.within(0x20, 0x7f) as u8).map(|byte| if byte == b':' { b'\t' } else { byte }).collect(),
    };
    if dice.percent(10) {
        value.splice(..0, *b" \t ");
        value.extend_from_slice(b"\t ");
    }
    value
}

/// Fields that no origin is sent as they are: of this hop, or for the gateway alone to say.
fn hop_of_request(dice: &mut Dice) -> (Fields, Vec<String>) {
    const FORGED: &[(&str, &str)] = &[
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic eA=="),
        ("TE", "trailers"),
        ("Trailer", "X-T0"),
        ("Upgrade", "h2c"),
        ("X-Forwarded-For", "10.1.2.3"),
        ("X-Real-IP", "10.1.2.3"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Port", "81"),
        ("X_FORWARDED_PREFIX", "/admin"),
        ("X-Client-Cert", "mine"),
        ("X-SSL-Client-Verify", "SUCCESS"),
        ("X-Request-Id", "mine"),
        ("Forwarded", "for=10.1.2.3"),
        ("X-BFF-Version", "9"),
        ("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    hop(dice, FORGED)
}

/// Some of these, and some that `Connection` nominates.
fn hop(dice: &mut Dice, known: &[(&str, &str)]) -> (Fields, Vec<String>) {
    let (mut fields, mut nominated) = (Fields::new(), Vec::new());
    if dice.percent(25) {
        let (name, value) = dice.pick(known);
        fields.push((name.to_owned(), value.into()));
    }
    if dice.percent(12) {
        for _ in 0..dice.within(1, 3) {
            let name = format!("X-Hop-{}", dice.below(3));
            nominated.push(if dice.percent(50) { name.to_lowercase() } else { name.clone() });
            if dice.percent(80) {
                let value = value(dice);
                fields.push((name, value));
            }
        }
    }
    (fields, nominated)
}

fn length(dice: &mut Dice) -> usize {
    if dice.percent(70) { dice.pick(&LENGTHS[..8]) } else { dice.pick(LENGTHS) }
}

fn counted(dice: &mut Dice) -> Body {
    let length = length(dice);
    let bytes = dice.bytes(length);
    Body { framing: Framing::Length, wire: bytes.clone(), bytes, trailers: Vec::new() }
}

fn to_the_end(dice: &mut Dice) -> Body {
    Body { framing: Framing::Close, ..counted(dice) }
}

fn chunked(dice: &mut Dice) -> Body {
    let length = length(dice);
    let bytes = dice.bytes(length);
    let mut wire = Vec::new();
    let mut left = &bytes[..];
    // Bytes one by one where there are few.
    let most = if bytes.len() < 200 && dice.percent(20) { 1 } else { dice.pick(&[10, 1000, 5000, 20_000, 100_000]).max(bytes.len() / 50) };
    while !left.is_empty() {
        let (chunk, rest) = left.split_at(dice.within(1, most + 1).min(left.len()));
        wire.extend_from_slice(size_line(dice, chunk.len()).as_bytes());
        wire.extend_from_slice(chunk);
        wire.extend_from_slice(b"\r\n");
        left = rest;
    }
    wire.extend_from_slice(size_line(dice, 0).as_bytes());
    let mut trailers = Fields::new();
    if dice.percent(20) {
        for index in 0..dice.within(1, 4) {
            let mut value = value(dice);
            // All of them together have a bound.
            value.truncate(1000);
            trailers.push((format!("X-T{index}"), value));
        }
    }
    super::plan::put(&mut wire, &trailers);
    wire.extend_from_slice(b"\r\n");
    Body { framing: Framing::Chunked, bytes, wire, trailers }
}

fn size_line(dice: &mut Dice, size: usize) -> String {
    let zeros = if dice.percent(10) { "00" } else { "" };
    let digits = if dice.percent(30) { format!("{size:X}") } else { format!("{size:x}") };
    let extension = if dice.percent(10) { dice.pick(&[";a", ";a=b", ";name=\"quo;ted \\\" \r\"", ";x=1;y"]) } else { "" };
    format!("{zeros}{digits}{}\r\n", extension.replace('\r', "="))
}

fn script(dice: &mut Dice, asked: &Asked) -> Script {
    let old = dice.percent(6);
    let status = match dice.below(20) {
        0..11 => 200,
        11 => 204,
        12 => 304,
        _ => dice.pick(&[201, 202, 206, 301, 302, 400, 404, 409, 418, 429, 500, 503, 299, 599]),
    };
    let bodyless = asked.method == "HEAD" || matches!(status, 204 | 304);
    let mut body = match (dice.below(20), old) {
        (0..3, _) => to_the_end(dice),
        (3..10, false) => chunked(dice),
        _ => counted(dice),
    };
    if bodyless {
        // What a GET would have had may be said.
        body.framing = match body.framing {
            Framing::Length if status != 204 => Framing::Length,
            Framing::Chunked if asked.method == "HEAD" => Framing::Chunked,
            _ => Framing::None,
        };
    }
    let close = (body.framing == Framing::Close && !bodyless) || dice.percent(8);
    let follows = body.framing == Framing::Chunked && !bodyless;
    let (mut dropped, nominated) = hop(
        dice,
        &[
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "close"),
            ("Proxy-Authenticate", "Basic"),
            ("Upgrade", "h2c"),
            ("TE", "trailers"),
            ("X-Request-Id", "theirs"),
            if follows { ("Keep-Alive", "max=7") } else { ("Trailer", "X-T0") },
        ],
    );
    if status == 204 && dice.percent(40) {
        let framing = [("Content-Length", "0"), ("Content-Length", "7"), ("Transfer-Encoding", "chunked")];
        let (name, value) = dice.pick(&framing[..if old { 2 } else { 3 }]);
        dropped.push((name.to_owned(), value.into()));
    }
    let mut informational = Vec::new();
    if !old && dice.percent(10) {
        for _ in 0..dice.within(1, 4) {
            let number = dice.pick(&[100, 102, 103, 103, 199]);
            let told = if number == 103 { vec![("Link".to_owned(), b"</a.css>; rel=preload".to_vec())] } else { Vec::new() };
            informational.push((number, told));
        }
    }
    let interim_dropped = if dice.percent(50) { Fields::new() } else { interim_dropped() };
    let lengths = dice.pick(&[Lengths::Once, Lengths::Once, Lengths::Once, Lengths::InTwoFields, Lengths::InOneList]);
    let cut = (dice.percent(8)).then(|| Cut { in_head: dice.percent(30), share: dice.below(1000), reset: dice.percent(50) });
    let cut = cut.filter(|cut| cut.in_head || (!bodyless && !body.wire.is_empty() && (body.framing != Framing::Close || cut.reset)));
    let reason = match dice.below(10) {
        0 => String::new(),
        1 => "Fine, thanks (really)".to_owned(),
        2 => "OK".to_owned(),
        _ => "Some Reason".to_owned(),
    };
    let small = body.wire.len() < 2_000;
    let known =
        ["Content-Type", "Set-Cookie", "set-cookie", "ETag", "Cache-Control", "Server", "Vary", "Location", "Date", "Content-Encoding"];
    Script {
        early: (asked.body.wire.len() > 1 && dice.percent(15)).then(|| dice.below(1000)),
        abandons: dice.percent(40),
        hundred: asked.expects && !old && dice.percent(75),
        informational,
        interim_dropped,
        status,
        reason,
        old,
        close,
        fields: announced(once(fields(dice, &known), "Date"), follows && dice.percent(20)),
        dropped,
        nominated,
        body,
        lengths,
        cut,
        cuts: cuts(dice, small),
    }
}

/// What no interim answer has a use for on another hop.
fn interim_dropped() -> Fields {
    let fields =
        [("Content-Length", "5"), ("Connection", "X-Interim"), ("X-Interim", "1"), ("Keep-Alive", "timeout=5"), ("Trailer", "X-T0")];
    fields.map(|(name, value)| (name.to_owned(), value.into())).into()
}

/// With an announcement of trailers where they are announced.
fn announced(mut fields: Fields, is_announced: bool) -> Fields {
    if is_announced {
        fields.push(("Trailer".to_owned(), b"X-T0".to_vec()));
    }
    fields
}

/// At most one field of this name.
fn once(mut fields: Fields, name: &str) -> Fields {
    let mut seen = false;
    fields.retain(|(other, _)| other != name || !std::mem::replace(&mut seen, true));
    fields
}
