//! Those of the mixed load who speak TLS, or WebSocket over HTTP/2.

use std::io::Write;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::actors::{Round, Scene, several};
use super::origin::TRIMMED;
use crate::exchange::dice::Dice;
use crate::harness::client::read_reply;
use crate::harness::{PATIENCE, raw};
use crate::websocket::socket::{Asked, ask_http2, frame, http2, http2_on, run_within};

fn name() -> ServerName<'static> {
    ServerName::try_from("shop.example").expect("a name")
}

/// A few requests through all filters on one connection: each makes a handshake of its own.
pub fn browse(scene: &Scene, _: &mut Dice) -> Round {
    let config = Arc::new(scene.authority.client(None, &["http/1.1"]));
    let connection = ClientConnection::new(config, name()).map_err(|error| error.to_string())?;
    let mut stream = StreamOwned::new(connection, raw(scene.secure));
    for _ in 0..10 {
        stream.write_all(format!("GET /json HTTP/1.1\r\n{}\r\n", scene.fields()).as_bytes()).map_err(|error| error.to_string())?;
        let reply = read_reply(&mut stream, false).ok_or("no answer over TLS")?;
        if (reply.status, &*reply.body) != (200, TRIMMED.as_bytes()) {
            return Err(format!("{} {:?} over TLS", reply.status, reply.text()));
        }
    }
    Ok(())
}

/// A connection of HTTP/2 over TLS.
pub async fn secured(scene: &Scene) -> h2::client::SendRequest<bytes::Bytes> {
    let config = Arc::new(scene.authority.client(None, &["h2", "http/1.1"]));
    let socket = tokio::net::TcpStream::connect(scene.secure).await.expect("the gateway listens");
    http2_on(tokio_rustls::TlsConnector::from(config).connect(name(), socket).await.expect("a handshake")).await
}

/// Several streams at once over TLS.
pub fn streams(scene: &Scene, dice: &mut Dice) -> Round {
    let upload = dice.bytes(100_000);
    run_within(PATIENCE * 4, async { several(secured(scene).await, scene, &upload).await })
}

/// A WebSocket over HTTP/2 that sends back what it gets.
pub fn chat(scene: &Scene, dice: &mut Dice) -> Round {
    run_within(PATIENCE * 4, async { speak(ask_http2(http2(scene.address).await, "/socket", &[]).await, dice).await })
}

/// The same over TLS.
pub fn chat_over_tls(scene: &Scene, dice: &mut Dice) -> Round {
    run_within(PATIENCE * 4, async { speak(ask_http2(secured(scene).await, "/socket", &[]).await, dice).await })
}

async fn speak(mut asked: Asked, dice: &mut Dice) -> Round {
    if asked.status != 200 {
        return Err(format!("{} instead of a WebSocket", asked.status));
    }
    for _ in 0..20 {
        let length = dice.within(1, 500);
        let said = frame(2, true, &dice.bytes(length));
        asked.socket.send(&said).await;
        if asked.socket.hear(said.len()).await != said {
            return Err("the echo is another one".to_owned());
        }
    }
    Ok(())
}
