//! Operations that are known before they are asked for: those of a file, and those that clients make known by their hash.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use parking_lot::Mutex;
use serde::Deserialize;

use super::requests::Asked;
use crate::config::model;
use crate::telemetry::GraphqlRefusal;

/// The longest document that clients make known, in bytes; longer ones are run and not kept.
const LONGEST: usize = 64 << 10;
/// The most bytes of all documents that clients have made known.
const MOST_BYTES: usize = 16 << 20;

/// The SHA-256 of a document.
type Hash = [u8; 32];

/// What is known of operations.
#[derive(Default)]
pub(crate) struct Persisted {
    /// Documents of the file by what they are known by.
    known: HashMap<Box<str>, Arc<str>>,
    /// The documents themselves.
    texts: HashSet<Arc<str>>,
    /// Whether no others are run.
    only: bool,
    automatic: Automatic,
}

/// What clients have made known, the oldest first.
#[derive(Default)]
struct Automatic {
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    documents: HashMap<Hash, Arc<str>>,
    order: VecDeque<Hash>,
    bytes: usize,
}

/// The document of a request.
#[derive(Debug)]
pub(crate) struct Document<'r> {
    /// Its text.
    pub text: Text<'r>,
    /// It is made known by this, once it has run.
    makes_known: Option<Hash>,
}

/// Where a document's text is.
#[derive(Debug)]
pub(crate) enum Text<'r> {
    /// The request brought it.
    Brought(&'r str),
    /// It was known.
    Known(Arc<str>),
}

impl std::ops::Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        match self {
            Self::Brought(text) => text,
            Self::Known(text) => text,
        }
    }
}

/// A manifest as Apollo's tools write it.
#[derive(Deserialize)]
struct Manifest {
    format: String,
    operations: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    body: String,
}

/// The documents of a file, by what they are known by.
pub(crate) fn read(bytes: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    if let Ok(manifest) = serde_json::from_str::<Manifest>(text) {
        if manifest.format != "apollo-persisted-query-manifest" {
            return Err(format!("`{}` is not the format of a manifest of operations", manifest.format));
        }
        let mut all = BTreeMap::new();
        for Entry { id, body } in manifest.operations {
            if all.insert(id.clone(), body).is_some() {
                return Err(format!("the operation `{id}` stands there twice"));
            }
        }
        return Ok(all);
    }
    serde_json::from_str(text)
        .map_err(|error| format!("it is neither a manifest of operations nor a map from identifiers to documents: {error}"))
}

impl Persisted {
    /// These documents of the file, under these rules.
    pub(crate) fn new(written: &model::Persisted, documents: BTreeMap<String, String>) -> Self {
        let known: HashMap<Box<str>, Arc<str>> = documents.into_iter().map(|(id, text)| (id.into_boxed_str(), Arc::from(text))).collect();
        let texts = known.values().cloned().collect();
        let automatic = Automatic { most: written.automatic.value as usize, kept: Mutex::default() };
        Self { known, texts, only: written.only.value, automatic }
    }

    /// Takes over what clients have made known to another one.
    pub(crate) fn take_over(&self, before: &Self) {
        let documents: Vec<(Hash, Arc<str>)> = {
            let kept = before.automatic.kept.lock();
            kept.order.iter().filter_map(|hash| Some((*hash, kept.documents.get(hash)?.clone()))).collect()
        };
        documents.into_iter().for_each(|(hash, text)| self.automatic.keep(hash, text));
    }

