//! The allocator that counts, and what it counts of a request.

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::traffic::drive_to;
#[cfg(feature = "graphql")]
use crate::traffic::send;

struct Counting;
static COUNT: AtomicU64 = AtomicU64::new(0);
/// Bytes that are allocated and not freed. It wraps around below zero and comes back.
static HELD: AtomicU64 = AtomicU64::new(0);

#[allow(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        HELD.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: the caller keeps alloc's contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: the caller keeps dealloc's contract.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        HELD.fetch_add((size as u64).wrapping_sub(layout.size() as u64), Ordering::Relaxed);
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
    counted(|requests| drive_to(address, requests, more, status))
}

/// Allocations of this request, which is answered well.
#[cfg(feature = "graphql")]
pub fn allocations_of(address: SocketAddr, request: &str) -> f64 {
    counted(|requests| send(address, requests, request, "200"))
}

fn counted(drive: impl Fn(usize)) -> f64 {
    drive(200);
    const REQUESTS: usize = 2000;
    let rounds = (0..5).map(|_| {
        let before = COUNT.load(Ordering::SeqCst);
        drive(REQUESTS);
        COUNT.load(Ordering::SeqCst) - before
    });
    rounds.min().unwrap_or_default() as f64 / REQUESTS as f64
}

/// Bytes that this leaves allocated.
#[cfg(feature = "graphql")]
pub fn left_by(what: impl FnOnce()) -> i64 {
    let before = HELD.load(Ordering::SeqCst);
    what();
    HELD.load(Ordering::SeqCst).wrapping_sub(before) as i64
}
