//! Microsoft's allocator, asked for what it can give at once.
//!
//! The crate that brings it asks for an alignment each time, for which it looks twice, and makes what is longer than a kibibyte larger than it
//! has to be. Whatever it gives is aligned to two words, or to one where it is shorter than two.

use std::alloc::{GlobalAlloc, Layout};

use mimalloc::MiMalloc;

/// The allocator.
pub struct Allocator;

/// Whether what is given without being asked for an alignment has this one.
const fn is_usual(layout: Layout) -> bool {
    layout.align() <= 16 && layout.align() <= layout.size()
}

#[allow(unsafe_code, reason = "an allocator is asked for memory by its size alone")]
// SAFETY: each block comes from one allocator and goes back to it, is as long as was asked for, and aligned as `is_usual` says or as was asked.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_usual(layout) {
            // SAFETY: any size may be asked for.
            unsafe { libmimalloc_sys::mi_malloc(layout.size()).cast() }
        } else {
            // SAFETY: the caller's.
            unsafe { MiMalloc.alloc(layout) }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_usual(layout) {
            // SAFETY: any size may be asked for.
            unsafe { libmimalloc_sys::mi_zalloc(layout.size()).cast() }
        } else {
            // SAFETY: the caller's.
            unsafe { MiMalloc.alloc_zeroed(layout) }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's; it is the allocator's own, however it was asked for.
        unsafe { MiMalloc.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if is_usual(layout) && layout.align() <= size {
            // SAFETY: the caller's: the block is the allocator's own.
            unsafe { libmimalloc_sys::mi_realloc(block.cast(), size).cast() }
        } else {
            // SAFETY: the caller's.
            unsafe { MiMalloc.realloc(block, layout, size) }
        }
    }
}
