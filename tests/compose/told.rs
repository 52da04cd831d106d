use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::{Gateway, exchange, until, yaml};

/// A folder of its own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("frontgate-composed-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn frontgate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_frontgate")).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap()
}

fn asked(gateway: &Gateway, agent: &str) -> crate::harness::Reply {
    let request = format!("GET /home/7 HTTP/1.1\r\nHost: a\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n");
    exchange(gateway.address, request.as_bytes()).expect("an answer")
}

/// The blocks of a language that the page for aggregates shows.
fn shown(language: &str) -> Vec<String> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/compose/README.md")).unwrap();
    let opens = format!("```{language}\n");
    page.split(&opens).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_page_for_aggregates_says_what_happens() {
    let (blocks, answers) = (shown("yaml"), shown("json"));
    let [whole, slim]: [Value; 2] = [&answers[0], &answers[1]].map(|text| serde_json::from_str(text).unwrap());
    let services = |text: &str| Gateway::start(&text.replace("127.0.0.1:7001", "127.0.0.1:0"));
    let before = |services: &Gateway| {
        Gateway::start(
            &blocks[1]
                .replace("127.0.0.1:8080", "127.0.0.1:0")
                .replace("127.0.0.1:9901", "127.0.0.1:0")
                .replace("127.0.0.1:7001", &services.address.to_string()),
        )
    };
    let all = services(&blocks[0]);
    let gateway = before(&all);

    let (desktop, television) = (asked(&gateway, "X11"), asked(&gateway, "Tizen"));

    assert_eq!((desktop.status, desktop.json(), desktop.header("x-bff-complete")), (200, whole, Some("true")));
    assert_eq!((television.status, television.json(), television.header("x-bff-complete")), (200, slim.clone(), Some("true")));
    let some = services(&blocks[0].replace("respond: {json: [{stars: 5}]}", "respond: {status: 503}"));
    let partial = asked(&before(&some), "X11");
    assert_eq!((partial.status, partial.json(), partial.header("x-bff-complete")), (200, slim, Some("false")));
    assert_eq!((partial.header("x-bff-missing"), partial.header("cache-control")), (Some("reviews"), Some("no-store")));
    let none = services(&blocks[0].replace("respond: {json: {name", "respond: {status: 500, json: {name"));
    let failed = asked(&before(&none), "X11");
    failed.is_problem(502);
    assert_eq!((&failed.json()["code"], &failed.json()["call"]), (&"call_failed".into(), &"user".into()));
    assert!(!failed.text().contains("Ada"), "{}", failed.text());
}

#[test]
fn the_page_for_aggregates_shows_what_explain_and_test_say() {
    let folder = Folder::new("page");
    let file = folder.write("frontgate.yaml", &shown("yaml")[1]);
    let cases = folder.write("cases.yaml", &shown("yml")[0]);

    let explained = frontgate(&["explain", "-c", file.to_str().unwrap(), "GET", "http://localhost/home/7", "-H", "User-Agent: Tizen"]);
    let tested = frontgate(&["test", cases.to_str().unwrap()]);

    assert!(text(&explained).contains(&shown("text")[0]), "{}", text(&explained));
    assert!(tested.status.success() && text(&tested).contains("1 passed, 0 failed"), "{}", text(&tested));
}

/// Calls of every kind, to upstreams of both versions of HTTP.
const HOME: &str = "version: 1
server: {listeners: [{address: 127.0.0.1:8080}]}
upstreams:
  users: {endpoints: [127.0.0.1:1], retry: {attempts: 2, when: [connect_failure, 503]}}
  carts: {endpoints: [127.0.0.1:2]}
  catalog: {endpoints: [127.0.0.1:3], protocol: h2}
