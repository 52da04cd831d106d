//! Who makes up the mixed load. Each round of an actor says what was not as it should be.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Instant;

use bytes::Bytes;

use super::origin::{LONG, TRIMMED};
use crate::exchange::dice::Dice;
use crate::exchange::origin::reset;
use crate::exchange::wire::{Broken, Head, Wire};
use crate::harness::PATIENCE;
use crate::harness::http2::over_http2;
use crate::tls::authority::Authority;

pub type Round = Result<(), String>;

/// What every actor knows.
pub struct Scene {
    pub address: SocketAddr,
    /// Where TLS is spoken, and who vouches for it.
    pub secure: SocketAddr,
    pub authority: Authority,
    pub token: String,
}

/// An answer.
struct Reply {
    status: u16,
    head: Head,
    body: Vec<u8>,
}

impl Scene {
    fn connect(&self) -> Result<Wire, String> {
        let stream = TcpStream::connect(self.address).map_err(|error| format!("connecting: {error}"))?;
        let _ = stream.set_nodelay(true);
        let began = Instant::now();
        // All that is done on a connection has an end.
        Ok(Wire::new(stream, move || began.elapsed() > PATIENCE * 4))
    }

    pub fn fields(&self) -> String {
        format!(
            "Host: shop.example\r\nAuthorization: Bearer {}\r\nOrigin: https://shop.example\r\nUser-Agent: Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) \
             AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1\r\n",
            self.token
        )
    }
}

fn send(wire: &Wire, bytes: &[u8]) -> Round {
    let mut stream = wire.stream();
    stream.write_all(bytes).map_err(|error| format!("sending: {error}"))
}

/// The next final answer, whole.
fn reply(wire: &mut Wire) -> Result<Reply, Broken> {
    loop {
        let head = wire.head()?.ok_or(Broken::Closed)?;
        let status = head.line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(Broken::Wrong(head.line.clone()))?;
        if (100..200).contains(&status) && status != 101 {
            continue;
        }
        let mut body = Vec::new();
        match (head.is_chunked()?, head.length()?) {
            _ if status == 101 => {}
            (true, _) => drop(wire.chunks(&mut body, |_| false)?),
            (false, length) => drop(wire.counted(length.unwrap_or(0), &mut body, |_| false)?),
        }
        return Ok(Reply { status, head, body });
    }
}

fn is(reply: Result<Reply, Broken>, status: u16, body: &[u8]) -> Result<Reply, String> {
    let reply = reply.map_err(|broken| format!("no answer: {broken:?}"))?;
    if reply.status != status || reply.body != body {
        let told = String::from_utf8_lossy(&reply.body[..reply.body.len().min(200)]).into_owned();
        return Err(format!("{} {told:?} instead of {status}", reply.head.line));
    }
    Ok(reply)
}

/// Fifty requests through all filters on one connection, now and then three at once.
pub fn browse(scene: &Scene, dice: &mut Dice) -> Round {
    let mut wire = scene.connect()?;
    let request = format!("GET /json HTTP/1.1\r\n{}\r\n", scene.fields());
    for _ in 0..25 {
        let ahead = if dice.percent(20) { 3 } else { 1 };
        send(&wire, request.repeat(ahead).as_bytes())?;
        for _ in 0..ahead {
            let reply = is(reply(&mut wire), 200, TRIMMED.as_bytes())?;
            for name in ["x-request-id", "x-bff-version", "ratelimit", "access-control-allow-origin"] {
                if reply.head.all(name).len() != 1 {
                    return Err(format!("{name} is there {} times", reply.head.all(name).len()));
                }
            }
        }
    }
    Ok(())
}

/// Who may not is told so.
pub fn intrude(scene: &Scene, dice: &mut Dice) -> Round {
    let mut wire = scene.connect()?;
    for _ in 0..20 {
        let (path, status) = dice.pick(&[("/json", 401), ("/nowhere", 404), ("/upload", 405)]);
        let method = if status == 405 { "DELETE" } else { "GET" };
        send(&wire, format!("{method} {path} HTTP/1.1\r\nHost: shop.example\r\n\r\n").as_bytes())?;
        let reply = reply(&mut wire).map_err(|broken| format!("no answer: {broken:?}"))?;
        if reply.status != status {
            return Err(format!("{} instead of {status}", reply.head.line));
        }
    }
    Ok(())
}

