//! systemd, played by the test: it hears what the gateway says of itself, and gives it sockets that it listened on before.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{at, text};
use crate::harness::{Origin, PATIENCE, Process, Starting, get, until};

/// Starts the gateway with these variables; it reads its configuration again when it is asked to, and not before.
fn start(name: &str, text: &str, environment: &[(&str, &str)]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frontgate"));
    command.envs(environment.iter().copied()).stdout(Stdio::null());
    Starting::new(command, name, text, &["--no-watch"]).listening()
}

/// Who hears datagrams, at a path or at a name that no file has.
struct Heard {
    socket: UnixDatagram,
    path: String,
}

impl Heard {
    fn at_path(name: &str) -> Self {
        let path: PathBuf = std::env::temp_dir().join(format!("frontgate-test-{}-{name}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Self::new(UnixDatagram::bind(&path).unwrap(), path.display().to_string())
    }

    fn at_name(name: &str) -> Self {
        let name = format!("frontgate-test-{}-{name}", std::process::id());
        let address = <UnixAddress as std::os::linux::net::SocketAddrExt>::from_abstract_name(&name).unwrap();
        Self::new(UnixDatagram::bind_addr(&address).unwrap(), format!("@{name}"))
    }

    fn new(socket: UnixDatagram, path: String) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, path }
    }

    fn next(&self) -> String {
        let mut space = [0; 4096];
        let count = self.socket.recv(&mut space).expect("something is said");
        String::from_utf8_lossy(&space[..count]).into_owned()
    }

    /// The next message but those of the watchdog.
    fn next_word(&self) -> String {
        (0..1000).map(|_| self.next()).find(|said| said != "WATCHDOG=1\n").expect("something else")
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[test]
fn systemd_hears_when_the_gateway_serves_reloads_and_ends() {
    let origin = Origin::json("{}");
    for heard in [Heard::at_path("notify"), Heard::at_name("notify")] {
        let good = text(origin.address, "{address: 127.0.0.1:0}", "drain: {notice: 1s, timeout: 119s}");
        let mut process = start("notify", &good, &[("NOTIFY_SOCKET", &heard.path)]);

        let ready = heard.next();
        let lines: Vec<&str> = ready.lines().collect();
        assert_eq!(lines[..2], ["READY=1", &format!("MAINPID={}", process.child.id())], "{ready}");
        assert!(lines[2].starts_with("STATUS=configuration ") && lines[2].ends_with(" is in force"), "{ready}");
        assert_eq!(get(process.address, "/").status, 200, "it serves when it says so");

        for (body, status, word) in
            [(good.replace("20s", "21s"), 200, Some("STATUS=configuration ")), (good.replace("20s", "x"), 422, None)]
        {
            process.write(&body);
            assert_eq!(process.ask("POST", "/-/reload").status, status);
            let began = heard.next();
            let usec = began.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|rest| rest.trim().parse::<u64>().ok());
            assert!(usec.is_some_and(|usec| usec > 0), "{began}");
            if let Some(word) = word {
                let said = heard.next();
                assert!(said.starts_with(word), "{said}");
            }
            assert_eq!(heard.next(), "READY=1\n", "whatever came of it");
        }

        process.signal("TERM");
        let stopping = heard.next();
        // As long as the drain may take and a little longer, whatever the unit gives.
        assert!(stopping.starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC=130000000\nSTATUS=draining"), "{stopping}");
        assert_eq!(process.end(), Some(0));
        heard.socket.set_nonblocking(true).unwrap();
        assert!(heard.socket.recv(&mut [0; 64]).is_err(), "nothing more is said");
    }
}

#[test]
fn the_watchdog_hears_of_the_gateway_twice_as_often_as_it_must() {
    let origin = Origin::json("{}");
    let heard = Heard::at_name("watchdog");
    let listeners = text(origin.address, "{address: 127.0.0.1:0}", "threads: 2");
    let environment = [("NOTIFY_SOCKET", heard.path.as_str()), ("WATCHDOG_USEC", "400000")];
    let process = start("watchdog", &listeners, &environment);
    assert!(heard.next_word().starts_with("READY=1\n"));

    let began = Instant::now();
    for _ in 0..5 {
        assert_eq!(heard.next(), "WATCHDOG=1\n");
    }
    assert!(began.elapsed() >= Duration::from_millis(700), "{:?}", began.elapsed());

    // Nothing turns, nothing is said.
    process.signal("STOP");
    std::thread::sleep(Duration::from_millis(50));
    heard.socket.set_nonblocking(true).unwrap();
    while heard.socket.recv(&mut [0; 64]).is_ok() {}
    heard.socket.set_nonblocking(false).unwrap();
    heard.socket.set_read_timeout(Some(Duration::from_millis(600))).unwrap();
    assert!(heard.socket.recv(&mut [0; 64]).is_err());
    process.signal("CONT");
    heard.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(heard.next(), "WATCHDOG=1\n");
}

#[test]
fn a_watchdog_of_another_process_is_not_reassured() {
    let origin = Origin::json("{}");
    let heard = Heard::at_name("others");
    let environment = [("NOTIFY_SOCKET", heard.path.as_str()), ("WATCHDOG_USEC", "100000"), ("WATCHDOG_PID", "1")];
    let _process = start("others", &text(origin.address, "{address: 127.0.0.1:0}", ""), &environment);
    assert!(heard.next().starts_with("READY=1\n"));

    heard.socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();

    assert!(heard.socket.recv(&mut [0; 64]).is_err());
}

/// Starts the gateway with these two sockets under their names, as systemd does.
fn activated(name: &str, text: &str, sockets: [&TcpListener; 2], names: &str) -> Starting {
    let script = "exec 3<&0 4>&1 0</dev/null 1>/dev/null; LISTEN_PID=$$ LISTEN_FDS=2 exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_frontgate")]).env("LISTEN_FDNAMES", names);
    let [first, second] = sockets.map(|socket| Stdio::from(std::os::fd::OwnedFd::from(socket.try_clone().unwrap())));
    command.stdin(first).stdout(second);
    Starting::new(command, name, text, &["--no-watch"])
}

