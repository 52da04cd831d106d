//! Why a configuration comes into force: what the log, the status and the history say of it.

use std::fmt;

use crate::who::Who;

/// How many files are named in a line.
const NAMED: usize = 8;

/// What has happened to files, in a line that has an end.
pub(super) fn listed(changes: &[String]) -> String {
    let line = match changes.len().saturating_sub(NAMED) {
        0 => changes.join(" and "),
        more => format!("{} and {more} more", changes[..NAMED].join(", ")),
    };
    // The name of a file may be any.
    line.replace(char::is_control, " ")
}

/// Why a configuration comes into force.
pub(crate) enum Cause {
    /// The process begins.
    Start,
    /// Files have changed, an entry each.
    Watch(Vec<String>),
    /// HUP.
    Signal,
    /// An operator asked for it.
    Admin(Who),
}

impl Cause {
    /// As programs read it.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Watch(_) => "watch",
            Self::Signal => "signal",
            Self::Admin(_) => "admin",
        }
    }

    /// The operator who asked.
    pub(crate) fn who(&self) -> Option<String> {
        match self {
            Self::Admin(who) => Some(who.to_string()),
            _ => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("at the start"),
            Self::Watch(files) => write!(f, "since {}", listed(files)),
            Self::Signal => f.write_str("as HUP asks"),
            Self::Admin(who) => write!(f, "as the operator {who} asks"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_so_many_files_and_counts_the_others() {
        let changes: Vec<String> = (0..10).map(|number| format!("`{number}.yaml` is new")).collect();

        assert_eq!(Cause::Watch(changes[..2].to_vec()).to_string(), "since `0.yaml` is new and `1.yaml` is new");
        assert!(Cause::Watch(changes.clone()).to_string().ends_with(", `7.yaml` is new and 2 more"));
        assert_eq!(listed(&changes[..NAMED]).matches(" and ").count(), NAMED - 1);
    }
}
