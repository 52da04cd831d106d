//! The bodies and policies that the measurements share.

use std::fs;
use std::hint::black_box;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use frontgate_filters::trim::engine::bits::Backend;
use frontgate_filters::trim::{OnMalformed, Path, Policy, Trimmer};
use serde_json::Value;
use sonic_rs::{JsonContainerTrait, JsonType, JsonValueMutTrait, JsonValueTrait};

/// As Pingora reads from an upstream.
pub const CHUNK: usize = 64 * 1024;

/// A body and what of it goes.
pub struct Payload {
    /// Size, form and policy in a word each.
    pub name: String,
    /// The body.
    pub text: Vec<u8>,
    paths: Vec<Path>,
    keep: bool,
    policy: Arc<Policy>,
}

const DROP: &[&str] = &["items.images.hd", "items.images.gallery_hd", "items.debug", "items.description_html", "trace"];
const KEEP: &[&str] = &["code", "items.id", "items.title", "items.price", "items.images.thumb", "total", "next"];
const DEEP: &[&str] = &["**.hd", "**.gallery_hd", "**.debug", "**.description_html"];

/// All of them; documents that are not part of this repository only where they are found.
pub fn all() -> Vec<Payload> {
    let mut all = Vec::new();
    for (size, items) in [("2K", 2), ("20K", 21), ("200K", 210), ("5M", 5300)] {
        for (form, pretty) in [("min", false), ("pretty", true)] {
            let text = listing(items, pretty);
            for (name, keep, paths) in
                [("drop", false, DROP), ("keep", true, KEEP), ("deep", false, DEEP), ("none", false, &["items.nothing"][..])]
            {
                if name == "drop" || name == "keep" || (size == "200K" && !pretty) {
                    all.push(Payload::new(format!("{size}-{form}-{name}"), text.clone(), keep, paths));
                }
            }
        }
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/json-documents");
    let documents: [(&str, &str, bool, &[&str]); 4] = [
        ("twitter-drop", "twitter.json", false, &["statuses.user.description", "statuses.entities", "statuses.retweeted_status.entities"]),
        ("twitter-keep", "twitter.json", true, &["statuses.id", "statuses.text", "statuses.user.screen_name", "search_metadata"]),
        ("citm-drop", "citm_catalog.json", false, &["performances.seatCategories", "events.*.logo", "venueNames"]),
        ("citm-drop-plain", "citm_catalog.json", false, &["performances.seatMapImage", "performances.logo", "venueNames"]),
    ];
    for (name, file, keep, paths) in documents {
        match fs::read(format!("{folder}/{file}")) {
            Ok(text) => all.push(Payload::new(name.to_owned(), text, keep, paths)),
            Err(_) => eprintln!("skipped: there is no {folder}/{file}"),
        }
    }
    all.push(Payload::new("geometry-drop".to_owned(), geometry(), false, &["features.properties", "features.geometry.type"]));
    all
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
        Self { name, text, paths, keep, policy }
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

    /// Parses, deletes, prints.
    pub fn by_serde_json(&self) -> Bytes {
        let mut value: Value = serde_json::from_slice(&self.text).expect("a document");
        self.prune(&mut value, &mut Vec::new());
        serde_json::to_vec(&value).expect("a value prints").into()
    }

    /// The same with the fastest DOM there is.
    pub fn by_sonic_rs(&self) -> Bytes {
        let mut value: sonic_rs::Value = sonic_rs::from_slice(&self.text).expect("a document");
        self.prune(&mut value, &mut Vec::new());
        sonic_rs::to_vec(&value).expect("a value prints").into()
    }

    fn prune<D: Dom>(&self, value: &mut D, at: &mut Vec<String>) {
        use frontgate_filters::trim::path::Segment;
        fn spelled(pattern: &[Segment], names: &[String], begin_is_enough: bool) -> bool {
            match pattern.split_first() {
                None => names.is_empty(),
                Some(_) if names.is_empty() => begin_is_enough,
                Some((Segment::Deep, rest)) => (0..=names.len()).any(|skip| spelled(rest, &names[skip..], begin_is_enough)),
                Some((Segment::Any, rest)) => spelled(rest, &names[1..], begin_is_enough),
                Some((Segment::Name(own), rest)) => names[0] == *own && spelled(rest, &names[1..], begin_is_enough),
            }
        }
        value.retain(at, &mut |value, at| {
            let whole = self.paths.iter().any(|path| spelled(path.segments(), at, false));
            if whole {
                return self.keep;
            }
            let some = self.paths.iter().any(|path| spelled(path.segments(), at, true));
            if some && value.is_container() {
                self.prune(value, at);
                return true;
            }
            !self.keep
        });
    }
}

/// What both DOMs can do.
trait Dom: Sized {
    fn is_container(&self) -> bool;
    fn retain(&mut self, at: &mut Vec<String>, stays: &mut dyn FnMut(&mut Self, &mut Vec<String>) -> bool);
}

impl Dom for Value {
    fn is_container(&self) -> bool {
        self.is_object() || self.is_array()
    }

    fn retain(&mut self, at: &mut Vec<String>, stays: &mut dyn FnMut(&mut Self, &mut Vec<String>) -> bool) {
        match self {
            Self::Array(elements) => elements.iter_mut().for_each(|element| element.retain(at, stays)),
            Self::Object(members) => members.retain(|name, member| {
                at.push(name.clone());
                let stay = stays(member, at);
                at.pop();
                stay
            }),
            _ => {}
        }
    }
}

impl Dom for sonic_rs::Value {
    fn is_container(&self) -> bool {
        matches!(self.get_type(), JsonType::Object | JsonType::Array)
    }

    fn retain(&mut self, at: &mut Vec<String>, stays: &mut dyn FnMut(&mut Self, &mut Vec<String>) -> bool) {
        if let Some(elements) = self.as_array_mut() {
            elements.iter_mut().for_each(|element| element.retain(at, stays));
        } else if self.is_object() {
            let mut gone = Vec::new();
            let names: Vec<String> =
                self.as_object().into_iter().flat_map(|members| members.iter().map(|(name, _)| name.to_owned())).collect();
            for name in names {
                at.push(name.clone());
                if self.get_mut(&name).is_some_and(|member| !stays(member, at)) {
                    gone.push(name);
                }
                at.pop();
            }
            if let Some(members) = self.as_object_mut() {
                gone.iter().for_each(|name| drop(members.remove(name)));
            }
        }
    }
}
