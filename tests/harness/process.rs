//! The real binary, in a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::client::{Reply, operate};
use super::gateway::patient;
use super::{PATIENCE, until};

/// The real binary on its way to serve.
pub struct Starting {
    child: Option<Child>,
    folder: PathBuf,
    said: Arc<Mutex<String>>,
    hearing: Option<JoinHandle<()>>,
    command: Option<Command>,
}

impl Starting {
    /// Has this command, which is the binary or becomes it, run with these arguments more; `name` is the folder's.
    pub fn new(mut command: Command, name: &str, text: &str, arguments: &[&str]) -> Self {
        let folder = Process::folder(name);
        std::fs::write(folder.join("frontgate.yaml"), patient(text)).unwrap();
        command.args(["run", "-c"]).arg(folder.join("frontgate.yaml")).args(arguments);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        // All of it is read; a pipe that is full would stop it.
        let said = Arc::new(Mutex::new(String::new()));
        let (heard, lines) = (said.clone(), BufReader::new(child.stderr.take().unwrap()));
        let hearing = std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                *heard.lock().unwrap() += &(line + "\n");
            }
        });
        Self { child: Some(child), folder, said, hearing: Some(hearing), command: Some(command) }
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it says this.
    #[track_caller]
    pub fn says(&self, words: &str) {
        until(&format!("`{words}` on standard error"), || self.said().contains(words));
    }

    /// Waits until it serves: it says where it listens, since the ports were its choice.
    #[track_caller]
    pub fn listening(mut self) -> Process {
        let after = |said: &str, what: &str| -> Vec<SocketAddr> {
            said.lines().filter_map(|line| line.split_once(what)).map(|(_, address)| address.trim().parse().unwrap()).collect()
        };
        let (mut addresses, mut admin) = (Vec::new(), Vec::new());
        until("the process to say where it listens", || {
            let ended = self.has_ended();
            let said = self.said();
            // Of a line all of it.
            let whole = &said[..said.rfind('\n').map_or(0, |end| end + 1)];
            (addresses, admin) = (after(whole, "] listening on "), after(whole, "] admin on "));
            assert!(!admin.is_empty() || !ended, "the process ended before it said where it listens:\n{said}");
            !admin.is_empty()
        });
        let (child, folder, said) = (self.child.take().unwrap(), self.folder.clone(), self.said.clone());
        Process { child, folder, address: addresses[0], addresses, admin: admin[0], said, command: self.command.take().unwrap() }
    }

    fn has_ended(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Waits for its end. Its exit code and what it said.
    #[track_caller]
    pub fn end(mut self) -> (Option<i32>, String) {
        until("its end", || self.has_ended());
        let code = self.child.as_mut().unwrap().wait().unwrap().code();
        // Its last words may still be on their way.
        self.hearing.take().unwrap().join().unwrap();
        (code, self.said())
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        signal(self.child.as_ref().unwrap().id(), name);
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = child.kill();
        let _ = child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status().unwrap();
    assert!(sent.success());
}

/// The real binary with its configuration in a folder of its own.
pub struct Process {
    pub child: Child,
    pub folder: PathBuf,
    pub address: SocketAddr,
    /// All that clients can connect to, in the configuration's order: the address above is the first.
    pub addresses: Vec<SocketAddr>,
    pub admin: SocketAddr,
    said: Arc<Mutex<String>>,
    command: Command,
}

/// Runs it until it says where it listens, since the ports are its choice.
fn spawn(command: &mut Command) -> (Child, Vec<SocketAddr>, SocketAddr, Arc<Mutex<String>>) {
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let (mut addresses, mut first): (Vec<SocketAddr>, String) = Default::default();
    let admin = loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the process ended before it said where it listens:\n{first}");
        first += &line;
        let after = |what: &str| line.trim().split_once(what).map(|(_, address)| address.parse().unwrap());
        addresses.extend(after("listening on "));
        if let Some(admin) = after("admin on ") {
            break admin;
        }
    };
    // All of it is read; a pipe that is full would stop it.
    let said = Arc::new(Mutex::new(first));
    let heard = said.clone();
    std::thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok) {
            *heard.lock().unwrap() += &(line + "\n");
        }
    });
    (child, addresses, admin, said)
}