/// Uploads of any length, counted or in chunks.
pub fn upload(scene: &Scene, dice: &mut Dice) -> Round {
    let mut wire = scene.connect()?;
    for _ in 0..5 {
        let length = dice.pick(&[0, 1, 1000, 20_000, 300_000]);
        let bytes = dice.bytes(length);
        let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
        if dice.percent(50) {
            send(&wire, format!("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n").as_bytes())?;
            send(&wire, &bytes)?;
        } else {
            send(&wire, b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            for chunk in bytes.chunks(7000) {
                send(&wire, &[format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())?;
            }
            send(&wire, b"0\r\n\r\n")?;
        }
        is(reply(&mut wire), 201, format!("{length} {sum}").as_bytes())?;
    }
    Ok(())
}

/// A socket that sends back what it gets.
pub fn chat(scene: &Scene, dice: &mut Dice) -> Round {
    let mut wire = scene.connect()?;
    send(&wire, b"GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")?;
    is(reply(&mut wire), 101, b"")?;
    for _ in 0..20 {
        let length = dice.within(1, 500);
        let said = dice.bytes(length);
        send(&wire, &said)?;
        let mut heard = Vec::new();
        wire.counted(said.len(), &mut heard, |_| false).map_err(|broken| format!("no echo: {broken:?}"))?;
        if heard != said {
            return Err("the echo is another one".to_owned());
        }
    }
    Ok(())
}

/// Several streams at once: answers through all filters, and uploads.
pub fn streams(scene: &Scene, dice: &mut Dice) -> Round {
    let upload = dice.bytes(100_000);
    over_http2(scene.address, async |client| several(client, scene, &upload).await)
}

/// Ten of them on one connection.
pub async fn several(client: h2::client::SendRequest<Bytes>, scene: &Scene, upload: &[u8]) -> Round {
    let mut waiting = Vec::new();
    for index in 0..10 {
        let mut client = client.clone().ready().await.map_err(|error| error.to_string())?;
        let uploads = index % 3 == 0;
        let path = if uploads { "/upload" } else { "/json" };
        let request = http::Request::builder()
            .method(if uploads { "POST" } else { "GET" })
            .uri(format!("http://shop.example{path}"))
            .header("authorization", format!("Bearer {}", scene.token))
            .header("user-agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X)")
            .body(());
        let (answer, mut stream) =
            client.send_request(request.map_err(|error| error.to_string())?, !uploads).map_err(|error| error.to_string())?;
        if uploads {
            stream.send_data(Bytes::copy_from_slice(upload), true).map_err(|error| error.to_string())?;
        }
        waiting.push((uploads, answer));
    }
    for (uploads, answer) in waiting {
        let answer = answer.await.map_err(|error| format!("no answer: {error}"))?;
        let status = answer.status().as_u16();
        let mut stream = answer.into_body();
        let mut body = Vec::new();
        while let Some(data) = stream.data().await {
            let data = data.map_err(|error| format!("cut: {error}"))?;
            body.extend_from_slice(&data);
            stream.flow_control().release_capacity(data.len()).map_err(|error| error.to_string())?;
        }
        let right = if uploads { status == 201 && body.starts_with(b"100000 ") } else { status == 200 && body == TRIMMED.as_bytes() };
        if !right {
            return Err(format!("{status} {:?} over HTTP/2", String::from_utf8_lossy(&body)));
        }
    }
    Ok(())
}

/// Clients that leave in the middle of something.
pub fn abort(scene: &Scene, dice: &mut Dice) -> Round {
    let wire = scene.connect()?;
    let requests: [&[u8]; 4] = [
        b"GET /json HT",
        b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\nhalf",
        b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf",
        b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    send(&wire, dice.pick(&requests))?;
    if dice.percent(50) {
        let mut some = [0; 1000];
        let _ = wire.stream().set_read_timeout(Some(std::time::Duration::from_millis(5)));
        let _ = std::io::Read::read(&mut wire.stream(), &mut some);
    }
    match dice.below(3) {
        0 => reset(wire.stream()),
        1 => drop(wire.stream().shutdown(Shutdown::Write)),
        _ => {}
    }
    Ok(())
}

/// Long answers, read as fast as they come.
pub fn download(scene: &Scene, _: &mut Dice) -> Round {
    let mut wire = scene.connect()?;
    for _ in 0..5 {
        send(&wire, b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n")?;
        is(reply(&mut wire), 200, "x".repeat(LONG).as_bytes())?;
    }
    Ok(())
}

/// An upstream that dies and comes back: whatever its clients meet has an end, and is one of these.
pub fn suffer(scene: &Scene, dice: &mut Dice) -> Round {
    let mut wire = scene.connect()?;
    for _ in 0..10 {
        let path = dice.pick(&["/dying/slow", "/dying/long"]);
        send(&wire, format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())?;
        match reply(&mut wire) {
            Ok(reply) if matches!(reply.status, 200 | 502 | 503 | 504) => {
                if reply.status == 200 && !matches!(reply.body.len(), 4 | LONG) {
                    return Err(format!("{} bytes look whole", reply.body.len()));
                }
                if reply.head.has("connection", "close") {
                    return Ok(());
                }
            }
            // An answer that was cut off.
            Err(Broken::Closed | Broken::Reset) => return Ok(()),
            Ok(reply) => return Err(reply.head.line),
            Err(other) => return Err(format!("{other:?}")),
        }
    }
    Ok(())
}

/// More than a limit allows.
pub fn press(scene: &Scene, _: &mut Dice) -> Round {
    let mut wire = scene.connect()?;
    for _ in 0..20 {
        send(&wire, b"GET /limited HTTP/1.1\r\nHost: a\r\n\r\n")?;
        let reply = reply(&mut wire).map_err(|broken| format!("no answer: {broken:?}"))?;
        if !matches!(reply.status, 200 | 429) {
            return Err(reply.head.line);
        }
    }
    Ok(())
}
