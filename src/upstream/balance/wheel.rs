//! Numbers in order, each with the endpoint that it belongs to, among which the next one is found in a step or two, however many there are.

/// A number and the endpoint that it belongs to.
pub(super) type Mark = (u64, u32);

/// Marks around the circle of all numbers.
pub(super) struct Wheel {
    marks: Box<[Mark]>,
    /// Where the marks of each slice of the circle begin; the last one is where all end.
    begins: Box<[u32]>,
    /// A number without these last bits is its slice.
    shift: u32,
}

impl Wheel {
    /// These marks, which are in order.
    pub(super) fn new(marks: Box<[Mark]>) -> Self {
        let slices = (marks.len().next_power_of_two() / 2).max(2);
        let shift = 64 - slices.trailing_zeros();
        let mut begins = Vec::with_capacity(slices + 1);
        for (place, (number, _)) in marks.iter().enumerate() {
            while begins.len() <= (number >> shift) as usize {
                begins.push(place as u32);
            }
        }
        begins.resize(slices + 1, marks.len() as u32);
        Self { marks, begins: begins.into(), shift }
    }

    /// All marks, in order.
    pub(super) fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// The place of the first mark that is not before this number, which is the first one of all where none follows. There has to be one.
    pub(super) fn place(&self, number: u64) -> usize {
        let slice = (number >> self.shift) as usize;
        let (from, to) = (self.begins[slice] as usize, self.begins[slice + 1] as usize);
        // The marks of a slice are few where they are spread evenly.
        let place = from + self.marks[from..to].partition_point(|(mark, _)| *mark < number);
        if place == self.marks.len() { 0 } else { place }
    }

    /// The endpoint that the mark at this place belongs to.
    pub(super) fn of(&self, place: usize) -> usize {
        self.marks[place].1 as usize
    }
}

#[cfg(test)]
mod tests {
    use super::super::random;
    use super::*;

    #[test]
    fn the_next_mark_is_the_one_that_a_look_at_all_of_them_finds() {
        for length in [1, 2, 3, 7, 8, 100, 1000] {
            for crowd in [0, 20, 60] {
                let mut marks: Vec<Mark> = (0..length).map(|index| (random() >> crowd, index)).collect();
                marks.sort_unstable();
                let wheel = Wheel::new(marks.clone().into());
                for number in (0..1000).map(|_| random() >> crowd).chain(marks.iter().map(|mark| mark.0)).chain([0, 1, u64::MAX]) {
                    let found = marks.iter().position(|(mark, _)| *mark >= number).unwrap_or(0);

                    assert_eq!(wheel.place(number), found, "{number} among {length}");
                }
            }
        }
    }
}
