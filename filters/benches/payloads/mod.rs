//! The bodies and policies that the measurements share.

use std::fs;
use std::hint::black_box;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::json::bits::Backend;
use crate::json::splice::{Member, MemberName, Piece};
use crate::json::{Mark, OnMalformed, Path, Plan, Policy, Proved, Reader, Template, Trimmer};

/// As Pingora reads from an upstream.
pub const CHUNK: usize = 64 * 1024;

/// A body and what of it goes.
pub struct Payload {
    /// What it is, its form and its policy in a word each.
    pub name: String,
    /// The body.
    pub text: Vec<u8>,
    /// What the policy was made of.
    pub paths: Vec<Path>,
    /// The paths say what stays, not what goes.
    pub keep: bool,
    policy: Arc<Policy>,
    /// The same with new names and marks, as for an answer made of several.
    plan: Arc<Plan>,
    /// Nothing but the check.
    check: Arc<Plan>,
}

const DROP: &[&str] = &["items.images.hd", "items.images.gallery_hd", "items.debug", "items.description_html", "trace"];
const KEEP: &[&str] = &["code", "items.id", "items.title", "items.price", "items.images.thumb", "total", "next"];
const DEEP: &[&str] = &["**.hd", "**.gallery_hd", "**.debug", "**.description_html"];

/// Where a body comes from.
enum Source {
    /// A page of a shop with so many items.
    Listing { items: usize, pretty: bool },
    /// Little else than numbers in arrays.
    Geometry,
    /// A document that is not part of this repository.
    File(&'static str),
}

struct Draft {
    name: String,
    source: Source,
    keep: bool,
    paths: &'static [&'static str],
}

fn drafts() -> Vec<Draft> {
    let mut all = Vec::new();
    for (size, items) in [("2K", 2), ("17K", 23), ("20K", 21), ("200K", 210), ("5M", 5300)] {
        for (form, pretty) in [("min", false), ("pretty", true)] {
            let mut add = |rule: &str, keep, paths| {
                all.push(Draft { name: format!("{size}-{form}-{rule}"), source: Source::Listing { items, pretty }, keep, paths });
            };
            add("drop", false, DROP);
            add("keep", true, KEEP);
            if size == "200K" {
                add("deep", false, DEEP);
                add("none", false, &["items.nothing"]);
            }
        }
    }
    let documents: [(&str, Source, bool, &[&str]); 8] = [
        (
            "twitter-drop",
            Source::File("twitter.json"),
            false,
            &["statuses.user.description", "statuses.entities", "statuses.retweeted_status.entities"],
        ),
        (
            "twitter-keep",
            Source::File("twitter.json"),
            true,
            &["statuses.id", "statuses.text", "statuses.user.screen_name", "search_metadata"],
        ),
        ("citm-drop", Source::File("citm_catalog.json"), false, &["performances.seatMapImage", "performances.logo", "venueNames"]),
        ("citm-drop-star", Source::File("citm_catalog.json"), false, &["performances.seatCategories", "events.*.logo", "venueNames"]),
        (
            "citm-keep",
            Source::File("citm_catalog.json"),
            true,
            &["performances.id", "performances.eventId", "performances.start", "events.*.name"],
        ),
        ("canada-drop", Source::File("canada.json"), false, &["features.properties", "features.geometry.type"]),
        ("geometry-drop", Source::Geometry, false, &["features.properties", "features.geometry.type"]),
        ("geometry-keep", Source::Geometry, true, &["type", "features.properties"]),
    ];
    all.extend(documents.into_iter().map(|(name, source, keep, paths)| Draft { name: name.to_owned(), source, keep, paths }));
    all
}

/// Those whose names are wanted, made one after the other; documents from elsewhere only where they are found.
pub fn payloads(wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = Payload> {
    drafts().into_iter().filter(move |draft| wanted(&draft.name)).filter_map(|draft| {
        let text = match draft.source {
            Source::Listing { items, pretty } => listing(items, pretty),
            Source::Geometry => geometry(),
            Source::File(file) => {
                let place = format!("{}/../../shared/vectors/json-documents/{file}", env!("CARGO_MANIFEST_DIR"));
                fs::read(&place).or_else(|_| fs::read(place.replacen("/../..", "/../../..", 1))).ok().or_else(|| {
                    eprintln!("{}: skipped, {file} is not among the documents", draft.name);
                    None
                })?
            }
        };
        Some(Payload::new(draft.name, text, draft.keep, draft.paths))
    })
}

/// The slowest first.
pub fn backends() -> Vec<Backend> {
    Backend::available()
}

/// A page of a shop.
fn listing(items: usize, pretty: bool) -> Vec<u8> {
    let mut seed = 7u32;
    let mut next = |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) % below
    };
    let words = ["soft", "warm", "light \\\"new\\\"", "für alle", "cotton", "travel-ready", "black", "with a zip"];
    let mut text = |count: u32| (0..count).map(|_| words[next(8) as usize]).collect::<Vec<_>>().join(" ");
    let items: Vec<Value> = (0..items)
        .map(|id| {
            serde_json::json!({
                "id": 100_000 + id, "sku": format!("SKU-{id:06}-{}", id * 7 % 91), "title": text(5), "brand": "Acme",
                "price": {"amount": 1999 + id % 900, "currency": "EUR", "discount": null}, "description": text(24),
                "images": {"thumb": format!("https://img.example.com/t/{id}.jpg"), "sd": format!("https://img.example.com/s/{id}.jpg"),
                           "hd": format!("https://img.example.com/h/{id}.jpg"), "gallery_hd": [format!("https://img.example.com/g/{id}-1.jpg")]},
                "tags": ["new", "sale", "outdoor"], "stock": {"berlin": id % 40, "paris": id % 31, "reserved": false},
                "rating": 4.25, "reviews": id * 3, "debug": {"shard": id % 16, "took_us": id * 11 % 977}, "available": true
            })
        })
        .collect();
    let page = serde_json::json!({"code": 0, "items": items, "total": 123_456, "next": "/items?page=2", "trace": "00-4bf92f3577b34da6a3ce929d0e0e4736"});
    if pretty { serde_json::to_vec_pretty(&page) } else { serde_json::to_vec(&page) }.expect("a page prints")
}