impl Process {
    /// Starts it; `name` is the folder's.
    pub fn start(name: &str, text: &str) -> Self {
        // With few descriptors, as from a shell: it has to help itself to more.
        Self::start_with(256, "-S", name, text, &[])
    }

    /// Starts it with these variables in its environment.
    pub fn start_in(name: &str, text: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_with(256, "-S", name, text, environment)
    }

    /// Starts it with no more descriptors than these.
    pub fn start_with_descriptors(most: usize, name: &str, text: &str) -> Self {
        Self::start_with(most, "", name, text, &[])
    }

    /// Starts it with these options of `run`.
    pub fn start_by(name: &str, text: &str, options: &[&str]) -> Self {
        let folder = Self::folder(name);
        std::fs::write(folder.join("frontgate.yaml"), patient(text)).unwrap();
        Self::start_at(folder, "frontgate.yaml", options, "true")
    }

    /// A folder for what it is to be started on.
    pub fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("frontgate-test-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Starts it on what lies in its folder: a file or a directory there, with options of `run`, after a command of the shell.
    pub fn start_at(folder: PathBuf, config: &str, options: &[&str], before: &str) -> Self {
        let mut command = Command::new("sh");
        let script = format!(r#"{before} && ulimit -S -n 256 && exec "$0" "$@""#);
        command.args(["-c", &script, env!("CARGO_BIN_EXE_frontgate"), "run", "-c"]).arg(folder.join(config)).args(options);
        Self::launch(command, folder)
    }

    /// Starts it after this command of the shell that becomes it.
    pub fn start_after(before: &str, name: &str, text: &str) -> Self {
        Self::start_within(before, name, text, &[])
    }

    fn start_with(descriptors: usize, limit: &str, name: &str, text: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_within(&format!("ulimit {limit} -n {descriptors}"), name, text, environment)
    }

    fn start_within(before: &str, name: &str, text: &str, environment: &[(&str, &str)]) -> Self {
        let folder = Self::folder(name);
        std::fs::write(folder.join("frontgate.yaml"), patient(text)).unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!(r#"{before} && exec "$0" "$@""#), env!("CARGO_BIN_EXE_frontgate"), "run", "-c"])
            .arg(folder.join("frontgate.yaml"))
            .envs(environment.iter().copied());
        Self::launch(command, folder)
    }

    fn launch(mut command: Command, folder: PathBuf) -> Self {
        let (child, addresses, admin, said) = spawn(&mut command);
        Self { child, folder, address: addresses[0], addresses, admin, said, command }
    }

    /// Ends it and starts it anew on what is in its folder now. What it says then is all that it has said.
    pub fn restart(&mut self) {
        self.signal("INT");
        self.end();
        (self.child, self.addresses, self.admin, self.said) = spawn(&mut self.command);
        self.address = self.addresses[0];
    }

    /// Changes its configuration file.
    pub fn write(&self, text: &str) {
        std::fs::write(self.folder.join("frontgate.yaml"), patient(text)).unwrap();
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// What it has said so far on its standard error.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits for its end. Its exit code.
    #[track_caller]
    pub fn end(&mut self) -> Option<i32> {
        assert!(self.ended_within(PATIENCE), "it goes on:\n{}", self.said());
        self.child.wait().unwrap().code()
    }

    /// Whether it ends in this time.
    pub fn ended_within(&mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if self.child.try_wait().unwrap().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// How many files and sockets it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Its resident memory in KiB.
    pub fn memory(&self) -> usize {
        self.status("VmRSS:")
    }

    /// The most of it that there ever was, in KiB.
    pub fn peak(&self) -> usize {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Asks its admin address.
    pub fn ask(&self, method: &str, path: &str) -> Reply {
        operate(self.admin, method, path)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