#[test]
fn sockets_of_systemd_are_taken_by_their_name_or_address_and_nobody_is_refused_over_a_restart() {
    let origin = Origin::json("{}");
    let [web, admin] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [web_address, admin_address] = [&web, &admin].map(|socket| socket.local_addr().unwrap());
    // The admin address has port 0: by its name it is the socket's all the same.
    let configured = text(origin.address, &format!("{}, {{address: 127.0.0.1:0}}", at(web_address)), "drain: {timeout: 1m}");

    let mut first = activated("activated", &configured, [&web, &admin], "web:admin").listening();
    assert_eq!((first.addresses[0], first.admin), (web_address, admin_address));
    assert_eq!(first.addresses.len(), 2);
    assert_eq!(get(web_address, "/").status, 200);
    assert_eq!(first.ask("GET", "/readyz").status, 200);
    first.signal("TERM");
    assert_eq!(first.end(), Some(0));

    // Between two processes they wait.
    let waiting: Vec<_> = (0..20).map(|_| std::thread::spawn(move || get(web_address, "/").status)).collect();
    until("somebody to wait", || waiting_at(web_address) == 20);
    let second = activated("activated-again", &configured, [&web, &admin], "web:admin").listening();

    assert!(waiting.into_iter().all(|client| client.join().unwrap() == 200));
    assert_eq!(get(second.addresses[0], "/").status, 200);
    // A reload keeps them, too.
    second.write(&configured.replace("20s", "21s"));
    assert_eq!(second.ask("POST", "/-/reload").status, 200);
    assert_eq!(get(web_address, "/").status, 200);
}

#[test]
fn a_listener_takes_the_socket_of_its_name_whatever_its_address() {
    let origin = Origin::json("{}");
    let [shop, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [shop_address, other_address] = [&shop, &other].map(|socket| socket.local_addr().unwrap());
    // By its address the first listener would be the other one's.
    let listeners = format!("{{address: \"{other_address}\", name: shop}}, {{address: 127.0.0.1:0, name: other, redirect_to_https: 8443}}");

    let process = activated("named", &text(origin.address, &listeners, ""), [&shop, &other], "shop:other").listening();

    assert_eq!(process.addresses, [shop_address, other_address]);
    assert_eq!([shop_address, other_address].map(|address| get(address, "/").status), [200, 308]);
}

/// How many wait at a listener until somebody accepts them.
fn waiting_at(address: SocketAddr) -> usize {
    let SocketAddr::V4(address) = address else { unreachable!("the tests listen on IPv4") };
    let own = format!("{:08X}:{:04X}", u32::from_le_bytes(address.ip().octets()), address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    // Of a socket that listens (0A) the receive queue is how many wait.
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.into_iter().find(|row| row.get(1) == Some(&own.as_str()) && row.get(3) == Some(&"0A")).expect("it listens");
    usize::from_str_radix(row[4].split(':').nth(1).unwrap(), 16).unwrap()
}

#[test]
fn a_descriptor_that_does_not_listen_ends_the_process_with_words() {
    let script = "exec 3</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_frontgate")]).stdout(Stdio::null());

    let (code, said) = Starting::new(command, "no-socket", &text("127.0.0.1:9".parse().unwrap(), "{address: 127.0.0.1:0}", ""), &[]).end();

    assert_eq!(code, Some(1));
    assert!(said.contains("LISTEN_FDS: the descriptor 3"), "{said}");
}
