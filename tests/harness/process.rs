//! The real binary, in a process of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::client::{Reply, operate};
use super::gateway::patient;
use super::heard::Heard;
use super::{PATIENCE, until};

/// The real binary on its way to serve.
pub struct Starting {
    child: Option<Child>,
    folder: PathBuf,
    heard: Heard,
    command: Option<Command>,
}

impl Starting {
    /// Has this command, which is the binary or becomes it, run with these arguments more; `name` is the folder's.
    pub fn new(mut command: Command, name: &str, text: &str, arguments: &[&str]) -> Self {
        let folder = Process::folder(name);
        std::fs::write(folder.join("frontgate.yaml"), patient(text)).unwrap();
        command.args(["run", "-c"]).arg(folder.join("frontgate.yaml")).args(arguments);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let heard = Heard::of(child.stderr.take().unwrap());
        Self { child: Some(child), folder, heard, command: Some(command) }
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        self.heard.said()
    }

    /// Waits until it says this.
    #[track_caller]
    pub fn says(&self, words: &str) {
        until(&format!("`{words}` on standard error"), || self.said().contains(words));
    }

    /// Waits until it serves: it says where it listens, since the ports were its choice.
    #[track_caller]
    pub fn listening(mut self) -> Process {
        let (addresses, admin) = listening(&self.heard, self.child.as_mut().unwrap());
        let (child, folder, heard) = (self.child.take().unwrap(), self.folder.clone(), self.heard.clone());
        Process { child, folder, address: addresses[0], addresses, admin, heard, command: self.command.take().unwrap() }
    }

    fn has_ended(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Waits for its end. Its exit code and what it said.
    #[track_caller]
    pub fn end(mut self) -> (Option<i32>, String) {
        until("its end", || self.has_ended());
        let code = self.child.as_mut().unwrap().wait().unwrap().code();
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

/// At once: whoever has another program send it may be late to see what it brings about.
#[expect(unsafe_code, reason = "the standard library sends no signals but one")]
fn signal(process: u32, name: &str) {
    let number = match name {
        "CONT" => libc::SIGCONT,
        "HUP" => libc::SIGHUP,
        "INT" => libc::SIGINT,
        "KILL" => libc::SIGKILL,
        "QUIT" => libc::SIGQUIT,
        "STOP" => libc::SIGSTOP,
        "TERM" => libc::SIGTERM,
        "USR1" => libc::SIGUSR1,
        "USR2" => libc::SIGUSR2,
        _ => panic!("no signal of a test: {name}"),
    };
    // SAFETY: numbers only; the process is a child that nobody has waited for, so that its number is nobody else's.
    let sent = unsafe { libc::kill(process.try_into().expect("the number of a process"), number) };
    assert_eq!(sent, 0, "{}", std::io::Error::last_os_error());
}

/// The real binary with its configuration in a folder of its own.
pub struct Process {
    pub child: Child,
    pub folder: PathBuf,
    pub address: SocketAddr,
    /// All that clients can connect to, in the configuration's order: the address above is the first.
    pub addresses: Vec<SocketAddr>,
    pub admin: SocketAddr,
    heard: Heard,
    command: Command,
}

/// Waits until it says where it listens, since the ports are its choice: for clients and for operators.
#[track_caller]
fn listening(heard: &Heard, child: &mut Child) -> (Vec<SocketAddr>, SocketAddr) {
    let (mut addresses, mut admin) = (Vec::new(), Vec::new());
    until("the process to say where it listens", || {
        let ended = child.try_wait().unwrap().is_some();
        let lines = heard.lines();
        let after = |what: &str| -> Vec<SocketAddr> {
            lines.lines().filter_map(|line| line.split_once(what)).map(|(_, address)| address.trim().parse().unwrap()).collect()
        };
        (addresses, admin) = (after("] listening on "), after("] admin on "));
        assert!(!admin.is_empty() || !ended, "the process ended before it said where it listens:\n{lines}");
        !admin.is_empty()
    });
    (addresses, admin[0])
}

/// Runs it until it says where it listens.
#[track_caller]
fn spawn(command: &mut Command) -> (Child, Vec<SocketAddr>, SocketAddr, Heard) {
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let heard = Heard::of(child.stderr.take().unwrap());
    let (addresses, admin) = listening(&heard, &mut child);
    (child, addresses, admin, heard)
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

    /// Starts the demo, which remembers in its folder.
    #[cfg(feature = "saga")]
    pub fn demo(name: &str) -> Self {
        let folder = Self::folder(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_frontgate"));
        command.arg("demo").env("DEMO_STATE_DIR", folder.join("state"));
        Self::launch(command, folder)
    }

    fn launch(mut command: Command, folder: PathBuf) -> Self {
        let (child, addresses, admin, heard) = spawn(&mut command);
        Self { child, folder, address: addresses[0], addresses, admin, heard, command }
    }

    /// Ends it and starts it anew on what is in its folder now. What it says then is all that it has said.
    pub fn restart(&mut self) {
        self.signal("INT");
        self.end();
        self.start_again();
    }

    /// Starts it anew after it has ended, on what is in its folder now.
    pub fn start_again(&mut self) {
        (self.child, self.addresses, self.admin, self.heard) = spawn(&mut self.command);
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
        self.heard.said()
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
