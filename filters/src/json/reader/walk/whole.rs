//! A container that stays or goes whole: only the grammar is looked at.

use super::Walker;
use super::between::{Colon, after_name, closing};
use crate::json::bits::Classify;
use crate::json::reader::fault::{Defect, What};
use crate::json::reader::scalar;
use crate::json::reader::state::Mode;
use crate::json::white::next;

/// Why no more of a container is read.
enum Stop {
    /// It ends before this.
    Closed(usize),
    /// A number or word that begins here is to be read byte by byte.
    Scalar(usize),
    /// The chunk ends, before what this mode is about.
    Cut(Mode),
}

impl<C: Classify> Walker<'_, C> {
    /// The rest of a container of which nothing is looked at, from where something in it begins or ended.
    #[inline(always)]
    pub(super) fn whole(&mut self, at: usize) -> Result<usize, Defect> {
        let mut depth = self.state.depth;
        let end = self.whole_from(at, &mut depth);
        self.state.depth = depth;
        match end? {
            Stop::Closed(at) => Ok(self.done(at)),
            Stop::Scalar(at) => Ok(self.begin_scalar(at)),
            Stop::Cut(mode) => {
                self.state.mode = mode;
                Ok(self.strings.data.len())
            }
        }
    }

    #[inline(always)]
    fn whole_from(&mut self, mut at: usize, depth: &mut usize) -> Result<Stop, Defect> {
        let data = self.strings.data;
        let floor = self.state.frames.len();
        let mut first = self.state.mode == Mode::First;
        let mut close = closing(self.state.kind(*depth));
        'next: loop {
            // To the member or element.
            let Some((place, mut byte)) = next(data, at) else { return Ok(Stop::Cut(if first { Mode::First } else { Mode::After })) };
            at = place;
            if byte == close {
                at += 1;
                *depth -= 1;
                if *depth == floor {
                    return Ok(Stop::Closed(at));
                }
                first = false;
                close = closing(self.state.kind(*depth));
                continue;
            }
            if !first {
                if byte != b',' {
                    return Err(Defect(place, What::NoComma));
                }
                match next(data, place + 1) {
                    Some(next) => (at, byte) = next,
                    None => return Ok(Stop::Cut(if close == b'}' { Mode::Name } else { Mode::Value })),
                }
            }
            first = false;
            'member: loop {
                if close == b'}' {
                    if byte != b'"' {
                        return Err(Defect(at, What::NoName));
                    }
                    let Some(quote) = self.strings.quote() else { return Ok(Stop::Cut(Mode::InName)) };
                    match after_name(data, quote) {
                        Colon::Value(place, value) => (at, byte) = (place, value),
                        Colon::Missing(at) => return Err(Defect(at, What::NoColon)),
                        Colon::Cut(mode) => return Ok(Stop::Cut(mode)),
                    }
                }
                match byte {
                    b'"' => match self.strings.quote() {
                        Some(quote) => at = quote + 1,
                        None => return Ok(Stop::Cut(Mode::InString)),
                    },
                    b'{' | b'[' => {
                        if !self.state.note(*depth, byte == b'{') {
                            return Err(Defect(at, What::TooDeep));
                        }
                        *depth += 1;
                        // Both closing brackets are two above the opening one.
                        close = byte + 2;
                        at += 1;
                        match data.get(at) {
                            Some(&inner) if inner > b' ' && inner != close => {
                                byte = inner;
                                continue 'member;
                            }
                            _ => {
                                first = true;
                                continue 'next;
                            }
                        }
                    }
                    _ => match scalar::end(data, at, byte) {
                        Some(end) => at = end,
                        None => return Ok(Stop::Scalar(at)),
                    },
                }
                // Minified, and not at the chunk's end: as many containers as end here, and on to the next member or element.
                loop {
                    match data.get(at..).and_then(|rest| rest.first_chunk()) {
                        Some(&[b',', next]) if next > b' ' => {
                            (at, byte) = (at + 1, next);
                            continue 'member;
                        }
                        Some(&[byte, _]) if byte == close => {
                            at += 1;
                            *depth -= 1;
                            if *depth == floor {
                                return Ok(Stop::Closed(at));
                            }
                            close = closing(self.state.kind(*depth));
                        }
                        _ => continue 'next,
                    }
                }
            }
        }
    }
}
