//! Real peers from their packages: nginx and Python as origins, curl and wrk as clients. A test that misses one says so.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use frontgate_test_support::tool;

use crate::harness::{Gateway, get, until, yaml};

/// A peer's process, ended with the test.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn listening(peer: Command, address: SocketAddr) -> Peer {
    let mut peer = peer;
    let peer = Peer(peer.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    until("the peer to listen", || TcpStream::connect(address).is_ok());
    peer
}

/// A folder of its own in the build's place for temporary files.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// `keys` are more of its `listen`.
fn nginx(name: &str, address: SocketAddr, keys: &str) -> Option<Peer> {
    let program = tool("nginx")?;
    let folder = folder(name);
    let here = folder.display();
    let text = r#"
daemon off;
master_process off;
pid @HERE@/pid;
error_log @HERE@/error.log crit;
events {}
http {
    access_log off;
    client_body_temp_path @HERE@/body;
    proxy_temp_path @HERE@/proxy;
    fastcgi_temp_path @HERE@/fastcgi;
    uwsgi_temp_path @HERE@/uwsgi;
    scgi_temp_path @HERE@/scgi;
    keepalive_requests @REQUESTS@;
    server {
        listen @ADDRESS@ @KEYS@;
        location / {
            default_type application/json;
            return 200 '{"from":"nginx"}';
        }
    }
}
"#;
    // Over HTTP/2 it leaves connections again and again, with a GOAWAY, in the middle of the traffic.
    let requests = if keys.contains("http2") { "50" } else { "100000" };
    let text = text.replace("@HERE@", &here.to_string()).replace("@ADDRESS@", &address.to_string());
    let text = text.replace("@KEYS@", keys).replace("@REQUESTS@", requests);
    let config = folder.join("nginx.conf");
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(program);
    command.arg("-c").arg(config).arg("-e").arg(folder.join("error.log"));
    Some(listening(command, address))
}

fn curl(arguments: &[&str]) -> Option<String> {
    let output = Command::new(tool("curl")?).args(["-sS", "--max-time", "20"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn curl_and_wrk_reach_a_real_nginx() {
    let address = free();
    let Some(_nginx) = nginx("nginx", address, "") else { return };
    let gateway = Gateway::over(address, "", "");
    let url = format!("http://{}/products", gateway.address);

    // Twice on one connection, as a browser does.
    if let Some(text) = curl(&["-i", &url, &url]) {
        assert_eq!(text.matches("HTTP/1.1 200").count(), 2, "{text}");
        assert_eq!(text.matches(r#"{"from":"nginx"}"#).count(), 2, "{text}");
    }
    let Some(wrk) = tool("wrk") else { return };
    let output = Command::new(wrk).args(["-t1", "-c16", "-d1s", "--timeout", "20s", &url]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
    // At least one on each of wrk's connections.
    until("requests total", || gateway.metric("frontgate_requests_total{route=\"all\",method=\"GET\",code=\"200\"}") >= 16.0);
}

#[test]
fn an_nginx_that_speaks_http2_and_leaves_its_connections_over_and_over_costs_no_request() {
    let address = free();
    let Some(_nginx) = nginx("nginx-http2", address, "http2") else { return };
    let gateway = Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}], threads: 2}
        upstreams: {main: {endpoints: [$ORIGIN], protocol: h2}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &address)],
    ));
    let url = format!("http://{}/products", gateway.address);

    if let Some(text) = curl(&["-i", &url, &url]) {
        assert_eq!(text.matches(r#"{"from":"nginx"}"#).count(), 2, "{text}");
    }
    let Some(h2load) = tool("h2load") else { return };
    let output = Command::new(h2load).args(["-n3000", "-c4", "-m20", &url]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();

    assert!(text.contains("3000 succeeded, 0 failed, 0 errored"), "{text}");
    assert!(text.contains("3000 2xx"), "{text}");
}

#[test]
fn a_process_that_is_paused_is_left_and_found_again() {
    let address = free();
    let Some(nginx) = nginx("nginx-paused", address, "http2") else { return };
    let gateway = Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], threads: 1}
        upstreams: {main: {endpoints: [$ORIGIN], protocol: h2, timeouts: {first_byte: 60s}}}
        routes: [{name: all, path: /**, upstream: main}]
        ",
        &[("$ORIGIN", &address)],
    ));
    let signal = |name: &str| assert!(Command::new("kill").args([name, &nginx.0.id().to_string()]).status().unwrap().success());
    assert_eq!(get(gateway.address, "/").status, 200);

    signal("-STOP");
    let began = Instant::now();
    let paused = get(gateway.address, "/").status;
    let took = began.elapsed();
    signal("-CONT");

    assert_eq!(paused, 502);
    assert!(took < Duration::from_secs(15), "{took:?}");
    until("it is asked again", || get(gateway.address, "/").status == 200);
}

const ORIGIN: &str = r#"
import http.server, sys

class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass

    def answer(self, body):
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(b'from python')

    def do_PUT(self):
        self.answer(str(len(self.rfile.read(int(self.headers['Content-Length'])))).encode())

http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Origin).serve_forever()
"#;

#[test]
fn curl_reaches_a_python_origin_and_uploads_to_it() {
    let Some(python) = tool("python3") else { return };
    let address = free();
    let script = folder("python").join("origin.py");
    std::fs::write(&script, ORIGIN).unwrap();
    let mut command = Command::new(python);
    command.arg(&script).arg(address.port().to_string());
    let _python = listening(command, address);
    let gateway = Gateway::over(address, "", "");
    let url = format!("http://{}/", gateway.address);

    let Some(text) = curl(&[&url]) else { return };
    assert_eq!(text, "from python");
    let upload = folder("python").join("upload");
    std::fs::write(&upload, vec![b'x'; 3 << 20]).unwrap();
    assert_eq!(curl(&["-T", upload.to_str().unwrap(), &url]).unwrap(), (3 << 20).to_string());
}
