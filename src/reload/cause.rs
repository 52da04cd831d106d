//! Why a configuration comes into force: what the log, the status and the history say of it.

use std::fmt;

use crate::who::Who;

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
            Self::Watch(files) => write!(f, "since {}", files.join(" and ")),
            Self::Signal => f.write_str("as HUP asks"),
            Self::Admin(who) => write!(f, "as the operator {who} asks"),
        }
    }
}
