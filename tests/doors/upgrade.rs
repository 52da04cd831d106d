//! A process that takes another one's place, with its sockets, while clients ask all the time.

use std::io::{IoSlice, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::clients::{self, Tally};
use super::{is_long, text};
use crate::harness::{Origin, PATIENCE, Process, Starting, get, raw, until};
use crate::tls::authority::{Authority, Directory};
use crate::websocket::socket;

/// A folder that nobody else can write to, gone with its test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("frontgate-upgrade-{}-{name}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
        Self(folder)
    }

    /// Where both processes find each other.
    fn socket(&self) -> String {
        self.0.join("upgrade.sock").display().to_string()
    }

    /// What hears what a process tells its supervisor, and where that is told.
    fn supervisor(&self) -> (UnixDatagram, String) {
        let notify = self.0.join("notify");
        let heard = UnixDatagram::bind(&notify).unwrap();
        heard.set_read_timeout(Some(PATIENCE)).unwrap();
        (heard, notify.display().to_string())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The binary, about to run as the next one after some.
fn next(name: &str, text: &str, place: &Place, environment: &[(&str, &str)]) -> Starting {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frontgate"));
    command.stdout(Stdio::null()).envs(environment.iter().copied());
    let starting = Starting::new(command, name, text, &["--upgrade", "--upgrade-socket", &place.socket()]);
    starting.says("send it QUIT");
    starting
}

#[test]
fn no_request_fails_while_one_process_takes_the_place_of_another() {
    const EACH: usize = 5;
    let rounds = if is_long() { 10 } else { 3 };
    let (place, authority, directory) = (Place::new("load"), Authority::new(), Directory::new());
    let origin = socket::origin(|_, stream| {
        // Messages come back without their mask.
        while let Some((opcode, said)) = socket::read_frame(stream) {
            let _ = stream.write_all(&[&[0x80 | opcode, said.len() as u8], &said[..]].concat());
            if opcode == 8 {
                return;
            }
        }
    });
    let issued = authority.issue(&["shop.example"]);
    directory.put("shop.pem", &issued.cert);
    directory.put("shop.key", &issued.key);
    let folder = directory.display();
    let listeners = format!(
        "{{address: 127.0.0.1:0, protocols: [h2, http1]}}, {{address: 127.0.0.1:0, tls: {{cert: \"{folder}/shop.pem\", key: \"{folder}/shop.key\"}}}}"
    );
    let configured = text(origin.address, &listeners, "drain: {timeout: 1m}");
    let environment = [("FRONTGATE_UPGRADE_SOCKET", place.socket())];
    let mut running = Process::start_in("load-0", &configured, &environment.each_ref().map(|(name, path)| (*name, path.as_str())));
    let [clear, secure]: [SocketAddr; 2] = running.addresses[..].try_into().unwrap();
    let admin = running.admin;
    let tally = Tally::of(4 * EACH);
    let began = Instant::now();

    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for _ in 0..EACH {
            threads.push(scope.spawn(|| clients::over_http1(&tally, || raw(clear))));
            threads.push(scope.spawn(|| clients::over_http1(&tally, || clients::secure(&authority, secure))));
            threads.push(scope.spawn(|| clients::over_http2(&tally, clear)));
            threads.push(scope.spawn(|| clients::over_websockets(&tally, clear)));
        }
        let stop = Stop(&tally);
        for round in 1..=rounds {
            let before = tally.answered.load(Ordering::SeqCst);
            until("traffic", || tally.answered.load(Ordering::SeqCst) > before + 200 || threads.iter().any(|thread| thread.is_finished()));
            let starting = next(&format!("load-{round}"), &configured, &place, &[]);
            running.signal("QUIT");
            let new = starting.listening();
            assert_eq!((&new.addresses, new.admin), (&running.addresses, admin), "the same sockets");
            assert_eq!(running.end(), Some(0), "{}", running.said());
            assert!(running.said().contains("serves with the same sockets"), "{}", running.said());
            assert_eq!(new.ask("GET", "/readyz").status, 200);
            running = new;
        }
        if is_long() {
            until("five hundred requests a second", || tally.kept_its_rate() || threads.iter().any(|thread| thread.is_finished()));
        }
        drop(stop);
        threads.into_iter().for_each(|thread| thread.join().expect("no request failed"));
    });

    let (answered, connections) = (tally.answered.load(Ordering::SeqCst), tally.connections.load(Ordering::SeqCst));
    println!("{answered} answers in {:?} over {connections} connections and {rounds} upgrades", began.elapsed());
    assert!(connections >= 4 * EACH * (rounds + 1), "{connections} connections: everybody met every process");
}

