//! Device classes: which kind of device a request comes from, by its User-Agent and its client hints.
//!
//! ```
//! use frontgate_filters::device::Devices;
//!
//! let devices = Devices::builtin();
//! let class = devices.classify_parts(b"Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36", None, None);
//! assert_eq!(&*devices.classes()[class], "smart_tv");
//! ```
//!
//! A table is compiled once. Classifying is one pass over the first [`LOOKED_AT`] bytes of the User-Agent and a few comparisons; it allocates
//! nothing. What no rule knows is a `desktop`, as is a request without a User-Agent: a missing header is no evidence of anything.

mod builtin;
mod hints;
mod matcher;
mod table;

use std::sync::{Arc, LazyLock};

use http::header::{HeaderMap, HeaderName, USER_AGENT};

pub use self::table::{ClassName, Entry, Needle, Rule, Table};

use self::hints::{Hints, Platform};
use self::matcher::{Matcher, Pattern, Signs};

/// The most bytes of a User-Agent that are looked at: a longer one costs no more, and says what it is before that.
pub const LOOKED_AT: usize = 1024;

/// The class of what nothing else takes.
pub const DESKTOP: &str = "desktop";

const CH_MOBILE: HeaderName = HeaderName::from_static("sec-ch-ua-mobile");
const CH_PLATFORM: HeaderName = HeaderName::from_static("sec-ch-ua-platform");

/// A compiled table.
pub struct Devices {
    classes: Vec<Arc<str>>,
    matcher: Matcher,
    hinted: Hinted,
}

/// What client hints do.
enum Hinted {
    /// They are signs like all others; the rules know them.
    Signs,
    /// They name a class where no entry matched.
    Otherwise { mobile: Option<usize>, tablet: Option<usize>, smart_tv: Option<usize> },
}

impl Devices {
    /// The built-in table, compiled at its first use.
    pub fn builtin() -> &'static Arc<Self> {
        static BUILTIN: LazyLock<Arc<Devices>> = LazyLock::new(|| {
            let matcher = Matcher::new(&builtin::patterns(), builtin::rules()).expect("its size is known to do");
            Arc::new(Devices { classes: builtin::CLASSES.iter().map(|&name| name.into()).collect(), matcher, hinted: Hinted::Signs })
        });
        &BUILTIN
    }

    /// The names of the built-in table's classes, for which it is not compiled.
    pub fn builtin_classes() -> &'static [&'static str] {
        builtin::CLASSES
    }

    /// Compiles a table. It fails where the table has too many entries or is out of all proportion.
    pub fn new(table: &Table) -> Result<Self, String> {
        /// Two signs an entry.
        const MOST: usize = Signs::BITS as usize / 2;
        if table.0.len() > MOST {
            return Err(format!("a table of devices has at most {MOST} entries, and this one has {}", table.0.len()));
        }
        let mut classes: Vec<Arc<str>> = Vec::new();
        for entry in &table.0 {
            let name = entry.class.as_str();
            if name != DESKTOP && !classes.iter().any(|class| &**class == name) {
                classes.push(name.into());
            }
        }
        classes.push(DESKTOP.into());
        let index = |name: &str| classes.iter().position(|class| &**class == name);

        let mut patterns = Vec::new();
        let mut rules = Vec::new();
        for (at, entry) in table.0.iter().enumerate() {
            let (any, none): (Signs, Signs) = (1 << (2 * at), 2 << (2 * at));
            patterns.extend(entry.rule.any.iter().map(|needle| Pattern::plain(needle.as_str(), any)));
            patterns.extend(entry.rule.none.iter().map(|needle| Pattern::plain(needle.as_str(), none)));
            let class = index(entry.class.as_str()).expect("every entry's class is in the list");
            rules.push(matcher::Rule { class, any: if entry.rule.any.is_empty() { 0 } else { any }, all: 0, none });
        }
        let hinted = Hinted::Otherwise { mobile: index("mobile"), tablet: index("tablet"), smart_tv: index("smart_tv") };
        Ok(Self { matcher: Matcher::new(&patterns, rules)?, hinted, classes })
    }

    /// The classes' names by index, in the order of the table; `desktop` is the last.
    pub fn classes(&self) -> &[Arc<str>] {
        &self.classes
    }

    /// The index of a request's class.
    pub fn classify(&self, headers: &HeaderMap) -> usize {
        let bytes = |name: &HeaderName| headers.get(name).map(|value| value.as_bytes());
        self.classify_parts(bytes(&USER_AGENT).unwrap_or_default(), bytes(&CH_MOBILE), bytes(&CH_PLATFORM))
    }

    /// The index of the class that the values of `User-Agent` (empty where there is none), `Sec-CH-UA-Mobile` and `Sec-CH-UA-Platform`
    /// lead to.
    pub fn classify_parts(&self, agent: &[u8], ch_mobile: Option<&[u8]>, ch_platform: Option<&[u8]>) -> usize {
        let agent = agent.trim_ascii();
        let mut signs = self.matcher.signs(&agent[..agent.len().min(LOOKED_AT)]);
        let hints = Hints::read(ch_mobile, ch_platform);
        let class = match &self.hinted {
            Hinted::Signs => {
                signs |= builtin::more_signs(agent, signs, hints);
                self.matcher.class(signs)
            }
            Hinted::Otherwise { mobile, tablet, smart_tv } => self.matcher.class(signs).or(match (hints.platform, hints.mobile) {
                (_, Some(true)) | (Some(Platform::Ios), None) => *mobile,
                (Some(Platform::Ipad), _) | (Some(Platform::Android | Platform::Ios), Some(false)) => *tablet,
                (Some(Platform::Tv), _) => *smart_tv,
                _ => None,
            }),
        };
        class.unwrap_or(self.classes.len() - 1)
    }
}

#[cfg(test)]
mod tests;
