//! gRPC's own core at both ends: Python's `grpcio` calls through the gateway and its filters, and serves behind them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use frontgate_test_support::{skipped, tool};

use crate::harness::{Gateway, yaml};

/// A peer's process, ended with the test.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const SECRET: &str = "of-the-peers-0123456789-0123456789";

fn configuration(port: &str, secret: &Path) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]
          limits: {body: 32MiB}
        upstreams:
          main: {endpoints: [127.0.0.1:$PORT], protocol: h2, timeouts: {stream_idle: 30s}}
          gone: {endpoints: [127.0.0.1:1], protocol: h2}
        filters:
          login:
            jwt:
              issuer: peer
              audience: peer
              algorithms: [HS256]
              keys: {secret: {file: \"$SECRET\"}}
              claim_headers: {X-User-Id: claim.sub}
          admins: {rbac: {claim: roles, any_of: [admin]}}
          few: {rate_limit: {key: client_ip, rate: 1/h, burst: 1}}
          office: {ip_access: {allow: [192.0.2.1]}}
          slim: {trim: {by: device, profiles: {desktop: {drop: [debug]}}, otherwise: {drop: [debug]}}}
          tidy: {headers: {response: {remove: [Server], set: {X-Tidy: '1'}}}}
          stamp: {version_header: {name: X-Version, value: v1}}
          browser: {grpc_web: {}}
          packed: {compress: {min: 0B, types: [application/*, '+proto', '+json']}}
          guard: {circuit_breaker: {consecutive: 3, open_for: 10m, max_open_for: 10m}}
        routes:
          - {name: all, path: /peer.Peer/**, upstream: main}
          - {name: closed, path: /closed/**, upstream: main, rewrite: {strip_prefix: /closed}, filters: [login]}
          - {name: admin, path: /admin/**, upstream: main, rewrite: {strip_prefix: /admin}, filters: [login, admins]}
          - {name: few, path: /few/**, upstream: main, rewrite: {strip_prefix: /few}, filters: [few]}
          - {name: office, path: /office/**, upstream: main, rewrite: {strip_prefix: /office}, filters: [office]}
          - {name: gone, path: /gone/**, upstream: gone}
          - {name: late, path: /late/**, upstream: main, rewrite: {strip_prefix: /late}, timeout: 300ms}
          - {name: small, path: /small/**, upstream: main, rewrite: {strip_prefix: /small}, limits: {body: 1KiB}}
          - {name: guarded, path: /guarded/**, upstream: main, rewrite: {strip_prefix: /guarded}, filters: [stamp, tidy, packed, browser, slim, guard]}
        ",
        &[("$PORT", &port), ("$SECRET", &secret.display())],
    )
}

#[test]
fn the_core_of_grpc_passes_through_every_filter() {
    let Some(python) = tool("python3") else { return };
    let has_grpc = Command::new(&python).args(["-c", "import grpc"]).stderr(Stdio::null()).status().unwrap().success();
    if !has_grpc {
        return skipped("Python has no `grpcio`");
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/grpc/peer.py");
    let mut server = Peer(Command::new(&python).arg(&script).arg("server").stdout(Stdio::piped()).spawn().unwrap());
    let mut port = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let secret = std::env::temp_dir().join(format!("frontgate-grpc-{}.key", std::process::id()));
    std::fs::write(&secret, SECRET).unwrap();
    let gateway = Gateway::start(&configuration(port.trim(), &secret));
    let _ = std::fs::remove_file(&secret);

    let told = Command::new(&python).arg(&script).args(["client", &gateway.address.to_string(), SECRET]).output().unwrap();

    let (said, errors) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(told.status.success(), "{said}{errors}");
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 12, "{said}");
}
