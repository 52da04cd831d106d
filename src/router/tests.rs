//! Precedence by table, the tree against a plain reference, and the costs the design promises.

use std::cell::Cell;

use frontgate_filters::words::matching::{Fact, Wanted};
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::Spanned;

use super::*;

thread_local! {
    static STEPS: Cell<usize> = const { Cell::new(0) };
}

/// Counts a node that is visited, or a place of the table that is looked at.
pub(super) fn step() {
    STEPS.set(STEPS.get() + 1);
}

/// The steps that this takes.
fn steps(search: impl FnOnce()) -> usize {
    let before = STEPS.get();
    search();
    STEPS.get() - before
}

/// Xorshift64*: the same cases on every run.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

fn route<'a>(host: impl Into<Option<&'a str>>, path: &'a str, methods: &[Method]) -> Entry<'a> {
    let methods = (!methods.is_empty()).then(|| methods.to_vec());
    Entry { host: host.into(), path, methods, when: None }
}

/// Finds where no route asks for facts.
fn find<'r>(router: &'r Router, host: &str, path: &str, method: &Method) -> Found<'r> {
    router.find(host, path, method, &mut |route| panic!("route {route} asks for nothing"))
}

fn paths(patterns: &[&str]) -> Router {
    Router::build(&patterns.iter().map(|path| route(None, path, &[])).collect::<Vec<_>>())
}

fn winner(router: &Router, host: &str, path: &str) -> Option<usize> {
    match find(router, host, path, &Method::GET) {
        Found::Route(index) => Some(index),
        _ => None,
    }
}

#[test]
fn prefers_literals_to_variables_to_rest_and_backtracks() {
    let patterns = ["/", "/a", "/a/", "/a/**", "/a/{x}", "/a/{x}/c", "/a/b/{y}", "/a/b/c/d", "/{v}/b/**", "/b/{x}/", "/c/{x}/e"];
    let router = paths(&patterns);
    let cases = [
        ("/", Some("/")),
        ("/a", Some("/a")),
        ("/a/", Some("/a/")),
        ("/a/b", Some("/a/{x}")),
        ("/a/b/c", Some("/a/b/{y}")),
        ("/a/z/c", Some("/a/{x}/c")),
        ("/a/b/c/d", Some("/a/b/c/d")),
        ("/a/b/c/x", Some("/a/**")),
        ("/a/b/", Some("/a/**")),
        ("/a/z/z/z", Some("/a/**")),
        ("/z/b", Some("/{v}/b/**")),
        ("/z/b/", Some("/{v}/b/**")),
        ("/z/b/q/r", Some("/{v}/b/**")),
        ("/b/b/", Some("/b/{x}/")),
        ("/b/b/x", Some("/{v}/b/**")),
        ("/b/b", Some("/{v}/b/**")),
        ("/c/x", None),
        ("/c//e", None),
        ("/z", None),
        ("/A", None),
        ("/ab", None),
        ("*", None),
        ("", None),
    ];

    for (path, pattern) in cases {
        assert_eq!(winner(&router, "", path).map(|index| patterns[index]), pattern, "{path}");
    }
}

#[test]
fn no_spelling_slips_past_the_stricter_route() {
    let router = paths(&["/users/**", "/users/admin/**"]);

    for path in ["/users/admin", "/users//admin/x", "/users/%61dmin/x", "/users/x/../admin", "/users/./admin/"] {
        assert_eq!(winner(&router, "", &normalise(path).unwrap()), Some(1), "{path}");
    }
    assert_eq!(winner(&router, "", "/users/administrator"), Some(0));
}

#[test]
fn a_host_tier_without_a_matching_path_yields_to_the_next() {
    let router = Router::build(&[
        route("shop.b.example", "/exact", &[]),
        route("*.b.example", "/suffix/**", &[]),
        route("*.example", "/{x}/**", &[]),
        route(None, "/**", &[]),
    ]);
    let cases = [
        ("shop.b.example", "/exact", 0),
        ("shop.b.example", "/suffix", 1),
        ("shop.b.example", "/other", 2),
        ("shop.b.example", "/", 3),
        ("x.y.b.example", "/suffix/1", 1),
        ("x.y.b.example", "/exact", 2),
        ("b.example", "/suffix", 2),
        ("example", "/suffix", 3),
        ("notb.example", "/suffix", 2),
        ("shop.b.example.org", "/exact", 3),
        ("", "/exact", 3),
    ];

    for (host, path, index) in cases {
        assert_eq!(winner(&router, host, path), Some(index), "{host}{path}");
    }
}