    /// The document that a request is for.
    pub(crate) fn find<'r>(&self, asked: &'r Asked<'_>) -> Result<Document<'r>, GraphqlRefusal> {
        let brought = asked.document.as_deref();
        let by_hash = asked.id.as_deref().filter(|_| asked.is_hash);
        match (brought, asked.id.as_deref()) {
            (Some(text), _) => {
                let hash = by_hash.and_then(hash_of_hex);
                if by_hash.is_some() && hash.is_none_or(|hash| hash != hash_of(text)) {
                    // Nobody but who keeps documents by it asks for it to be right.
                    if self.keeps_any() {
                        return Err(GraphqlRefusal::OtherHash);
                    }
                }
                if self.only && !self.texts.contains(text) {
                    return Err(GraphqlRefusal::NotPersisted);
                }
                Ok(Document { text: Text::Brought(text), makes_known: hash.filter(|_| self.automatic.most > 0 && text.len() <= LONGEST) })
            }
            (None, Some(id)) => {
                let automatic = || self.automatic.find(&hash_of_hex(id)?);
                match self.known.get(id).cloned().or_else(automatic) {
                    Some(text) => Ok(Document { text: Text::Known(text), makes_known: None }),
                    None if self.keeps_any() => Err(GraphqlRefusal::UnknownDocument),
                    None => Err(GraphqlRefusal::NoPersisted),
                }
            }
            (None, None) => Err(GraphqlRefusal::Malformed),
        }
    }

    fn keeps_any(&self) -> bool {
        self.automatic.most > 0 || !self.known.is_empty()
    }

    /// A document has run: one that is to be known is.
    pub(crate) fn ran(&self, document: &Document<'_>) {
        if let (Some(hash), Text::Brought(text)) = (document.makes_known, &document.text) {
            self.automatic.keep(hash, Arc::from(*text));
        }
    }
}

impl Automatic {
    fn find(&self, hash: &Hash) -> Option<Arc<str>> {
        self.kept.lock().documents.get(hash).cloned()
    }

    fn keep(&self, hash: Hash, text: Arc<str>) {
        if self.most == 0 {
            return;
        }
        let mut kept = self.kept.lock();
        if kept.documents.contains_key(&hash) {
            return;
        }
        kept.bytes += text.len();
        kept.documents.insert(hash, text);
        kept.order.push_back(hash);
        while kept.order.len() > self.most || kept.bytes > MOST_BYTES {
            let Some(oldest) = kept.order.pop_front() else { break };
            if let Some(gone) = kept.documents.remove(&oldest) {
                kept.bytes -= gone.len();
            }
        }
    }
}