/// Stops the clients, also where the test fails.
struct Stop<'a>(&'a Tally);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_process_that_fails_to_start_leaves_the_old_one_serving() {
    let place = Place::new("fails");
    let origin = Origin::json("{}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let configured = text(origin.address, "{address: 127.0.0.1:0}", "drain: {timeout: 1m}");
    let path = place.socket();
    let mut old = Process::start_in("fails", &configured, &[("FRONTGATE_UPGRADE_SOCKET", &path)]);
    let mut stays = raw(old.address);
    assert_eq!(clients::ask(&mut stays, "/").unwrap().status, 200);

    let more = format!("{{address: 127.0.0.1:0}}, {{address: \"{}\"}}", taken.local_addr().unwrap());
    let new = next("fails-new", &text(origin.address, &more, ""), &place, &[]);
    old.signal("QUIT");
    let (code, said) = new.end();

    assert_eq!(code, Some(1));
    assert!(said.contains("cannot listen on"), "{said}");
    until("words", || old.said().contains("no other process has taken over, and this one serves on"));
    assert_eq!(clients::ask(&mut stays, "/").unwrap().header("connection"), None);
    assert_eq!(get(old.address, "/").status, 200);
    assert_eq!(old.ask("GET", "/readyz").status, 200);

    // One that was killed while it waited leaves its socket there, and nobody at it.
    let killed = next("fails-killed", &configured, &place, &[]);
    killed.signal("KILL");
    assert_eq!(killed.end().0, None);
    assert!(std::path::Path::new(&path).exists());
    let waits = next("fails-waits", &configured, &place, &[]);
    waits.signal("TERM");
    assert_eq!(waits.end().0, Some(0));
    assert!(!std::path::Path::new(&path).exists(), "who ends clears up");

    // Nobody waits any more.
    old.signal("QUIT");
    assert_eq!(old.end(), Some(0));
    assert!(old.said().contains("no process waits at"), "{}", old.said());
}

#[test]
fn listeners_of_the_new_configuration_are_opened_and_those_it_lacks_are_closed() {
    let place = Place::new("other");
    let origin = Origin::json("{}");
    let [first, second, third] = [(); 3].map(|()| super::free());
    let listeners = |addresses: &[SocketAddr]| addresses.iter().map(|address| super::at(*address)).collect::<Vec<_>>().join(", ");
    let old_text = text(origin.address, &listeners(&[first, second]), "status: 127.0.0.1:0");
    let path = place.socket();
    let mut old = Process::start_in("other", &old_text, &[("FRONTGATE_UPGRADE_SOCKET", &path)]);

    let new = next("other-new", &text(origin.address, &listeners(&[second, third]), "threads: 1"), &place, &[]);
    old.signal("QUIT");
    let new = new.listening();
    assert_eq!(old.end(), Some(0));

    assert_eq!(new.addresses, [second, third]);
    assert_eq!([second, third].map(|address| get(address, "/").status), [200, 200]);
    assert!(std::net::TcpStream::connect(first).is_err());
    assert!(new.said().contains(&format!("the socket of {first} that was handed over is closed")), "{}", new.said());
}

#[test]
fn systemd_hears_which_process_is_the_main_one_from_now_on() {
    let place = Place::new("main");
    let origin = Origin::json("{}");
    let (heard, notify) = place.supervisor();
    let path = place.socket();
    let configured = text(origin.address, "{address: 127.0.0.1:0}", "");
    let mut old = Process::start_in("main", &configured, &[("FRONTGATE_UPGRADE_SOCKET", &path), ("NOTIFY_SOCKET", &notify)]);
    let watched = [("NOTIFY_SOCKET", notify.as_str()), ("WATCHDOG_USEC", "200000"), ("WATCHDOG_PID", &old.child.id().to_string())];

    let new = next("main-new", &configured, &place, &watched);
    old.signal("QUIT");
    let new = new.listening();
    assert_eq!(old.end(), Some(0));

    let mut said: Vec<String> = Vec::new();
    let end = Instant::now() + PATIENCE;
    let main = format!("MAINPID={}\n", new.child.id());
    let ready = format!("READY=1\n{main}");
    let all = |said: &[String]| {
        said.contains(&main) && said.iter().any(|word| word.starts_with(&ready)) && said.iter().any(|word| word == "WATCHDOG=1\n")
    };
    while !all(&said) {
        assert!(Instant::now() < end, "{said:?}");
        let mut space = [0; 4096];
        let count = heard.recv(&mut space).expect("something is said");
        said.push(String::from_utf8_lossy(&space[..count]).into_owned());
    }
    std::thread::sleep(Duration::from_millis(50));
    assert!(!said.iter().any(|word| word.contains("STOPPING")), "the unit goes on: {said:?}");
}

#[test]
fn a_process_that_was_not_told_of_the_watchdog_goes_on_where_the_one_before_was() {
    let place = Place::new("watched");
    let origin = Origin::json("{}");
    let (heard, notify) = place.supervisor();
    let path = place.socket();
    let configured = text(origin.address, "{address: 127.0.0.1:0}", "");
    let watched = [("FRONTGATE_UPGRADE_SOCKET", path.as_str()), ("NOTIFY_SOCKET", &notify), ("WATCHDOG_USEC", "200000")];
    let first = Process::start_in("watched", &configured, &watched);
    let first_one = first.child.id().to_string();
    // systemd gives the variables to the main process alone; another one's are as if there were none.
    let unit = [("NOTIFY_SOCKET", notify.as_str())];
    let others = [("NOTIFY_SOCKET", notify.as_str()), ("WATCHDOG_USEC", "200000"), ("WATCHDOG_PID", first_one.as_str())];

    let mut serves = first;
    for (name, environment) in [("watched-second", &unit[..]), ("watched-third", &others[..]), ("watched-fourth", &unit[..])] {
        let new = next(name, &configured, &place, environment);
        serves.signal("QUIT");
        let new = new.listening();
        assert_eq!(serves.end(), Some(0));
        serves = new;

        // What was said before is not what is said now.
        let mut space = [0; 4096];
        heard.set_nonblocking(true).unwrap();
        for _ in 0..10_000 {
            if heard.recv(&mut space).is_err() {
                break;
            }
        }
        heard.set_nonblocking(false).unwrap();
        let count = heard.recv(&mut space).unwrap_or_else(|error| panic!("{name} is silent: {error}"));
        assert_eq!(&space[..count], b"WATCHDOG=1\n", "{name}");
    }
}

#[test]
fn a_place_that_others_can_write_to_is_refused() {
    let place = Place::new("unsafe");
    std::fs::set_permissions(&place.0, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_frontgate"));
    command.stdout(Stdio::null()).env("FRONTGATE_UPGRADE_SOCKET", place.socket());

    let configured = text("127.0.0.1:9".parse().unwrap(), "{address: 127.0.0.1:0}", "");
    let (code, said) = Starting::new(command, "unsafe", &configured, &["--upgrade"]).end();

    assert_eq!(code, Some(1));
    assert!(said.contains("others can write to it"), "{said}");
}

/// Writes a byte a second for as long as somebody takes them.
fn dawdle(mut stream: UnixStream, bytes: &'static [u8]) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for byte in bytes {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        // Nothing more is said, and the end is not reached.
        let _ = stream.read(&mut [0]);
    })
}

