//! The values that were marked.

use std::ops::Range;

/// Room for so many is made at once.
const SOME: usize = 64;

/// A value that a [`Mark`](super::Mark) meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The mark's.
    pub number: u16,
    element: Element,
    pub(in crate::json) begin: u64,
    pub(in crate::json) end: u64,
}

impl Found {
    /// Where in the result the value stands.
    pub fn range(&self) -> Range<u64> {
        self.begin..self.end
    }

    /// The innermost element that the value is in, or is itself. What belongs to the same element has the same one.
    pub fn element(&self) -> Option<Element> {
        (self.element != Element::NONE).then_some(self.element)
    }
}

/// An element of an array, told from all others of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Element(u32);

impl Element {
    pub(super) const NONE: Self = Self(u32::MAX);
}

/// Those that one value has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    first: u32,
    pub(super) count: u32,
}

/// All of a document, in the order of their beginnings.
#[derive(Debug, Default)]
pub(in crate::json) struct Finds {
    pub(in crate::json) all: Vec<Found>,
    /// Elements of arrays that are looked at: in which one each is, and its index.
    elements: Vec<(Element, u32)>,
}

impl Finds {
    /// The element of this index begins, of an array in that element.
    #[inline(always)]
    pub(super) fn element(&mut self, within: Element, index: u32) -> Element {
        let element = Element(self.elements.len() as u32);
        if self.elements.capacity() == 0 {
            self.elements.reserve(SOME);
        }
        self.elements.push((within, index));
        element
    }

    /// A value begins at `begin` of the result that marks of these numbers mean.
    #[inline(always)]
    pub(super) fn begin(&mut self, whole: &[u16], each: &[u16], begin: u64, element: Element) -> Marks {
        let first = self.all.len() as u32;
        if self.all.capacity() == 0 {
            self.all.reserve(SOME);
        }
        for &number in whole.iter().chain(each) {
            self.all.push(Found { number, element, begin, end: begin });
        }
        Marks { first, count: self.all.len() as u32 - first }
    }

    /// The value with these marks ends at `end` of the result.
    #[inline(always)]
    pub(super) fn end(&mut self, marks: Marks, end: u64) {
        for found in &mut self.all[marks.first as usize..][..marks.count as usize] {
            found.end = end;
        }
    }

    pub(in crate::json) fn depth(&self, found: &Found) -> usize {
        let (mut depth, mut element) = (0, found.element);
        while let Some(&(within, _)) = self.elements.get(element.0 as usize) {
            depth += 1;
            element = within;
        }
        depth
    }

    pub(in crate::json) fn passed(&self, found: &Found) -> Vec<u32> {
        let mut indexes = Vec::new();
        let mut element = found.element;
        while let Some(&(within, index)) = self.elements.get(element.0 as usize) {
            indexes.push(index);
            element = within;
        }
        indexes.reverse();
        indexes
    }
}
