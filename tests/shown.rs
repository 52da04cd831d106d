use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::{Process, until};

/// A folder of its own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("frontgate-shown-{}-{name}", std::process::id()));
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

/// What the configuration of the demo asks of the environment.
const DEMO: &[(&str, &str)] = &[
    ("DEMO_CERT", "demo.pem"),
    ("DEMO_KEY", "demo.key"),
    ("DEMO_CATALOG", "127.0.0.1:7101"),
    ("DEMO_CATALOG_NEXT", "127.0.0.1:7102"),
    ("DEMO_ACCOUNTS", "127.0.0.1:7105"),
    ("DEMO_CARTS", "127.0.0.1:7106"),
    ("DEMO_NEWS", "127.0.0.1:7107"),
    ("DEMO_STOCK", "127.0.0.1:7108"),
    ("DEMO_BANK", "127.0.0.1:7109"),
    ("DEMO_OFFICE", "127.0.0.1:7110"),
    ("DEMO_STATE_DIR", "state"),
    ("DEMO_ECHO", "127.0.0.1:7103"),
    ("DEMO_GREETER", "127.0.0.1:7104"),
];

fn frontgate(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_frontgate")).args(arguments).envs(environment.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn what_config_show_prints_of_every_shipped_configuration_says_the_same_again() {
    let folder = Folder::new("again");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    let mut count = 0;

    for entry in std::fs::read_dir(shipped).unwrap() {
        let file = entry.unwrap().path();
        let is_yaml = file.extension().is_some_and(|extension| extension == "yaml");
        // Cases, rules of alerts and the like are no configurations.
        if !is_yaml || !std::fs::read_to_string(&file).unwrap().lines().any(|line| line == "version: 1") {
            continue;
        }
        count += 1;
        let first = frontgate(&["config", "show", "--no-origin", "-c", path(&file)], DEMO);
        assert!(first.status.success(), "{}: {}", file.display(), text(&first.stderr));
        let copy = folder.write("copy.yaml", &text(&first.stdout));
        let check = frontgate(&["check", "--no-files", path(&copy)], DEMO);
        assert!(check.status.success(), "{}: {}", file.display(), text(&check.stderr));
        let second = frontgate(&["config", "show", "--no-origin", "-c", path(&copy)], DEMO);
        assert_eq!(text(&second.stdout), text(&first.stdout), "{}", file.display());
        let same = frontgate(&["config", "diff", path(&file), path(&copy)], DEMO);
        assert_eq!((same.status.code(), text(&same.stdout)), (Some(0), "the configurations are the same\n".to_owned()));
    }

    assert!(count >= 3, "{count}");
}

#[test]
fn config_show_tells_where_values_come_from_and_keeps_to_itself_what_the_environment_brought() {
    let conf = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/demo.yaml");

    let yaml = text(&frontgate(&["config", "show", "-c", conf], DEMO).stdout);
    let json: Value = serde_json::from_slice(&frontgate(&["config", "show", "--format", "json", "-c", conf], DEMO).stdout).unwrap();

    let line = |start: &str| yaml.lines().find(|line| line.trim_start().starts_with(start)).unwrap_or_else(|| panic!("{start}: {yaml}"));
    assert!(line("timeouts:").ends_with("# default") && line("keepalive:").ends_with("keepalive: 75s"), "{yaml}");
    assert!(line("- address: \"${DEMO_CATALOG}\"").contains("# demo.yaml:17 ${DEMO_CATALOG}"), "{yaml}");
    assert!(!yaml.contains("7101") && !json.to_string().contains("7101"), "{yaml}");
    assert_eq!(json["config"]["filters"]["guard"]["circuit_breaker"]["window"], "10s");
    assert_eq!(json["origins"]["filters.guard.circuit_breaker.window"], "default");
    let written = std::fs::read_to_string(conf).unwrap();
    let place = 1 + written.lines().position(|line| line.contains("consecutive:")).unwrap();
    assert_eq!(json["origins"]["filters.guard.circuit_breaker.consecutive"], format!("demo.yaml:{place}"));
}