#[test]
fn a_peer_that_dawdles_keeps_no_signal_waiting_and_has_one_time_for_all_that_it_says() {
    let place = Place::new("dawdles");
    let origin = Origin::json("{}");
    let configured = text(origin.address, "{address: 127.0.0.1:0}", "");
    // A list of 256 bytes, in as many seconds.
    const LIST: &[u8] = b"\0\0\x01\0                                        ";
    let path = place.socket();

    let deaf = next("dawdles-deaf", &configured, &place, &[]);
    let first = dawdle(UnixStream::connect(&path).unwrap(), LIST);
    std::thread::sleep(Duration::from_millis(1500));
    let began = Instant::now();
    deaf.signal("TERM");
    assert_eq!(deaf.end().0, Some(0));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    first.join().unwrap();

    let mut old = Process::start_in("dawdles-old", &configured, &[("FRONTGATE_UPGRADE_SOCKET", &path)]);
    let new = next("dawdles-new", &configured, &place, &[]);
    let second = dawdle(UnixStream::connect(&path).unwrap(), LIST);
    new.says("it took longer than 10s to hand over its sockets");
    second.join().unwrap();
    old.signal("QUIT");
    let new = new.listening();
    assert_eq!(old.end(), Some(0), "the next one is heard");
    assert_eq!(get(new.address, "/").status, 200);
}

#[test]
fn a_process_that_does_not_say_that_it_leaves_keeps_no_signal_waiting() {
    let place = Place::new("silent");
    let origin = Origin::json("{}");
    let new = next("silent", &text(origin.address, "{address: 127.0.0.1:0}", ""), &place, &[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let list = format!(
        r#"{{"protocol":1,"version":"1","sockets":[{{"role":"listener","configured":"{}","shared":false}}]}}"#,
        listener.local_addr().unwrap()
    );
    let mut stream = UnixStream::connect(place.socket()).unwrap();
    stream.write_all(&u32::try_from(list.len()).unwrap().to_be_bytes()).unwrap();
    stream.write_all(list.as_bytes()).unwrap();
    let descriptors = [listener.as_raw_fd()];
    let message = [nix::sys::socket::ControlMessage::ScmRights(&descriptors)];
    nix::sys::socket::sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(b"s")], &message, nix::sys::socket::MsgFlags::empty(), None)
        .unwrap();
    let mut said = [0; 8];
    stream.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"serving\n");

    let leaving = dawdle(stream, b"leavin");
    let mut new = new.listening();
    let began = Instant::now();
    new.signal("TERM");

    assert_eq!(new.end(), Some(0), "{}", new.said());
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    leaving.join().unwrap();
    let again = std::net::TcpStream::connect_timeout(&listener.local_addr().unwrap(), Duration::from_secs(5));
    assert!(again.is_ok(), "the socket is open with who has it");
}
