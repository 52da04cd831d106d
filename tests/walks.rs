//! The pages for operators, walked: their configurations are served, their commands run as they are written.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::origin::response;
use crate::harness::{Gate, Origin, Process, Reply, exchange, get, until};

/// What a page of the README shows in this language, block by block.
fn blocks(heading: &str, language: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, page) = readme.split_once(&format!("\n### {heading}\n")).unwrap_or_else(|| panic!("there is no page `{heading}`"));
    let page = page.find("\n### ").or(page.find("\n## ")).map_or(page, |end| &page[..end]);
    page.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix(&format!("{language}\n"))).map(str::to_owned).collect()
}

/// The gateway of a page, with these endpoints in place of those on it.
fn serve(name: &str, configuration: &str, endpoints: &[(&str, &Origin)]) -> Process {
    let text = endpoints.iter().fold(configuration.to_owned(), |text, (written, origin)| {
        assert!(text.contains(written), "{written} is not on the page");
        text.replace(written, &origin.address.to_string())
    });
    Process::start(name, &text.replace("0.0.0.0:8080", "127.0.0.1:0").replace("127.0.0.1:9901", "127.0.0.1:0"))
}

/// Runs the commands where the configuration is, until one fails; what they say.
#[track_caller]
fn walk(process: &Process, commands: &str, environment: &[(&str, &str)]) -> String {
    let (code, said) = run(process, commands, environment);
    assert_eq!(code, Some(0), "{commands}:\n{said}");
    said
}

/// The same, however it ends, with the exit code.
fn run(process: &Process, commands: &str, environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let bin = Path::new(env!("CARGO_BIN_EXE_frontgate")).parent().unwrap();
    let path = std::env::join_paths([bin.to_owned()].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap()))).unwrap();
    let mut shell = Command::new("sh");
    shell.current_dir(&process.folder).args(["-ec", commands]).env("PATH", path).env("FRONTGATE_ADMIN", process.admin.to_string());
    let output = shell.envs(environment.iter().copied()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

/// The statuses of so many requests, one after the other.
fn ask(process: &Process, count: usize) -> Vec<Reply> {
    (0..count).map(|_| get(process.address, "/products/7")).collect()
}

#[test]
fn who_was_paged_finds_what_is_wrong_and_goes_back() {
    const PAGE: &str = "Somebody was paged";
    let (good, other) = (Origin::json("{}"), Origin::json("{}"));
    let bad = Origin::start(|_, stream| stream.write_all(response("500 Broken", "", "").as_bytes()).is_ok());
    let gate = Gate::default();
    let held = gate.clone();
    let hanging = Origin::start(move |_, stream| {
        held.pass();
        stream.write_all(response("200 OK", "", "{}").as_bytes()).is_ok()
    });
    let (configuration, commands) = (blocks(PAGE, "yaml").remove(0), blocks(PAGE, "sh").remove(0));
    let commands: Vec<&str> = commands.lines().collect();
    let process = serve("walk-paged", &configuration, &[("10.0.1.11:8080", &good), ("10.0.1.12:8080", &other)]);
    let file = process.folder.join("frontgate.yaml");
    let before = std::fs::read_to_string(&file).unwrap();
    let status = || process.ask("GET", "/healthz?full=1").json();
    ask(&process, 2);
    assert_eq!(status()["status"], "ok");

    let after = before.replace(&good.address.to_string(), &bad.address.to_string());
    std::fs::write(&file, after.replace(&other.address.to_string(), &hanging.address.to_string())).unwrap();
    walk(&process, "frontgate reload || true", &[]);
    until("the new endpoints", || status()["upstreams"]["catalog"]["endpoints"][0]["address"] == bad.address.to_string());
    // One of the two hangs: until its time limit is over nothing says so but what is in flight there.
    let address = process.address;
    let waiting = std::thread::spawn(move || {
        std::iter::repeat_with(|| get(address, "/products/7")).take(100).find(|reply| reply.status == 200).expect("one that was held")
    });
    let row = || {
        let table = walk(&process, commands[1], &[]);
        let row = table.lines().find(|line| line.contains(&hanging.address.to_string())).unwrap().to_owned();
        row.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    // UPSTREAM ENDPOINT NAME STATE (three words) WEIGHT IN FLIGHT
    until("one in flight", || row()[7] == "1");
    gate.open();
    assert_eq!(waiting.join().unwrap().status, 200);

    let failed = std::iter::repeat_with(|| get(process.address, "/products/7")).take(100).filter(|reply| reply.status == 500).last();
    let id = failed.expect("every second one fails").header("x-request-id").expect("its name").to_owned();
    until("its line", || std::fs::read_to_string(process.folder.join("access.log")).is_ok_and(|log| log.contains(&id)));
    let told = walk(&process, commands[0], &[]);
    assert!(told.contains("\"degraded\"") && told.contains("% of the requests on route `products` failed in the last minute ("), "{told}");
    let endpoints = walk(&process, commands[1], &[]);
    assert!(endpoints.lines().any(|line| line.contains(&bad.address.to_string()) && line.contains("status 500, ")), "{endpoints}");
    let ended = AtomicBool::new(false);
    let lines = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                ask(&process, 1);
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
        let lines = run(&process, commands[2], &[]);
        ended.store(true, Ordering::SeqCst);
        lines
    });
    assert!(
        lines.0 == Some(0) && lines.1.contains(&bad.address.to_string()) && !lines.1.contains(&hanging.address.to_string()),
        "{lines:?}"
    );
    let why = walk(&process, commands[3], &[("ID", &id)]);
    assert!(why.contains("products") && why.contains(&bad.address.to_string()) && why.contains("500"), "{why}");
    assert!(walk(&process, commands[4], &[("ID", &id)]).contains("\"status\":500"));
    let history = walk(&process, commands[5], &[]);
    assert!(history.lines().count() >= 3 && history.starts_with("HASH"), "{history}");
    walk(&process, commands[6], &[]);

    assert!(ask(&process, 10).iter().all(|reply| reply.status == 200), "as it was before");
    assert_eq!(commands.len(), 7);
}

