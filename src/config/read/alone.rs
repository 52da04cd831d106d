//! A file that is read by itself, with the same care as a configuration: where each of its values stands, and what is wrong with it.

use std::collections::HashSet;
use std::sync::Arc;

use super::tree::{Builder, Node};
use super::yaml;
use crate::config::diagnostics::{Code, Diagnostic, Diagnostics};
use crate::config::places::{At, Places, Source};

/// A file as it is written, before anything is made of it.
pub(crate) struct Alone {
    /// The file.
    pub sources: Arc<Vec<Source>>,
    /// Where its values stand.
    pub places: Places,
    /// Values that are passed over, since what is wrong with them is told already.
    pub skip: HashSet<u32>,
    /// What is wrong so far.
    pub problems: Vec<Diagnostic>,
    /// What it holds.
    pub root: Node,
}

impl Alone {
    /// Reads the text of a file of this name; `env` is what it may take from the environment. The error is that it is no YAML.
    pub(crate) fn read(name: String, text: String, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Diagnostics> {
        let sources = Arc::new(vec![Source { name, text }]);
        let text = &sources[0].text;
        let raw = match yaml::read(text) {
            Ok(raw) => raw,
            Err(error) => {
                let diagnostic = Diagnostic::error(error.message).code(Code::Syntax).help(error.help);
                return Err(Diagnostics::new(vec![diagnostic.at(At { file: 0, range: error.range })], sources));
            }
        };
        let (mut places, mut skip, mut problems) = (Places::default(), HashSet::new(), Vec::new());
        let root = Builder { places: &mut places, file: 0, source: text, env, problems: &mut problems, skip: &mut skip }.build(raw);
        Ok(Self { sources, places, skip, problems, root })
    }
}
