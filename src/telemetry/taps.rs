//! Lines as they come, for operators who watch: a few of them at once, each with a queue that is bounded. Who watches never keeps a request
//! waiting: what finds no room in a queue is left out there and counted. While nobody watches, a request pays one load for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::{Line, LineFilter};

/// How many may watch at once.
pub(crate) const MOST: usize = 4;
/// Lines that wait for one of them: 500 bytes each as a rule and some 4,000 at worst.
const QUEUED: usize = 1024;
/// How much is handed over at once.
const BATCH: usize = 64 << 10;

/// All who watch.
#[derive(Default)]
pub(crate) struct Taps {
    count: AtomicUsize,
    all: ArcSwap<Vec<Arc<Tap>>>,
    /// One change at a time.
    changing: Mutex<()>,
}

/// One who watches, as requests see him.
struct Tap {
    filter: LineFilter,
    queue: Sender<Bytes>,
    /// Lines that found no room since this was last told.
    skipped: AtomicU64,
    /// How many requests have ended since he watches.
    ended: AtomicU64,
    /// For how many of them the filter held.
    matched: AtomicU64,
}

impl Tap {
    /// Whether he wants this line. It is counted.
    fn wants(&self, line: &Line<'_>) -> bool {
        self.ended.fetch_add(1, Ordering::Relaxed);
        let holds = self.filter.holds(line);
        if holds {
            self.matched.fetch_add(1, Ordering::Relaxed);
        }
        holds
    }
}

/// One who watches. Dropped, he does so no longer.
pub(crate) struct Tapped {
    taps: Arc<Taps>,
    tap: Arc<Tap>,
    lines: Receiver<Bytes>,
}

impl Taps {
    /// Whether anybody watches.
    pub(crate) fn is_any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// From now on the lines that this filter holds for are kept for whoever asked; none where there are as many as there may be.
    pub(crate) fn open(self: &Arc<Self>, filter: LineFilter) -> Option<Tapped> {
        let _changing = self.changing.lock();
        let mut all = self.all.load().to_vec();
        if all.len() >= MOST {
            return None;
        }
        let (queue, lines) = mpsc::channel(QUEUED);
        let tap =
            Arc::new(Tap { filter, queue, skipped: AtomicU64::default(), ended: AtomicU64::default(), matched: AtomicU64::default() });
        all.push(tap.clone());
        self.put(all);
        Some(Tapped { taps: self.clone(), tap, lines })
    }

    /// A request has ended with this line, in which everything is: everybody gets it who wants it and has room.
    #[cold]
    pub(crate) fn offer(&self, line: &Line<'_>) {
        let mut text: Option<Bytes> = None;
        for tap in self.all.load().iter().filter(|tap| tap.wants(line)) {
            let Ok(room) = tap.queue.try_reserve() else {
                tap.skipped.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let text = text.get_or_insert_with(|| {
                let mut text = Vec::with_capacity(1024);
                line.write(&mut text);
                text.push(b'\n');
                text.into()
            });
            room.send(text.clone());
        }
    }

    fn put(&self, all: Vec<Arc<Tap>>) {
        self.count.store(all.len(), Ordering::Relaxed);
        self.all.store(Arc::new(all));
    }
}

impl Tapped {
    /// Waits for lines: those that are there, whole, one or more. Where some found no room, a line says how many.
    pub(crate) async fn next(&mut self) -> Bytes {
        // The sender is here: it is not gone while this waits.
        let Some(first) = self.lines.recv().await else { return Bytes::new() };
        self.with(BytesMut::from(&first[..])).freeze()
    }

    /// The lines that are still there, and at last one that says how many requests have ended and for how many of them the filter held.
    pub(crate) fn end(mut self) -> Bytes {
        let mut rest = self.with(BytesMut::new());
        let (ended, matched) = (self.tap.ended.load(Ordering::Relaxed), self.tap.matched.load(Ordering::Relaxed));
        rest.extend_from_slice(format!("{{\"end\":{{\"requests\":{ended},\"matched\":{matched}}}}}\n").as_bytes());
        rest.freeze()
    }