routes:
  - name: home
    path: /home/{id}
    timeout: 1500ms
    filters: [{trim: {profiles: {smart_tv: {drop: [reviews]}}}}]
    aggregate:
      calls:
        user: {upstream: users, get: \"/v1/users/{id}\", headers: {X-Key: \"{header.X-Key}\"}}
        cart: {upstream: carts, post: \"/carts/{user.cart_id}\", body: {of: \"{user.name}\"}}
        products: {upstream: catalog, get: \"/products?ids={each}\", each: cart.items.id, batch: 50, by: id, into: cart.items.product, otherwise: null}
        reviews: {upstream: catalog, get: \"/latest/{id}\", when: {device: [desktop, smart_tv], user.vip: \"true\"}, optional: true}
";

const ANSWERS: &str = "config: frontgate.yaml
calls:
  user: {json: {cart_id: c1, name: Ada, vip: true}}
  cart: {json: {items: [{id: 1}, {id: 2}]}}
  products: {json: [{id: 2, t: b}, {id: 1, t: a}]}
  reviews: {json: [r]}
cases:
";

#[test]
fn cases_say_what_single_calls_are_answered_and_what_is_sent_for_them() {
    let folder = Folder::new("cases");
    folder.write("frontgate.yaml", HOME);
    let cases = "
  - name: whole
    request: {url: /home/7, headers: {X-Key: k}}
    expect:
      json: {user: {cart_id: c1, name: Ada, vip: true}, cart: {items: [{id: 1, product: {id: 1, t: a}}, {id: 2, product: {id: 2, t: b}}]}, reviews: [r]}
      missing: []
      calls:
        user: {times: 1, path: /v1/users/7, headers: {X-Key: k, X-Frontgate-Call: null}}
        cart: {method: POST, path: /carts/c1, json: {of: Ada}, headers: {X-Key: null}}
        products: {path: \"/products?ids=1,2\"}
        reviews: 1
  - name: partial
    request: {url: /home/7}
    calls: {reviews: {status: 500}, products: {fails: close}}
    expect: {status: 200, missing: [products, reviews], headers: {X-BFF-Complete: \"false\", Cache-Control: no-store}}
  - name: nobody is there
    request: {url: /home/7}
    calls: {user: {fails: connect}}
    expect: {status: 502, code: call_failed, calls: {user: 0, cart: 0}}
  - name: too slow
    request: {url: /home/7}
    calls: {cart: {slow: 2s}}
    expect: {status: 504, code: call_timeout, calls: {user: 1, cart: 1, products: 0}}
  - name: not for a television
    request: {url: /home/7, headers: {User-Agent: Tizen}}
    expect: {status: 200, calls: {reviews: 0}, missing: []}
  - name: not under that condition
    request: {url: /home/7}
    calls: {user: {json: {cart_id: c1, vip: false}}}
    expect: {status: 200, calls: {reviews: 0}, missing: []}
  - name: another attempt, and what an upstream says of all others
    request: {url: /home/7}
    steps:
      - {calls: {user: [{status: 503}, {json: {cart_id: c2, vip: false}}]}, expect: {status: 200, calls: {user: 2, cart: {path: /carts/c2}}}}
      - {expect: {status: 200, calls: {user: 1}}}
";

    let tested = frontgate(&["test", folder.write("cases.yaml", &format!("{ANSWERS}{cases}")).to_str().unwrap()]);

    assert!(tested.status.success(), "{}", text(&tested));
    assert!(text(&tested).ends_with("7 passed, 0 failed, 8 requests\n"), "{}", text(&tested));
}

#[test]
fn what_is_not_as_expected_of_calls_is_told_and_so_is_a_call_that_there_is_not() {
    let folder = Folder::new("mismatches");
    folder.write("frontgate.yaml", HOME);
    let wrong = "
  - name: wrong
    request: {url: /home/7}
    expect: {missing: [user], calls: {cart: 2, reviews: {times: 0}, products: {path: /x, times: 4}}}
";
    let unknown = "
  - name: unknown
    request: {url: /home/7}
    calls: {uesr: {status: 500}}
    expect: {missing: [carts], calls: {product: 1}}
";

    let wrong = frontgate(&["test", folder.write("wrong.yaml", &format!("{ANSWERS}{wrong}")).to_str().unwrap()]);
    let unknown = frontgate(&["test", folder.write("unknown.yaml", &format!("{ANSWERS}{unknown}")).to_str().unwrap()]);

    assert_eq!((wrong.status.code(), unknown.status.code()), (Some(1), Some(78)));
    let wrong = text(&wrong);
    for words in [
        "missing (",
        "- expected: [user]\n          + found:    []",
        "calls.cart (",
        "calls.reviews.times (",
        "calls.products.times (",
        "calls.products.path (",
        "+ found:    /products?ids=1,2",
        "upstream carts is sent POST /carts/c1 (call cart)",
    ] {
        assert!(wrong.contains(words), "{words}: {wrong}");
    }
    let unknown = text(&unknown);
    for words in ["no call `uesr`", "did you mean `user`?", "no call `carts`", "no call `product`", "did you mean `products`?"] {
        assert!(unknown.contains(words), "{words}: {unknown}");
    }
}

#[test]
fn explain_says_how_the_circuits_of_calls_stand_where_a_gateway_runs() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], admin: 127.0.0.1:0}
        upstreams: {users: {endpoints: [$NOBODY]}, catalog: {endpoints: [$NOBODY]}}
        filters: {guard: {circuit_breaker: {consecutive: 2, open_for: 60s}}}
        routes:
          - name: home
            path: /home/{id}
            timeout: 2s
            filters: [guard]
            aggregate:
              calls:
                user: {upstream: users, get: \"/users/{id}?token={query.t}\"}
                more: {upstream: catalog, get: \"/more/{user.id}\", otherwise: [], timeout: 300ms}
                safe: {upstream: catalog, get: \"/safe/{header.X-None}\", optional: true}
        ",
        &[("$NOBODY", &nobody)],
    ));
    let admin = gateway.running.admin().unwrap().to_string();
    let explain = |form: &[&str]| text(&frontgate(&[&["explain", "--live", "--admin", &admin, "GET", "/home/7?t=s3cr3t"], form].concat()));
    assert!(explain(&[]).contains("circuit guard closed"), "{}", explain(&[]));

    until("the circuit opens", || {
        asked(&gateway, "X11");
        explain(&[]).contains("circuit guard open")
    });

    let told = explain(&[]);
    assert!(told.contains("aggregate 3 calls, 2 stages"), "{told}");
    assert!(told.contains("required, 2s, circuit guard open"), "{told}");
    assert!(told.contains("otherwise, 300ms, circuit guard closed"), "{told}");
    assert!(told.contains("not made: a value of its path is missing"), "{told}");
    assert!(!told.contains("s3cr3t"), "{told}");
    let json: Value = serde_json::from_str(&explain(&["--json"])).unwrap();
    let calls = json["outcome"]["calls"].as_array().unwrap();
    assert_eq!((&calls[0]["name"], &calls[0]["circuits"][0]), (&"user".into(), &"guard open".into()));
    assert_eq!((&calls[2]["name"], &calls[2]["stage"]), (&"more".into(), &2.into()));
}
