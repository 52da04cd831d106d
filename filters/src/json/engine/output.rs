//! What of a chunk stays, as runs of it, and how the next owner gets them: the same chunk, a slice of it, the runs moved together in
//! place, or a copy.

use bytes::{Buf, Bytes, BytesMut};

#[derive(Debug)]
pub(super) struct Output {
    /// Bytes stay, from `run` on.
    on: bool,
    run: usize,
    /// Runs that stay, apart from each other.
    runs: Vec<(usize, usize)>,
    /// What was held back of earlier chunks and stays: goes before the runs.
    prefix: Vec<u8>,
}

impl Output {
    pub(super) fn new() -> Self {
        Self { on: true, run: 0, runs: Vec::new(), prefix: Vec::new() }
    }

    /// Whether bytes stay at present.
    #[inline(always)]
    pub(super) fn on(&self) -> bool {
        self.on
    }

    /// From `at` on bytes go.
    #[inline(always)]
    pub(super) fn stop(&mut self, at: usize) {
        if self.on {
            self.on = false;
            if at > self.run {
                self.runs.push((self.run, at));
            }
        }
    }

    /// From `at` on bytes stay.
    #[inline(always)]
    pub(super) fn resume(&mut self, at: usize) {
        if !self.on {
            self.on = true;
            self.run = at;
            if let Some(&(start, end)) = self.runs.last()
                && end == at
            {
                self.runs.pop();
                self.run = start;
            }
        }
    }

    /// Bytes of earlier chunks stay after all. They go before the chunk, so none of it may stay before this.
    pub(super) fn release(&mut self, held: &mut Vec<u8>) {
        self.prefix.append(held);
    }

    /// What stays of `chunk`.
    #[inline]
    pub(super) fn finish(&mut self, chunk: Bytes) -> Option<Bytes> {
        if self.on && chunk.len() > self.run {
            self.runs.push((self.run, chunk.len()));
        }
        self.run = 0;
        let body = match (self.prefix.is_empty(), &*self.runs) {
            (true, []) => None,
            (true, &[(0, end)]) if end == chunk.len() => Some(chunk),
            (true, &[(start, end)]) => Some(chunk.slice(start..end)),
            _ => Some(join(chunk, &self.prefix, &self.runs)),
        };
        self.prefix.clear();
        self.runs.clear();
        // One chunk full of small removals should not cost memory for the rest of a long response.
        if self.runs.capacity() > 1024 {
            self.runs = Vec::new();
        }
        body
    }
}

fn join(chunk: Bytes, prefix: &[u8], runs: &[(usize, usize)]) -> Bytes {
    let total = prefix.len() + runs.iter().map(|(start, end)| end - start).sum::<usize>();
    // How many runs must move towards the end, for the prefix to have room before them.
    let mut moved = 0;
    let mut room = runs.first().map_or(0, |&(start, _)| start);
    while room < prefix.len() && moved < runs.len() {
        room += runs.get(moved + 1).map_or(chunk.len(), |&(start, _)| start) - runs[moved].1;
        moved += 1;
    }
    let chunk = if room < prefix.len() {
        chunk
    } else {
        match chunk.try_into_mut() {
            Ok(unique) => return compact(unique, prefix, runs, moved, total),
            Err(shared) => shared,
        }
    };
    let mut copy = BytesMut::with_capacity(total);
    copy.extend_from_slice(prefix);
    for &(start, end) in runs {
        copy.extend_from_slice(&chunk[start..end]);
    }
    copy.freeze()
}

/// The first `moved` runs move to right before the next one, which stays where it is; the prefix goes before them, the others follow.
fn compact(mut chunk: BytesMut, prefix: &[u8], runs: &[(usize, usize)], moved: usize, total: usize) -> Bytes {
    let mut begin = runs.get(moved).map_or(chunk.len(), |&(start, _)| start);
    let mut end = begin;
    for &(start, stop) in runs[..moved].iter().rev() {
        begin -= stop - start;
        chunk.copy_within(start..stop, begin);
    }
    begin -= prefix.len();
    chunk[begin..begin + prefix.len()].copy_from_slice(prefix);
    for &(start, stop) in &runs[moved..] {
        if start != end {
            chunk.copy_within(start..stop, end);
        }
        end += stop - start;
    }
    chunk.advance(begin);
    chunk.truncate(total);
    chunk.freeze()
}