    /// This and the lines that are there, up to some amount.
    fn with(&mut self, mut batch: BytesMut) -> BytesMut {
        while batch.len() < BATCH
            && let Ok(line) = self.lines.try_recv()
        {
            batch.extend_from_slice(&line);
        }
        let skipped = self.tap.skipped.swap(0, Ordering::Relaxed);
        if skipped > 0 {
            batch.extend_from_slice(format!("{{\"skipped\":{skipped}}}\n").as_bytes());
        }
        batch
    }
}

impl Drop for Tapped {
    fn drop(&mut self) {
        let _changing = self.taps.changing.lock();
        let mut all = self.taps.all.load().to_vec();
        all.retain(|tap| !Arc::ptr_eq(tap, &self.tap));
        self.taps.put(all);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::time::SystemTime;

    use super::*;

    fn line(request_id: &str, status: u16) -> Line<'_> {
        Line { request_id, status: Some(status), ..Line::at(SystemTime::UNIX_EPOCH) }
    }

    fn next(tapped: &mut Tapped) -> Option<String> {
        match pin!(tapped.next()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(lines) => Some(String::from_utf8(lines.to_vec()).expect("text")),
            Poll::Pending => None,
        }
    }

    fn filter(text: &str) -> LineFilter {
        text.parse().expect("a filter")
    }

    #[test]
    fn each_gets_the_lines_that_he_asked_for_and_nobody_any_when_he_is_gone() {
        let taps = Arc::<Taps>::default();
        assert!(!taps.is_any());
        let mut all = taps.open(filter("share 100%")).expect("room");
        let mut bad = taps.open(filter("status>=500")).expect("room");

        taps.offer(&line("a", 200));
        taps.offer(&line("b", 503));

        let told = next(&mut all).expect("lines");
        assert_eq!(told.lines().count(), 2);
        let told = next(&mut bad).expect("a line");
        assert!(told.contains("\"request_id\":\"b\"") && told.ends_with("}\n") && told.lines().count() == 1, "{told}");
        assert_eq!(next(&mut bad), None);
        drop(bad);
        assert!(taps.is_any());
        drop(all);
        assert!(!taps.is_any() && taps.all.load().is_empty());
    }

    #[test]
    fn what_finds_no_room_is_counted_and_told() {
        let taps = Arc::<Taps>::default();
        let mut tapped = taps.open(filter("share 100%")).expect("room");

        (0..QUEUED + 7).for_each(|_| taps.offer(&line("x", 200)));

        let mut told = String::new();
        while let Some(lines) = next(&mut tapped) {
            told += &lines;
        }
        assert_eq!(told.lines().filter(|line| line.contains("request_id")).count(), QUEUED);
        assert_eq!(told.lines().filter(|line| *line == "{\"skipped\":7}").count(), 1, "it is told once");
    }

    #[test]
    fn at_the_end_the_rest_is_told_and_how_many_requests_there_were() {
        let taps = Arc::<Taps>::default();
        let bad = taps.open(filter("status>=500")).expect("room");
        let none = taps.open(filter("status>=599")).expect("room");

        for (id, status) in [("a", 200), ("b", 503), ("c", 200)] {
            taps.offer(&line(id, status));
        }

        let told = String::from_utf8(bad.end().to_vec()).expect("text");
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines.len() == 2 && lines[0].contains("\"request_id\":\"b\""), "{told}");
        assert_eq!(lines[1], "{\"end\":{\"requests\":3,\"matched\":1}}");
        assert_eq!(none.end(), "{\"end\":{\"requests\":3,\"matched\":0}}\n");
        assert!(!taps.is_any());
    }

    #[test]
    fn there_are_only_a_few_at_once() {
        let taps = Arc::<Taps>::default();
        let mut all: Vec<_> = (0..MOST).map(|_| taps.open(filter("share 100%")).expect("room")).collect();

        assert!(taps.open(filter("share 100%")).is_none());
        all.pop();
        assert!(taps.open(filter("share 100%")).is_some());
    }
}
