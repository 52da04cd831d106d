//! Endpoints in a file that somebody else writes.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::time::Instant;

use super::*;
use crate::harness::{Gateway, Process, Steady, get, operate, until, yaml};

/// A gateway whose endpoints are in this file; `upstream` are more of its keys.
fn over(path: &Path, upstream: &str) -> Gateway {
    Gateway::start(&yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
          admin: 127.0.0.1:0
        upstreams:
          main:
            discover: {file: $FILE}
            $UPSTREAM
        routes:
          - {name: all, path: /**, upstream: main}
        ",
        &[("$FILE", &quoted(path)), ("$UPSTREAM", &upstream)],
    ))
}

fn status(gateway: &Gateway) -> Value {
    operate(gateway.running.admin().unwrap(), "GET", "/healthz?full=1").json()
}

#[test]
fn endpoints_come_and_go_with_the_file_and_a_bad_one_changes_nothing() {
    let folder = Folder::new("file");
    let (a, b) = (named("a"), named("b"));
    let file = folder.path("targets.json");

    let gateway = over(&file, "");
    get(gateway.address, "/").is_problem(503);
    until("the source to be asked", || source(&status(&gateway))["why"].is_string());
    assert_eq!(source(&status(&gateway))["state"], "waiting");

    folder.write("targets.json", &list(&[&a]));
    until("a to be there", || endpoints(&status(&gateway)) == addresses(&[&a]));
    assert_eq!(get(gateway.address, "/").text(), "a");

    folder.write("targets.json", &list(&[&a, &b]));
    until("b to be there", || endpoints(&status(&gateway)) == addresses(&[&a, &b]));
    folder.write("targets.json", "[\n\"10.0.0.1\"]");
    until("the mistake to be seen", || source(&status(&gateway))["state"] == "invalid");
    let told = source(&status(&gateway));
    let why = told["why"].as_str().unwrap();
    assert!(why.contains("targets.json:2:1: ") && why.contains("the port is missing"), "{why}");
    assert_eq!(endpoints(&status(&gateway)), addresses(&[&a, &b]));

    // One goes at once.
    folder.write("targets.json", &format!("- targets: [\"{}\"]\n  labels: {{version: v7, weight: \"3\"}}\n", b.address));
    until("a to be gone", || endpoints(&status(&gateway)) == addresses(&[&b]));
    let reply = get(gateway.address, "/");
    assert_eq!((reply.text().as_str(), source(&status(&gateway))["state"].as_str()), ("b", Some("current")));
    let one = &status(&gateway)["upstreams"]["main"]["endpoints"][0];
    assert_eq!((&one["version"], &one["weight"]), (&json!("v7"), &json!(3)));
    until("discovery changes total", || gateway.metric("frontgate_discovery_changes_total{upstream=\"main\",result=\"changed\"}") >= 3.0);
    until("discovery changes total", || gateway.metric("frontgate_discovery_changes_total{upstream=\"main\",result=\"failed\"}") >= 2.0);
}

#[test]
fn a_mounted_volume_is_exchanged_by_its_link() {
    let folder = Folder::new("volume");
    let (a, b) = (named("a"), named("b"));
    for (name, origin) in [("..1", &a), ("..2", &b)] {
        std::fs::create_dir(folder.path(name)).unwrap();
        std::fs::write(folder.path(name).join("targets.json"), list(&[origin])).unwrap();
    }
    symlink("..1", folder.path("..data")).unwrap();
    symlink("..data/targets.json", folder.path("targets.json")).unwrap();
    let gateway = over(&folder.path("targets.json"), "");
    until("a to be there", || endpoints(&status(&gateway)) == addresses(&[&a]));

    symlink("..2", folder.path("..new")).unwrap();
    std::fs::rename(folder.path("..new"), folder.path("..data")).unwrap();

    until("b to be there", || endpoints(&status(&gateway)) == addresses(&[&b]));
    assert_eq!(get(gateway.address, "/").text(), "b");
}

#[test]
fn of_those_in_doubt_the_dead_leave_at_once_without_health_checks_too() {
    let folder = Folder::new("dead");
    let (a, b) = (named("a"), named("b"));
    // Ports at which nobody listens: bound, so that nobody else takes them.
    let dead: Vec<std::net::TcpListener> = (0..3).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let gone: Vec<SocketAddr> = dead.iter().map(|socket| socket.local_addr().unwrap()).collect();
    let list_all = json!(gone.iter().map(ToString::to_string).chain([a.address.to_string()]).collect::<Vec<_>>()).to_string();
    let file = folder.write("targets.json", &list_all);
    let gateway = over(&file, "");
    until("four to be there", || endpoints(&status(&gateway)).len() == 4);
    drop(dead);

    let began = Instant::now();
    folder.write("targets.json", &list(&[&a, &b]));
    // Each that is asked in vain leaves, long before the file has to say the same again.
    until("the dead to be gone", || {
        get(gateway.address, "/");
        let mut expected = addresses(&[&a, &b]);
        expected.sort();
        endpoints(&status(&gateway)) == expected
    });

    assert!(began.elapsed().as_secs() < 9, "{:?}: the file has said so again", began.elapsed());
    assert!((0..20).all(|_| get(gateway.address, "/").status == 200));
}

#[test]
fn an_empty_list_is_doubted_until_an_operator_accepts_it() {
    let folder = Folder::new("empty");
    let a = named("a");
    let file = folder.write("targets.json", &list(&[&a]));
    // Without health checks the next look, ten seconds later, would empty it: with them it stays for as long as it passes.
    let gateway = over(&file, "health: {tcp: true, interval: 100ms, timeout: 10s}");
    let admin = gateway.running.admin().unwrap();
    until("a to be there", || endpoints(&status(&gateway)) == addresses(&[&a]));

    folder.write("targets.json", "[]");
    until("doubt", || source(&status(&gateway))["state"] == "doubtful");
    assert_eq!((get(gateway.address, "/").text().as_str(), &source(&status(&gateway))["held"]), ("a", &json!(1)));
    assert!(status(&gateway)["reasons"][0].as_str().unwrap().contains("no longer names 1 of its endpoints"));

    operate(admin, "POST", "/-/upstreams/accept?upstream=nobody").is_problem(404);
    let accepted = operate(admin, "POST", "/-/upstreams/accept?upstream=main");
    assert_eq!((accepted.status, accepted.json()), (200, json!({"upstream": "main", "left": 1})));
    until("nobody is left", || endpoints(&status(&gateway)).is_empty());
    get(gateway.address, "/").is_problem(503);
}

#[test]
fn endpoints_come_and_go_under_load_without_one_failed_request() {
    let folder = Folder::new("load");
    let origins: Vec<Origin> = (0..6).map(|number| named(&number.to_string())).collect();
    let all: Vec<&Origin> = origins.iter().collect();
    let file = folder.write("targets.json", &list(&all));
    let gateway = over(&file, "");
    until("all to be there", || endpoints(&status(&gateway)).len() == 6);

    let load = Steady::five_hundred(gateway.address);
    for round in 0..12 {
        let some: Vec<&Origin> = all.iter().enumerate().filter(|(number, _)| (round + number) % 3 > 0).map(|(_, origin)| *origin).collect();
        folder.write("targets.json", &list(&some));
        load.goes_on(60);
        if round % 4 == 3 {
            folder.write("targets.json", "no list");
            load.goes_on(30);
        }
    }
    folder.write("targets.json", &list(&all[..5]));
    until("the last list", || endpoints(&status(&gateway)) == addresses(&all[..5]));
    load.ends_well();
    until("discovery changes total", || gateway.metric("frontgate_discovery_changes_total{upstream=\"main\",result=\"changed\"}") > 5.0);
}

/// The real binary over a file that is named beside its configuration.
fn process(name: &str, folder: &Folder, upstream: &str) -> Process {
    let text = yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
          admin: 127.0.0.1:0
          state_dir: $STATE
        upstreams:
          main:
            discover: {file: $FILE}
            $UPSTREAM
        routes:
          - {name: all, path: /**, upstream: main}
        ",
        &[("$STATE", &quoted(&folder.path("state"))), ("$FILE", &quoted(&folder.path("targets.json"))), ("$UPSTREAM", &upstream)],
    );
    Process::start(name, &text)
}

#[test]
fn a_gateway_that_starts_while_its_source_is_away_begins_with_what_was_kept() {
    let folder = Folder::new("warm");
    let (a, b) = (named("a"), named("b"));
    folder.write("targets.json", &list(&[&a]));
    let kept = folder.path("state/endpoints/main.json");

    let first = process("warm-1", &folder, "");
    until("what is known to be kept", || std::fs::read_to_string(&kept).is_ok_and(|text| text.contains(&a.address.to_string())));
    drop(first);
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::remove_file(folder.path("targets.json")).unwrap();

    let second = process("warm-2", &folder, "required: true");
    assert_eq!(get(second.address, "/").text(), "a", "from the first request on");
    until("the source to be asked", || source(&second.ask("GET", "/healthz?full=1").json())["why"].is_string());
    assert_eq!(source(&second.ask("GET", "/healthz?full=1").json())["state"], "warm");
    assert_eq!(second.ask("GET", "/readyz").status, 200);
    folder.write("targets.json", &list(&[&b]));
    until("b to be there", || endpoints(&second.ask("GET", "/healthz?full=1").json()) == addresses(&[&b]));
    drop(second);

    std::fs::remove_file(folder.path("targets.json")).unwrap();
    std::fs::write(&kept, "{\"format\": 1").unwrap();
    let third = process("warm-3", &folder, "");
    until("a word about it", || third.ask("GET", "/livez").status == 200);
    get(third.address, "/").is_problem(503);
}

#[test]
fn a_reload_keeps_what_was_found_and_asks_another_source_where_another_is_named() {
    let folder = Folder::new("reload");
    let (a, b, c) = (named("a"), named("b"), named("c"));
    folder.write("targets.json", &list(&[&a]));
    let gateway = process("reload", &folder, "");
    let status = || gateway.ask("GET", "/healthz?full=1").json();
    until("a to be there", || endpoints(&status()) == addresses(&[&a]));
    let text = std::fs::read_to_string(gateway.folder.join("frontgate.yaml")).unwrap();
    let load = Steady::five_hundred(gateway.address);

    // Other settings and an address beside the file: the pool is another one, and the file need not be read again.
    gateway.write(&text.replace("discover:", &format!("timeouts: {{connect: 3s}}\n    endpoints: [\"{}\"]\n    discover:", b.address)));
    assert_eq!(gateway.ask("POST", "/-/reload").status, 200);
    assert_eq!(endpoints(&status()), addresses(&[&a, &b]));
    // Another file, which is not there yet: what was found stays until it is.
    gateway.write(&text.replace("targets.json", "others.json"));
    assert_eq!(gateway.ask("POST", "/-/reload").status, 200);
    assert_eq!((endpoints(&status()), &source(&status())["state"]), (addresses(&[&a, &b]), &json!("waiting")));
    folder.write("targets.json", &list(&[&b]));
    folder.write("others.json", &list(&[&c]));
    until("c to be there", || endpoints(&status()) == addresses(&[&c]));
    load.ends_well();
}

#[test]
fn check_reads_the_file_and_tells_what_is_wrong_with_its_place() {
    let folder = Folder::new("check");
    let text = yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], state_dir: state}
        upstreams:
          main: {discover: {file: targets/main.json}}
        routes:
          - {name: all, path: /**, upstream: main}
        ",
        &[],
    );
    folder.write("frontgate.yaml", &text);
    let check = || {
        let out = Command::new(env!("CARGO_BIN_EXE_frontgate")).args(["check", "-c"]).arg(folder.path("frontgate.yaml")).output().unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };

    let (code, said) = check();
    assert!(code == Some(0) && said.contains("frontgate.yaml:3:27") && said.contains("it does not exist: nobody is found there"), "{said}");
    std::fs::create_dir(folder.path("targets")).unwrap();
    std::fs::write(folder.path("targets/main.json"), "[\"10.0.0.1:80\",\n {\"adress\": \"10.0.0.2:80\"}]").unwrap();
    let (code, said) = check();
    assert!(code == Some(0) && said.contains("targets/main.json:2:3") && said.contains("there is no key `adress`"), "{said}");
    std::fs::write(folder.path("targets/main.json"), "[\"10.0.0.1:80\"]").unwrap();
    let (code, said) = check();
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert!(!folder.path("state").exists(), "nothing is made");

    std::fs::write(folder.path("state"), "no folder").unwrap();
    let (code, said) = check();
    assert!(code == Some(78) && said.contains("frontgate.yaml:1:58") && said.contains("is not a directory"), "{said}");
}

#[test]
fn operators_see_the_source_and_accept_by_name() {
    let folder = Folder::new("operators");
    let a = named("a");
    folder.write("targets.json", &list(&[&a]));
    let gateway = process("sources", &folder, "");
    until("a to be there", || endpoints(&gateway.ask("GET", "/healthz?full=1").json()) == addresses(&[&a]));
    let admin = gateway.admin.to_string();
    let run = |words: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_frontgate")).args(words).args(["--admin", &admin]).output().unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned(), String::from_utf8_lossy(&out.stderr).into_owned())
    };

    let (code, out, _) = run(&["upstreams"]);
    assert!(code == Some(0) && out.contains("SOURCE") && out.contains("targets.json") && out.contains("current"), "{out}");
    let (code, out, _) = run(&["upstreams", "accept", "main"]);
    assert!(code == Some(0) && out.contains("\"left\": 0"), "{out}");
    let (code, _, said) = run(&["upstreams", "accept", "nobody"]);
    assert_eq!((code, said.as_str()), (Some(1), "frontgate: There is no upstream `nobody`: there is `main`.\n"));
}
