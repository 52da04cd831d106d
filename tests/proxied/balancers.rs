//! Real load balancers from their packages that speak the PROXY protocol: HAProxy both versions, nginx the first. Where one is missing the
//! test says so.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use frontgate_test_support::tool;

use super::{FROM_HERE, ask_on, refused, text};
use crate::harness::{Gateway, Log, Origin, PATIENCE, until};

/// A balancer's process, ended with the test.
struct Balancer(Child, SocketAddr);

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(name: &str, arguments: &[&str], text: &str, gateway: SocketAddr) -> Option<Balancer> {
    let program = tool(name)?;
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("balancer-{}-{}", address.port(), std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("configuration");
    let text = text.replace("@HERE@", &folder.display().to_string()).replace("@ADDRESS@", &address.to_string());
    std::fs::write(&file, text.replace("@GATEWAY@", &gateway.to_string())).unwrap();
    let mut command = Command::new(program);
    command.args(arguments).arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
    let balancer = Balancer(command.spawn().unwrap(), address);
    until("the balancer to listen", || TcpStream::connect(address).is_ok());
    Some(balancer)
}

const HAPROXY: &str = "
defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    option httpchk GET /check HTTP/1.0
listen front
    bind @ADDRESS@
    server gateway @GATEWAY@ @SEND@ check inter 200ms fall 10000
";

const NGINX: &str = "
daemon off;
master_process off;
pid @HERE@/pid;
error_log @HERE@/error.log crit;
@MODULES@
events {}
stream {
    server {
        listen @ADDRESS@;
        proxy_pass @GATEWAY@;
        proxy_protocol on;
    }
}
";

/// Asks through the balancer from an address of this machine that is not the balancer's.
fn through(balancer: &Balancer, origin: &Origin, log: &Log) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
        socket.connect(balancer.1).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let reply = ask_on(&mut { stream }, b"", "").expect("an answer through the balancer");

    assert_eq!(reply.status, 200);
    let asked = origin.received().into_iter().find(|request| request.line().starts_with("GET / ")).unwrap();
    assert_eq!(asked.header("x-forwarded-for"), ["127.0.0.9"]);
    let is_of_both = |line: &serde_json::Value| line["client_ip"] == "127.0.0.9" && line["proxy_ip"] == "127.0.0.1";
    until("a line of it", || log.lines().iter().any(is_of_both));
}

#[test]
fn haproxy_says_in_both_versions_for_whom_it_connects_and_its_checks_are_taken() {
    for send in ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"] {
        let (origin, log) = (Origin::json("{}"), Log::new("haproxy"));
        let gateway = Gateway::start(&log.of(&text(origin.address, FROM_HERE, "")));
        let text = HAPROXY.replace("@SEND@", send);
        let Some(balancer) = start("haproxy", &["-db", "-f"], &text, gateway.address) else { return };

        through(&balancer, &origin, &log);
        // Its checks say that the balancer itself asks.
        let checks = || origin.received().into_iter().filter(|request| request.line().starts_with("GET /check "));
        until("some checks", || checks().count() > 2);
        assert!(checks().all(|check| check.header("x-forwarded-for") == ["127.0.0.1"]));
        assert_eq!(refused(&gateway, "proxy_header"), 0.0);
    }
}

#[test]
fn nginx_says_for_whom_it_connects() {
    let (origin, log) = (Origin::json("{}"), Log::new("nginx-stream"));
    let gateway = Gateway::start(&log.of(&text(origin.address, FROM_HERE, "")));
    let module = ["/usr/lib/nginx/modules/ngx_stream_module.so", "/usr/lib64/nginx/modules/ngx_stream_module.so"];
    let module = module.iter().find(|path| std::path::Path::new(path).exists());
    let modules = module.map_or(String::new(), |path| format!("load_module {path};"));
    if module.is_none() && tool("nginx").is_some() && !has_streams() {
        println!("skipped: this nginx has no module for streams");
        return;
    }
    let Some(balancer) = start("nginx", &["-c"], &NGINX.replace("@MODULES@", &modules), gateway.address) else { return };

    through(&balancer, &origin, &log);
}

/// Whether nginx was built with the module.
fn has_streams() -> bool {
    let said = Command::new("nginx").arg("-V").output().map(|output| output.stderr).unwrap_or_default();
    String::from_utf8_lossy(&said).contains("--with-stream ")
}
