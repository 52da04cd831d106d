//! A table for people: columns as wide as their widest cell, numbers to the right.

use std::fmt::Write;

/// A column's name and side.
#[derive(Clone, Copy)]
pub(super) enum Column {
    /// Words.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

/// The table with these rows, or nothing where there are none.
pub(super) fn table<const N: usize>(columns: [Column; N], rows: &[[String; N]]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let names = columns.map(|(Column::Left(name) | Column::Right(name))| name.to_owned());
    let lines = || std::iter::once(&names).chain(rows);
    let widths: [usize; N] = std::array::from_fn(|column| lines().map(|line| line[column].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for line in lines() {
        let mut padded = String::new();
        for ((cell, column), width) in line.iter().zip(columns).zip(widths) {
            // A string takes whatever is written to it.
            let _ = match column {
                Column::Left(_) => write!(padded, "{cell:<width$}  "),
                Column::Right(_) => write!(padded, "{cell:>width$}  "),
            };
        }
        text.push_str(padded.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_are_aligned_to_the_right() {
        let rows = [["a".to_owned(), "7".to_owned(), "x".to_owned()], ["long".to_owned(), "1234567".to_owned(), String::new()]];

        let text = table([Column::Left("NAME"), Column::Right("COUNT"), Column::Left("NOTE")], &rows);

        assert_eq!(text, "NAME    COUNT  NOTE\na           7  x\nlong  1234567\n");
        assert_eq!(table([Column::Left("NAME")], &[]), "");
    }
}
