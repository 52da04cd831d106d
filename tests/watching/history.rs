//! What was accepted of late, and back to it: while the files hold something else, through restarts, and not where it is no good any more.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;

use super::{answers, lines, number, says, status, text};
use crate::harness::{Process, until};

/// The same with a history.
fn kept(number: u32) -> String {
    text(number).replace("server:\n", "server:\n  state_dir: state\n")
}

/// A command of `frontgate` to this process: its exit code and what it said.
fn frontgate(process: &Process, words: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frontgate"));
    let output = command.args(words).args(["--admin", &process.admin.to_string()]).output().unwrap();
    (output.status.code(), String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap())
}

fn history(process: &Process) -> Vec<Value> {
    let (code, said) = frontgate(process, &["config", "history", "--format", "json"]);
    assert_eq!(code, Some(0), "{said}");
    serde_json::from_str::<Value>(&said).unwrap()["configurations"].as_array().unwrap().clone()
}

fn told<'v>(configuration: &'v Value, key: &str) -> &'v str {
    configuration[key].as_str().unwrap_or_default()
}

/// A process that has accepted these, one after the other.
fn accepted(name: &str, numbers: std::ops::Range<u32>) -> Process {
    let process = Process::start(name, &kept(numbers.start));
    for number in numbers.skip(1) {
        process.write(&kept(number));
        answers(&process, number.into());
    }
    process
}

#[test]
fn the_last_five_are_listed_with_when_how_and_who() {
    let mut process = accepted("history", 1..3);
    process.write(&kept(3));
    let (code, said) = frontgate(&process, &["reload"]);
    assert_eq!(code, Some(0), "{said}");
    process.write(&kept(4));
    process.signal("HUP");
    answers(&process, 4);
    for number in 5..7 {
        process.write(&kept(number));
        answers(&process, number.into());
    }
    until("all of them to be kept", || history(&process).len() == 5);

    let kept_now = history(&process);
    let hows: Vec<&str> = kept_now.iter().map(|kept| told(kept, "how")).collect();
    // Whoever was first, the one who watches or the one who asks.
    assert!(hows[0] == "watch" && ["signal", "watch"].contains(&hows[2]) && ["admin", "watch"].contains(&hows[3]), "{hows:?}");
    assert_eq!(kept_now.iter().map(|kept| kept["in_force"].as_bool().unwrap()).collect::<Vec<_>>(), [true, false, false, false, false]);
    assert!(told(&kept_now[0], "at").ends_with('Z') && told(&kept_now[0]["files"], "0").is_empty());
    let (_, table) = frontgate(&process, &["config", "history"]);
    assert!(table.starts_with("HASH") && table.lines().count() == 6 && table.lines().nth(1).unwrap().contains("  yes"), "{table}");
    for entry in std::fs::read_dir(process.folder.join("state/configurations")).unwrap().flatten() {
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }

    process.restart();
    assert_eq!(history(&process), kept_now, "what is in force is what it was");
}

#[test]
fn the_history_tells_what_each_changed_and_two_of_it_can_be_compared() {
    let process = Process::start("history-changed", &kept(1));
    let secret = kept(2).replace("routes:\n", "routes:\n  - {name: s, path: /s, respond: {json: {password: hunter2}}}\n");
    for (text, count) in [(secret.clone(), 2), (secret.replace("hunter2", "hunter3"), 3), (kept(3), 4)] {
        process.write(&text);
        until("it to be kept", || history(&process).len() == count);
    }

    let told = history(&process);
    let hash = |at: usize| told[at]["hash"].as_str().unwrap();
    assert_eq!(told[3]["changed"], Value::Null, "none is kept from before");
    assert!(told[0]["changed"].to_string().contains("the route `s` is gone"), "{}", told[0]);
    assert!(told[1]["changed"].to_string().contains("password: *** → another ***"), "{}", told[1]);
    assert!(told[2]["changed"].to_string().contains("the route `s` is new"), "{}", told[2]);
    let (_, table) = frontgate(&process, &["config", "history"]);
    assert!(table.lines().nth(2).unwrap().contains("the route `s` has changed (respond.json.password: *** → another ***)"), "{table}");
    assert!(!table.contains("hunter"), "{table}");

    let diff = |words: &[&str]| frontgate(&process, &[&["config", "diff"], words].concat());
    let (code, said) = diff(&[hash(3), hash(2)]);
    assert!(code == Some(4) && said.contains("+ route s") && said.contains("~ route all") && !said.contains("hunter"), "{said}");
    let (code, said) = diff(&[&hash(1)[..6]]);
    assert!(code == Some(4) && said.contains("- route s"), "against the one in force: {said}");
    let (code, said) = diff(&["--live", hash(1)]);
    assert!(code == Some(4) && said.contains("+ route s"), "{said}");
    let file = process.folder.join("frontgate.yaml");
    assert_eq!(diff(&[hash(0), file.to_str().unwrap()]).0, Some(0), "the file is what is in force");
    assert_eq!(diff(&[hash(2), hash(2)]).0, Some(0));
    let (code, said) = diff(&["0000dead"]);
    assert!(code == Some(69) && said.contains("No configuration of this hash is kept."), "{said}");
    let (code, said) = diff(&[file.to_str().unwrap()]);
    assert!(code == Some(2) && said.contains("frontgate config diff --live FILE"), "{said}");
}

