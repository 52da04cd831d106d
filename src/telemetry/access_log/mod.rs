//! The access log: lines go into a bounded queue, and a thread of its own writes them.
//!
//! A request never waits for the disk: when the queue is full its line is dropped and counted. What is queued is written before
//! the log is gone.

mod flag;
mod json;
mod line;
#[cfg(test)]
mod tests;
mod timestamp;

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

pub(crate) use self::flag::Flag;
pub(crate) use self::line::Line;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Standard output.
    Stdout,
    /// The end of a file, which is created when there is none.
    File(PathBuf),
}

/// A log that takes lines from any thread without ever blocking it.
///
/// Dropping it writes what is queued, for which it waits about a second at most.
#[derive(Debug)]
pub(crate) struct AccessLog(Option<Sink>);

impl AccessLog {
    /// Opens `target` and starts the thread that writes to it. Lines that are lost are counted in `dropped`.
    ///
    /// # Errors
    ///
    /// When the target cannot be opened.
    pub(crate) fn start(target: Target, dropped: IntCounter) -> io::Result<Self> {
        let (file, path) = match target {
            Target::Stdout => (File::from(io::stdout().as_fd().try_clone_to_owned()?), None),
            Target::File(path) => (open(&path)?, Some(path)),
        };
        let next = Arc::new(Mutex::new(None));
        let output = Output { file, next: Arc::clone(&next) };
        Ok(Self(Some(Sink::new(output, QUEUED_LINES, dropped, path.map(|path| Reopen { path, next })))))
    }

    /// A log to any writer, with a queue of `lines`. It has no file to reopen.
    #[cfg(test)]
    fn to(writer: impl Write + Send + 'static, lines: usize, dropped: IntCounter) -> Self {
        Self(Some(Sink::new(writer, lines, dropped, None)))
    }

    /// A log that writes nothing.
    pub(crate) const fn off() -> Self {
        Self(None)
    }

    /// Whether lines go nowhere, so that none need be made.
    pub(crate) const fn is_off(&self) -> bool {
        self.0.is_none()
    }

    /// Queues a line, or drops and counts it when the queue is full.
    pub(crate) fn log(&self, line: &Line<'_>) {
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
    pub(crate) fn reopen(&self) -> io::Result<()> {
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
