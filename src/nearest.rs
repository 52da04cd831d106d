//! The name that was meant: what configurations, filters of log lines and operators have in common about words that do not exist.

/// The name nearest to a misspelled one, if any is near. Letters of the other case, and `-` for `_`, are no distance.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let (name, allowed) = (plain(name), (name.chars().count() / 3).max(1));
    names
        .map(|known| (strsim::damerau_levenshtein(&name, &plain(known)), known))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, known)| known)
}
