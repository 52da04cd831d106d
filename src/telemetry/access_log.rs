//! The access log: lines go into a bounded queue, and a thread of its own writes them.
//!
//! A request never waits for the disk: when the queue is full its line is dropped and counted. What is queued is written before
//! the log is gone.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use prometheus::IntCounter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

use super::line::Line;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// The end of a file, which is created when there is none.
    File(PathBuf),
}

/// A log that takes lines from any thread without ever blocking it.
///
/// Dropping it writes what is queued, for which it waits about a second at most.
#[derive(Debug)]
pub struct AccessLog(Option<Sink>);

impl AccessLog {
    /// Opens `target` and starts the thread that writes to it. Lines that are lost are counted in `dropped`.
    ///
    /// # Errors
    ///
    /// When the target cannot be opened.
    pub fn start(target: Target, dropped: IntCounter) -> io::Result<Self> {
        let (file, path) = match target {
            Target::Stdout => (File::from(io::stdout().as_fd().try_clone_to_owned()?), None),
            Target::File(path) => (open(&path)?, Some(path)),
        };
        let next = Arc::new(Mutex::new(None));
        let output = Output { file, next: Arc::clone(&next) };
        Ok(Self(Some(Sink::new(output, QUEUED_LINES, dropped, path.map(|path| Reopen { path, next })))))
    }

    /// A log to any writer, with a queue of `lines`. It has no file to reopen.
    pub fn to(writer: impl Write + Send + 'static, lines: usize, dropped: IntCounter) -> Self {
        Self(Some(Sink::new(writer, lines, dropped, None)))
    }

    /// A log that writes nothing.
    pub const fn off() -> Self {
        Self(None)
    }

    /// Whether lines go nowhere, so that none need be made.
    pub const fn is_off(&self) -> bool {
        self.0.is_none()
    }

    /// Queues a line, or drops and counts it when the queue is full.
    pub fn log(&self, line: &Line<'_>) {
        thread_local! {
            static TEXT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        let Some(sink) = &self.0 else { return };
        TEXT.with_borrow_mut(|text| {
            text.clear();
            line.write(text);
            text.push(b'\n');
            sink.push(text);
        });
    }

    /// Opens the file anew under its name, after a rotation moved the old one away. The next line goes to the new file; nothing
    /// is lost and no request waits. Without a file there is nothing to do.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened: the old one stays in use.
    pub fn reopen(&self) -> io::Result<()> {
        if let Some(Reopen { path, next }) = self.0.as_ref().and_then(|sink| sink.reopen.as_ref()) {
            *next.lock() = Some(open(path)?);
        }
        Ok(())
    }
}

/// Half a second of a busy gateway. Lines are 500 bytes as a rule and some 4,000 at worst, so a stuck disk holds 128 MiB at most.
const QUEUED_LINES: usize = 32 * 1024;

fn open(path: &Path) -> io::Result<File> {
    // Addresses of clients are not for everyone on the machine.
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

#[derive(Debug)]
struct Sink {
    queue: NonBlocking,
    refused: ErrorCounter,
    /// How many of `refused` are in `dropped` already.
    counted: AtomicUsize,
    dropped: IntCounter,
    reopen: Option<Reopen>,
    /// Last, so that the queue's own sender is gone when the thread is told to end.
    _writing: WorkerGuard,
}

#[derive(Debug)]
struct Reopen {
    path: PathBuf,
    next: Arc<Mutex<Option<File>>>,
}

impl Sink {
    fn new(writer: impl Write + Send + 'static, lines: usize, dropped: IntCounter, reopen: Option<Reopen>) -> Self {
        // The thread flushes whenever the queue is empty, so a buffer delays no line.
        let writer = Counted { writer: BufWriter::with_capacity(64 * 1024, writer), dropped: dropped.clone() };
        let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(lines).thread_name("access-log");
        let (queue, _writing) = builder.finish(writer);
        Self { refused: queue.error_counter(), queue, counted: AtomicUsize::new(0), dropped, reopen, _writing }
    }

    fn push(&self, line: &[u8]) {
        // A lossy queue reports no error here: it counts the line.
        let _ = self.queue.clone().write(line);
        let refused = self.refused.dropped_lines();
        if refused != self.counted.load(Ordering::Relaxed) {
            // Of several threads here at once each adds what none has added before it.
            let before = self.counted.fetch_max(refused, Ordering::Relaxed);
            self.dropped.inc_by(refused.saturating_sub(before) as u64);
        }
    }
}

/// Counts the lines that could not be written: the queue's thread would pass over them in silence.
struct Counted<W: Write> {
    writer: BufWriter<W>,
    dropped: IntCounter,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        self.writer.write_all(line).inspect_err(|_| self.dropped.inc())
    }

    fn flush(&mut self) -> io::Result<()> {
        // What fails here stays in the buffer for the next try.
        self.writer.flush()
    }
}

/// A file that is exchanged for `next` as soon as there is one. Buffers above it hold whole lines, so none is torn.
struct Output {
    file: File,
    next: Arc<Mutex<Option<File>>>,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(file) = self.next.lock().take() {
            self.file = file;
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::{Duration, Instant, SystemTime};

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
                Err(io::ErrorKind::StorageFull.into())
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
        assert!(AccessLog::off().reopen().is_ok());
    }
}
