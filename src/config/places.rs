//! Where each value of a configuration is written: its file, its bytes there, and what the environment brought to it.

use std::ops::Range;

use frontgate_filters::words::spanned::Place;

/// A file of the configuration.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name as it was given.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// The line and the column of a byte, in characters, both from 1.
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.bytes().filter(|byte| *byte == b'\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// A range of bytes in one of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The file's index.
    pub file: usize,
    /// The bytes.
    pub range: Range<usize>,
}

/// Where every value is written, by its number.
#[derive(Debug, Default)]
pub struct Places {
    spots: Vec<Spot>,
}

impl Places {
    /// Where a value is written; nothing for what no file holds.
    pub fn at(&self, place: Place) -> Option<At> {
        let spot = self.spots.get(place.0.checked_sub(1)? as usize)?;
        Some(At { file: spot.file as usize, range: spot.start as usize..spot.end as usize })
    }

    /// What of the environment a value holds.
    pub fn origin(&self, place: Place) -> Option<&Origin> {
        self.spots.get(place.0.checked_sub(1)? as usize)?.origin.as_deref()
    }

    /// All that the environment brought.
    pub fn origins(&self) -> impl Iterator<Item = &Origin> {
        self.spots.iter().filter_map(|spot| spot.origin.as_deref())
    }

    /// Gives a value of this file a number.
    pub fn add(&mut self, file: usize, range: Range<usize>) -> u32 {
        self.spots.push(Spot { file: file as u32, start: range.start as u32, end: range.end as u32, origin: None });
        self.spots.len() as u32
    }

    /// A number for a value that is written in no single place.
    pub fn add_nowhere(&mut self, file: usize) -> u32 {
        self.add(file, 0..0)
    }

    /// Says better where a value is.
    pub fn resize(&mut self, id: u32, range: Range<usize>) {
        let spot = &mut self.spots[id as usize - 1];
        (spot.start, spot.end) = (range.start as u32, range.end as u32);
    }

    /// Notes that a value came from the environment.
    pub fn came_from(&mut self, id: u32, origin: Origin) {
        self.spots[id as usize - 1].origin = Some(Box::new(origin));
    }
}

/// A value that holds something from the environment.
#[derive(Debug)]
pub struct Origin {
    /// As it is written: `${NAME}`.
    pub written: String,
    /// What it became, which no message may show.
    pub text: String,
}

/// Where a value is written, and what of the environment is in it.
#[derive(Debug)]
struct Spot {
    file: u32,
    start: u32,
    end: u32,
    origin: Option<Box<Origin>>,
}
