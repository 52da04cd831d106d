//! The allocator that counts, and what it counts of a request.

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::traffic::drive_to;

struct Counting;
static COUNT: AtomicU64 = AtomicU64::new(0);

#[allow(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps alloc's contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps dealloc's contract.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps realloc's contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations a request, with `more` headers.
pub fn allocations(address: SocketAddr, more: &str) -> f64 {
    allocations_to(address, more, "200")
}

/// The same where each gets this status.
pub fn allocations_to(address: SocketAddr, more: &str, status: &str) -> f64 {
    drive_to(address, 200, more, status);
    const REQUESTS: usize = 2000;
    let rounds = (0..5).map(|_| {
        let before = COUNT.load(Ordering::SeqCst);
        drive_to(address, REQUESTS, more, status);
        COUNT.load(Ordering::SeqCst) - before
    });
    rounds.min().unwrap_or_default() as f64 / REQUESTS as f64
}
