//! What comes before a value (a comma, a key, a colon), where a chunk ends within it: held back and read byte by byte.
//!
//! Only this much is ever held back, and it is bounded: a key longer than six times the longest name (`\u0061` for each letter) is none
//! of the names, and white space beyond 4 KiB is not remembered.

use super::held::{Header, Phase};
use super::state::{Defect, Mode, State, context};
use crate::json::policy::{Policy, Target};

/// The longest key whose member's fate hangs on the value, and must wait for it.
pub(super) const LONGEST_KEY: usize = 64 * 1024;

/// Whether a key of which `length` bytes were seen is longer than any name.
#[inline(always)]
pub(super) fn too_long(policy: &Policy, length: usize) -> bool {
    length > 6 * policy.longest
}

/// Holds back the header that begins at `head`, which the chunk's end cuts.
#[cold]
#[inline(never)]
pub(super) fn hold(policy: &Policy, state: &mut State, data: &[u8], head: usize) -> Result<(), Defect> {
    state.out.stop(head);
    state.mode = Mode::Header;
    let comma = data[head] == b',';
    let held = std::mem::take(&mut state.header.held);
    state.header = Header { held, first: !comma, ..Header::default() };
    if comma {
        state.header.held.push(b',');
    }
    resume(policy, state, data, head + usize::from(comma))?;
    debug_assert_eq!(state.mode, Mode::Header, "the walkers decide themselves what they can");
    Ok(())
}

/// Goes on at `at` with the header held back. Returns where it ends in this chunk; the mode says how it was decided.
#[cold]
#[inline(never)]
pub(super) fn resume(policy: &Policy, state: &mut State, data: &[u8], mut at: usize) -> Result<usize, Defect> {
    while let Some(&byte) = data.get(at) {
        let header = &mut state.header;
        match (header.phase, byte) {
            (Phase::White | Phase::Colon | Phase::Value(_), b' ' | b'\n' | b'\r' | b'\t') => header.push_white(byte),
            (Phase::White, b'"') if state.candidates || state.frames.last().is_some_and(|frame| frame.object) => {
                header.held.push(byte);
                header.key.0 = header.held.len();
                header.phase = Phase::Key { escape: false };
            }
            (Phase::Key { escape: false }, b'"') => {
                header.key.1 = header.held.len();
                header.held.push(byte);
                header.phase = Phase::Colon;
            }
            (Phase::Key { escape }, _) => {
                let length = header.held.len() - header.key.0;
                if too_long(policy, length + 1) && !long_key(policy, state, at, length)? {
                    return Ok(at);
                }
                let header = &mut state.header;
                header.held.push(byte);
                header.escaped |= byte == b'\\';
                header.phase = Phase::Key { escape: byte == b'\\' && !escape };
            }
            (Phase::Colon, b':') => {
                header.held.push(byte);
                if named(policy, state, at + 1) {
                    return Ok(at + 1);
                }
            }
            (Phase::Value(target), _) => {
                state.mode = Mode::Value(target);
                return Ok(at);
            }
            // No member after all: an element of an array, most often.
            _ if state.candidates => {
                release(state, at);
                state.mode = Mode::Candidates;
                return Ok(at);
            }
            (Phase::White, _) if state.frames.last().is_some_and(|frame| !frame.object) => {
                let node = state.frames.last().expect("an array").node;
                state.mode = Mode::Value(Target(node));
                return Ok(at);
            }
            _ => return Err(Defect(at)),
        }
        at += 1;
    }
    Ok(at)
}

/// The key is longer than any name. Returns whether its member's fate hangs on the value still.
fn long_key(policy: &Policy, state: &mut State, at: usize, length: usize) -> Result<bool, Defect> {
    if state.candidates {
        release(state, at);
        state.mode = Mode::Candidates;
        return Ok(false);
    }
    let default = state.frames.last().map_or(Target::KEEP, |frame| policy.nodes[frame.node as usize].default);
    match default {
        Target::KEEP => release(state, at),
        Target::DROP => state.header.held.clear(),
        _ if length < LONGEST_KEY => return Ok(true),
        _ => return Err(Defect(at)),
    }
    state.mode = Mode::LongKey(default);
    Ok(false)
}

/// The key and its colon are complete. Returns whether that decides the member's fate.
fn named(policy: &Policy, state: &mut State, at: usize) -> bool {
    let header = &state.header;
    let target = match context(policy, state) {
        Some(node) => policy.nodes[node as usize].find_raw(&header.held[header.key.0..header.key.1], header.escaped),
        None => Target::KEEP,
    };
    match target {
        Target::KEEP if state.candidates => {
            release(state, at);
            state.mode = Mode::Candidates;
        }
        Target::KEEP => {
            release(state, at);
            state.mode = Mode::Value(target);
        }
        Target::DROP => {
            state.first = header.first;
            state.header.held.clear();
            state.mode = Mode::Value(target);
        }
        _ if policy.nodes[target.0 as usize].scalars => {
            release(state, at);
            state.mode = Mode::Value(target);
        }
        _ => {
            state.header.phase = Phase::Value(target);
            return false;
        }
    }
    true
}

/// What is held back stays, and what comes from `at` on.
pub(super) fn release(state: &mut State, at: usize) {
    state.out.release(&mut state.header.held);
    state.out.resume(at);
}

/// What is held back goes.
pub(super) fn forget(state: &mut State) {
    state.header.held.clear();
}
