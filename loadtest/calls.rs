//! The origin of gRPC: a call's messages come back as they were, with a status of 0. One thread, HTTP/2 in clear text.
//!
//! `cargo run --release --example calls -- 127.0.0.1:8083`

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{RecvStream, server};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::{TcpListener, TcpStream};

/// The longest call that is answered, in bytes.
const LONGEST: usize = 1 << 20;

fn main() {
    let address = std::env::args().nth(1).expect("an address to listen on");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind(&address).await.expect("a free port");
        loop {
            match listener.accept().await {
                Ok((socket, _)) => drop(tokio::spawn(serve(socket))),
                // Descriptors may run out for a while.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    });
}

async fn serve(socket: TcpStream) -> Result<(), h2::Error> {
    let _ = socket.set_nodelay(true);
    let mut connection = server::Builder::new().max_concurrent_streams(1_000).handshake(socket).await?;
    while let Some(call) = connection.accept().await {
        let (request, respond) = call?;
        tokio::spawn(answer(request, respond));
    }
    Ok(())
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let mut body = request.into_body();
    let mut messages = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        if messages.len() + data.len() <= LONGEST {
            messages.extend_from_slice(&data);
        }
    }
    let head = Response::builder().header("content-type", "application/grpc").body(()).expect("a head of constants");
    let mut stream = respond.send_response(head, false)?;
    stream.send_data(messages.freeze(), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(trailers)
}
