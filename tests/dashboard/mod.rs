//! The page that the admin address shows, in a real browser: that its numbers move, that an outage shows, who may see them, and who can read them.

pub mod browser;
mod readers;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use browser::Browser;

use crate::harness::origin::response;
use crate::harness::{Origin, Process, exchange, get, operate, until, yaml};

/// An origin that can be made to fail.
fn moody() -> (Origin, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(false));
    let failing = fails.clone();
    let origin = Origin::start(move |_, stream| {
        let status = if failing.load(Ordering::SeqCst) { "503 Bad" } else { "200 OK" };
        let json = format!(r#"{{"id":1,"debug":"{}"}}"#, "x".repeat(2000));
        stream.write_all(response(status, "Content-Type: application/json\r\n", &json).as_bytes()).is_ok()
    });
    (origin, fails)
}

/// Something of everything that the page has a place for.
fn text(origin: SocketAddr, admin: &str) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
          admin: $ADMIN
        upstreams:
          main: {endpoints: [{address: $ORIGIN, version: v1}, {address: 127.0.0.1:9, weight: 1}], retry: {attempts: 2, when: [connect_failure]}}
          next: {endpoints: [$ORIGIN]}
        filters:
          few: {rate_limit: {key: client_ip, rate: 1/h, burst: 1}}
          slim: {trim: {by: query.as, profiles: {tv: {drop: [debug]}}}}
          guard: {circuit_breaker: {consecutive: 3, open_for: 10m, max_open_for: 10m}}
        routes:
          - {name: products, path: /products/**, upstream: next, filters: [slim, guard]}
          - {name: limited, path: /limited, upstream: next, filters: [few]}
          - {name: versions, path: /versions, upstream: main, canary: [{version: v2, upstream: next, share: 50%, by: [header.x-user]}, {version: v3, upstream: next, share: 0%}]}
          - {name: quiet, path: /quiet, respond: {}}
        ",
        &[("$ORIGIN", &origin), ("$ADMIN", &admin)],
    )
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A browser that shows the numbers of a gateway.
fn shown(process: &Process) -> Option<Browser> {
    let mut browser = Browser::start(1280, 900)?;
    browser.open(&format!("http://{}/", process.admin));
    browser.until("the numbers", "document.querySelector('#numbers').checkVisibility() && document.body.dataset.state !== 'waiting'");
    Some(browser)
}

/// A cell of a route's row, counted from 1.
fn cell(route: &str, number: usize) -> String {
    format!(
        "[...document.querySelectorAll('#routes tr')].find((row) => row.textContent.startsWith('{route}'))?.querySelectorAll('td')[{number} - 1].textContent"
    )
}

#[test]
fn counts_change_and_an_outage_shows() {
    let (origin, fails) = moody();
    let admin = free();
    let mut process = Process::start("dashboard", &text(origin.address, &admin.to_string()));
    let Some(mut browser) = shown(&process) else { return };
    let total = cell("products", 8);
    assert_eq!(browser.text("#routes-note"), "0 routes · 4 had no request yet");

    (0..7).for_each(|_| drop(get(process.address, "/products?as=tv")));
    (0..4).for_each(|_| drop(get(process.address, "/limited")));
    (0..8).for_each(|_| drop(get(process.address, "/versions")));
    browser.until("the requests to be shown", &format!("{total} === '7' && {} === '4'", cell("limited", 8)));
    browser.until(
        "a rate",
        &format!("parseFloat({}) > 0 && parseFloat(document.querySelector('#all-rate').textContent) > 0", cell("products", 2)),
    );
    browser
        .until("percentiles", &format!("/s$/.test({}) && /s$/.test(document.querySelector('#all-p99').textContent)", cell("products", 7)));
    assert_eq!(browser.value(&cell("limited", 5)), "75 %");
    assert!(browser.text("#limits").contains("few") && browser.text("#limited").contains("3 times by few"), "{}", browser.text("#limits"));
    assert!(browser.text("#trimmed").contains("productstv") && browser.text("#trimmed").contains("99."), "{}", browser.text("#trimmed"));
    assert!(browser.text("#upstreams").contains("127.0.0.1:9"), "{}", browser.text("#upstreams"));
    (0..2).for_each(|_| drop(get(process.address, "/products")));
    browser.until("the next requests", &format!("{total} === '9'"));

    fails.store(true, Ordering::SeqCst);
    until("the circuit to open", || get(process.address, "/products").header("retry-after").is_some());
    browser.until("the failures", &format!("parseFloat({}) > 5", cell("products", 4)));
    browser.until("the circuit", "/open, for/.test(document.querySelector('#circuits').textContent)");
    assert!(browser.text("#reasons").contains("the circuit of filter guard and upstream next is open"), "{}", browser.text("#reasons"));
    assert!(browser.text("#state-words").contains("need") && browser.text("#state-words").starts_with("Serving"));

    assert_eq!(operate(admin, "POST", "/-/upstreams/drain?upstream=next&endpoint=").status, 404);
    let drain = format!("/-/upstreams/drain?upstream=next&endpoint={}", origin.address);
    assert_eq!(operate(admin, "POST", &drain).status, 200);
    browser.until("the drained endpoint", "/drained by hand/.test(document.querySelector('#upstreams').textContent)");

    process.write("nonsense: [");
    assert_eq!(operate(admin, "POST", "/-/reload").status, 422);
    browser.until("the refused reload", "/refused/.test(document.querySelector('#reloads').textContent)");
    assert!(browser.console.is_empty(), "{:?}", browser.console);

    process.signal("KILL");
    process.end();
    browser.until("the outage", "document.querySelector('#gone').checkVisibility()");
    assert_eq!((browser.text("#state-words"), browser.text("#said")), ("No answer".to_owned(), "No answer".to_owned()));
    let gone = browser.text("#gone");
    assert!(gone.starts_with("The gateway has not answered for ") && gone.contains("The numbers are those of "), "{gone}");
    assert!(browser.value("document.title").as_str().unwrap().starts_with("✕ no answer"));

    // Another process at the same address counts anew.
    let fresh = Process::start("dashboard-again", &text(origin.address, &admin.to_string()));
    browser.until("the answer", "!document.querySelector('#gone').checkVisibility() && document.body.dataset.state !== 'gone'");
    fails.store(false, Ordering::SeqCst);
    (0..2).for_each(|_| drop(get(fresh.address, "/products")));
    browser.until("the new counts", &format!("{total} === '2'"));
    browser.until("a rate without the old counts", &format!("parseFloat({}) >= 0", cell("products", 2)));
}

/// What the row says in whose head this stands, of a table's body with this id: its head's small text, then its cells.
fn row_of(table: &str, head: &str) -> String {
    format!(
        "(() => {{ const row = [...document.querySelectorAll('#{table} tr')].find((row) => row.querySelector('th span').textContent === '{head}'); \
         return [row?.querySelector('th small').textContent, ...[...(row?.querySelectorAll('td') ?? [])].map((cell) => cell.textContent)]; }})()"
    )
}

#[test]
fn what_came_of_attempts_is_told_apart_and_each_endpoint_says_what_was_wrong_last() {
    let (origin, fails) = moody();
    let process = Process::start("dashboard-errors", &text(origin.address, "127.0.0.1:0"));
    let Some(mut browser) = shown(&process) else { return };
    let errors = |address: &str| {
        format!(
            "[...document.querySelectorAll('#upstreams li')].filter((one) => one.textContent.startsWith('{address}')).map((one) => one.querySelector('.error').textContent)"
        )
    };
    let all = "[...document.querySelectorAll('#upstreams .error')].map((error) => error.textContent)";
    assert_eq!(browser.value(all), serde_json::json!(["", "", ""]), "nothing was wrong yet");

    // One of the two endpoints is not there, and the other one answers in its place.
    // Their turns alternate.
    (0..4).for_each(|_| assert_eq!(get(process.address, "/versions").status, 200));
    browser.until(
        "the refused connection",
        &format!("/^last error: connection refused, (just now|\\d+ s ago)$/.test({}[0])", errors("127.0.0.1:9")),
    );
    let main = row_of("upstreams", "main");
    browser.until("the share of attempts without an answer", &format!("parseFloat({main}[3]) > 0 && {main}[4] === '0 %'"));
    assert!(browser.text("#upstreams").contains("2 healthy"), "{}", browser.text("#upstreams"));

    fails.store(true, Ordering::SeqCst);
    (0..2).for_each(|_| drop(get(process.address, "/products")));
    let next = row_of("upstreams", "next");
    browser.until("the failed answers", &format!("{next}[3] === '0 %' && parseFloat({next}[4]) > 0"));
    browser.until(
        "the status",
        &format!("{}.some((error) => error.startsWith('last error: status 503, '))", errors(&origin.address.to_string())),
    );
    let seen = browser.value(&format!("{}[0]", errors("127.0.0.1:9")));
    browser.until("the error to grow old", &format!("{}[0] !== {seen}", errors("127.0.0.1:9")));
}

#[test]
fn a_version_that_nobody_was_given_is_shown_with_its_share() {
    let (origin, _) = moody();
    let process = Process::start("dashboard-versions", &text(origin.address, "127.0.0.1:0"));
    let Some(mut browser) = shown(&process) else { return };
    let [v2, v3, stable] = ["v2", "v3", "stable"].map(|version| row_of("versions", version));

    assert_eq!(browser.value(&format!("{v2}[0]")), "versions · share 50 % as written · no request yet");
    assert_eq!(browser.value(&format!("{v3}[0]")), "versions · share 0 % as written · no request yet");
    assert_eq!(browser.value(&format!("{stable}[0]")), "versions · no request yet");
    let user = |name: &str| {
        let head = format!("GET /versions HTTP/1.1\r\nHost: a\r\nX-User: {name}\r\nConnection: close\r\n\r\n");
        exchange(process.address, head.as_bytes()).unwrap().header("x-bff-version").unwrap().to_owned()
    };
    let given: Vec<String> = (0..40).map(|user_number| user(&user_number.to_string())).collect();
    let count = given.iter().filter(|version| *version == "v2").count();
    assert!(count > 0 && count < 40, "{given:?}");

    browser.until("both versions in use", &format!("{v2}[0] === 'versions · share 50 % as written' && {stable}[0] === 'versions'"));
    browser.until("the share that it has", &format!("{v2}[1] === '{:.0} %'", count as f64 / 0.4));
    assert_eq!(browser.value(&v3), serde_json::json!(["versions · share 0 % as written · no request yet", "0 %", "0", "–", "0"]));
}

#[test]
fn the_token_is_asked_for_and_forgotten_with_the_page() {
    let (origin, _) = moody();
    let folder = std::env::temp_dir().join(format!("frontgate-test-{}-dashboard-token", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("token"), "open sesame\n").unwrap();
    let process = Process::start("dashboard-token", &text(origin.address, "{address: 127.0.0.1:0, token: {file: token}}"));
    let Some(mut browser) = Browser::start(1280, 900) else { return };
    let url = format!("http://{}/", process.admin);
    browser.open(&url);
    browser.until("the question", "document.querySelector('#ask').checkVisibility() && document.activeElement.id === 'token'");
    assert!(!browser.shows("#numbers"));
    let asked = browser.requests.len();

    for (wrong, answer) in [("open sesam", true), ("öffne dich", true), ("open sesame", false)] {
        browser.write(wrong);
        browser.press("Enter");
        if answer {
            browser.until("a refusal", "document.querySelector('#ask-wrong').textContent === 'It is another one.'");
            browser.value("document.querySelector('#ask-wrong').textContent = ''");
        }
    }

    browser
        .until("the numbers", "document.querySelector('#numbers').checkVisibility() && !document.querySelector('#ask').checkVisibility()");
    browser.until("more of them", "document.querySelector('#uptime').textContent !== '–'");
    assert!(browser.requests.len() > asked && browser.requests.iter().all(|request| !request.contains("sesam")), "{:?}", browser.requests);
    let kept = "localStorage.length + sessionStorage.length + document.cookie.length + document.querySelector('#token').value.length";
    assert_eq!(browser.value(kept), 0);
    browser.open(&url);
    browser.until("the question again", "document.querySelector('#ask').checkVisibility()");
}

#[test]
fn a_page_that_nobody_looks_at_asks_nothing_and_a_gateway_that_hangs_is_asked_one_thing_at_a_time() {
    let (origin, _) = moody();
    let process = Process::start("dashboard-hidden", &text(origin.address, "127.0.0.1:0"));
    let Some(mut browser) = shown(&process) else { return };
    let hide = |browser: &mut Browser, hidden: bool| {
        let text = format!(
            "Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }}); document.dispatchEvent(new Event('visibilitychange'))"
        );
        browser.value(&text);
    };
    let idle = |browser: &mut Browser| {
        // One that is under way may end.
        let end = Instant::now() + Duration::from_secs(4);
        let mut asked = None;
        while Instant::now() < end {
            browser.value("1");
            std::thread::sleep(Duration::from_millis(100));
            if end - Instant::now() < Duration::from_secs(3) {
                asked.get_or_insert(browser.requests.len());
            }
        }
        Some(browser.requests.len()) == asked
    };

    hide(&mut browser, true);
    assert!(idle(&mut browser), "a hidden page asks");
    let asked = browser.requests.len();
    hide(&mut browser, false);
    let wait = |browser: &mut Browser, count: usize| {
        until("the page to ask", || {
            browser.value("1");
            browser.requests.len() >= count
        })
    };
    wait(&mut browser, asked + 2);

    browser.value("document.querySelector('#pause').click()");
    assert!(idle(&mut browser), "a paused page asks");
    browser.value("document.querySelector('#pause').click()");
    wait(&mut browser, asked + 4);

    process.signal("STOP");
    browser.until("the silence to show", "document.querySelector('#gone').checkVisibility()");
    browser.until("it to last", "/for [1-9]/.test(document.querySelector('#gone').textContent)");
    let under_way = browser.requests.len() - browser.ended;
    process.signal("CONT");
    assert!(under_way <= 1, "{under_way} requests are under way");
    browser.until("the answer", "!document.querySelector('#gone').checkVisibility()");
}

#[test]
fn the_page_asks_nobody_else_runs_nothing_else_and_shows_what_comes_from_outside_as_text() {
    let (origin, _) = moody();
    let process = Process::start("dashboard-text", &text(origin.address, "127.0.0.1:0"));
    let Some(mut browser) = shown(&process) else { return };
    let evil = "<img id=evil src=http://127.0.0.1:9/evil onerror=alert(1)>";

    process.write(&format!("version: 1\n\"{evil}\": 1\n"));
    assert_eq!(operate(process.admin, "POST", "/-/reload").status, 422);
    browser.until("the reason", "/<img id=evil/.test(document.querySelector('#reasons').textContent)");
    browser.until("the reload", "/<img id=evil/.test(document.querySelector('#reloads').textContent)");

    assert_eq!(browser.value("document.querySelectorAll('#evil, img, iframe').length"), 0);
    assert!(browser.console.is_empty(), "{:?}", browser.console);
    let own = format!("http://{}/", process.admin);
    let strange: Vec<&String> = browser.requests.iter().filter(|request| !request.starts_with(&own) && *request != "data:,").collect();
    assert!(strange.is_empty(), "{strange:?}");
    // What the policy is there for, if anything above were otherwise.
    for (forbidden, why) in [
        ("document.body.innerHTML = '<b>evil</b>'", "TrustedHTML"),
        ("const script = document.createElement('script'); script.text = 'window.evil = 1'; document.head.append(script)", "TrustedScript"),
        ("new Function('return 1')()", ""),
    ] {
        assert!(browser.thrown(forbidden).is_some_and(|thrown| thrown.contains(why)), "{forbidden}");
    }
    assert_eq!(browser.value("fetch('http://127.0.0.1:9/').then(() => 'asked', (error) => error.name)"), "TypeError");
    assert_eq!(browser.value("window.evil === undefined"), true);
    assert!(browser.console.iter().any(|line| line.contains("connect-src")), "{:?}", browser.console);
}