#[test]
fn the_last_good_configuration_is_had_without_a_gateway_that_runs() {
    let mut process = accepted("history-offline", 1..3);
    until("both to be kept", || history(&process).len() == 2);
    let hash = told(&history(&process)[0], "hash").to_owned();
    process.signal("INT");
    process.end();
    let (state, file) = (process.folder.join("state"), process.folder.join("frontgate.yaml"));
    let run = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_frontgate")).args(words).output().unwrap();
        (output.status.code(), String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap())
    };
    process.write(&kept(3).replace("respond", "respnd"));

    let (code, said) = run(&["run", "-c", file.to_str().unwrap()]);

    let command = format!("frontgate config history --state-dir {} --write {hash} DIRECTORY", state.display());
    assert!(code == Some(78) && said.contains("respnd") && said.contains(&command), "{said}");
    let state = state.to_str().unwrap();
    let (code, table) = run(&["config", "history", "--state-dir", state]);
    assert!(code == Some(0) && table.lines().count() == 3 && table.contains("the route `all` has changed"), "{table}");
    let into = process.folder.join("good/again");
    let write = |hash: &str| run(&["config", "history", "--state-dir", state, "--write", hash, into.to_str().unwrap()]);
    assert_eq!(write("0000dead"), (Some(1), "frontgate: No configuration of this hash is kept.\n".to_owned()));
    let (code, said) = write(&hash[..6]);
    assert!(code == Some(0) && said.contains("good/again/frontgate.yaml was ") && said.contains(file.to_str().unwrap()), "{said}");
    let written = into.join("frontgate.yaml");
    assert!(std::fs::read_to_string(&written).unwrap().contains("number: 2"));
    assert_eq!(std::fs::metadata(&written).unwrap().permissions().mode() & 0o777, 0o600);
    let (code, said) = write(&hash);
    assert!(code == Some(1) && said.contains("is there already, and is left as it is"), "{said}");
    assert_eq!(run(&["config", "history", "--write", &hash, "/nowhere"]).0, Some(2), "it takes the directory of the state");
    let (code, said) = run(&["config", "history", "--state-dir", "/nowhere"]);
    assert_eq!((code, said.as_str()), (Some(0), "No configuration is kept.\n"));

    std::fs::copy(&written, &file).unwrap();
    assert_eq!(run(&["check", "-c", file.to_str().unwrap()]).0, Some(0));
}

#[test]
fn who_has_no_gateway_that_runs_is_led_to_what_was_rolled_back_to() {
    let mut process = accepted("history-back", 1..3);
    until("both to be kept", || history(&process).len() == 2);
    let good = told(&history(&process)[1], "hash").to_owned();
    assert_eq!(frontgate(&process, &["config", "rollback"]).0, Some(0));
    process.signal("INT");
    process.end();
    process.write(&kept(3).replace("respond", "respnd"));
    let run = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_frontgate")).args(words).output().unwrap();
        (output.status.code(), String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap())
    };

    let (code, said) = run(&["run", "-c", process.folder.join("frontgate.yaml").to_str().unwrap()]);
    let (_, table) = run(&["config", "history", "--state-dir", process.folder.join("state").to_str().unwrap()]);

    assert!(code == Some(78) && said.contains("rolled back to") && said.contains(&format!("--write {good} DIRECTORY")), "{said}");
    let row = table.lines().find(|line| line.contains("rolled back")).unwrap();
    assert!(row.starts_with(&good) && table.contains("Rolled back at "), "{table}");
}

