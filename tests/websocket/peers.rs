//! A WebSocket library that was not written here, on both sides: the Python package `websockets`.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use frontgate_test_support::{skipped, tool};

use crate::harness::{Gateway, yaml};

const SERVER: &str = "
import sys
from websockets.sync.server import serve
def echo(socket):
    for message in socket:
        if message == 'close':
            socket.close(4001, 'as asked')
        else:
            socket.send(message)
with serve(echo, '127.0.0.1', 0, max_size=None, subprotocols=['chat']) as server:
    print(server.socket.getsockname()[1], flush=True)
    server.serve_forever()
";

const CLIENT: &str = "
import os, sys
from websockets.sync.client import connect
from websockets.exceptions import ConnectionClosed
address = sys.argv[1]
for compression in ['deflate', None]:
    with connect(f'ws://{address}/socket', compression=compression, max_size=None, subprotocols=['chat'], proxy=None) as socket:
        assert socket.subprotocol == 'chat', socket.subprotocol
        extensions = [extension.name for extension in socket.protocol.extensions]
        assert extensions == (['permessage-deflate'] if compression else []), extensions
        for length in [0, 1, 125, 126, 127, 65535, 65536, 1 << 20]:
            for message in ['\\u00e4' * length, os.urandom(length)]:
                socket.send(message)
                assert socket.recv(timeout=20) == message, length
        socket.send(part for part in ['in ', 'several ', '', 'parts'])
        assert socket.recv(timeout=20) == 'in several parts'
        for payload in [b'', b'x' * 125]:
            assert socket.ping(payload).wait(20), 'no pong'
        socket.send('close')
        try:
            socket.recv(timeout=20)
            raise SystemExit('it goes on')
        except ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4001, 'as asked'), closed
print('all of it')
";

/// Ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An interpreter that has the package.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("FRONTGATE_PYTHON").map(PathBuf::from).or_else(|| tool("python3"))?;
    let has = Command::new(&python).args(["-c", "import websockets.sync.server"]).stderr(Stdio::null()).status();
    if has.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    skipped("the Python package `websockets` is not installed; FRONTGATE_PYTHON may name an interpreter that has it");
    None
}

#[test]
fn a_library_s_client_and_server_understand_each_other_through_the_gateway() {
    let Some(python) = python() else { return };
    let mut server = Server(Command::new(&python).args(["-c", SERVER]).stdout(Stdio::piped()).spawn().unwrap());
    let mut port = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let origin = format!("127.0.0.1:{}", port.trim());
    let gateway = Gateway::start(&yaml(
        "
        upstreams: {main: {endpoints: [$ORIGIN]}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &origin)],
    ));

    let client = Command::new(&python).args(["-c", CLIENT, &gateway.address.to_string()]).output().unwrap();

    let said = String::from_utf8_lossy(&client.stdout).into_owned();
    assert!(client.status.success() && said == "all of it\n", "{said}{}", String::from_utf8_lossy(&client.stderr));
}
