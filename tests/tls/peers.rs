//! Real clients from their packages in front of a listener with TLS: OpenSSL, curl, Chromium, and a scanner. A test that misses one says so.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use frontgate_test_support::tool;

use super::authority::{Authority, Directory};
use super::put;
use crate::harness::{Gateway, yaml};

/// A page that says by which protocol it came.
const PAGE: &str =
    "<html><body><script>document.write(performance.getEntriesByType('navigation')[0].nextHopProtocol)</script></body></html>";

/// Listeners with a certificate of either kind: for everybody, for who shows a certificate, and for HTTP/1 alone.
struct Listeners {
    directory: Directory,
    gateway: Gateway,
}

impl Listeners {
    fn start() -> Self {
        let (authority, directory) = (Authority::new(), Directory::new());
        directory.put("ca.pem", &authority.pem());
        put(&directory, "ecdsa", &authority.issue(&["shop.example"]));
        put(&directory, "rsa", &authority.issue_rsa(&["shop.example"]));
        put(&directory, "client", &authority.issue_client("alice", "spiffe://shop/alice"));
        let gateway = Gateway::start(&yaml(
            "
            server:
              listeners:
                - {address: 127.0.0.1:0, tls: {certificates: [{cert: $@/ecdsa.pem, key: $@/ecdsa.key}, {cert: $@/rsa.pem, key: $@/rsa.key}]}}
                - {address: 127.0.0.1:0, tls: {cert: $@/ecdsa.pem, key: $@/ecdsa.key, client_auth: {ca: $@/ca.pem}}}
                - {address: 127.0.0.1:0, protocols: [http1], tls: {cert: $@/ecdsa.pem, key: $@/ecdsa.key}}
            routes:
              - {name: page, path: /**, respond: {status: 200, body: \"$PAGE\", headers: {Content-Type: text/html}}}
            ",
            &[("$@", &directory.display()), ("$PAGE", &PAGE)],
        ));
        Self { directory, gateway }
    }

    fn address(&self, index: usize) -> SocketAddr {
        self.gateway.running.addresses()[index]
    }

    fn file(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}

#[test]
fn openssl_speaks_both_versions_and_resumes_them_without_early_data() {
    let Some(program) = tool("openssl") else { return };
    let listeners = Listeners::start();
    let (ca, session, early) = (listeners.file("ca.pem"), listeners.file("session"), listeners.file("early"));
    std::fs::write(&early, "GET /early HTTP/1.1\r\nHost: shop.example\r\n\r\n").unwrap();
    let client = |index: usize, more: &[&str]| {
        let address = listeners.address(index).to_string();
        let mut client = Command::new(&program)
            .args(["s_client", "-ign_eof", "-connect", &address, "-servername", "shop.example", "-CAfile", &ca, "-verify_return_error"])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let _ = client.stdin.take().unwrap().write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
        let done = client.wait_with_output().unwrap();
        String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()
    };

    for version in ["-tls1_3", "-tls1_2"] {
        let first = client(0, &[version, "-sess_out", &session]);
        assert!(first.contains("HTTP/1.1 200") && first.contains("New, TLSv1."), "{version}: {first}");
        assert!(!first.contains("unexpected eof"), "it ends in TLS, too: {first}");
        let second = client(0, &[version, "-sess_in", &session]);
        assert!(second.contains("HTTP/1.1 200") && second.contains("Reused, TLSv1."), "{version}: {second}");
    }
    assert!(client(0, &["-tls1_3", "-sess_out", &session]).contains("HTTP/1.1 200"));
    let hasty = client(0, &["-tls1_3", "-sess_in", &session, "-early_data", &early]);
    assert!(hasty.contains("HTTP/1.1 200") && !hasty.contains("Early data was accepted"), "{hasty}");

    for (more, kind) in [(&["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"][..], "RSA"), (&["-tls1_2"], "ECDSA")] {
        let told = client(0, more);
        assert!(told.contains("HTTP/1.1 200") && told.contains(&format!("Peer signature type: {kind}")), "{told}");
    }
    for old in ["-tls1", "-tls1_1"] {
        assert!(client(0, &[old, "-cipher", "ALL:@SECLEVEL=0"]).contains("Cipher is (NONE)"), "{old}");
    }

    let (cert, key) = (listeners.file("client.pem"), listeners.file("client.key"));
    for version in ["-tls1_3", "-tls1_2"] {
        assert!(!client(1, &[version]).contains("HTTP/1.1 200"), "{version}");
        assert!(client(1, &[version, "-cert", &cert, "-key", &key]).contains("HTTP/1.1 200"), "{version}");
    }
}

#[test]
fn curl_speaks_http1_and_http2_and_shows_its_certificate() {
    let Some(program) = tool("curl") else { return };
    let listeners = Listeners::start();
    let asked = |index: usize, more: &[&str]| {
        let address = listeners.address(index);
        let url = format!("https://shop.example:{}/", address.port());
        let done = Command::new(&program)
            .args(["-sS", "--max-time", "20", "--cacert", &listeners.file("ca.pem"), "-w", "%{http_version} %{http_code} %{num_connects},"])
            .args(["--resolve", &format!("shop.example:{}:127.0.0.1", address.port()), "-o", "/dev/null", "-o", "/dev/null", &url, &url])
            .args(more)
            .output()
            .unwrap();
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    let (cert, key) = (listeners.file("client.pem"), listeners.file("client.key"));

    // Both requests on one connection.
    assert_eq!(asked(0, &["--http1.1"]), "1.1 200 1,1.1 200 0,");
    assert_eq!(asked(0, &["--http2"]), "2 200 1,2 200 0,");
    assert_eq!(asked(2, &["--http2"]), "1.1 200 1,1.1 200 0,");
    assert_eq!(asked(0, &["--http1.1", "--tls-max", "1.2"]), "1.1 200 1,1.1 200 0,");
    assert_eq!(asked(1, &["--http2", "--cert", &cert, "--key", &key]), "2 200 1,2 200 0,");
    assert!(!asked(1, &["--http2"]).contains("200"));
}

#[test]
fn chromium_loads_a_page_by_the_protocol_that_was_agreed_on() {
    let shell = std::env::var_os("PATH").and_then(|path| {
        let mut folders = std::env::split_paths(&path);
        folders.find_map(|folder| Some(folder.join("chromium-headless-shell")).filter(|program: &PathBuf| program.is_file()))
    });
    let Some(program) = shell.or_else(|| tool("chromium")) else { return };
    let listeners = Listeners::start();

    for (index, protocol) in [(0, "h2"), (2, "http/1.1")] {
        let url = format!("https://{}/", listeners.address(index));
        let done = Command::new(&program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors", "--dump-dom"])
            .arg(format!("--user-data-dir={}", listeners.file(&format!("chromium-{index}"))))
            .arg(&url)
            .output()
            .unwrap();
        let page = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(page.contains(&format!("</script>{protocol}</body>")), "{page}\n{}", String::from_utf8_lossy(&done.stderr));
    }
}

#[test]
fn a_scanner_finds_nothing_but_that_the_authority_is_a_tests() {
    let Some(program) = tool("sslyze") else { return };
    let listeners = Listeners::start();

    let done = Command::new(program)
        .args(["--mozilla_config=intermediate", "--early_data", "--sni", "shop.example", &listeners.address(0).to_string()])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&done.stdout).into_owned();

    assert_eq!(told.matches("the server rejected all cipher suites").count(), 4, "SSL 2 and 3, TLS 1.0 and 1.1: {told}");
    assert!(!told.contains("VULNERABLE -") && told.contains("OK - Not vulnerable to Heartbleed"), "{told}");
    let (_, judged) = told.split_once("Checking results against Mozilla's").unwrap_or_else(|| panic!("no judgement: {told}"));
    let found: Vec<&str> = judged.lines().map(str::trim).filter(|line| line.starts_with("* ")).collect();
    // What a test issues is trusted by no store, and holds for as long as the library says.
    let is_expected = |line: &&str| line.starts_with("* certificate_path_validation") || line.starts_with("* maximum_certificate_lifespan");
    assert!(found.iter().all(is_expected), "{found:#?}");
}