/// Like maps: little else than numbers in arrays.
fn geometry() -> Vec<u8> {
    let ring: Vec<[f64; 2]> = (0..2000).map(|i| [-65.613_617 + f64::from(i) * 0.001_37, 43.420_273 + f64::from(i) * 0.000_91]).collect();
    let feature =
        serde_json::json!({"type": "Feature", "properties": {"name": "Canada"}, "geometry": {"type": "Polygon", "coordinates": [ring]}});
    serde_json::to_vec(&serde_json::json!({"type": "FeatureCollection", "features": vec![feature; 25]})).expect("a map prints")
}

impl Payload {
    fn new(name: String, text: Vec<u8>, keep: bool, paths: &[&str]) -> Self {
        let paths: Vec<Path> = paths.iter().map(|path| path.parse().expect("a path")).collect();
        let policy = Arc::new(if keep { Policy::keep(&paths) } else { Policy::drop(&paths) }.expect("a policy"));
        let path = |path: &str| path.parse::<Path>().expect("a path");
        let renames =
            [(path("items.title"), "name".to_owned()), (path("items.price"), "cost".to_owned()), (path("next"), "more".to_owned())];
        let mark = |number, place: &str, each| Mark { number, place: place.parse().expect("a place"), each };
        let marks = [mark(0, "items", true), mark(1, "items.id", true), mark(2, "total", false), mark(3, "items.price.amount", false)];
        let plan = Arc::new(Plan::new(&policy, &renames, &marks).expect("a plan"));
        Self { name, text, paths, keep, policy, plan, check: Arc::default() }
    }

    /// Checks, removes, renames and marks; returns how many bytes are left and how many values were marked.
    pub fn read(&self, backend: Backend) -> (usize, usize) {
        let mut reader = Reader::with_backend(self.plan.clone(), backend);
        for chunk in self.text.chunks(CHUNK) {
            reader.push(Bytes::copy_from_slice(chunk)).expect("JSON");
        }
        let document = reader.finish().expect("one value");
        (document.whole().len(), document.found().len())
    }

    /// Checks that it is one value.
    pub fn check(&self, backend: Backend) -> usize {
        let mut reader = Reader::with_backend(self.check.clone(), backend);
        for chunk in self.text.chunks(CHUNK) {
            reader.push(Bytes::copy_from_slice(chunk)).expect("JSON");
        }
        reader.finish().expect("one value").whole().len()
    }

    /// Checks it three times, as the answers of three services, and puts them together in one.
    pub fn merge(&self, backend: Backend) -> usize {
        let names = ["a", "b", "c"];
        let members = names.iter().enumerate().map(|(number, name)| Member::Named(MemberName::new(name), Piece::hole(number)));
        let template = Template::from(Piece::object(members.collect()));
        let fillings: Vec<_> = names
            .iter()
            .map(|_| {
                let mut reader = Reader::with_backend(self.check.clone(), backend);
                for chunk in self.text.chunks(CHUNK) {
                    reader.push(Bytes::copy_from_slice(chunk)).expect("JSON");
                }
                Some(reader.finish().expect("one value").whole())
            })
            .collect();
        Self::splice(&template, &fillings).len()
    }

    /// What counts beside the check.
    #[inline(never)]
    fn splice(template: &Template, fillings: &[Option<Proved>]) -> Bytes {
        template.fill(fillings).into_bytes()
    }

    /// Checks it by the parser that everybody knows, which finds out as much.
    #[inline(never)]
    pub fn check_by_serde_json(&self) -> usize {
        serde_json::from_slice::<&RawValue>(&self.text).expect("one value").get().len()
    }

    /// Each chunk in a buffer of its own, as from a connection. Returns how many bytes are left.
    pub fn trim(&self, backend: Backend) -> u64 {
        let mut trimmer = Trimmer::with_backend(self.policy.clone(), OnMalformed::Pass, backend);
        let mut left = self.text.len();
        for chunk in self.text.chunks(CHUNK) {
            left -= chunk.len();
            let mut body = Some(BytesMut::from(chunk).freeze());
            trimmer.push(&mut body, left == 0).expect("`Pass` never fails");
            black_box(&body);
        }
        trimmer.output_bytes()
    }
}