const BEFORE: &str = "version: 1
server:
  listeners: [{address: 127.0.0.1:0}]
  admin: 127.0.0.1:0
upstreams:
  main: {endpoints: [127.0.0.1:7001, 127.0.0.1:7002], timeouts: {connect: 1s}}
  gone: {endpoints: [127.0.0.1:7003]}
filters:
  few: {rate_limit: {key: client_ip, rate: 100/s}}
  guard: {circuit_breaker: {fallback: [{cached: {max_age: 1m}}]}}
  stamp: {version_header: {value: \"${SECRET_VERSION}\"}}
routes:
  - {name: one, path: /one, when: {header.X-A: \"1\"}, upstream: main, filters: [few, guard]}
  - {name: two, path: /one, when: {header.X-B: \"1\"}, upstream: main}
  - {name: rest, path: /one, respond: {}, filters: [stamp]}
  - {name: old, path: /old, upstream: gone, methods: [GET, POST]}
  - {name: alone, path: /alone, respond: {}}
telemetry: {access_log: off}
";

/// What a week makes of it.
fn after() -> String {
    BEFORE
        .replace("127.0.0.1:7001, 127.0.0.1:7002]", "127.0.0.1:7001, {address: 127.0.0.1:7004, weight: 2}]")
        .replace("connect: 1s", "connect: 200ms")
        .replace("100/s", "50/s")
        .replace("  gone: {endpoints: [127.0.0.1:7003]}\n", "")
        .replace("  - {name: old, path: /old, upstream: gone, methods: [GET, POST]}\n", "  - {name: new, path: /new, upstream: main}\n")
}

#[test]
fn config_diff_names_what_came_went_and_changed_and_what_a_reload_would_lose() {
    let folder = Folder::new("diff");
    let (before, after) = (folder.write("a.yaml", BEFORE), folder.write("b.yaml", &after()));
    let environment = [("SECRET_VERSION", "v1-hunter2")];

    let told = frontgate(&["config", "diff", path(&before), path(&after)], &environment);
    let json = frontgate(&["config", "diff", "--format", "json", path(&before), path(&after)], &environment);

    assert_eq!((told.status.code(), json.status.code()), (Some(4), Some(4)));
    let told = text(&told.stdout);
    for words in [
        "~ upstream main\n    endpoints[127.0.0.1:7002]",
        "    timeouts.connect: 1s → 200ms\n",
        "    + endpoints[127.0.0.1:7004]: {address: 127.0.0.1:7004, weight: 2}",
        "- upstream gone\n",
        "~ filter few\n    rate_limit.rate: 100/s → 50/s\n    rate_limit.burst: 100 (default) → 50 (default)\n",
        "- route old\n",
        "+ route new\n    name: new\n    path: /new\n    upstream: main\n",
        "A reload would lose:\n",
        "filter few (rate_limit): the tokens that its keys have spent, since its options change",
        "filter guard (circuit_breaker): its circuit before the upstream `gone`, since the upstream is gone",
        "upstream main: the connections, the health and the ejections of endpoint 127.0.0.1:7002, since the endpoint is gone",
        "upstream gone: its connections",
    ] {
        assert!(told.contains(&words.replace("\n    endpoints", "\n    - endpoints")) || told.contains(words), "{words}: {told}");
    }
    assert!(!told.contains("route one") && !told.contains("alone") && !told.contains("stamp"), "{told}");
    let moved = folder.write("c.yaml", &BEFORE.replace("  admin: 127.0.0.1:0\n", "  admin: 127.0.0.1:0\n  threads: 2\n"));
    let refused = text(&frontgate(&["config", "diff", path(&before), path(&moved)], &environment).stdout);
    assert!(refused.contains("~ section server\n    threads: auto (default) → 2\n"), "{refused}");
    assert!(refused.ends_with("\nA reload would be refused: server.threads cannot be changed by one.\n"), "{refused}");
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    let changed = json["changes"].as_array().unwrap().iter().find(|change| change["name"] == "few").unwrap();
    assert_eq!((&changed["what"], &changed["became"]), (&"filter".into(), &"changed".into()));
    assert_eq!(changed["keys"][0], serde_json::json!({"key": "rate_limit.rate", "old": "100/s", "new": "50/s"}));
    assert!(json["lost"].as_array().is_some_and(|lost| lost.len() == 4), "{json}");
    assert_ne!(json["from"], json["to"]);
}

#[test]
fn config_diff_looks_at_the_order_of_routes_only_where_they_are_tried_in_it() {
    let folder = Folder::new("order");
    let environment = [("SECRET_VERSION", "1")];
    let one = "  - {name: one, path: /one, when: {header.X-A: \"1\"}, upstream: main, filters: [few, guard]}\n";
    let two = "  - {name: two, path: /one, when: {header.X-B: \"1\"}, upstream: main}\n";
    let alone = "  - {name: alone, path: /alone, respond: {}}\n";
    let before = folder.write("a.yaml", BEFORE);
    let harmless = folder.write(
        "b.yaml",
        &BEFORE.replace(alone, "").replace(one, &format!("{alone}{one}")).replace("methods: [GET, POST]", "methods: [POST, GET]"),
    );
    let other = folder.write("c.yaml", &BEFORE.replace(two, "").replace(one, &format!("{two}{one}")));

    let same = frontgate(&["config", "diff", path(&before), path(&harmless)], &environment);
    let differs = frontgate(&["config", "diff", path(&before), path(&other)], &environment);

    assert_eq!((same.status.code(), text(&same.stdout)), (Some(0), "the configurations are the same\n".to_owned()));
    assert_eq!(differs.status.code(), Some(4));
    let told = text(&differs.stdout);
    assert!(told.contains("~ section routes\n    order: [one, two, rest] → [two, one, rest]\n"), "{told}");
    assert!(told.ends_with("A reload would lose nothing that the gateway has learnt.\n"), "{told}");
}

#[test]
fn config_diff_says_whose_connections_end() {
    let folder = Folder::new("diff-listeners");
    let listeners = |listeners: &str| {
        format!("version: 1\nserver:\n  listeners: [{listeners}]\nroutes:\n  - {{name: all, path: /**, respond: {{}}}}\n")
    };
    let old = folder.write("old.yml", &listeners("{address: 127.0.0.1:8081}, {address: 127.0.0.1:8082}, {address: 127.0.0.1:8083}"));
    let new = folder.write(
        "new.yml",
        &listeners("{address: 127.0.0.1:8081, protocols: [h2, http1]}, {address: 127.0.0.1:8083, redirect_to_https: 8443}"),
    );

    let differs = frontgate(&["config", "diff", path(&old), path(&new), "--format", "json"], &[]);

    let json: Value = serde_json::from_slice(&differs.stdout).unwrap();
    let lost: Vec<_> = json["lost"].as_array().unwrap().iter().map(|loss| (loss["what"].as_str(), loss["name"].as_str())).collect();
    assert_eq!(differs.status.code(), Some(4));
    assert_eq!(lost, [(Some("listener"), Some("127.0.0.1:8081")), (Some("listener"), Some("127.0.0.1:8082"))]);
}

#[test]
fn config_diff_refuses_what_is_no_configuration() {
    let folder = Folder::new("bad");
    let (good, bad) = (folder.write("a.yaml", BEFORE), folder.write("b.yaml", "version: 2\n"));
    let environment = [("SECRET_VERSION", "1")];

    for files in [[path(&good), path(&bad)], [path(&bad), path(&good)]] {
        let told = frontgate(&["config", "diff", files[0], files[1]], &environment);
        assert_eq!((told.status.code(), told.stdout.len()), (Some(78), 0));
        assert!(text(&told.stderr).contains("b.yaml:1:10"), "{}", text(&told.stderr));
    }
    assert_eq!(frontgate(&["config", "diff", path(&good)], &environment).status.code(), Some(2));
}

#[test]
fn config_diff_live_compares_with_what_is_in_force_and_no_secret_leaves_the_gateway() {
    let process = Process::start_in("diff-live", BEFORE, &[("SECRET_VERSION", "v1-hunter2")]);
    let file = process.folder.join("frontgate.yaml");
    // What the harness has added for its own sake stays.
    let begun = std::fs::read_to_string(&file).unwrap();
    let admin = process.admin.to_string();
    let diff = |file: &Path, secret: &str| {
        frontgate(&["config", "diff", "--live", "--admin", &admin, "-c", path(file)], &[("SECRET_VERSION", secret)])
    };

    // The same file and the same environment.
    let same = diff(&file, "v1-hunter2");
    // Another environment.
    let marked = diff(&file, "v2-hunter3");
    // Another file: the gateway's own would be in force as soon as it is seen.
    let next = process.folder.join("next.yml");
    std::fs::write(&next, begun.replace("connect: 1s", "connect: 200ms").replace("100/s", "50/s")).unwrap();
    let changed = diff(&next, "v1-hunter2");
    let raw = process.ask("GET", "/-/config").text();

    assert_eq!(same.status.code(), Some(0), "{}{}", text(&same.stdout), text(&same.stderr));
    assert_eq!(marked.status.code(), Some(4));
    let marked = text(&marked.stdout);
    assert!(marked.contains("~ filter stamp\n    version_header.value: ${SECRET_VERSION} (hash "), "{marked}");
    assert!(!marked.contains("hunter"), "{marked}");
    assert_eq!(changed.status.code(), Some(4));
    let changed = text(&changed.stdout);
    assert!(changed.contains("timeouts.connect: 1s → 200ms") && changed.contains("the tokens that its keys have spent"), "{changed}");
    assert!(raw.contains("few") && !raw.contains("hunter"), "{raw}");
    let folder = Folder::new("live");
    let copy = folder.write("a.yaml", BEFORE);
    drop(process);
    let gone = || frontgate(&["config", "diff", "--live", "--admin", &admin, "-c", path(&copy)], &[("SECRET_VERSION", "1")]);
    until("the gateway's end", || gone().status.code() == Some(69));
}

#[test]
fn check_strict_fails_for_warnings_in_both_forms_and_says_that_it_does() {
    let folder = Folder::new("strict");
    let doubtful = "version: 1
server: {listeners: [{address: 127.0.0.1:0}]}
upstreams: {unused: {endpoints: [127.0.0.1:1]}}
routes: [{name: all, path: \"/**\", respond: {}}]
";
    let (warns, clean) = (folder.write("a.yaml", doubtful), folder.write("b.yaml", &doubtful.replace("upstreams", "# upstreams")));

    let tolerant = frontgate(&["check", path(&warns)], &[]);
    let human = frontgate(&["check", "--strict", path(&warns)], &[]);
    let json = frontgate(&["check", "--strict", "--format", "json", path(&warns)], &[]);
    let short = frontgate(&["-t", "--strict", "-c", path(&warns)], &[]);
    let fine = frontgate(&["check", "--strict", path(&clean)], &[]);

    let codes = [&tolerant, &human, &json, &short, &fine].map(|output| output.status.code());
    assert_eq!(codes, [Some(0), Some(78), Some(78), Some(78), Some(0)]);
    assert!(text(&human.stderr).contains("warning:") && text(&human.stderr).contains("fail with `--strict`"), "{}", text(&human.stderr));
    assert!(human.stdout.is_empty(), "{}", text(&human.stdout));
    let problems: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(problems[0]["severity"], "warning", "{problems}");
}
