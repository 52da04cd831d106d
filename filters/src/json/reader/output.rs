//! What of the text stays, in what order, and where in the result it will stand.

/// Room for so many parts is made at once.
const SOME: usize = 64;

/// A part of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::json) enum Part {
    /// These bytes of the text.
    Text { from: u64, to: u64 },
    /// A new name, by its number in the plan.
    Name(u32),
}

/// The result so far: places in the text are counted over all chunks, so that it does not matter where these end.
#[derive(Debug)]
pub(super) struct Output {
    /// Bytes stay, from `run` on.
    on: bool,
    run: u64,
    /// Bytes of the result before the run.
    before: u64,
    /// Each with its place in the result.
    parts: Vec<(u64, Part)>,
}

impl Output {
    pub(super) fn new() -> Self {
        Self { on: true, run: 0, before: 0, parts: Vec::new() }
    }

    /// From `at` on bytes go.
    #[inline(always)]
    pub(super) fn stop(&mut self, at: u64) {
        if self.on {
            self.on = false;
            if at > self.run {
                if self.parts.capacity() == 0 {
                    self.parts.reserve(SOME);
                }
                self.parts.push((self.before, Part::Text { from: self.run, to: at }));
                self.before += at - self.run;
            }
        }
    }

    /// From `at` on bytes stay.
    #[inline(always)]
    pub(super) fn resume(&mut self, at: u64) {
        if !self.on {
            self.on = true;
            self.run = at;
            if let Some(&(before, Part::Text { from, to })) = self.parts.last()
                && to == at
            {
                self.parts.pop();
                (self.run, self.before) = (from, before);
            }
        }
    }

    /// A new name of this length goes out, in place of the text from one place to another, all of which stays at present.
    #[inline(never)]
    pub(super) fn rename(&mut self, (from, to): (u64, u64), name: u32, length: usize) {
        self.stop(from);
        self.parts.push((self.before, Part::Name(name)));
        self.before += length as u64;
        self.resume(to);
    }

    /// Where in the result the byte at `at` stands, which stays at present.
    pub(super) fn place(&self, at: u64) -> u64 {
        self.before + (at - self.run)
    }

    /// All parts, and their length.
    pub(super) fn finish(mut self, end: u64) -> (Vec<(u64, Part)>, u64) {
        self.stop(end);
        (self.parts, self.before)
    }
}