#[test]
fn a_rollback_holds_though_the_bad_file_lies_there_and_through_a_restart_until_that_changes() {
    let mut process = accepted("rollback", 1..4);

    let (code, said) = frontgate(&process, &["config", "rollback"]);
    assert!(code == Some(0) && said.contains("the route `all` has changed"), "{said}");
    assert_eq!(number(&process), 2);
    // What is written over and over is the same bad file; what is another file beside it has nothing to do with it.
    for _ in 0..3 {
        process.write(&kept(3));
        std::fs::write(process.folder.join("notes"), "").unwrap();
    }
    let (_, table) = frontgate(&process, &["config", "history"]);
    assert!(table.contains("  rolled back") && table.contains("which is not in force: the route `all` has changed (respond"), "{table}");
    assert!(table.contains("(as read at 2") && table.contains("It holds until the files change in meaning"), "{table}");
    let state = status(&process);
    assert!(state["reasons"][0].as_str().unwrap().contains("since the operator 127.0.0.1:"), "{state}");
    assert_eq!((state["status"].as_str(), state["in_force"]["how"].as_str()), (Some("degraded"), Some("rollback")));
    assert!(!lines(&process, "holds until the files change").is_empty(), "{}", process.said());
    assert_eq!(number(&process), 2);

    process.restart();
    assert_eq!(number(&process), 2, "{}", process.said());
    says(&process, "holds until the files change");
    assert_eq!(status(&process)["in_force"]["how"], "rollback");

    process.write(&kept(4));
    answers(&process, 4);
    says(&process, "the rollback to configuration");
    until("health", || status(&process)["status"] == "ok");
    process.restart();
    assert_eq!((number(&process), told(&history(&process)[0], "how").to_owned()), (4, "watch".to_owned()));
}

#[test]
fn a_rollback_holds_against_what_the_files_mean_in_whatever_words() {
    let mut process = accepted("meaning", 1..3);
    let (code, said) = frontgate(&process, &["config", "rollback"]);
    assert!(code == Some(0) && said.contains("until the files change in meaning"), "{said}");
    let began = status(&process)["in_force"].clone();

    process.write(&format!("# who is it that breaks it?\n{}", kept(2)));
    says(&process, "has changed, and means what was rolled back from: the rollback to configuration");
    assert_eq!(number(&process), 1);
    process.write(&kept(2).replace("state_dir: state\n", "state_dir:   \"state\"   # quoted\n"));
    until("the other words", || lines(&process, "and means what was rolled back from").len() == 2);
    process.restart();
    assert_eq!((number(&process), status(&process)["in_force"]["how"].clone()), (1, "rollback".into()), "{}", process.said());

    let now = status(&process)["in_force"].clone();
    assert!(
        now["on_disk_at"].as_str().unwrap() >= began["on_disk_at"].as_str().unwrap() && now["since"] == began["since"],
        "{began} {now}"
    );
    process.write(&format!("# who is it that breaks it?\n{}", kept(3)));
    answers(&process, 3);
    until("its end", || !lines(&process, "has ended").is_empty() && status(&process)["in_force"]["on_disk"].is_null());
}

