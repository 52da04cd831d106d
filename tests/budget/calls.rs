//! The system calls of a request, counted by strace around a process of this binary that does nothing but serve.

use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::OF_NONE;
use crate::proxies::{bare, gateway, mirrored, traced};
use crate::traffic::drive;

/// System calls that wait, and the one that wakes a thread: their number depends on how fast the other side is, and on timers.
const WAITS: [&str; 11] = [
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "poll",
    "ppoll",
    "futex",
    "nanosleep",
    "clock_nanosleep",
    "restart_syscall",
    "sched_yield",
    "write",
];

/// What one request costs this binary while it serves as `kind`.
#[derive(Default)]
pub struct Calls {
    /// Those that do something and succeed.
    pub done: f64,
    /// Those of them that send: one to the upstream, the others to the client.
    pub sends: f64,
    /// Of every kind, also those that wait, and those that find nothing.
    pub all: f64,
}

impl Calls {
    /// From the table that `strace -c` writes.
    fn read(table: &str) -> Self {
        let mut calls = Self::default();
        for line in table.lines() {
            // Share, seconds, microseconds a call, calls, errors where there are some, name.
            let words: Vec<&str> = line.split_whitespace().collect();
            let (Some(name), Some(count)) = (words.last(), words.get(3).and_then(|word| word.parse::<f64>().ok())) else { continue };
            let errors = if words.len() == 6 { words[4].parse().unwrap_or(0.0) } else { 0.0 };
            if *name == "total" {
                calls.all = count;
            } else if !WAITS.contains(name) {
                calls.done += count - errors;
                calls.sends += if ["sendto", "sendmsg", "writev"].contains(name) { count - errors } else { 0.0 };
            }
        }
        assert!(calls.all > 0.0, "no total in {table}");
        calls
    }
}

/// System calls a request, from the difference of two runs.
pub fn system_calls(strace: &Path, kind: &str, origin: SocketAddr) -> Calls {
    let count = |requests: usize| -> Calls {
        let file = std::env::temp_dir().join(format!("frontgate-budget-{}-{kind}-{requests}", std::process::id()));
        let mut child = Command::new(strace)
            .args(["-f", "-c", "-o"])
            .arg(&file)
            .arg(std::env::current_exe().expect("this binary"))
            .args(["serve", kind, &origin.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("strace runs");
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().expect("a pipe")), &mut line).expect("an address");
        drive(line.trim().parse().expect("an address"), requests, "");
        drop(child.stdin.take());
        child.wait().expect("an end");
        let table = std::fs::read_to_string(&file).expect("a table");
        let _ = std::fs::remove_file(&file);
        Calls::read(&table)
    };
    let (many, few) = (count(2200), count(200));
    let each = |many: f64, few: f64| (many - few) / 2000.0;
    Calls { done: each(many.done, few.done), sends: each(many.sends, few.sends), all: each(many.all, few.all) }
}

/// Serves as `kind` until standard input ends.
pub fn serve(kind: &str, origin: SocketAddr) {
    let filters = match kind {
        "trimming" => "{trim: {by: query.lang, profiles: {en: {drop: [name]}}}}",
        _ => "",
    };
    let running = match kind {
        "bare" => None,
        "mirrored" => Some(mirrored(origin)),
        "traced" => Some(traced(origin, OF_NONE)),
        _ => Some(gateway(origin, filters)),
    };
    let address = running.as_ref().map_or_else(|| bare(origin), |running| running.addresses()[0]);
    #[allow(clippy::print_stdout, reason = "the parent reads it")]
    {
        println!("{address}");
    }
    let _ = std::io::stdin().read(&mut [0_u8; 1]);
    std::process::exit(0);
}