#[test]
fn the_winning_host_and_path_alone_decide_about_methods() {
    let link = Method::from_bytes(b"LINK").unwrap();
    let router = Router::build(&[
        route(None, "/a/{x}", &[Method::POST]),
        route(None, "/a/{y}", &[Method::GET, link.clone()]),
        route(None, "/a/**", &[]),
        route("h.example", "/a/b", &[Method::DELETE]),
        route(None, "/heads", &[Method::GET]),
        route(None, "/heads", &[Method::HEAD]),
    ]);

    assert_eq!(find(&router, "", "/a/1", &Method::POST), Found::Route(0));
    assert_eq!(find(&router, "", "/a/1", &Method::HEAD), Found::Route(1));
    assert_eq!(find(&router, "", "/a/1", &link), Found::Route(1));
    assert_eq!(find(&router, "", "/a/1", &Method::PUT), Found::WrongMethod { allow: "GET, HEAD, POST, LINK" });
    assert_eq!(find(&router, "", "/a/1/2", &Method::from_bytes(b"PURGE").unwrap()), Found::Route(2));
    assert_eq!(find(&router, "h.example", "/a/b", &Method::GET), Found::WrongMethod { allow: "DELETE" });
    assert_eq!(find(&router, "h.example", "/a/c", &Method::GET), Found::Route(1));
    assert_eq!(find(&router, "", "/heads", &Method::GET), Found::Route(4));
    assert_eq!(find(&router, "", "/heads", &Method::HEAD), Found::Route(5));
    assert_eq!(find(&router, "", "/none", &Method::GET), Found::None);
}

/// A match of one header.
fn of(header: &'static str, values: &[&str]) -> Match {
    let values = values.iter().map(|value| Spanned::nowhere((*value).to_owned())).collect();
    Match {
        facts: vec![Fact {
            selector: Selector::Header(http::HeaderName::from_static(header)),
            wanted: Spanned::nowhere(Wanted::OneOf(values)),
        }],
    }
}

#[test]
fn routes_of_one_path_are_tried_in_their_order_and_no_request_goes_elsewhere() {
    let (one, two, purge) = (of("v", &["1"]), of("v", &["2"]), Method::from_bytes(b"PURGE").unwrap());
    let asking = |path, methods: &[Method], when| Entry { when, ..route(None, path, methods) };
    let router = Router::build(&[
        asking("/a", &[Method::GET], Some(&one)),
        asking("/a", &[Method::GET, Method::POST, purge.clone()], Some(&two)),
        asking("/a", &[Method::GET], None),
        asking("/**", &[], None),
        asking("/b", &[], Some(&one)),
        asking("/b", &[Method::GET], None),
    ]);
    let found = |path: &str, method: &Method, holding: &[usize]| {
        let mut asked = Vec::new();
        let found = router.find("", path, method, &mut |route| {
            asked.push(route);
            holding.contains(&route)
        });
        (found, asked)
    };

    assert_eq!(found("/a", &Method::GET, &[0, 1]), (Found::Route(0), vec![0]));
    assert_eq!(found("/a", &Method::GET, &[1]), (Found::Route(1), vec![0, 1]));
    assert_eq!(found("/a", &Method::GET, &[]), (Found::Route(2), vec![0, 1]));
    // HEAD is answered as GET would be.
    assert_eq!(found("/a", &Method::HEAD, &[0]), (Found::Route(0), vec![0]));
    assert_eq!(found("/a", &Method::HEAD, &[]), (Found::Route(2), vec![0, 1]));
    // A method that only a route with facts takes is not found without them, and is no 405 either: the path has it.
    assert_eq!(found("/a", &Method::POST, &[1]), (Found::Route(1), vec![1]));
    assert_eq!(found("/a", &Method::POST, &[0]), (Found::Unmet { last: 1 }, vec![1]));
    assert_eq!(found("/a", &purge, &[1]), (Found::Route(1), vec![1]));
    assert_eq!(found("/a", &purge, &[]), (Found::Unmet { last: 1 }, vec![1]));
    assert_eq!(found("/a", &Method::PUT, &[0, 1]), (Found::WrongMethod { allow: "GET, HEAD, POST, PURGE" }, vec![]));
    assert_eq!(found("/b", &purge, &[4]), (Found::Route(4), vec![4]));
    assert_eq!(found("/b", &Method::DELETE, &[]), (Found::Unmet { last: 4 }, vec![4]));
    assert_eq!(found("/c", &Method::DELETE, &[]), (Found::Route(3), vec![]));
    assert_eq!(router.tried("", "/a", &Method::POST), [(0, false), (1, true), (2, false)]);
}

