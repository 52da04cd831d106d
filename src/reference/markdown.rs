//! The little of Markdown that the pages need.

/// A table; where there is no row, nothing.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let line = |cells: &mut dyn Iterator<Item = String>| format!("|{}\n", cells.map(|cell| format!(" {cell} |")).collect::<String>());
    let mut text = line(&mut head.iter().map(|&cell| cell.to_owned()));
    text += &format!("|{}\n", "---|".repeat(head.len()));
    for row in rows {
        text += &line(&mut row.iter().map(|cell| in_cell(cell)));
    }
    text
}

/// Text that is shown as code.
pub(super) fn code(text: &str) -> String {
    format!("`{text}`")
}

/// One line, as a cell must be; a bar would end it.
fn in_cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