#[test]
fn a_limit_is_changed_in_four_commands() {
    const PAGE: &str = "Change a limit in production in four commands";
    let (origin, commands) = (Origin::json("{}"), blocks(PAGE, "sh"));
    assert_eq!(commands[0].lines().count(), 4, "four commands");
    let process = serve("walk-limit", &blocks(PAGE, "yaml")[0], &[("10.0.1.11:8080", &origin)]);
    assert!(ask(&process, 30).iter().any(|reply| reply.status == 429));

    let told: Vec<(Option<i32>, String)> = commands[0].lines().map(|line| run(&process, line, &[])).collect();

    let codes: Vec<Option<i32>> = told.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, [Some(0), Some(0), Some(4), Some(0)], "the third says that they differ: {told:?}");
    assert!(told[1].1.contains("the configuration is valid") && told[3].1.contains("\"hash\""), "{told:?}");
    assert!(["per_client", "5/s", "50/s"].iter().all(|word| told[2].1.contains(word)), "{told:?}");
    let refused = ask(&process, 30).iter().filter(|reply| reply.status != 200).count();
    assert_eq!(refused, 0, "fifty a second");
}

#[test]
fn why_a_request_was_refused_is_found_out() {
    const PAGE: &str = "Find out why a request was refused";
    let configuration = &blocks("Change a limit in production in four commands", "yaml")[0];
    let origin = Origin::json("{}");
    let process = serve("walk-why", configuration, &[("10.0.1.11:8080", &origin)]);
    let replies = ask(&process, 30);
    let refused = replies.iter().find(|reply| reply.status == 429).expect("one too many");
    let id = refused.header("x-request-id").expect("its name").to_owned();
    assert_eq!(refused.json()["request_id"], *id);
    until("its line", || std::fs::read_to_string(process.folder.join("access.log")).is_ok_and(|log| log.contains(&id)));

    let said = walk(&process, &blocks(PAGE, "sh")[0], &[("ID", &id)]);

    assert!(said.contains("per_client (rate_limit): answered"), "its way:\n{said}");
    for word in [r#""reason":"rate_limited""#, r#""limit":"per_client""#, r#""flags":"RL""#, "products", r#""status": "ok""#] {
        assert!(said.contains(word), "`{word}` is missing:\n{said}");
    }
    assert!(said.lines().any(|line| line.starts_with("per_client") && line.contains("127.0.0.1")), "whom it refuses:\n{said}");
}

#[test]
fn a_canary_grows_from_a_few_to_all_and_goes_back() {
    const PAGE: &str = "A canary from 5 to 100 %";
    let (stable, next) = (Origin::json(r#""stable""#), Origin::json(r#""next""#));
    let process = serve("walk-canary", &blocks(PAGE, "yaml")[0], &[("10.0.1.11:8080", &stable), ("10.0.1.21:8080", &next)]);
    const USERS: usize = 400;
    let drawn = || -> BTreeSet<usize> {
        let is_drawn = |user: &usize| {
            let ask = format!("GET /products/7 HTTP/1.1\r\nHost: a\r\nCookie: sid={user}\r\nConnection: close\r\n\r\n");
            exchange(process.address, ask.as_bytes()).expect("an answer").text() == r#""next""#
        };
        (0..USERS).filter(is_drawn).collect()
    };
    let commands = blocks(PAGE, "sh");
    let steps: Vec<&str> = commands[0].lines().collect();
    assert_eq!((steps.len(), commands.len()), (4, 2));

    let few = drawn();
    walk(&process, steps[0], &[]);
    let more = drawn();
    let said = walk(&process, steps[1], &[]);
    walk(&process, steps[2], &[]);
    let all = drawn();
    walk(&process, steps[3], &[]);
    walk(&process, &commands[1], &[]);
    let none = drawn();

    assert!((5..=40).contains(&few.len()) && (60..=140).contains(&more.len()), "{} and {} of {USERS}", few.len(), more.len());
    assert!(few.is_subset(&more), "who was drawn stays drawn");
    assert_eq!((all.len(), none.len()), (USERS, 0));
    let told: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
    // Those of the first share, and those of this one.
    let [new, old] = [few.len() + more.len(), 2 * USERS - few.len() - more.len()].map(|count| count.to_string());
    let wanted = [["products", "v2.5", "catalog-next", "25%", &new, "0", "0"], ["products", "stable", "catalog", "-", &old, "0", "0"]];
    assert_eq!(told, wanted, "{said}");
}
