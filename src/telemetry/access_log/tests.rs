//! The log under rotation, with a stuck writer, and on a full disk.

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Instant, SystemTime};

use super::*;

fn counter() -> IntCounter {
    IntCounter::new("dropped", "lines").unwrap()
}

fn line<'a>(request_id: &'a str) -> Line<'a> {
    Line { request_id, ..Line::at(SystemTime::now()) }
}

fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("frontgate-access-log-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn ids(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let id = |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["request_id"].as_str().unwrap().to_owned();
    text.lines().map(id).collect()
}

/// Says that it was asked to write, and writes nothing until its sender is gone.
struct Stuck(mpsc::Sender<()>, mpsc::Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = (self.0.send(()), self.1.recv());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_was_logged_is_in_the_file_once_the_log_is_dropped() {
    let folder = scratch("flush");
    let path = folder.join("access.log");
    let log = AccessLog::start(Target::File(path.clone()), counter()).unwrap();

    let expected: Vec<_> = (0..1_000).map(|id| id.to_string()).collect();
    expected.iter().for_each(|id| log.log(&line(id)));
    drop(log);

    assert_eq!(ids(&path), expected);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_stuck_writer_costs_lines_and_counts_them_but_never_time() {
    let dropped = counter();
    let ((asked, sticks), (release, released)) = (mpsc::channel(), mpsc::channel());
    let log = Arc::new(AccessLog::to(Stuck(asked, released), 100, dropped.clone()));
    log.log(&line("first"));
    sticks.recv().unwrap();

    let (done, ends) = mpsc::channel();
    for _ in 0..4 {
        let (log, done) = (Arc::clone(&log), done.clone());
        thread::spawn(move || {
            (0..5_000).for_each(|_| log.log(&line("more")));
            done.send(()).unwrap();
        });
    }

    // All of them end while the writer is stuck.
    (0..4).for_each(|_| ends.recv_timeout(Duration::from_secs(30)).expect("nobody waits for the writer"));
    assert_eq!(dropped.get(), 20_000 - 100);
    drop(release);
}

#[test]
fn a_line_that_cannot_be_written_is_counted() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let dropped = counter();
    let log = AccessLog::to(Full, 10_000, dropped.clone());

    // More than the buffer holds.
    (0..2_000).for_each(|_| log.log(&line("lost")));
    let waited = Instant::now();
    while dropped.get() == 0 && waited.elapsed() < Duration::from_secs(30) {
        thread::sleep(Duration::from_millis(5));
    }

    assert!(dropped.get() > 0);
}

#[test]
fn a_full_disk_is_told_for_as_long_as_it_is_full() {
    let log = AccessLog::start(Target::File("/dev/full".into()), counter()).unwrap();
    assert_eq!(log.trouble(), None);

    log.log(&line("lost"));
    let waited = Instant::now();
    while log.trouble().is_none() && waited.elapsed() < Duration::from_secs(30) {
        thread::sleep(Duration::from_millis(5));
    }

    let why = log.trouble().expect("a reason");
    assert!(why.starts_with("`/dev/full`: ") && why.contains("No space left"), "{why}");
}

#[test]
fn what_was_logged_before_it_is_closed_is_written_though_others_hold_it() {
    let folder = scratch("close");
    let path = folder.join("access.log");
    let log = Arc::new(AccessLog::start(Target::File(path.clone()), counter()).unwrap());
    let held = Arc::clone(&log);
    log.log(&line("last"));

    log.close();
    held.log(&line("too late"));

    assert_eq!(ids(&path), ["last"]);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn after_a_rotation_lines_go_to_the_new_file() {
    let folder = scratch("rotation");
    let (path, moved) = (folder.join("access.log"), folder.join("access.log.1"));
    let log = AccessLog::start(Target::File(path.clone()), counter()).unwrap();
    log.log(&line("before"));
    while std::fs::metadata(&path).unwrap().len() == 0 {
        thread::sleep(Duration::from_millis(5));
    }

    std::fs::rename(&path, &moved).unwrap();
    log.reopen().unwrap();
    log.log(&line("after"));
    drop(log);

    assert_eq!(ids(&moved), ["before"]);
    assert_eq!(ids(&path), ["after"]);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_folder_that_is_missing_is_an_error_and_off_takes_everything() {
    let folder = scratch("missing");
    assert!(AccessLog::start(Target::File(folder.join("none/access.log")), counter()).is_err());
    std::fs::remove_dir(folder).unwrap();

    AccessLog::off().log(&line("nowhere"));
    assert!(matches!(AccessLog::off().reopen(), Ok(false)));
}
