use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use frontgate_test_support::tool;
use serde_json::{Value, json};

use crate::harness::origin::response;
use crate::harness::{Gateway, Origin, PATIENCE, exchange, yaml};

/// A folder of its own, gone with it.
struct Folder(PathBuf);

impl Folder {
    /// With a configuration.
    fn new(name: &str, configuration: &str) -> Self {
        let path = std::env::temp_dir().join(format!("frontgate-cases-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("frontgate.yaml"), configuration).unwrap();
        Self(path)
    }

    /// Tests these cases, with these arguments behind the file.
    fn test(&self, cases: &str, arguments: &[&str]) -> Output {
        let file = self.0.join("cases.yaml");
        std::fs::write(&file, format!("config: frontgate.yaml\n{cases}")).unwrap();
        frontgate(&file, arguments)
    }

    /// The same for cases that hold.
    #[track_caller]
    fn holds(&self, cases: &str) {
        let output = self.test(cases, &[]);
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn frontgate(file: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_frontgate")).arg("test").arg(file).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conf").join(name)
}

/// A configuration with something of everything.
const SHOP: &str = "version: 1
server: {listeners: [{address: 127.0.0.1:8080}, {address: 127.0.0.1:8443, redirect_to_https: 443}, {address: 127.0.0.1:8444, tls: {cert: a.pem, key: a.key, client_auth: {ca: c.pem, mode: optional, cert_headers: {X-Client: client_cert.cn}}}}]}
upstreams:
  main: {endpoints: [127.0.0.1:1, 127.0.0.1:2], timeouts: {connect: 1s, first_byte: 2s, total: 20s}, retry: {attempts: 2, when: [connect_failure, 503]}}
  spare: {endpoints: [spare.internal:80]}
filters:
  few: {rate_limit: {key: claim.sub, rate: 60/m, burst: 2, on_missing_key: reject}}
  login: {jwt: {issuer: any, audience: any, algorithms: [ES256], keys: {jwks: {url: \"https://id.example/keys\"}}, claim_headers: {X-User: claim.sub}, optional: true}}
  admins: {rbac: {claim: roles, any_of: [admin]}}
  slim: {trim: {profiles: {mobile: {keep: [id, items.name]}}}}
  small: {compress: {min: 1B}}
  guard: {circuit_breaker: {consecutive: 2, min_requests: 100, open_for: 5s, fallback: [{cached: {max_age: 10m}}, {upstream: spare}]}}
  watching: {rbac: {claim: roles, any_of: [nobody], mode: observe}}
routes:
  - {name: certified, path: /by-certificate, upstream: main, filters: [{rbac: {by: client_cert.cn, any_of: [alice]}}]}
  - {name: limited, path: /limited, upstream: main, filters: [login, few]}
  - {name: admin, path: /admin/**, upstream: main, filters: [login, watching, admins], rewrite: {strip_prefix: /admin}}
  - {name: items, path: \"/items/{id}\", upstream: main, filters: [small, slim]}
  - {name: guarded, path: /guarded, upstream: main, filters: [guard]}
  - {name: plain, path: /plain, upstream: main, timeout: 5s}
  - {name: spare, path: /spare, upstream: spare}
telemetry: {access_log: off}
";

#[test]
fn the_suite_that_is_shipped_holds_for_the_configuration_that_is_shipped() {
    let output = frontgate(&shipped("frontgate-test.yaml"), &[]);

    let told = text(&output.stdout);
    assert!(output.status.success(), "{told}{}", text(&output.stderr));
    assert!(told.contains(" passed, 0 failed, ") && told.matches("  ok    ").count() >= 15, "{told}");
}

#[test]
fn a_case_sees_route_filters_answer_and_what_the_upstream_is_sent() {
    let folder = Folder::new("sees", SHOP);

    folder.holds(
        r#"
cases:
  - name: an administrator
    request: {method: POST, url: "http://127.0.0.1:8080/admin/a?b=c", headers: {X-User: forged, X-Two: [a, b]}, json: {n: 1.0}}
    claims: {sub: u-1, roles: [admin]}
    client_ip: 192.0.2.1
    upstream: {status: 201, json: {made: true}, headers: {X-Three: [c, d]}}
    expect:
      route: admin
      filters: {login: passes, watching: 403, admins: passes, few: not_asked}
      status: 201
      headers: {X-Three: [c, d], X-Request-Id: "*", X-Missing: null, Content-Type: application/json}
      json: {made: true}
      upstream: main
      attempts: 1
      version: null
      sent:
        method: POST
        path: /a?b=c
        headers: {X-User: u-1, X-Two: [a, b], X-Forwarded-For: 192.0.2.1, Host: "127.0.0.1:8080", Via: "*"}
        json: {n: 1}
  - name: somebody else
    request: {url: /admin/a}
    claims: {sub: u-2, roles: []}
    expect: {filters: {admins: answers}, status: 403, upstream: null, attempts: 0}
  - name: by certificate
    request: {url: "https://shop.example/by-certificate"}
    client_cert: {subject: "CN=alice,O=shop", san: [alice.shop.example]}
    steps:
      - {expect: {status: 200, filters: {rbac: passes}, sent: {headers: {X-Client: alice}}}}
      - {client_cert: {subject: "CN=mallory"}, expect: {status: 403}}
  - name: nobody
    request: {url: /admin/a}
    expect: {filters: {login: passes, admins: 401}, status: 401}
  - name: a phone, compressed
    request: {url: /items/7, headers: {User-Agent: "iPhone Mobile", Accept-Encoding: zstd}}
    upstream: {json: {id: 7, secret: 1, items: [{name: a, price: 2}]}}
    expect: {headers: {Content-Encoding: zstd}, json: {id: 7, items: [{name: a}]}}
  - name: the head alone
    request: {method: HEAD, url: /plain}
    upstream: {body: some bytes}
    expect: {status: 200, body: "", headers: {Content-Length: 10}, sent: {method: HEAD}}
  - name: what cannot be read
    request: {url: /plain, headers: {"Bad Name": x}}
    expect: {route: null, status: 400, code: bad_request}
  - name: in clear text on the port for others
    request: {url: "http://shop.example:8443/plain?x"}
    expect: {status: 308, headers: {Location: "https://shop.example/plain?x"}}
  - name: an upstream that is known by name
    request: {url: "https://shop.example/spare"}
    expect: {upstream: spare, sent: {headers: {X-Forwarded-Proto: https}}}
"#,
    );
}

#[test]
fn upstreams_fail_in_every_way_and_time_passes_at_once() {
    let folder = Folder::new("fail", SHOP);
    let began = Instant::now();

    folder.holds(
        r#"
cases:
  - name: refused twice
    request: {url: /plain}
    upstream: {fails: connect}
    expect: {status: 502, attempts: 2}
  - name: refused once
    request: {url: /plain}
    upstream: [{fails: connect}, {body: here}]
    expect: {status: 200, body: here, attempts: 2}
  - name: closed in place of an answer
    request: {method: POST, url: /plain, body: x}
    upstream: {fails: close}
    expect: {status: 502, attempts: 1}
  - name: no HTTP
    request: {url: /plain}
    upstream: {fails: garbage}
    expect: {status: 502}
  - name: broken off
    request: {url: /plain}
    upstream: {fails: break, body: half}
    expect: {status: 200, whole: false, body: half}
  - name: slow, and quick enough
    request: {url: /plain}
    upstream: {slow: 1500ms, body: late}
    expect: {status: 200, body: late}
  - name: too slow
    request: {method: POST, url: /plain}
    upstream: {slow: 1h}
    expect: {status: 504, attempts: 1}
  - name: the limit of a user comes back with time
    request: {url: /limited}
    claims: {sub: u-1}
    steps:
      - {times: 2, expect: {status: 200}}
      - {expect: {status: 429, filters: {few: 429}, headers: {Retry-After: 1}}}
      - {claims: {sub: u-2}, expect: {status: 200}}
      - {after: 1s, expect: {status: 200}}
      - {expect: {status: 429}}
      - {after: 10m, times: 2, expect: {status: 200}}
      - {expect: {status: 429}}
  - name: a circuit opens, serves what it has, and is tried again
    request: {url: /guarded}
    upstreams: {spare: {body: spare}}
    steps:
      - {upstream: {body: good, headers: {Cache-Control: max-age=5}}, expect: {status: 200, body: good, headers: {X-BFF-Fallback: null}}}
      - {times: 2, upstreams: {main: {status: 500}}, expect: {body: good, headers: {X-BFF-Fallback: cached}, attempts: 1}}
      - {upstreams: {main: {body: back}}, expect: {body: good, attempts: 0, upstream: null}}
      - {after: 20m, upstreams: {main: {status: 500}}, expect: {body: spare, upstream: spare}}
      - {after: 20m, upstreams: {main: {body: back}}, expect: {body: back, upstream: main}}
"#,
    );

    assert!(began.elapsed() < PATIENCE, "an hour and more has passed in {:?}", began.elapsed());
}

#[test]
fn calls_are_made_in_http2_to_upstreams_that_speak_it() {
    let folder = Folder::new(
        "grpc",
        "version: 1
server: {listeners: [{address: 127.0.0.1:8080, protocols: [h2, http1]}]}
upstreams: {calls: {endpoints: [127.0.0.1:1], protocol: h2}}
routes: [{name: calls, path: /shop.v1.Shop/**, upstream: calls}]
",
    );

    folder.holds(
        r#"
cases:
  - name: a call that is answered
    request: {method: POST, url: "http://shop/shop.v1.Shop/Get", headers: {content-type: application/grpc, te: trailers}, body: "\0\0\0\0\0"}
    upstream: {headers: {content-type: application/grpc}, body: "\0\0\0\0\0", trailers: {grpc-status: "0"}}
    expect: {status: 200, trailers: {grpc-status: 0}, body: "\0\0\0\0\0", sent: {path: /shop.v1.Shop/Get, headers: {te: trailers}}}
  - name: a call to nobody
    request: {method: POST, url: "http://shop/shop.v1.Other/Get", headers: {content-type: application/grpc, te: trailers}}
    expect: {route: null, status: 200, headers: {grpc-status: 12}}
"#,
    );
}

#[test]
fn what_is_not_as_expected_is_told_with_its_line_and_what_became_of_the_request() {
    let folder = Folder::new("told", SHOP);

    let output = folder.test(
        r#"cases:
  - name: a wrong expectation
    request: {url: /items/7, headers: {User-Agent: "iPhone Mobile"}}
    upstream: {json: {id: 7, items: [{name: a}, {name: b}]}}
    expect:
      status: 201
      headers: {Vary: null}
      json: {id: 8, items: [{name: a}, {name: c}, {name: d}], more: 1}
      upstream: spare
      filters: {slim: 403}
  - name: a good one
    request: {url: /plain}
    expect: {status: 200}
"#,
        &[],
    );

    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stdout);
    for words in [
        "  FAIL  a wrong expectation (",
        "cases.yaml:3)",
        "status (",
        "cases.yaml:7)\n          - expected: 201\n          + found:    200\n",
        "json.id (",
        "          - expected: 8\n          + found:    7\n",
        "json.items[1].name (",
        "          - expected: \"c\"\n          + found:    \"b\"\n",
        "          - expected: 3 entries\n          + found:    2 entries\n",
        "json.more (",
        "          - expected: 1\n          + found:    nothing\n",
        "headers.Vary (",
        "          - expected: spare\n          + found:    main\n",
        "filters.slim (",
        "          route items\n",
        "filter slim passes: ",
        "upstream main is sent GET /items/7\n",
        "          answer 200\n",
        "  ok    a good one\n",
        "\n1 passed, 1 failed, 2 requests\n",
    ] {
        assert!(told.contains(words), "{words}\n{told}");
    }
}

#[test]
fn results_are_told_as_tap_and_as_junit() {
    let folder = Folder::new("forms", SHOP);
    let cases = r#"cases:
  - {name: "good # <1>", request: {url: /plain}, expect: {status: 200}}
  - {name: bad, request: {url: /plain}, expect: {status: 201, headers: {X-A: "<&>"}}}
  - {name: other, request: {url: /plain}, expect: {status: 200}}
"#;

    let tap = folder.test(cases, &["--format", "tap"]);
    let junit = folder.test(cases, &["--format", "junit"]);
    let chosen = folder.test(cases, &["--filter", "go"]);
    let none = folder.test(cases, &["--filter", "nothing"]);

    let codes = [&tap, &junit, &chosen, &none].map(|output| output.status.code());
    assert_eq!(codes, [Some(1), Some(1), Some(0), Some(1)]);
    let tap = text(&tap.stdout);
    assert!(
        tap.starts_with("TAP version 14\n1..3\nok 1 - good \\# <1>\nnot ok 2 - bad\n  ---\n") && tap.ends_with("\nok 3 - other\n"),
        "{tap}"
    );
    assert!(tap.contains("\"expected\":\"201\",\"found\":\"200\"") && tap.contains("\n  ...\n"), "{tap}");
    let junit = text(&junit.stdout);
    assert!(junit.contains("<testsuites tests=\"3\" failures=\"1\">") && junit.contains("name=\"good # &lt;1&gt;\""), "{junit}");
    if let Some(python) = tool("python3") {
        let script = "import sys, xml.etree.ElementTree as e; r = e.fromstring(sys.stdin.read()); print([len(c) for c in r[0]])";
        let mut child = Command::new(python)
            .args(["-c", script])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), junit.as_bytes()).unwrap();
        assert_eq!(text(&child.wait_with_output().unwrap().stdout), "[0, 1, 0]\n");
    }
    assert!(text(&chosen.stdout).ends_with("\n1 passed, 0 failed, 1 requests\n"), "{}", text(&chosen.stdout));
    assert!(text(&none.stderr).contains("no case whose name holds `nothing`"), "{}", text(&none.stderr));
}

#[test]
fn mistakes_in_cases_are_told_with_their_place_and_what_was_meant() {
    let folder = Folder::new("mistakes", SHOP);

    for (cases, line, words) in [
        ("cases: [{name: a, request: {url: /plain}, expect: {statsu: 200}}]", 2, "did you mean `status`?"),
        ("cases: [{name: a, request: {url: /plain}, upstreams: {mian: {}}, expect: {status: 200}}]", 2, "did you mean `main`?"),
        ("cases:\n- name: a\n  request: {url: /plain}\n  expect: {route: plian}", 5, "no route `plian`"),
        ("cases:\n- name: a\n  request: {url: /plain}\n  expect: {filters: {gard: passes}}", 5, "did you mean `guard`?"),
        ("cases: [{name: a, request: {url: /plain}, expect: {filters: {guard: pases}}}]", 2, "did you mean `passes`?"),
        ("cases: [{name: a, request: {url: /plain}, upstream: {fails: conect}, expect: {status: 200}}]", 2, "did you mean `connect`?"),
        ("cases: [{name: a, request: {url: /plain}}]", 2, "this case expects nothing"),
        ("cases: [{name: a, expect: {status: 200}}]", 2, "this case makes no request"),
        ("cases: [{name: a, steps: [{expect: {status: 200}}]}]", 2, "this step makes no request"),
        ("cases: [{name: a, steps: [{after: 10, request: {url: /}, expect: {status: 200}}]}]", 2, "`10` is not a duration"),
        (
            "cases: [{name: a, request: {url: /}, expect: {status: 404}}, {name: a, request: {url: /}, expect: {status: 404}}]",
            2,
            "two cases have this name",
        ),
        ("cases: [", 2, "error"),
    ] {
        let output = folder.test(cases, &[]);
        let told = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(78), 0), "{cases}: {told}");
        assert!(told.contains(words) && told.contains(&format!("cases.yaml:{line}:")), "{cases}: {told}");
    }
    let nowhere = frontgate(&folder.0.join("none.yaml"), &[]);
    assert_eq!(nowhere.status.code(), Some(78));
    std::fs::write(folder.0.join("frontgate.yaml"), "version: 1\nroutes: 7\n").unwrap();
    let bad = folder.test("cases: [{name: a, request: {url: /}, expect: {status: 404}}]", &[]);
    assert_eq!(bad.status.code(), Some(78));
    assert!(text(&bad.stderr).contains("frontgate.yaml:2:"), "{}", text(&bad.stderr));
}

#[test]
fn what_a_case_sees_is_what_a_client_gets_over_a_socket() {
    let body = r#"{"id":7,"secret":1,"items":[{"name":"a","price":2}]}"#;
    let origin = Origin::start(move |_, stream| {
        let head = "Content-Type: application/json\r\nX-From: origin\r\n";
        std::io::Write::write_all(stream, response("200 OK", head, body).as_bytes()).is_ok()
    });
    let configuration = yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}]}
        upstreams: {main: {endpoints: [$ORIGIN]}}
        filters:
          few: {rate_limit: {key: header.X-Key, rate: 1/h, burst: 1, exact: true}}
          slim: {trim: {by: header.X-Device, profiles: {small: {keep: [id, items.name]}}}}
        routes: [{name: all, path: /**, upstream: main, filters: [few, slim]}]
        ",
        &[("$ORIGIN", &origin.address)],
    );
    let gateway = Gateway::start(&configuration);
    let folder = Folder::new("same", &configuration);

    let sent = b"GET /x HTTP/1.1\r\nHost: localhost\r\nX-Key: a\r\nX-Device: small\r\nConnection: close\r\n\r\n";
    let first = exchange(gateway.address, sent).unwrap();
    let second = exchange(gateway.address, sent).unwrap();
    let said = |name: &str, reply: &crate::harness::Reply| json!(reply.header(name));
    let expect = |reply: &crate::harness::Reply, body: Value| {
        let names = ["Content-Type", "X-From", "RateLimit", "RateLimit-Policy", "Vary", "ETag", "Retry-After"];
        let headers: serde_json::Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), said(name, reply))).collect();
        let mut expect = json!({"status": reply.status, "headers": headers});
        expect.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        expect
    };
    let request = json!({"url": "/x", "headers": {"X-Key": "a", "X-Device": "small"}});
    let answer = json!({"headers": {"X-From": "origin"}, "json": serde_json::from_str::<Value>(body).unwrap()});
    let case = json!([{"name": "both", "request": request, "upstream": answer, "steps": [
        {"expect": expect(&first, json!({"json": first.json()}))},
        {"expect": expect(&second, json!({"code": second.json()["code"]}))},
    ]}]);

    assert_eq!((first.status, second.status), (200, 429));
    assert_eq!(first.json(), json!({"id": 7, "items": [{"name": "a"}]}));
    folder.holds(&format!("cases: {case}\n"));
}

#[test]
fn no_socket_is_opened() {
    let Some(strace) = tool("strace") else { return };
    let folder = Folder::new("offline", SHOP);
    let trace = folder.0.join("trace");

    let output = Command::new(strace)
        .args(["-f", "-e", "trace=socket,connect,bind", "-o"])
        .arg(&trace)
        .args([env!("CARGO_BIN_EXE_frontgate"), "test"])
        .arg(shipped("frontgate-test.yaml"))
        .output()
        .unwrap();

    let calls = std::fs::read_to_string(&trace).unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(calls.contains("exited") && !calls.contains("connect(") && !calls.contains("bind(") && !calls.contains("AF_INET"), "{calls}");
}

#[test]
fn the_cases_that_the_readme_shows_hold() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let block = readme.split("```yml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let folder = Folder::new("readme", SHOP);
    let file = folder.0.join("readme.yaml");
    std::fs::write(&file, block.replace("conf/frontgate.yaml", shipped("frontgate.yaml").to_str().unwrap())).unwrap();

    let output = frontgate(&file, &[]);

    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).ends_with("\n2 passed, 0 failed, 14 requests\n"), "{}", text(&output.stdout));
}

#[test]
fn a_case_makes_no_more_requests_than_anybody_waits_for() {
    let folder = Folder::new("times", SHOP);
    let cases =
        |steps: &str| format!("cases:\n  - name: many\n    request: {{url: /plain}}\n    expect: {{status: 200}}\n    steps:\n{steps}");

    for (steps, line) in [
        ("      - {times: 10001}\n", 7),
        ("      - {times: 4294967295}\n", 7),
        ("      - {times: 9999}\n      - {}\n      - {times: 2}\n", 9),
    ] {
        let began = Instant::now();
        let output = folder.test(&cases(steps), &[]);

        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{told}");
        assert!(told.contains(&format!("cases.yaml:{line}:")) && told.contains("a case makes 10000 requests at most"), "{told}");
        assert!(began.elapsed() < PATIENCE);
    }
    let output = folder.test(&cases("      - {times: 10000000000}\n"), &[]);
    assert_eq!(output.status.code(), Some(78), "{}", text(&output.stderr));
    folder.holds(&cases("      - {times: 300}\n"));
}

#[test]
fn what_the_environment_brings_stands_in_no_result() {
    let folder = Folder::new(
        "brought",
        "version: 1
server: {listeners: [{address: 127.0.0.1:0}]}
upstreams: {main: {endpoints: [127.0.0.1:1]}}
filters: {h: {headers: {request: {set: {Authorization: \"Bearer ${FRONTGATE_TEST_LONG}\"}}}}}
routes: [{name: all, path: /**, upstream: main, filters: [h]}]
telemetry: {access_log: off}
",
    );
    let cases = "cases:\n  - name: one\n    request: {url: /a}\n    expect: {sent: {headers: {Authorization: Basic}}}\n";
    let secret = "s3cret".repeat(100);

    for format in ["human", "tap", "junit"] {
        std::fs::write(folder.0.join("cases.yaml"), format!("config: frontgate.yaml\n{cases}")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_frontgate"));
        let command = command.arg("test").arg(folder.0.join("cases.yaml")).args(["--format", format]).env("FRONTGATE_TEST_LONG", &secret);
        let output = command.output().unwrap();

        let told = text(&[output.stdout, output.stderr].concat());
        assert!(output.status.code() == Some(1) && told.contains("Bearer ${FRONTGATE_TEST_LONG}") && !told.contains("s3cret"), "{told}");
    }
}
