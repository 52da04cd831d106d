//! What is written in the sources about a thing: its `///` comment.
//!
//! A macro that knew the comments would be cleverer than a page is worth; rustfmt keeps the sources in a form that is easily read.

/// The lines between the one that is `open` and the first one after it that is `}` at the same indentation.
///
/// # Panics
///
/// Where there are no such lines: the source was rewritten, and what reads it has to follow.
pub(super) fn body<'s>(source: &'s str, open: &str) -> Vec<&'s str> {
    let mut lines = source.lines().skip_while(|line| line.trim() != open);
    let first = lines.next().unwrap_or_else(|| panic!("there is no line `{open}`"));
    let indentation = &first[..first.len() - first.trim_start().len()];
    let close = format!("{indentation}}}");
    lines.take_while(|line| *line != close).collect()
}

/// Each line that is no comment and no attribute, with the comment above it as one text.
pub(super) fn documented<'s>(lines: &[&'s str]) -> Vec<(String, &'s str)> {
    let mut found = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for line in lines.iter().map(|line| line.trim()) {
        match line.strip_prefix("///") {
            Some(text) => comment.push(text.trim()),
            None if line.is_empty() || line.starts_with("#[") => {}
            None => found.push((std::mem::take(&mut comment).join(" "), line)),
        }
    }
    found
}

#[test]
fn a_comment_belongs_to_the_line_below_it() {
    let source = "struct A {\n    /// One\n    /// of two.\n    #[x]\n    one: u8,\n    two: u8,\n}\nstruct B {\n}\n";

    let found = documented(&body(source, "struct A {"));

    assert_eq!(found, [("One of two.".to_owned(), "one: u8,"), (String::new(), "two: u8,")]);
}
