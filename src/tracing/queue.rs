//! Spans that wait to be sent: so many, and so many bytes of them, and what is more is dropped.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::telemetry::{SpanLoss, SpanMetrics};

/// The most bytes that wait.
const ROOM: usize = 8 << 20;

/// The spans of one request, as they are sent.
pub(super) struct Spans {
    /// Their bytes.
    pub bytes: Vec<u8>,
    /// How many they are.
    pub count: u32,
}

/// Spans in the order in which their requests ended.
pub(super) struct Queue {
    held: Mutex<Held>,
    /// Told when there are enough of them to be sent.
    pub full: Notify,
    /// The most that wait, and how many are sent at once.
    most: usize,
    batch: usize,
    metrics: Arc<SpanMetrics>,
}

#[derive(Default)]
struct Held {
    spans: VecDeque<Spans>,
    count: usize,
    bytes: usize,
}

impl Queue {
    /// An empty one.
    pub(super) fn new(most: usize, batch: usize, metrics: Arc<SpanMetrics>) -> Self {
        Self { held: Mutex::default(), full: Notify::new(), most, batch, metrics }
    }

    /// Puts the spans of a request at its end, all or none. Nobody waits for more than another one who does the same.
    pub(super) fn put(&self, spans: Spans) {
        let (count, bytes) = (spans.count as usize, spans.bytes.len());
        let mut held = self.held.lock();
        if held.count + count > self.most || held.bytes + bytes > ROOM {
            drop(held);
            self.metrics.lost(SpanLoss::QueueFull, count as u64);
            return;
        }
        let before = held.count;
        held.count += count;
        held.bytes += bytes;
        held.spans.push_back(spans);
        let is_enough = before < self.batch && held.count >= self.batch;
        drop(held);
        if is_enough {
            self.full.notify_one();
        }
    }

    /// The first of them, as many as are sent at once: the spans of one request stay together.
    pub(super) fn take(&self) -> Option<Vec<Spans>> {
        let mut held = self.held.lock();
        let mut taken = Vec::new();
        let mut count = 0;
        while let Some(first) = held.spans.front() {
            if count > 0 && count + first.count as usize > self.batch {
                break;
            }
            count += first.count as usize;
            held.bytes -= first.bytes.len();
            taken.extend(held.spans.pop_front());
        }
        held.count -= count;
        drop(held);
        Some(taken).filter(|taken| !taken.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    fn queue(most: usize, batch: usize) -> (Queue, Arc<SpanMetrics>) {
        let metrics = Metrics::new().spans();
        (Queue::new(most, batch, metrics.clone()), metrics)
    }

    fn of(count: u32, bytes: usize) -> Spans {
        Spans { bytes: vec![0; bytes], count }
    }

    fn counts(taken: Option<Vec<Spans>>) -> Vec<u32> {
        taken.into_iter().flatten().map(|spans| spans.count).collect()
    }

    #[test]
    fn what_is_too_much_is_counted_and_dropped_whole() {
        let (queue, metrics) = queue(4, 4);

        [2, 3, 2, 1].into_iter().for_each(|count| queue.put(of(count, 10)));

        assert_eq!(counts(queue.take()), [2, 2]);
        assert!(queue.take().is_none());
        assert_eq!(metrics.lost_for(SpanLoss::QueueFull), 4);
        queue.put(of(4, 10));
        assert_eq!(counts(queue.take()), [4]);
    }

    #[test]
    fn bytes_have_a_bound_of_their_own() {
        let (queue, metrics) = queue(100, 100);

        queue.put(of(1, ROOM - 1));
        queue.put(of(1, 2));
        queue.put(of(1, 1));

        assert_eq!(metrics.lost_for(SpanLoss::QueueFull), 1);
        assert_eq!(counts(queue.take()), [1, 1]);
        queue.put(of(1, ROOM));
        assert_eq!(counts(queue.take()), [1]);
    }

    #[test]
    fn a_batch_holds_whole_requests() {
        let (queue, _) = queue(100, 4);

        [1, 2, 2, 9, 1].into_iter().for_each(|count| queue.put(of(count, 1)));

        assert_eq!([(); 4].map(|()| counts(queue.take())), [vec![1, 2], vec![2], vec![9], vec![1]]);
        assert!(queue.take().is_none());
    }

    #[tokio::test]
    async fn whoever_sends_is_told_once_there_are_enough() {
        let (queue, _) = queue(100, 3);

        queue.put(of(2, 1));
        assert!(tokio::time::timeout(std::time::Duration::ZERO, queue.full.notified()).await.is_err());
        queue.put(of(1, 1));

        queue.full.notified().await;
    }
}