#[test]
fn head_belongs_to_the_route_that_names_it_among_those_that_ask_for_the_same() {
    let (one, same) = (of("v", &["1", "2"]), of("v", &["2", "1"]));
    let asking = |methods: &[Method], when| Entry { when, ..route(None, "/", methods) };
    let router = Router::build(&[
        asking(&[Method::GET], Some(&one)),
        asking(&[Method::HEAD], Some(&same)),
        asking(&[Method::HEAD], None),
        asking(&[Method::GET], None),
    ]);
    let head = |holds: bool| router.find("", "/", &Method::HEAD, &mut |_| holds);

    assert_eq!([head(true), head(false)], [Found::Route(1), Found::Route(2)]);
}

#[test]
fn explains_what_the_winner_has_over_the_others() {
    let router = Router::build(&[
        route("shop.b.example", "/a/b", &[Method::GET]),
        route("*.b.example", "/a/{x}", &[]),
        route("*.example", "/a/b", &[]),
        route(None, "/a/b", &[Method::GET]),
        route(None, "/a/b", &[Method::POST]),
        route(None, "/{x}/b", &[]),
        route(None, "/a/b/**", &[]),
        route(None, "/**", &[]),
        route(None, "/z", &[]),
    ]);
    let told = |host: &str| {
        let candidates = router.candidates(host, "/a/b").into_iter();
        (find(&router, host, "/a/b", &Method::PUT), candidates.map(|it| (it.routes, it.beaten.unwrap_or_default())).collect::<Vec<_>>())
    };

    let (found, anywhere) = told("");
    let (_, exact) = told("shop.b.example");
    let (_, suffix) = told("x.b.example");

    assert_eq!(found, Found::WrongMethod { allow: "GET, HEAD, POST" });
    assert_eq!(
        anywhere,
        [
            (vec![3, 4], String::new()),
            (vec![6], "its path ends here, the other goes on with `**`".into()),
            (vec![5], "segment 1: literal `a` comes before `{x}`".into()),
            (vec![7], "segment 1: literal `a` comes before `**`".into()),
        ]
    );
    assert_eq!(exact[0], (vec![0], String::new()));
    assert_eq!(exact[1], (vec![1], "host `shop.b.example` is exact, `*.b.example` is a suffix".into()));
    assert_eq!(exact[3], (vec![3, 4], "host `shop.b.example` comes before routes without a host".into()));
    assert_eq!(suffix[1], (vec![2], "host suffix `*.b.example` is longer than `*.example`".into()));
}

#[test]
fn refuses_patterns_that_could_never_match() {
    for (pattern, part) in [
        ("a", "begins with"),
        ("/**/a", "only allowed at the end"),
        ("/a//b", "never matches"),
        ("/a/../b", "dot segments"),
        ("/a%2Fb", "an encoded slash"),
        ("/{}", "not a variable"),
        ("/{a}/{a}", "duplicate variable"),
        ("/a{x}", "whole segment"),
        ("/a*", "whole segment"),
        ("/{rest}/**", "is the name of what"),
    ] {
        let error = Pattern::parse(pattern).unwrap_err();
        assert!(error.contains(part), "{pattern}: {error}");
    }
    assert_eq!(Pattern::parse("/caf%c3%a9").unwrap().segments(), Pattern::parse("/café").unwrap().segments());
}

/// The rules once more, the slow way: how good a match is, less being better.
fn rank(entry: &Entry, host: &str, path: &str) -> Option<Vec<usize>> {
    let mut rank = match entry.host {
        None => vec![2],
        Some(exact) if exact == host => vec![0],
        Some(suffix) if suffix.starts_with("*.") && host.ends_with(&suffix[1..]) => vec![1, 99 - suffix.len()],
        Some(_) => return None,
    };
    let mut parts = path.split('/').skip(1);
    for segment in entry.path.split('/').skip(1) {
        rank.push(match (segment, parts.next()) {
            ("**", _) => {
                rank.push(3);
                return Some(rank);
            }
            (variable, Some(part)) if variable.starts_with('{') && !part.is_empty() => 2,
            (literal, Some(part)) if literal == part => 1,
            _ => return None,
        });
    }
    parts.next().is_none().then_some(rank)
}