#[test]
fn what_is_told_of_the_files_during_a_rollback_is_what_they_hold() {
    let process = accepted("told", 1..3);
    assert_eq!(frontgate(&process, &["config", "rollback"]).0, Some(0));
    let on_disk = || status(&process)["in_force"]["on_disk"].as_str().unwrap_or_default().to_owned();
    let file = process.folder.join("frontgate.yaml");
    let diff = || frontgate(&process, &["config", "diff", "--live", file.to_str().unwrap()]);
    assert!(on_disk().contains("number: 1 → 2"), "{}", on_disk());

    // A mistake.
    process.write(&kept(2).replace("respond:", "respnd:"));
    until("the mistake to be told", || on_disk().contains("have mistakes: ") && on_disk().contains("respnd"));
    let (_, table) = frontgate(&process, &["config", "history"]);
    assert!(table.contains("have mistakes: ") && table.contains("(as read at "), "{table}");
    // What no reload can do, by the watcher and by hand.
    process.write(&kept(3).replace("server:\n", "server:\n  threads: 7\n"));
    until("the refusal to be told", || on_disk().contains("server.threads cannot be changed"));
    assert_ne!(frontgate(&process, &["reload"]).0, Some(0));
    assert!(on_disk().contains("server.threads cannot be changed"), "{}", on_disk());
    // What was rolled back from, once more.
    process.write(&kept(2));
    until("the values to be told", || on_disk().contains("number: 1 → 2"));
    let (code, told) = diff();
    assert!(code == Some(4) && told.contains("Rolled back at ") && told.contains("number: 1 → 2"), "{told}");
    let live = process.ask("GET", "/-/config").json();
    assert!(live["in_force"]["how"] == "rollback" && live["in_force"]["on_disk"] == on_disk().as_str(), "{live}");
    until("one reason", || status(&process)["reasons"].as_array().unwrap().len() == 1);
    assert_eq!(number(&process), 1);

    assert_eq!((frontgate(&process, &["reload"]).0, number(&process)), (Some(0), 2));
    assert!(!diff().1.contains("Rolled back"), "it is over");
}

#[test]
fn an_edit_in_the_midst_of_a_rollback_is_none_that_ends_it() {
    let process = accepted("midst", 1..3);

    // Half of what was in force, as somebody writes it who does not do so at once; the rest comes when the rollback was asked for.
    process.write(&kept(2)[..40]);
    let (code, said) = frontgate(&process, &["config", "rollback"]);
    assert_eq!((code, number(&process)), (Some(0), 1), "{said}");
    process.write(&kept(2));

    says(&process, "has changed, and means what was rolled back from");
    assert_eq!((number(&process), status(&process)["in_force"]["how"].clone()), (1, "rollback".into()));
}

#[test]
fn what_was_rolled_back_from_is_not_put_in_force_by_a_mistake_that_is_taken_back() {
    let process = accepted("taken-back", 1..3);
    assert_eq!((frontgate(&process, &["config", "rollback"]).0, number(&process)), (Some(0), 1));

    process.write(&kept(2).replace("respond:", "respnd:"));
    says(&process, "not reloaded");
    process.write(&kept(2));

    until("the mistake to be no reason any more", || status(&process)["reasons"].as_array().unwrap().len() == 1);
    assert_eq!((number(&process), status(&process)["in_force"]["how"].clone()), (1, "rollback".into()));
}

#[test]
fn a_second_rollback_goes_further_back_and_a_hash_goes_wherever_one_wants() {
    let process = accepted("further", 1..4);
    let hashes: Vec<String> = history(&process).iter().map(|kept| told(kept, "hash").to_owned()).collect();

    for expected in [2, 1] {
        assert_eq!(frontgate(&process, &["config", "rollback"]).0, Some(0));
        assert_eq!(number(&process), expected);
    }
    let (code, said) = frontgate(&process, &["config", "rollback"]);
    assert!(code == Some(1) && said.contains("None is kept from before"), "{said}");
    assert_eq!(frontgate(&process, &["config", "rollback", &hashes[1][..8]]).0, Some(0));
    assert_eq!(number(&process), 2);
    for (hash, words) in
        [("zzz", "No configuration of this hash"), (hashes[1].as_str(), "the configuration in force"), ("", "No configuration")]
    {
        let (code, said) = frontgate(&process, &["config", "rollback", hash]);
        assert!(code == Some(1) && said.contains(words), "{said}");
    }
    // That is what the file holds: there is nothing that it differs from.
    assert_eq!(frontgate(&process, &["config", "rollback", &hashes[0]]).0, Some(0));
    assert_eq!((number(&process), status(&process)["status"].as_str().unwrap().to_owned()), (3, "ok".to_owned()));
    assert_eq!(history(&process).iter().map(|kept| told(kept, "hash")).collect::<Vec<_>>(), hashes);
}

