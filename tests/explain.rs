use std::path::PathBuf;
use std::process::Command;

use frontgate_filters::jwt::Algorithm;
use frontgate_filters::jwt::issuer::Issuer;
use serde_json::Value;

use crate::harness::{Gateway, Origin, exchange};

/// A configuration in a file and served, so that both can be asked the same thing.
struct Both {
    folder: PathBuf,
    gateway: Gateway,
    origin: Origin,
}

impl Both {
    fn start(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("frontgate-explain-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("keys.json"), Issuer::fresh("k1", Algorithm::ES256).unwrap().jwks()).unwrap();
        let origin = Origin::json("{}");
        let text =
            CONFIGURATION.replace("$ORIGIN", &origin.address.to_string()).replace("keys.json", folder.join("keys.json").to_str().unwrap());
        std::fs::write(folder.join("frontgate.yaml"), &text).unwrap();
        Self { folder, gateway: Gateway::start(&text), origin }
    }

    /// What `frontgate explain` says, with its exit code.
    fn explain(&self, arguments: &[&str]) -> (String, bool) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_frontgate"));
        let output = command.args(["explain", "-c"]).arg(self.folder.join("frontgate.yaml")).args(arguments).output().unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr), output.status.success())
    }

    /// The same as JSON.
    #[track_caller]
    fn explained(&self, arguments: &[&str]) -> Value {
        let (text, good) = self.explain(&[arguments, &["--json"]].concat());
        assert!(good, "{text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// What the gateway answers on the wire.
    fn wire(&self, line: &str, headers: &[&str]) -> u16 {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        exchange(self.gateway.address, format!("{line}\r\n{headers}Connection: close\r\n\r\n").as_bytes()).unwrap().status
    }
}

impl Drop for Both {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

const CONFIGURATION: &str = r#"
version: 1
server:
  listeners: [{address: "127.0.0.1:0"}]
  limits: {headers: 2KiB, header_count: 10, uri: 100B, body: 10B}
upstreams:
  main: {endpoints: ["$ORIGIN"], host: main.internal}
  other: {endpoints: ["$ORIGIN"]}
filters:
  login: {jwt: {issuer: "https://id/", audience: shop, algorithms: [ES256], keys: {jwks: {file: keys.json}}, claim_headers: {X-User-Id: claim.sub}}}
  per_user: {rate_limit: {rate: 1000/s, key: header.X-User-Id}}
routes:
  - {name: open, path: "/open/**", upstream: main, rewrite: {strip_prefix: /open}, filters: [per_user]}
  - {name: closed, path: "/closed/**", upstream: other, filters: [login]}
  - {name: large, path: /large, upstream: main, limits: {body: 1MiB}}
  - {name: gone, path: "/old/{id}", redirect: {to: "/new/{id}"}}
  - {name: fixed, path: /fixed, methods: [GET], respond: {status: 418, body: tea}}
  - {name: shop, host: shop.example, path: /, upstream: other}
  - {name: newest, path: /api, methods: [POST], when: {header.X-V: "3"}, upstream: other}
  - {name: newer, path: /api, when: {header.X-V: ["2", "3"], cookie.sid: "*"}, upstream: other}
  - {name: old-api, path: /api, methods: [GET], upstream: main}
telemetry: {access_log: "off"}
"#;

#[test]
fn explain_refuses_what_the_wire_refuses() {
    let both = Both::start("refusals");
    let long = format!("/open/{}", "x".repeat(100));
    let large = format!("X: {}", "x".repeat(2048));
    let many = ["X: y"; 11];
    let cases: &[(&str, &str, &[&str], u16)] = &[
        ("GET", "/open/x", &["Host: a"], 200),
        ("GET", "/open/%2e%2e/open//x", &["Host: a"], 200),
        ("GET", "/nowhere", &["Host: a"], 404),
        ("POST", "/fixed", &["Host: a"], 405),
        ("CONNECT", "/open/x", &["Host: a"], 405),
        ("GET", "/fixed", &["Host: a"], 418),
        ("GET", "/old/7", &["Host: a"], 308),
        ("GET", "/closed/x", &["Host: a"], 401),
        ("GET", "/closed/x", &["Host: a", "X-User-Id: root"], 401),
        ("OPTIONS", "*", &["Host: a"], 204),
        ("GET", "http://a/open/x", &["Host: a"], 200),
        ("GET", "http://a/open/x", &["Host: b"], 400),
        ("GET", "https://shop.example", &["Host: shop.example"], 200),
        ("GET", "/open/x", &["Host: a", "Host: a"], 400),
        ("GET", "/open/x", &["Host: a b"], 400),
        ("GET", "/open/x", &["Host: user@a"], 400),
        ("GET", "/open/a%2fb", &["Host: a"], 400),
        ("GET", "/open/a\\b", &["Host: a"], 400),
        ("GET", "/open/%zz", &["Host: a"], 400),
        ("GET", "/open/x#y", &["Host: a"], 400),
        ("GET", &long, &["Host: a"], 414),
        ("GET", "/open/x", &["Host: a", &large], 431),
        ("GET", "/open/x", &many, 431),
        ("GET", "/open/x", &["Host: a", "Content-Length: 11"], 413),
        ("GET", "/nowhere", &["Host: a", "Content-Length: 11"], 404),
        ("GET", "/open/x", &["Host: a", "Content-Length: 1", "Content-Length: 2"], 400),
        ("GET", "/open/x", &["Host: a", "Content-Length: 5", "Transfer-Encoding: chunked"], 400),
        ("GET", "/open/x", &["Host: a", "Content_Length: 5"], 400),
    ];

    for (method, target, headers, status) in cases {
        let wire = both.wire(&format!("{method} {target} HTTP/1.1"), headers);
        let arguments: Vec<&str> = [*method, *target].into_iter().chain(headers.iter().flat_map(|header| ["-H", *header])).collect();
        let told = both.explained(&arguments);
        let outcome = &told["outcome"];
        let explained = if outcome["upstream"].is_string() { 200 } else { outcome["status"].as_u64().unwrap_or_default() };

        assert_eq!((wire, explained), (*status, u64::from(*status)), "{method} {target} {headers:?}: {told:#}");
    }
    let served = cases.iter().filter(|case| case.3 == 200).count();
    assert_eq!(both.origin.received().len(), served);
}

#[test]
fn a_forged_identity_counts_in_no_explanation() {
    let both = Both::start("forged");

    let told =
        both.explained(&["GET", "/open/x", "-H", "Host: a", "-H", "X-User-Id: root", "-H", "X_USER_ID: root", "-H", "X-BFF-Version: v9"]);

    let mut removed: Vec<&str> = told["removed"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    removed.sort_unstable();
    assert_eq!(removed, ["x-bff-version", "x-user-id", "x_user_id"]);
    assert!(!told.to_string().contains("root"), "{told:#}");
    let (text, _) = both.explain(&["GET", "/open/x", "-H", "X-User-Id: root"]);
    assert!(text.contains("removed   x-user-id"), "{text}");
}

#[test]
fn what_a_trusted_proxy_tells_counts_for_its_address_alone() {
    let both = Both::start("trusted");
    let path = both.folder.join("frontgate.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("  limits:", "  trusted_proxies: [10.0.0.0/8]\n  limits:")).unwrap();
    let headers = ["-H", "X-Forwarded-For: 9.9.9.9, 10.0.0.7", "-H", "X-BFF-Version: v9"];

    let near = both.explained(&[&["GET", "/open/x", "--from", "10.0.0.1"][..], &headers].concat());
    let far = both.explained(&[&["GET", "/open/x", "--from", "8.8.8.8"][..], &headers].concat());

    assert_eq!((&near["client"], near["removed"].as_array().unwrap().len()), (&"9.9.9.9".into(), 0), "{near:#}");
    assert_eq!((&far["client"], &far["removed"]), (&"8.8.8.8".into(), &serde_json::json!(["x-forwarded-for", "x-bff-version"])), "{far:#}");
}

#[test]
fn it_tells_the_route_the_ones_it_beats_and_what_the_upstream_is_sent() {
    let both = Both::start("told");

    let (text, good) = both.explain(&["GET", "http://shop.example/open//a?b=c"]);
    assert!(good);
    for words in [
        "path      /open/a",
        "route     open (",
        "filter    per_user (rate_limit)",
        "upstream  main",
        "sends     GET /a?b=c",
        "host      main.internal",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let told = both.explained(&["GET", "/old/7?x=1"]);
    assert_eq!(told["outcome"]["why"], "redirects to /new/7?x=1");
    let told = both.explained(&["POST", "/fixed"]);
    assert_eq!(told["outcome"]["why"], "the path has other methods: GET, HEAD");
    let told = both.explained(&["GET", "/nowhere"]);
    assert_eq!((&told["route"], &told["outcome"]["why"]), (&Value::Null, &"no route matches this host and path".into()));
    let told = both.explained(&["GET", "/closed/x"]);
    assert_eq!(told["outcome"]["why"], "the filter `login` answers");
    assert_eq!(told["filters"][0]["replies"], 401);
    let told = both.explained(&["GET", "https://shop.example"]);
    assert_eq!(
        (&told["route"]["name"], &told["outcome"]["upstream"], &told["outcome"]["host"]),
        (&"shop".into(), &"other".into(), &"shop.example".into())
    );
}

#[test]
fn it_tells_why_each_route_of_the_path_was_passed_over() {
    let both = Both::start("passed");
    let passed = |arguments: &[&str]| {
        let told = both.explained(arguments);
        let passed = told["passed"].as_array().unwrap().iter();
        let passed = passed.map(|passed| format!("{}: {}", passed["name"].as_str().unwrap(), passed["why"].as_str().unwrap()));
        (told["route"]["name"].as_str().unwrap_or_default().to_owned(), passed.collect::<Vec<_>>())
    };

    let (route, why) = passed(&["GET", "/api", "-H", "X-V: 9"]);
    assert_eq!((&*route, why), ("old-api", vec!["newest: it does not take GET".into(), "newer: `header.x-v` is not `2` or `3`".into()]));
    let (route, why) = passed(&["POST", "/api", "-H", "X-V: 3"]);
    assert_eq!((&*route, why), ("newest", vec![]));
    let (route, why) = passed(&["POST", "/api", "-H", "X-V: 2"]);
    assert_eq!(
        (&*route, why),
        (
            "",
            vec![
                "newest: `header.x-v` is not `3`".into(),
                "newer: there is no `cookie.sid`".into(),
                "old-api: it does not take POST".into()
            ]
        )
    );
    let (text, good) = both.explain(&["POST", "/api"]);
    assert!(good && text.contains("  passed  newer: there is no `header.x-v`"), "{text}");
    assert!(text.contains("answers   404 Not Found: the routes of this host and path ask for facts that the request has not"), "{text}");
    assert_eq!(both.wire("POST /api HTTP/1.1", &["Host: a", "Content-Length: 0"]), 404);
}

#[test]
fn what_is_no_request_at_all_is_an_error() {
    let both = Both::start("unreadable");

    for (arguments, words) in [
        (&["G T", "/"][..], "not a method"),
        (&["GET", "open"], "neither an http URL nor a path"),
        (&["GET", "/", "-H", "no colon"], "is not a header"),
        (&["GET", "/", "-H", "X: a\nb"], "is not a header"),
    ] {
        let (text, good) = both.explain(arguments);
        assert!(!good && text.contains(words), "{words}: {text}");
    }
}

#[test]
fn a_call_is_explained_as_its_client_is_told() {
    let both = Both::start("calls");
    let url = "http://shop.example/closed/shop.Shop/Get";

    let refused = both.explained(&["POST", url, "--grpc"]);
    assert_eq!((&refused["outcome"]["status"], &refused["outcome"]["grpc_status"]), (&401.into(), &"16 UNAUTHENTICATED".into()));
    assert_eq!(refused["grpc"], "a call of gRPC");
    assert_eq!(both.explained(&["POST", url, "-H", "content-type: application/grpc+proto"])["outcome"], refused["outcome"]);

    let page = both.explained(&["POST", url, "-H", "content-type: application/grpc-web-text", "--claims", r#"{"sub": "u-1"}"#]);
    assert_eq!((&page["grpc"], &page["outcome"]["upstream"]), (&"a call of gRPC-Web in base64".into(), &"other".into()));
    let late = both.explained(&["POST", url, "--grpc", "-H", "grpc-timeout: soon"]);
    assert_eq!((&late["outcome"]["status"], &late["outcome"]["grpc_status"]), (&400.into(), &"13 INTERNAL".into()));
    let lost = both.explained(&["POST", "http://a.example/nowhere", "--grpc"]);
    assert_eq!((&lost["outcome"]["status"], &lost["outcome"]["grpc_status"]), (&404.into(), &"12 UNIMPLEMENTED".into()));

    let document = both.explained(&["POST", "http://a.example/nowhere"]);
    assert!(document.get("grpc").is_none() && document["outcome"].get("grpc_status").is_none(), "{document}");
    let (text, good) = both.explain(&["POST", url, "--grpc"]);
    assert!(good && text.contains("tells     gRPC status 16 UNAUTHENTICATED"), "{text}");
    assert!(!both.explain(&["POST", "/closed/x", "--grpc"]).1, "it names no host");
}

/// A configuration with listeners for everything, which is only explained.
struct Secure(crate::tls::authority::Directory);

impl Secure {
    fn new() -> Self {
        use crate::tls::authority::{Authority, Directory};
        let (authority, directory) = (Authority::new(), Directory::new());
        let own = authority.issue(&["shop.example"]);
        directory.put("shop.pem", &own.cert);
        directory.put("shop.key", &own.key);
        directory.put("clients.pem", &authority.pem());
        directory.put(
            "frontgate.yaml",
            r#"
version: 1
server:
  listeners:
    - {address: "127.0.0.1:8000", redirect_to_https: 8443}
    - {address: "127.0.0.1:8080"}
    - {address: "127.0.0.1:8443", tls: {cert: shop.pem, key: shop.key, client_auth: {ca: clients.pem, mode: optional}}}
upstreams:
  main: {endpoints: ["127.0.0.1:9"]}
  calls: {endpoints: ["127.0.0.1:9"], protocol: h2}
filters:
  by_scheme: {rate_limit: {key: scheme, rate: 1/s, on_missing_key: reject}}
  by_name: {rate_limit: {key: tls.sni, rate: 1/s, on_missing_key: reject}}
  by_owner: {rate_limit: {key: client_cert.cn, rate: 1/s, on_missing_key: reject}}
  by_san: {rate_limit: {key: client_cert.san, rate: 1/s, on_missing_key: reject}}
routes:
  - {name: all, path: "/**", upstream: main, filters: [by_scheme]}
  - {name: name, path: /name, upstream: main, filters: [by_name]}
  - {name: owner, path: /owner, upstream: main, filters: [by_owner]}
  - {name: san, path: /san, upstream: main, filters: [by_san]}
  - {name: calls, path: "/shop.Calls/**", upstream: calls}
telemetry: {access_log: "off"}
"#,
        );
        Self(directory)
    }

    #[track_caller]
    fn explained(&self, arguments: &[&str]) -> Value {
        let (text, good) = self.explain(&[arguments, &["--json"]].concat());
        assert!(good, "{text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    fn explain(&self, arguments: &[&str]) -> (String, bool) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_frontgate"));
        let output = command.args(["explain", "-c"]).arg(self.0.join("frontgate.yaml")).args(arguments).output().unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr), output.status.success())
    }
}

#[test]
fn a_url_of_https_comes_over_tls_with_its_host_as_the_name() {
    let secure = Secure::new();
    let told = |url: &str| secure.explained(&["GET", url])["tls"].clone();

    for url in ["https://Shop.Example:8443/a", "wss://shop.example/a", "https://shop.example"] {
        assert_eq!(told(url), serde_json::json!({"version": "1.3", "sni": "shop.example"}), "{url}");
    }
    for url in ["https://127.0.0.1:8443/", "https://[::1]:8443/"] {
        assert_eq!(told(url), serde_json::json!({"version": "1.3", "sni": null}), "{url}");
    }
    for url in ["http://shop.example:8080/a", "ws://shop.example:8080/a", "/a"] {
        assert_eq!(told(url), Value::Null, "{url}");
    }
    assert_eq!(secure.explained(&["GET", "https://shop.example/name"])["outcome"]["upstream"], "main");
    assert_eq!(secure.explained(&["GET", "http://shop.example:8080/name"])["outcome"]["status"], 403);
    let (text, _) = secure.explain(&["GET", "https://shop.example/name"]);
    assert!(text.contains("tls       1.3, asked for shop.example\n"), "{text}");
    assert!(!secure.explain(&["GET", "ftp://shop.example/"]).1);
}

#[test]
fn a_clients_certificate_may_be_assumed() {
    let secure = Secure::new();
    let url = |path: &str| format!("https://shop.example{path}");

    assert_eq!(secure.explained(&["GET", &url("/owner")])["outcome"]["status"], 403);
    let told = secure.explained(&["GET", &url("/owner"), "--client-cert", "CN=alice, O=x"]);
    assert_eq!((&told["outcome"]["upstream"], &told["tls"]["client_cert"]), (&"main".into(), &"CN=alice, O=x".into()), "{told:#}");
    assert_eq!(secure.explained(&["GET", &url("/owner"), "--client-cert", "O=x"])["outcome"]["status"], 403);
    assert_eq!(secure.explained(&["GET", &url("/san"), "--client-cert", "CN=alice"])["outcome"]["status"], 403);
    let told = secure.explained(&["GET", &url("/san"), "--client-cert-san", "spiffe://shop/alice"]);
    assert_eq!(told["outcome"]["upstream"], "main", "{told:#}");
    let (text, good) = secure.explain(&["GET", "http://shop.example:8080/", "--client-cert", "CN=alice"]);
    assert!(!good && text.contains("write an https URL"), "{text}");
    assert!(!secure.explain(&["GET", &url("/"), "--client-cert", "alice"]).1);
}

#[test]
fn a_listener_that_sends_everybody_to_https_is_known_by_its_port() {
    let secure = Secure::new();

    for url in ["http://shop.example:8000/a?b=c", "ws://shop.example:8000/a?b=c"] {
        let told = secure.explained(&["GET", url]);
        assert_eq!(told["outcome"]["status"], 308, "{told:#}");
        let why = told["outcome"]["why"].as_str().unwrap();
        assert!(why.contains("`redirect_to_https`") && why.ends_with("https://shop.example:8443/a?b=c"), "{why}");
    }
    for url in ["http://shop.example:8080/a", "https://shop.example:8000/a", "http://shop.example/a", "/a"] {
        assert_eq!(secure.explained(&["GET", url])["outcome"]["upstream"], "main", "{url}");
    }
}

#[test]
fn a_call_to_an_upstream_of_http1_is_told_what_it_lacks() {
    let secure = Secure::new();
    let told = |url: &str| secure.explained(&["POST", url, "--grpc"])["grpc"].as_str().unwrap_or_default().to_owned();

    assert_eq!(
        told("https://shop.example/other.Calls/Get"),
        "a call of gRPC; the upstream `main` is spoken to in HTTP/1.1, and gRPC needs `protocol: h2` there"
    );
    assert_eq!(told("https://shop.example/shop.Calls/Get"), "a call of gRPC");
}

/// Routes that ask for facts which look like secrets, or which the environment brings.
const GUARDED: &str = r#"
version: 1
server: {listeners: [{address: "127.0.0.1:0"}], admin: "127.0.0.1:0"}
routes:
  - {name: key, path: /a, when: {header.X-Api-Key: hush-1}, respond: {}}
  - {name: keys, path: /a, when: {query.token: [hush-2, hush-3]}, respond: {}}
  - {name: cookie, path: /a, when: {cookie.session: hush-4}, respond: {}}
  - {name: any, path: /a, when: {header.Authorization: "*"}, respond: {}}
  - {name: look, path: /a, when: {header.X-Link: "https://u:hush-5@h/"}, respond: {}}
  - {name: brought, path: /a, when: {header.X-Stage: "${PATH}"}, respond: {}}
  - {name: version, path: /a, when: {header.X-V: ["2", "3"]}, respond: {}}
  - {name: away, path: /b, redirect: {to: "https://shop.example/?secret=hush-6"}}
telemetry: {access_log: "off"}
"#;

#[test]
fn what_the_configuration_keeps_to_itself_is_explained_without_it() {
    let folder = std::env::temp_dir().join(format!("frontgate-explain-{}-hushed", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("frontgate.yaml"), GUARDED).unwrap();
    let gateway = Gateway::start(GUARDED);
    let admin = gateway.running.admin().unwrap().to_string();
    let request =
        ["-H", "X-Api-Key: a", "-H", "Cookie: session=b", "-H", "X-Link: c", "-H", "X-Stage: d", "-H", "X-V: 9", "-H", "Host: shop"];

    for from in [vec!["-c", folder.join("frontgate.yaml").to_str().unwrap()], vec!["--live", "--admin", &admin]] {
        for form in [&["--json"][..], &[]] {
            let explain = |target: &str| {
                let mut command = Command::new(env!("CARGO_BIN_EXE_frontgate"));
                let output = command.args(["explain", "GET", target]).args(request).args(&from).args(form).output().unwrap();
                String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
            };
            let told = explain("/a?token=e") + &explain("/b");

            assert!(!told.contains("hush-") && !told.contains(&std::env::var("PATH").unwrap()), "{told}");
            for words in [
                "`header.x-api-key` is not `***`",
                "`query.token` is not `***` or `***`",
                "`cookie.session` is not `***`",
                "there is no `header.authorization`",
                "`header.x-link` is not `https://***@h/`",
                "`header.x-stage` is not `${PATH}`",
                "`header.x-v` is not `2` or `3`",
                "redirects to https://shop.example/?secret=***",
            ] {
                assert!(told.contains(words), "{words}: {told}");
            }
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_path_alone_names_no_host_and_that_is_said() {
    let both = Both::start("nameless");

    let (text, good) = both.explain(&["GET", "/open/x"]);
    assert!(good && text.contains("host      main.internal"), "the upstream has a name of its own: {text}");
    let (text, good) = both.explain(&["GET", "/api"]);
    assert!(good && text.lines().all(|line| line.trim_end() == line), "no line ends with nothing: {text}");
    assert!(text.contains("\nhost      "), "{text}");
}
