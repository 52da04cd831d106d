//! Where a chunk ends within a member, and where the input is defective: what of the member is decided by then.

use super::header::{self, LONGEST_KEY, too_long};
use super::index::is_scalar;
use super::state::{Defect, Mode};
use super::walk::Walker;
use crate::json::bits::Classify;
use crate::json::policy::Target;

impl<C: Classify> Walker<'_, C> {
    /// No value stands at `at`. What is before it shares the fate that the name alone decides, as it would if a chunk ended there.
    #[cold]
    #[inline(never)]
    pub(super) fn no_value(&mut self, head: usize, at: usize, target: Target) -> Result<usize, Defect> {
        match target.node() {
            None if target == Target::DROP => self.state.out.stop(head),
            Some(node) if !self.policy.nodes[node as usize].scalars => self.state.out.stop(head),
            _ => self.state.out.resume(head),
        }
        Err(Defect(at))
    }

    /// What begins at `head` is no member's header: it goes out only where nothing is hidden.
    #[cold]
    #[inline(never)]
    pub(super) fn defect(&mut self, head: usize, at: usize) -> Result<usize, Defect> {
        if self.policy.hides() {
            self.state.out.stop(head)
        } else {
            self.state.out.resume(head)
        }
        Err(Defect(at))
    }

    /// The chunk ends within the key at `at`, or before its colon. The key ends at `quote`, or goes on where that is the chunk's end.
    #[cold]
    #[inline(never)]
    pub(super) fn cut_key(&mut self, head: usize, at: usize, quote: usize, default: Target) -> Result<usize, Defect> {
        let end = self.index.data.len();
        match default {
            Target::KEEP | Target::DROP if too_long(self.policy, quote - at - 1) => {
                if default == Target::KEEP {
                    self.state.out.resume(head)
                } else {
                    self.state.out.stop(head)
                }
                self.state.mode = if quote == end { Mode::LongKey(default) } else { Mode::Colon(default) };
            }
            _ if quote - at > LONGEST_KEY => return self.defect(head, at),
            _ => header::hold(self.policy, self.state, self.index.data, head)?,
        }
        Ok(end)
    }

    /// The chunk ends between a colon and its value.
    #[cold]
    #[inline(never)]
    pub(super) fn cut_value(&mut self, head: usize, target: Target, key: usize) -> Result<usize, Defect> {
        match target.node() {
            Some(node) if !self.policy.nodes[node as usize].scalars => {
                if key > LONGEST_KEY {
                    return self.defect(head, head);
                }
                header::hold(self.policy, self.state, self.index.data, head)?;
            }
            _ => {
                if target == Target::DROP {
                    self.state.out.stop(head)
                } else {
                    self.state.out.resume(head)
                }
                self.state.mode = Mode::Value(target);
            }
        }
        Ok(self.index.data.len())
    }

    /// A value whose header was in another chunk.
    #[cold]
    #[inline(never)]
    pub(super) fn late_value(&mut self, at: usize, first: u8, target: Target) -> Result<usize, Defect> {
        if self.state.header.pending() {
            let container = matches!(first, b'{' | b'[');
            let stays = match target.node() {
                None => target == Target::KEEP,
                Some(node) => container || self.policy.nodes[node as usize].scalars,
            };
            // What is no value at all shows nothing hidden where scalars stay: `value` finds the defect then, as it would without a cut.
            if stays { header::release(self.state, at) } else { header::forget(self.state) }
        }
        self.value(at, at, first, target)
    }

    /// A value at `at`, where `first` stands; its header begins at `head` and shares its fate.
    fn value(&mut self, head: usize, at: usize, first: u8, target: Target) -> Result<usize, Defect> {
        let container = matches!(first, b'{' | b'[');
        if !container && first != b'"' && !is_scalar(first) {
            return self.no_value(head, at, target);
        }
        let stays = match target.node() {
            None => target == Target::KEEP,
            Some(node) if container => {
                self.state.out.resume(head);
                self.frame().kept = true;
                return self.enter(node, at);
            }
            Some(node) => self.policy.nodes[node as usize].scalars,
        };
        if stays {
            self.state.out.resume(head);
            if self.state.candidates {
                self.state.mode = Mode::Candidates;
                return Ok(at);
            }
            self.frame().kept = true;
        } else {
            self.state.out.stop(head);
        }
        match self.pass(at, first)? {
            Some(end) => Ok(self.done(end)),
            None => Ok(self.index.data.len()),
        }
    }
}
