//! The access log, rotated by logrotate as the package has it, while requests come.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use frontgate_test_support::tool;
use serde_json::Value;

use super::{read, succeeds};
use crate::harness::client::read_reply;
use crate::harness::gateway::simple;
use crate::harness::{Origin, Process, raw, until};

/// Asks for one path after the other until it is told to end: each is another one's number.
fn client(address: SocketAddr, next: &AtomicUsize, over: &AtomicBool) {
    let mut stream = raw(address);
    while !over.load(Ordering::SeqCst) {
        let number = next.fetch_add(1, Ordering::SeqCst);
        stream.write_all(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(read_reply(&mut stream, false).expect("an answer").status, 200);
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// How often each path is in the logs of this folder, old and new.
fn logged(folder: &Path) -> BTreeMap<String, usize> {
    let mut paths = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("access.log") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let mut text = String::new();
        match name.ends_with(".gz") {
            true => flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap(),
            false => (&bytes[..]).read_to_string(&mut text).unwrap(),
        };
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}: {line}"));
            *paths.entry(line["path"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    paths
}

#[test]
fn logrotate_loses_no_line_while_requests_come() {
    let Some(logrotate) = tool("logrotate") else { return };
    let origin = Origin::json("{}");
    let text = simple(origin.address, "admin: 127.0.0.1:0", "").replace("access_log: \"off\"", "access_log: {to: {file: access.log}}");
    let mut process = Process::start("rotation", &text);
    let folder = process.folder.clone();
    let log = folder.join("access.log");
    let packaged = read("conf/package/frontgate.logrotate");
    let (own, mode) = ("    su frontgate frontgate\n", "create 0640 frontgate frontgate");
    let tell = "systemctl kill --signal=USR1 frontgate.service 2>/dev/null || true";
    assert!(packaged.contains(tell) && packaged.contains("/var/log/frontgate/*.log") && packaged.contains(own) && packaged.contains(mode));
    let rules = packaged
        .replace("/var/log/frontgate", &folder.display().to_string())
        .replace(own, "")
        .replace(mode, "create 0640")
        .replace(tell, &format!("kill -USR1 {}", process.child.id()));
    let rule = folder.join("rule");
    std::fs::write(&rule, rules).unwrap();
    let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let rotate = || succeeds(Command::new(&logrotate).arg("--force").arg("--state").arg(folder.join("state")).arg(&rule));

    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| client(process.address, &next, &over));
        }
        for _ in 0..5 {
            // It writes into the new file, and so no longer into the one that is compressed the next time.
            until("lines in the new file", || std::fs::metadata(&log).is_ok_and(|log| log.len() > 2000));
            rotate();
        }
        until("lines after the last one", || std::fs::metadata(&log).is_ok_and(|log| log.len() > 2000));
        over.store(true, Ordering::SeqCst);
    });
    process.signal("TERM");
    assert_eq!(process.end(), Some(0));

    let asked = next.load(Ordering::SeqCst);
    let logged = logged(&folder);
    assert!(folder.join("access.log.1").exists() && folder.join("access.log.5.gz").exists() && asked > 50, "{asked}");
    assert_eq!(logged.len(), asked, "a line for each");
    assert!(logged.values().all(|count| *count == 1), "and no more");
}