fn hash_of(text: &str) -> Hash {
    digest(&SHA256, text.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// The hash that 64 hexadecimal digits are.
fn hash_of_hex(text: &str) -> Option<Hash> {
    let digits: Option<Vec<u8>> = text.bytes().map(|byte| (byte as char).to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    let mut hash = [0; 32];
    hash.iter_mut().zip(digits.chunks_exact(2)).for_each(|(byte, pair)| *byte = pair[0] << 4 | pair[1]);
    Some(hash)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use frontgate_filters::words::spanned::Spanned;

    use super::*;

    fn hex(text: &str) -> String {
        hash_of(text).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn asked(document: Option<&'static str>, id: Option<String>, is_hash: bool) -> Asked<'static> {
        Asked { document: document.map(Cow::Borrowed), id: id.map(Cow::Owned), is_hash, operation: None, variables: None }
    }

    fn persisted(documents: &[(&str, &str)], only: bool, automatic: u32) -> Persisted {
        let written = model::Persisted { file: None, only: Spanned::nowhere(only), automatic: Spanned::nowhere(automatic) };
        Persisted::new(&written, documents.iter().map(|(id, text)| ((*id).to_owned(), (*text).to_owned())).collect())
    }

    fn found(persisted: &Persisted, asked: &Asked<'_>) -> Result<String, GraphqlRefusal> {
        persisted.find(asked).map(|document| document.text.to_string())
    }

    #[test]
    fn a_file_is_a_manifest_or_a_map() {
        let manifest = br#"{"format": "apollo-persisted-query-manifest", "version": 1,
            "operations": [{"id": "a1", "name": "A", "type": "query", "body": "query A {a}"}]}"#;

        assert_eq!(read(manifest), Ok(BTreeMap::from([("a1".to_owned(), "query A {a}".to_owned())])));
        assert_eq!(read(br#"{"home": "{a}"}"#), Ok(BTreeMap::from([("home".to_owned(), "{a}".to_owned())])));
        for (text, words) in [
            (&b"\xff"[..], "UTF-8"),
            (b"[]", "neither a manifest"),
            (br#"{"a": 1}"#, "neither a manifest"),
            (br#"{"format": "x", "operations": []}"#, "not the format"),
            (br#"{"format": "apollo-persisted-query-manifest", "operations": [{"id":"a","body":"{a}"},{"id":"a","body":"{b}"}]}"#, "twice"),
        ] {
            let why = read(text).expect_err("no file of operations");
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn what_is_known_is_found_by_what_it_is_known_by_and_only_that_where_nothing_else_is_run() {
        let (open, only) = (persisted(&[("home", "{a}")], false, 0), persisted(&[("home", "{a}")], true, 0));

        for persisted in [&open, &only] {
            assert_eq!(found(persisted, &asked(None, Some("home".to_owned()), false)), Ok("{a}".to_owned()));
            assert_eq!(found(persisted, &asked(None, Some("home".to_owned()), true)), Ok("{a}".to_owned()));
            assert_eq!(found(persisted, &asked(None, Some("page".to_owned()), false)), Err(GraphqlRefusal::UnknownDocument));
            assert_eq!(found(persisted, &asked(Some("{a}"), None, false)), Ok("{a}".to_owned()), "the text itself is as good");
        }
        assert_eq!(found(&open, &asked(Some("{b}"), None, false)), Ok("{b}".to_owned()));
        assert_eq!(found(&only, &asked(Some("{b}"), None, false)), Err(GraphqlRefusal::NotPersisted));
        assert_eq!(found(&only, &asked(Some("{b}"), Some(hex("{b}")), true)), Err(GraphqlRefusal::NotPersisted));
        assert_eq!(found(&Persisted::default(), &asked(None, Some(hex("{b}")), true)), Err(GraphqlRefusal::NoPersisted));
        assert_eq!(found(&Persisted::default(), &asked(Some("{b}"), Some("x".to_owned()), true)), Ok("{b}".to_owned()));
    }

    #[test]
    fn clients_make_documents_known_by_their_hash_once_they_have_run() {
        let persisted = persisted(&[], false, 2);
        let by_hash = |text: &'static str| asked(None, Some(hex(text)), true);
        let with_text = |text: &'static str| asked(Some(text), Some(hex(text)), true);
        assert_eq!(found(&persisted, &by_hash("{a}")), Err(GraphqlRefusal::UnknownDocument));
        assert_eq!(found(&persisted, &asked(Some("{a}"), Some(hex("{b}")), true)), Err(GraphqlRefusal::OtherHash));
        assert_eq!(found(&persisted, &asked(Some("{a}"), Some("ab".to_owned()), true)), Err(GraphqlRefusal::OtherHash));

        assert_eq!(found(&persisted, &with_text("{a}")), Ok("{a}".to_owned()));
        assert_eq!(found(&persisted, &by_hash("{a}")), Err(GraphqlRefusal::UnknownDocument), "it has not run");
        for text in ["{a}", "{b}", "{a}", "{c}"] {
            let asked = with_text(text);
            persisted.ran(&persisted.find(&asked).expect("a document"));
        }

        assert_eq!(found(&persisted, &by_hash("{a}")), Err(GraphqlRefusal::UnknownDocument), "the oldest one goes first");
        assert_eq!(found(&persisted, &by_hash("{b}")), Ok("{b}".to_owned()));
        assert_eq!(found(&persisted, &by_hash("{c}")), Ok("{c}".to_owned()));
        let later = self::persisted(&[], false, 1);
        later.take_over(&persisted);
        assert_eq!(found(&later, &by_hash("{b}")), Err(GraphqlRefusal::UnknownDocument));
        assert_eq!(found(&later, &by_hash("{c}")), Ok("{c}".to_owned()));
    }

    #[test]
    fn what_clients_make_known_is_bounded_in_bytes() {
        let automatic = Automatic { most: usize::MAX, kept: Mutex::default() };

        for number in 0..400_u32 {
            automatic.keep(hash_of(&number.to_string()), "x".repeat(LONGEST).into());
        }

        let kept = automatic.kept.lock();
        assert!(kept.bytes <= MOST_BYTES && kept.documents.len() == MOST_BYTES / LONGEST, "{}", kept.documents.len());
    }
}
