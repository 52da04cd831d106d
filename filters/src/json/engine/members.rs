//! The walker for all policies: visits each member and element of the containers on its way.

use super::header;
use super::index::is_scalar;
use super::state::{Defect, Mode};
use super::walk::{Step, Walker};
use crate::json::bits::Classify;
use crate::json::policy::Target;

impl<C: Classify> Walker<'_, C> {
    /// A member of the innermost frame, and all after it, also of containers on the way, until the chunk ends or another mode has to go on.
    #[inline(always)]
    pub(super) fn members(&mut self, mut head: usize, mut at: usize, mut first: u8) -> Result<usize, Defect> {
        let data = self.index.data;
        let policy = self.policy;
        'frame: loop {
            let frame = *self.frame();
            let node = &policy.nodes[frame.node as usize];
            let mut kept = frame.kept;
            loop {
                let mut target = Target(frame.node);
                if frame.object {
                    if first != b'"' {
                        return self.defect(head, at);
                    }
                    let Some(quote) = self.index.quote(at + 1) else {
                        return self.cut_key(head, at, data.len(), node.default);
                    };
                    let Some((colon, byte)) = self.next(quote + 1) else {
                        return self.cut_key(head, at, quote, node.default);
                    };
                    if byte != b':' {
                        return self.defect(head, colon);
                    }
                    target = node.find_raw(&data[at + 1..quote], self.index.escaped(quote));
                    match self.next(colon + 1) {
                        Some(value) => (at, first) = value,
                        None => return self.cut_value(head, target, quote - at - 1),
                    }
                }

                let container = matches!(first, b'{' | b'[');
                if !container && first != b'"' && !is_scalar(first) {
                    return self.no_value(head, at, target);
                }
                let stays = match target.node() {
                    None => target == Target::KEEP,
                    Some(next) if container => {
                        self.state.out.resume(head);
                        self.frame().kept = true;
                        at = self.enter(next, at)?;
                        match self.open(at)? {
                            Step::To(at) => return Ok(at),
                            Step::Member(next_head, next, byte) => (head, at, first) = (next_head, next, byte),
                        }
                        continue 'frame;
                    }
                    Some(next) => policy.nodes[next as usize].scalars,
                };
                if stays {
                    self.state.out.resume(head);
                    if !kept {
                        kept = true;
                        self.frame().kept = true;
                    }
                } else {
                    self.state.out.stop(head);
                }
                let Some(end) = self.pass(at, first)? else { return Ok(data.len()) };

                // Minified, and not at the chunk's end: what is removed needs no look at what comes after it.
                if let Some(&[b',', byte]) = data.get(end..).and_then(|rest| rest.first_chunk())
                    && byte > b' '
                {
                    head = if kept { end } else { end + 1 };
                    (at, first) = (end + 1, byte);
                    continue;
                }
                if kept {
                    self.state.out.resume(end);
                }
                match self.after(end)? {
                    Step::To(at) => return Ok(at),
                    Step::Member(next_head, next, byte) => (head, at, first) = (next_head, next, byte),
                }
                continue 'frame;
            }
        }
    }

    /// After the opening bracket of the innermost frame.
    #[inline(always)]
    pub(super) fn open(&mut self, at: usize) -> Result<Step, Defect> {
        match self.next(at) {
            None => Ok(Step::To(self.index.data.len())),
            Some((at, b'}' | b']')) => match self.leave(at)? {
                at if self.state.mode == Mode::After => self.after(at),
                at => Ok(Step::To(at)),
            },
            Some((at, first)) => Ok(Step::Member(at, at, first)),
        }
    }

    /// After a value: to the next one's header, out of as many containers as end here.
    #[inline(always)]
    pub(super) fn after(&mut self, mut at: usize) -> Result<Step, Defect> {
        let end = self.index.data.len();
        self.state.mode = Mode::After;
        loop {
            match self.next(at) {
                None => return Ok(Step::To(end)),
                Some((comma, b',')) => {
                    // If all before it was removed, the comma and the space after it go too: as if the next member were the first.
                    let on = self.state.out.on();
                    match self.next(comma + 1) {
                        Some((at, first)) => return Ok(Step::Member(if on { comma } else { at }, at, first)),
                        None if on => header::hold(self.policy, self.state, self.index.data, comma)?,
                        None => self.state.mode = Mode::Swallow { comma: true },
                    }
                    return Ok(Step::To(end));
                }
                Some((close, b'}' | b']')) => {
                    self.state.out.resume(close);
                    at = self.leave(close)?;
                    if self.state.mode != Mode::After {
                        return Ok(Step::To(at));
                    }
                }
                Some((at, _)) => return Err(Defect(at)),
            }
        }
    }

    /// At the closing bracket of the innermost frame.
    #[inline(always)]
    fn leave(&mut self, at: usize) -> Result<usize, Defect> {
        let frame = self.state.frames.pop().expect("within a container there is its frame");
        if (self.index.data[at] == b'}') != frame.object {
            return Err(Defect(at));
        }
        self.state.mode = if self.state.frames.len() > self.state.floor {
            Mode::After
        } else if self.state.floor == 0 {
            Mode::Root
        } else {
            self.state.floor = 0;
            self.state.candidates = true;
            Mode::Candidates
        };
        Ok(at + 1)
    }
}
