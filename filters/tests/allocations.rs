//! What decisions of `rate_limit` and `jwt` take from the heap. Its own binary, because its allocator counts everything.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use frontgate_filters::count::metrics::Families;
use frontgate_filters::filter::build::{Build, Nowhere};
use frontgate_filters::filter::{Facts, Request, Verdict};
use frontgate_filters::jwt::Algorithm;
use frontgate_filters::jwt::issuer::Issuer;
use frontgate_filters::registry::FilterEntry;
use http::HeaderValue;
use pingora_http::{RequestHeader, ResponseHeader};
use prometheus::Registry;
use serde_json::json;

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

#[allow(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps alloc's contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps dealloc's contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The heap allocations of `work`.
fn counted<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = COUNT.with(Cell::get);
    let result = work();
    (COUNT.with(Cell::get) - before, result)
}

#[test]
fn a_decision_with_its_response_half_and_headers_takes_two_allocations() {
    for options in [
        r#"{"key": "client_ip", "rate": "1000/s", "exact": true}"#,
        r#"{"key": "client_ip", "rate": "1000/s", "exact": false, "concurrency": 5}"#,
        r#"{"key": ["header.x-api-key", "route"], "tier": "header.x-plan", "rates": {"free": "1000/s"}, "otherwise": "free"}"#,
    ] {
        let entry: FilterEntry = serde_json::from_str(&format!(r#"{{"rate_limit": {options}}}"#)).expect("options");
        let metrics = Families::new(&Registry::new());
        let with = Build { name: "per_client", metrics: &metrics, outside: &Nowhere::default(), previous: None };
        let filter = entry.config.options().build(&with).expect("a filter");
        let mut head = RequestHeader::build("GET", b"/", None).expect("a head");
        head.append_header("X-Api-Key", "k").expect("a header");
        let mut facts = Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r-1"));
        let now = Instant::now();
        for round in 0..100 {
            let mut answer = ResponseHeader::build(200, Some(16)).expect("a head");

            let (deciding, half) = counted(|| match filter.request(&mut Request::new(&mut head, &mut facts, now)) {
                Verdict::ContinueWith(half) => half,
                _ => panic!("it passes"),
            });
            let mut half = half;
            let (heading, _) = counted(|| half.head(&mut answer));

            // The first round sets things up.
            if round > 0 {
                assert_eq!(deciding, 1, "{options}: the response half");
                assert_eq!(heading, 1, "{options}: the member that changes");
            }
        }
    }
}

#[test]
fn a_refusal_takes_two_allocations() {
    let entry: FilterEntry =
        serde_json::from_str(r#"{"rate_limit": {"key": "client_ip", "rate": "2/m", "exact": true}}"#).expect("options");
    let metrics = Families::new(&Registry::new());
    let with = Build { name: "per_client", metrics: &metrics, outside: &Nowhere::default(), previous: None };
    let filter = entry.config.options().build(&with).expect("a filter");
    let mut head = RequestHeader::build("GET", b"/", None).expect("a head");
    let mut facts = Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r-1"));
    let now = Instant::now();
    for round in 0..20 {
        let (count, refused) = counted(|| matches!(filter.request(&mut Request::new(&mut head, &mut facts, now)), Verdict::Reply(_)));
        assert_eq!(refused, round >= 2);
        if round > 2 {
            assert_eq!(count, 2, "the reply's headers and the member that changes");
        }
    }
}

/// Neither its signature is checked nor its JSON read again: either would take dozens.
#[test]
fn a_token_seen_before_takes_no_allocation_but_for_the_names_of_headers() {
    let issuer = Issuer::fresh("k1", Algorithm::RS256).expect("a key");
    let file = std::env::temp_dir().join(format!("frontgate-allocations-{}.json", std::process::id()));
    std::fs::write(&file, issuer.jwks()).expect("a file");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let token = issuer.token(&json!({"iss": "https://id/", "aud": "shop", "sub": "u-1", "exp": now + 600, "plan": "free"}));
    for (headers, allocations) in
        [(json!({}), 0), (json!({"X-User-Id": "claim.sub"}), 2), (json!({"X-User-Id": "claim.sub", "X-Plan": "claim.plan"}), 4)]
    {
        let options = json!({"jwt": {
            "issuer": "https://id/", "audience": "shop", "algorithms": ["RS256"], "keys": {"jwks": {"file": file}}, "claim_headers": headers,
        }});
        let entry: FilterEntry = serde_json::from_value(options).expect("options");
        let metrics = Families::new(&Registry::new());
        let with = Build { name: "login", metrics: &metrics, outside: &Nowhere::default(), previous: None };
        let filter = entry.config.options().build(&with).expect("a filter");
        let mut head = RequestHeader::build("GET", b"/", None).expect("a head");
        head.insert_header("Authorization", format!("Bearer {token}")).expect("a header");
        let mut facts = Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r-1"));
        for round in 0..20 {
            let (count, passed) = counted(|| {
                let mut request = Request::new(&mut head, &mut facts, Instant::now());
                matches!(filter.request(&mut request), Verdict::Continue)
            });

            assert!(passed);
            // The first round verifies, and the second sets things up.
            if round > 1 {
                assert_eq!(count, allocations, "{headers}");
            }
        }
    }
    std::fs::remove_file(&file).expect("it is there");
}
