//! What is remembered from one chunk to the next.

use super::MOST_DEPTH;
use super::found::{Element, Finds, Marks};
use super::output::Output;
use super::scalar::Scalar;
use super::strings::Held;
use crate::json::policy::Target;

/// A container whose members or elements are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) stage: u32,
    pub(super) object: bool,
    /// Something in it stays, so that what follows has a comma before it.
    pub(super) kept: bool,
    /// How many elements began so far.
    pub(super) elements: u32,
    /// The element that it is in.
    pub(super) within: Element,
    /// The innermost element at present: of an array the last of its own.
    pub(super) element: Element,
    pub(super) marks: Marks,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The value.
    Root,
    /// The first member or element of the innermost container, or its end.
    First,
    /// A member's name, after a comma.
    Name,
    /// The rest of a name.
    InName,
    /// The colon.
    Colon,
    /// A value: of a member after its colon, or an element after a comma.
    Value,
    /// The rest of a string.
    InString,
    /// The rest of a number or word.
    InScalar,
    /// After a member or element: a comma or the container's end.
    After,
    /// Nothing but white space.
    End,
}

/// What comes before a value, where a chunk's end may cut it. Places are in the whole text.
#[derive(Debug)]
pub(super) struct Header {
    /// The comma before it.
    pub(super) comma: u64,
    /// Where what goes with the member begins.
    pub(super) head: u64,
    /// Its name, without the quotes.
    pub(super) name: (u64, u64),
    /// The beginning of a name that a chunk's end cut.
    pub(super) held: Vec<u8>,
    /// Where the name leads.
    pub(super) target: Target,
}

/// All but the text itself.
#[derive(Debug)]
pub(super) struct State {
    pub(super) mode: Mode,
    /// Containers open, and of each whether it is an object, the outermost first.
    pub(super) depth: usize,
    pub(super) objects: [u64; MOST_DEPTH / 64],
    /// The outermost of them: those whose members are looked at. What is deeper stays or goes whole.
    pub(super) frames: Vec<Frame>,
    pub(super) header: Header,
    pub(super) scalar: Scalar,
    /// Marks of the value that is passed over at present.
    pub(super) marks: Marks,
    pub(super) strings: Held,
    pub(super) output: Output,
    pub(super) found: Finds,
    /// How many values are marked or renamed.
    pub(super) touched: usize,
    /// Where the value begins and ends in the result.
    pub(super) root: (u64, u64),
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            mode: Mode::Root,
            depth: 0,
            objects: [0; MOST_DEPTH / 64],
            frames: Vec::new(),
            header: Header { comma: 0, head: 0, name: (0, 0), held: Vec::new(), target: Target::KEEP },
            scalar: Scalar::Start,
            marks: Marks::default(),
            strings: Held::default(),
            output: Output::new(),
            found: Finds::default(),
            touched: 0,
            root: (0, 0),
        }
    }

    /// Whether the innermost container is an object.
    #[inline(always)]
    pub(super) fn is_object(&self) -> bool {
        self.kind(self.depth)
    }

    /// Whether the container at this depth is an object.
    #[inline(always)]
    pub(super) fn kind(&self, depth: usize) -> bool {
        let above = depth.wrapping_sub(1);
        self.objects.get(above / 64).is_some_and(|word| word >> (above % 64) & 1 == 1)
    }

    /// Notes that a container opens. Returns whether it may.
    #[inline(always)]
    pub(super) fn open(&mut self, object: bool) -> bool {
        let may = self.note(self.depth, object);
        self.depth += usize::from(may);
        may
    }

    /// Notes what opens where so many containers are open. Returns whether it may.
    #[inline(always)]
    pub(super) fn note(&mut self, depth: usize, object: bool) -> bool {
        let Some(word) = self.objects.get_mut(depth / 64) else { return false };
        *word = *word & !(1 << (depth % 64)) | u64::from(object) << (depth % 64);
        true
    }

    /// Whether the innermost container is one whose members are looked at.
    #[inline(always)]
    pub(super) fn watched(&self) -> bool {
        self.depth == self.frames.len()
    }
}