#[test]
fn agrees_with_a_plain_reference() {
    let mut random = Random::new(42);
    let (mut hits, mut misses) = (0, 0);
    for _ in 0..2_000 {
        let mut texts: Vec<(Option<&str>, String)> = Vec::new();
        for _ in 0..1 + random.below(14) {
            let mut path: String = (0..random.below(5)).map(|_| random.pick(&["/a", "/a", "/b", "/c", "/{x}", "/{x}"])).collect();
            path.push_str(random.pick(&["", "", "/", "/**"]));
            let path = path.split('/').enumerate().map(|(at, part)| match part {
                "{x}" => format!("{{x{at}}}"),
                _ => part.to_owned(),
            });
            let path = path.collect::<Vec<_>>().join("/");
            let path = if path.is_empty() { "/".to_owned() } else { path };
            let host = random.pick(&[None, None, Some("a.b"), Some("*.b"), Some("*.a.b"), Some("*.c.a.b")]);
            texts.push((host, path));
        }
        texts.sort();
        texts.dedup();
        let entries: Vec<_> = texts.iter().map(|(host, path)| route(*host, path, &[])).collect();
        let router = Router::build(&entries);
        for _ in 0..40 {
            let mut path: String = (0..random.below(6)).map(|_| random.pick(&["/a", "/b", "/c", "/d"])).collect();
            path.push_str(random.pick(&["", "/"]));
            let path = if path.is_empty() { "/" } else { &path };
            let host = random.pick(&["", "b", "a.b", "x.b", "x.a.b", "x.c.a.b"]);

            let mut ranked: Vec<_> =
                (entries.iter().enumerate()).filter_map(|(index, entry)| Some((rank(entry, host, path)?, index))).collect();
            ranked.sort();

            let expected = ranked.first().map(|(_, index)| *index);
            assert_eq!(winner(&router, host, path), expected, "{host}{path} among {texts:?}");
            let order: Vec<_> = router.candidates(host, path).into_iter().flat_map(|it| it.routes).collect();
            assert_eq!(order, ranked.iter().map(|(_, index)| *index).collect::<Vec<_>>(), "{host}{path}");
            for (_, index) in ranked {
                assert!(Pattern::parse(entries[index].path).unwrap().matches(path));
            }
            *(if expected.is_some() { &mut hits } else { &mut misses }) += 1;
        }
    }
    assert!(hits > 10_000 && misses > 10_000, "{hits} hits, {misses} misses");
}

#[test]
fn hostile_paths_do_not_make_backtracking_explode() {
    let mut texts: Vec<String> = (0..4096u32)
        .map(|bits| (0..12).map(|at| if bits >> at & 1 == 0 { "/a" } else { "/{x}" }).collect::<String>())
        .map(|path| format!("{path}/end"))
        .collect();
    texts.extend((0..200).map(|depth| "/a".repeat(depth) + "/{x}" + &"/a".repeat(199 - depth) + "/end"));
    let texts: Vec<String> = texts.into_iter().map(number_variables).collect();
    let router = paths(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let (short, long) = ("/a".repeat(12), "/a".repeat(200));

    for path in [short, long] {
        let steps = steps(|| assert_eq!(winner(&router, "", &path), None));

        // Each node at most once, and a look at the table to find it.
        eprintln!("a hostile path takes {steps} steps through {} nodes", router.trie.nodes());
        assert!(steps <= 2 * router.trie.nodes(), "{steps} steps");
    }
}

/// A pattern may name a variable only once.
fn number_variables(path: String) -> String {
    let parts = path.split("{x}").enumerate();
    parts.map(|(at, part)| if at == 0 { part.to_owned() } else { format!("{{x{at}}}{part}") }).collect()
}

#[test]
fn ten_thousand_routes_cost_about_as_much_as_ten() {
    let each = |count: usize| -> f64 {
        let texts: Vec<String> = (0..count).map(|number| format!("/api/v1/r{number:05}/**")).collect();
        let router = paths(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let mut random = Random::new(3);
        let requests: Vec<String> = (0..1000).map(|_| format!("/api/v1/r{:05}/items/42", random.below(count))).collect();
        let steps = steps(|| requests.iter().for_each(|path| assert!(winner(&router, "shop.example", path).is_some())));
        steps as f64 / requests.len() as f64
    };

    let (of_ten, of_many) = (each(10), each(10_000));

    // What a step costs where the table is not in the cache is measured by `loadtest/scale routes`.
    eprintln!("10 routes: {of_ten:.2} steps a request; 10,000: {of_many:.2}");
    assert!(of_many <= of_ten + 0.5, "{of_many} steps instead of {of_ten}");
}
