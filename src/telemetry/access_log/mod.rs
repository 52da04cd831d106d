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
mod trouble;

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::IntCounter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

pub(crate) use self::flag::Flag;
pub(crate) use self::line::Line;
pub(crate) use self::timestamp::text as timestamp;
use self::trouble::Trouble;
use crate::files;

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
        let (file, path, name) = match target {
            Target::Stdout => (File::from(io::stdout().as_fd().try_clone_to_owned()?), None, "standard output".to_owned()),
            Target::File(path) => (files::append(&path)?, Some(path.clone()), format!("`{}`", path.display())),
        };
        let next = Arc::new(Mutex::new(None));
        let output = Output { file, next: Arc::clone(&next) };
        let reopen = path.map(|path| Reopen { path, next });
        Ok(Self(Some(Sink::new(output, QUEUED_LINES, dropped, reopen, Trouble::new(name)))))
    }

    /// A log to any writer, with a queue of `lines`. It has no file to reopen.
    #[cfg(test)]
    fn to(writer: impl Write + Send + 'static, lines: usize, dropped: IntCounter) -> Self {
        Self(Some(Sink::new(writer, lines, dropped, None, Trouble::new("a test".to_owned()))))
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
    /// is lost and no request waits. Whether there is a file to do so with.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened: the old one stays in use.
    pub(crate) fn reopen(&self) -> io::Result<bool> {
        let Some(Reopen { path, next }) = self.0.as_ref().and_then(|sink| sink.reopen.as_ref()) else { return Ok(false) };
        *next.lock() = Some(files::append(path)?);
        Ok(true)
    }

    /// Why lines cannot be written just now, where they cannot.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.0.as_ref()?.trouble.now()
    }

    /// Writes what is queued, for which it waits about a second at most. What is logged from then on is lost.
    pub(crate) fn close(&self) {
        if let Some(sink) = &self.0 {
            // Dropped outside of the lock.
            let writing = sink.writing.lock().take();
            drop(writing);
        }
    }
}

/// Half a second of a busy gateway. Lines are 500 bytes as a rule and some 4,000 at worst, so a stuck disk holds 128 MiB at most.
const QUEUED_LINES: usize = 32 * 1024;

/// How long a pipe without room is left alone.
const FULL_PIPE: Duration = Duration::from_millis(5);

#[derive(Debug)]
struct Sink {
    queue: NonBlocking,
    refused: ErrorCounter,
    /// How many of `refused` are in `dropped` already.
    counted: AtomicUsize,
    dropped: IntCounter,
    reopen: Option<Reopen>,
    trouble: Arc<Trouble>,
    /// Ends the thread. Last, so that the queue's own sender is gone by then.
    writing: Mutex<Option<WorkerGuard>>,
}

#[derive(Debug)]
struct Reopen {
    path: PathBuf,
    next: Arc<Mutex<Option<File>>>,
}

impl Sink {
    fn new(writer: impl Write + Send + 'static, lines: usize, dropped: IntCounter, reopen: Option<Reopen>, trouble: Trouble) -> Self {
        let trouble = Arc::new(trouble);
        // The thread flushes whenever the queue is empty, so a buffer delays no line.
        let writer = BufWriter::with_capacity(64 * 1024, Noted { writer, trouble: trouble.clone() });
        let writer = Counted { writer, dropped: dropped.clone() };
        let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(lines).thread_name("access-log");
        let (queue, writing) = builder.finish(writer);
        let (refused, counted, writing) = (queue.error_counter(), AtomicUsize::new(0), Mutex::new(Some(writing)));
        Self { refused, queue, counted, dropped, reopen, trouble, writing }
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

/// Tells how writing goes.
struct Noted<W> {
    writer: W,
    trouble: Arc<Trouble>,
}

impl<W: Write> Write for Noted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(bytes);
        self.trouble.note(&written);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
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
        loop {
            match self.file.write(bytes) {
                // A pipe whose reader is slow: there is a queue for that, and a thread that may wait.
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(FULL_PIPE),
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
