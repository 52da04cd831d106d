//! What is remembered from one chunk to the next.

use super::held::Header;
use super::output::Output;
use crate::json::bits::Carry;
use crate::json::policy::{Policy, Target};

/// The most containers on a path to something: deeper ones are looked at only where the policy has `**` or `*`, or the document is made of
/// nothing but brackets.
pub(super) const MAX_FRAMES: usize = 1024;

/// A container whose members or elements are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) node: u32,
    pub(super) object: bool,
    /// Something in it was kept, so that what follows has a comma before it. Only the member walker counts on it.
    pub(super) kept: bool,
    /// How many containers are open within it, itself included. Only the candidate walker counts on it.
    pub(super) depth: u64,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// A value outside of all containers, or the end.
    Root,
    /// The first member or element of the innermost frame, or its end.
    Open,
    /// After a value in the innermost frame: a comma or its end.
    After,
    /// The rest of a member's header that earlier chunks began.
    Header,
    /// The rest of a key whose length alone says what becomes of its member.
    LongKey(Target),
    /// The colon after such a key.
    Colon(Target),
    /// A member's value. What goes before it is decided.
    Value(Target),
    /// The rest of a string, a scalar, a container, that stay or go whole.
    String,
    Scalar,
    Container {
        depth: u64,
        close: u8,
    },
    /// Anything within the innermost frame: only keys that the policy may name are looked at.
    Candidates,
    /// The comma after a removed first member, or the object's end; then the next key.
    Swallow {
        comma: bool,
    },
    /// The input is defective: all of the rest stays, or goes.
    Rest,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) mode: Mode,
    pub(super) frames: Vec<Frame>,
    /// The candidate walker is at work, not the member walker.
    pub(super) candidates: bool,
    /// How many frames belong to the candidate walker: when the member walker has left all of its own, it hands back.
    pub(super) floor: usize,
    /// Containers open; only kept by the candidate walker.
    pub(super) depth: u64,
    /// The member that the candidate walker removes at present has no other before it in its object.
    pub(super) first: bool,
    pub(super) carry: Carry,
    pub(super) header: Header,
    pub(super) out: Output,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            mode: Mode::Root,
            frames: Vec::new(),
            candidates: false,
            floor: 0,
            depth: 0,
            first: false,
            carry: Carry::default(),
            header: Header::default(),
            out: Output::new(),
        }
    }
}

/// The input is not JSON at this byte of the chunk, or too deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Defect(pub(super) usize);

/// The state that applies to the members of the innermost open container, if any does.
pub(super) fn context(policy: &Policy, state: &State) -> Option<u32> {
    let frame = state.frames.last()?;
    if !state.candidates {
        return Some(frame.node);
    }
    let members = frame.depth + u64::from(!frame.object);
    match state.depth {
        depth if depth == members => Some(frame.node),
        depth if depth > members => policy.nodes[frame.node as usize].default.node(),
        _ => None,
    }
}
