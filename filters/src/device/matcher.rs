//! One pass over a User-Agent, then ordered rules over what it found.
//!
//! Every pattern sets bits, its signs; a rule asks for signs. Neither the pass nor the rules allocate.

use aho_corasick::automaton::Automaton;
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, MatchKind, StartKind};

/// A set of signs, one bit each.
pub type Signs = u128;

/// What must be next to a pattern's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Anything.
    Any,
    /// A letter.
    Letter,
    /// No letter.
    NoLetter,
    /// Neither letter nor digit.
    Word,
    /// A digit.
    Digit,
    /// The end of the User-Agent.
    End,
}

impl Edge {
    fn fits(self, beside: Option<u8>) -> bool {
        match self {
            Self::Any => true,
            Self::Letter => beside.is_some_and(|byte| byte.is_ascii_alphabetic()),
            Self::NoLetter => !beside.is_some_and(|byte| byte.is_ascii_alphabetic()),
            Self::Word => !beside.is_some_and(|byte| byte.is_ascii_alphanumeric()),
            Self::Digit => beside.is_some_and(|byte| byte.is_ascii_digit()),
            Self::End => beside.is_none(),
        }
    }
}

/// A text, found whatever its case, and the signs it sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern<'t> {
    /// The text, not empty.
    pub text: &'t str,
    /// What is before it.
    pub left: Edge,
    /// What is after it.
    pub right: Edge,
    /// What it is a sign of.
    pub signs: Signs,
}

impl<'t> Pattern<'t> {
    /// The text as it is, wherever it is found.
    pub fn plain(text: &'t str, signs: Signs) -> Self {
        Self { text, left: Edge::Any, right: Edge::Any, signs }
    }

    /// The built-in table's notation: marks at either end say what is next to the text. `|` is no letter or digit, `:` no letter, `=` a letter,
    /// `^` and `$` the User-Agent's ends, and a last `#` is a digit.
    pub fn marked(notation: &'t str, signs: Signs) -> Self {
        let (left, text) = match notation.as_bytes() {
            [b'|', ..] => (Edge::Word, &notation[1..]),
            [b'=', ..] => (Edge::Letter, &notation[1..]),
            [b':', ..] => (Edge::NoLetter, &notation[1..]),
            [b'^', ..] => (Edge::End, &notation[1..]),
            _ => (Edge::Any, notation),
        };
        let (right, text) = match text.as_bytes() {
            [.., b'|'] => (Edge::Word, &text[..text.len() - 1]),
            [.., b'='] => (Edge::Letter, &text[..text.len() - 1]),
            [.., b':'] => (Edge::NoLetter, &text[..text.len() - 1]),
            [.., b'$'] => (Edge::End, &text[..text.len() - 1]),
            [.., b'#'] => (Edge::Digit, &text[..text.len() - 1]),
            _ => (Edge::Any, text),
        };
        Self { text, left, right, signs }
    }
}

/// A class and the signs that lead to it.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The class's index.
    pub class: usize,
    /// One of these at least; where there are none, nothing is asked.
    pub any: Signs,
    /// All of these.
    pub all: Signs,
    /// None of these.
    pub none: Signs,
}

impl Rule {
    fn fits(&self, found: Signs) -> bool {
        (self.any == 0 || found & self.any != 0) && found & self.all == self.all && found & self.none == 0
    }
}

/// What of a pattern is needed once its text is found.
#[derive(Clone, Copy)]
struct Told {
    len: usize,
    left: Edge,
    right: Edge,
    signs: Signs,
}

/// The compiled patterns and rules.
pub struct Matcher {
    automaton: DFA,
    patterns: Vec<Told>,
    rules: Vec<Rule>,
}

impl Matcher {
    /// Compiles patterns and rules.
    pub fn new(patterns: &[Pattern<'_>], rules: Vec<Rule>) -> Result<Self, String> {
        /// A byte of text may take a kibibyte in the automaton.
        const MOST: usize = 16 << 10;
        let bytes: usize = patterns.iter().map(|pattern| pattern.text.len()).sum();
        if bytes > MOST {
            return Err(format!("the texts of a table of devices have at most {MOST} bytes together, and these have {bytes}"));
        }
        let automaton = DFA::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .start_kind(StartKind::Unanchored)
            .build(patterns.iter().map(|pattern| pattern.text))
            .map_err(|error| format!("the table of devices is too large: {error}"))?;
        let told = |&Pattern { text, left, right, signs }: &Pattern<'_>| Told { len: text.len(), left, right, signs };
        Ok(Self { automaton, patterns: patterns.iter().map(told).collect(), rules })
    }

    /// The signs in a User-Agent.
    ///
    /// The automaton is walked by hand: the crate's iterator over overlapping matches goes through a trait object, and was the slower one in a
    /// benchmark whose noise is of the size of the difference, 5 to 15 %.
    pub fn signs(&self, agent: &[u8]) -> Signs {
        let mut found = 0;
        let mut state = self.automaton.start_state(Anchored::No).expect("built with an unanchored start");
        for (at, &byte) in agent.iter().enumerate() {
            state = self.automaton.next_state(Anchored::No, state, byte);
            if self.automaton.is_special(state) && self.automaton.is_match(state) {
                for index in 0..self.automaton.match_len(state) {
                    let Told { len, left, right, signs } = self.patterns[self.automaton.match_pattern(state, index).as_usize()];
                    // An edge is looked up only where it can still change something.
                    if found & signs != signs && right.fits(agent.get(at + 1).copied()) {
                        // The match ends here, so it began that many bytes ago.
                        let before = (at + 1).checked_sub(len + 1).map(|before| agent[before]);
                        if left.fits(before) {
                            found |= signs;
                        }
                    }
                }
            }
        }
        found
    }

    /// The class of the first rule that fits.
    pub fn class(&self, found: Signs) -> Option<usize> {
        self.rules.iter().find(|rule| rule.fits(found)).map(|rule| rule.class)
    }
}