#[test]
fn a_reload_that_is_asked_for_ends_a_rollback() {
    let process = accepted("ended", 1..3);
    for ask in ["reload", "HUP"] {
        assert_eq!((frontgate(&process, &["config", "rollback"]).0, number(&process)), (Some(0), 1));

        match ask {
            "reload" => assert_eq!(frontgate(&process, &["reload"]).0, Some(0)),
            signal => process.signal(signal),
        }

        answers(&process, 2);
        until("health", || status(&process)["status"] == "ok");
        assert!(!process.folder.join("state/configurations/rollback.json").exists());
    }
}

#[test]
fn one_that_is_accepted_no_more_is_refused_with_what_is_wrong_with_it() {
    let folder = Process::folder("refused");
    std::fs::write(folder.join("hs.key"), "0123456789abcdef0123456789abcdef").unwrap();
    let login = "filters: {login: {jwt: {issuer: any, audience: any, algorithms: [HS256], keys: {secret: {file: hs.key}}}}}\n";
    let old = kept(1).replace("respond:", "filters: [login], respond:") + login;
    std::fs::write(folder.join("frontgate.yaml"), old).unwrap();
    let mut process = Process::start_at(folder, "frontgate.yaml", &[], "true");
    process.write(&kept(2));
    answers(&process, 2);
    let state = process.folder.join("state/configurations");
    let all: String = std::fs::read_dir(&state).unwrap().flatten().map(|entry| std::fs::read_to_string(entry.path()).unwrap()).collect();
    assert!(all.contains("hs.key") && !all.contains("0123456789abcdef0123"), "no secret is kept there");

    std::fs::remove_file(process.folder.join("hs.key")).unwrap();
    let (code, said) = frontgate(&process, &["config", "rollback"]);

    assert!(code == Some(78) && said.contains("frontgate.yaml:") && said.contains("hs.key") && said.contains("error: "), "{said}");
    assert_eq!(number(&process), 2);
    says(&process, "could not roll back to configuration");
    // One that held before the process ended, likewise: the files are in force then.
    std::fs::write(process.folder.join("hs.key"), "0123456789abcdef0123456789abcdef").unwrap();
    assert_eq!(frontgate(&process, &["config", "rollback"]).0, Some(0));
    std::fs::remove_file(process.folder.join("hs.key")).unwrap();
    process.restart();
    says(&process, "cannot be used any more, so that the files are in force");
    assert_eq!(number(&process), 2);
}

#[test]
fn secrets_of_what_was_rolled_back_to_are_watched() {
    let process = super::with_secrets("held-secrets");
    let file = process.folder.join("frontgate.yaml");
    let old = std::fs::read_to_string(&file).unwrap();
    let operate = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_frontgate"));
        let command = command.args(words).args(["--admin", &process.admin.to_string()]).env("FRONTGATE_ADMIN_TOKEN", "one");
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap())
    };
    for (more, _) in [("state_dir: state", 1), ("state_dir: state\n  threads: auto", 2)] {
        process.write(&old.replace("server:\n", &format!("server:\n  {more}\n  half_close: {}\n", more.contains("threads"))));
        let how = || operate(&["config", "history", "--format", "json"]).1;
        until("it to be kept", || how().matches("\"hash\"").count() == 1 + usize::from(more.contains("threads")));
    }
    let (code, said) = operate(&["config", "rollback"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(process.said().contains("with the token of `admin.token`"), "{}", process.said());

    std::fs::write(process.folder.join("hs.key"), super::SECRETS[1]).unwrap();

    until("the other secret", || super::SECRETS.map(|secret| super::asked_with(&process, secret)) == [401, 200]);
    let (_, table) = operate(&["config", "history"]);
    assert!(table.contains("rolled back"), "it holds all the same: {table}");
}

#[test]
fn without_a_directory_nothing_is_kept_and_the_words_say_so() {
    let process = Process::start("none", &text(1));

    for words in [&["config", "history"][..], &["config", "rollback"]] {
        let (code, said) = frontgate(&process, words);
        assert!(code == Some(1) && said.contains("server.state_dir"), "{said}");
    }
}
