//! The page of the access log: the fields in the order in which a line has them, and the letters of `flags`.

use super::markdown::{code, table};
use super::source::{body, documented};
use crate::telemetry::line_filter::FIELDS;

const LINE: &str = include_str!("../telemetry/access_log/line.rs");
const FLAG: &str = include_str!("../telemetry/access_log/flag.rs");

struct Field {
    name: String,
    about: String,
    of: String,
}

fn fields() -> Vec<Field> {
    let declared: Vec<Field> = documented(&body(LINE, "pub(crate) struct Line<'a> {"))
        .into_iter()
        .filter_map(|(about, line)| {
            let (name, of) = line.strip_prefix("pub ")?.trim_end_matches(',').split_once(": ")?;
            Some(Field { name: name.to_owned(), about, of: of.to_owned() })
        })
        .collect();
    let find = |name: &str| declared.iter().find(|field| field.name == name);
    let mut written = vec![("ts", find("ts").expect("a line begins with its time"))];
    for line in body(LINE, "pub(crate) fn write(&self, out: &mut Vec<u8>) {") {
        let Some((_, rest)) = line.split_once("(out, \"") else { continue };
        let Some((name, rest)) = rest.split_once('"') else { continue };
        if name.bytes().any(|byte| !byte.is_ascii_lowercase() && byte != b'_') {
            continue;
        }
        // The value is a field of this name, or the one that the line itself names.
        let member =
            rest.split_once("self.").map(|(_, rest)| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(rest));
        let field = find(name).or_else(|| find(member?)).unwrap_or_else(|| panic!("no field of a line is written as `{name}`"));
        written.push((name, field));
    }
    written.into_iter().map(|(name, field)| Field { name: name.to_owned(), about: field.about.clone(), of: field.of.clone() }).collect()
}

/// What a value looks like, by the type of its field.
fn kind(of: &str) -> &'static str {
    match of.trim_start_matches("Option<").trim_end_matches('>') {
        "u16" | "u32" | "u64" | "usize" => "number",
        "bool" => "true or false",
        "Duration" => "milliseconds",
        "SystemTime" => "time (RFC 3339, UTC)",
        _ => "text",
    }
}

fn flags() -> Vec<(String, String)> {
    let variants = documented(&body(FLAG, "pub(crate) enum Flag {"));
    body(FLAG, "match self {")
        .iter()
        .filter_map(|line| {
            let (variant, letters) = line.trim().strip_prefix("Self::")?.split_once(" => ")?;
            let (about, _) = variants.iter().find(|(_, line)| line.trim_end_matches(',') == variant)?;
            Some((letters.trim_matches(|c| c == '"' || c == ',').to_owned(), about.clone()))
        })
        .collect()
}

/// What a filter of lines can ask for.
fn asked() -> Vec<Vec<String>> {
    FIELDS.iter().map(|(name, kind)| vec![code(name), kind.asked().to_owned()]).collect()
}

/// The page.
pub(super) fn page() -> String {
    let rows: Vec<Vec<String>> = fields()
        .into_iter()
        .map(|field| {
            let always = if field.of.starts_with("Option<") { "" } else { "always" };
            vec![code(&field.name), kind(&field.of).to_owned(), always.to_owned(), field.about]
        })
        .collect();
    let flags: Vec<Vec<String>> = flags().into_iter().map(|(letters, about)| vec![code(&letters), about]).collect();
    format!(
        "# Access log\n\n{}\n\nOne line a request, a JSON object. A field that is not always there is left out where there is nothing to say.\n\n{}\n\
         ## Flags\n\nWhy a request was not answered as its route says. The letters are those of Envoy's access log.\n\n{}\n\n\
         ## Which lines\n\n`access_log.when` and `frontgate tap` take a filter such as `status>=500 or route=checkout duration>2s or share 1%`: \
         comparisons of fields, joined by `and`, `or`, `not` and parentheses. What stands side by side is joined by `and`, which binds closer than \
         `or`. A text after `~` is a beginning, or has stars that stand for anything: `path~/api/`, `user_agent~*curl*`. What holds spaces, \
         parentheses or signs is quoted. A field that a line has not is unlike everything: `!=` holds there, and nothing else does; `not reason~*` asks for \
         lines without a reason. `share 1%` takes that share of all requests by a hash of their `request_id`: the same ones in the log, in a tap \
         and on every gateway that has their identifiers.\n\n{}",
        super::MADE,
        table(&["field", "value", "", "meaning"], &rows),
        table(&["flag", "meaning"], &flags),
        table(&["field", "compared by"], &asked()),
    )
}

#[test]
fn every_field_and_every_flag_has_its_words() {
    let (fields, flags) = (fields(), flags());

    assert!(fields.iter().all(|field| !field.about.is_empty()));
    assert!(fields.len() > 20, "{} fields were found", fields.len());
    let are_letters = |letters: &str| (2..=3).contains(&letters.len()) && letters.bytes().all(|byte| byte.is_ascii_uppercase());
    assert!(flags.iter().all(|(letters, about)| are_letters(letters) && !about.is_empty()), "{flags:?}");
    assert_eq!(flags.len(), FLAG.matches("=> \"").count());
}
