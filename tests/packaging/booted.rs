//! The Debian package in a machine that systemd has booted: what the unit promises is done, from the first start to the last stop.

use std::process::Command;

use frontgate_test_support::{skipped, tool};

use super::debian::package;
use super::folder;

/// What is done in a machine of its own.
const BOOTED: &str = include_str!("booted.sh");
/// How that machine is booted.
const BOOT: &str = include_str!("boot.sh");

#[test]
fn systemd_starts_reloads_watches_upgrades_and_ends_what_the_package_installs() {
    let Some(package) = package() else { return };
    for name in ["unshare", "systemd-nspawn", "setpriv", "nsenter", "curl", "perl", "logrotate"] {
        if tool(name).is_none() {
            return;
        }
    }
    let place = folder("booted");
    let mut command = Command::new("unshare");
    let output = command.args(["--mount", "sh", "-c", BOOT, "sh"]).arg(&place).arg(package).arg(BOOTED).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let _ = std::fs::remove_dir_all(&place);
    if !said.contains("booted\n") {
        let why = said.lines().last().unwrap_or_default();
        return skipped(&format!("systemd cannot be booted here: it takes root, an overlay and control groups ({why})"));
    }

    assert!(said.contains("off: 0\n"), "{said}");
    for words in [
        // Type=notify: it is active once it serves.
        "it is active and enabled, status: configuration ",
        "strict: 0",
        r#"answers: {"frontgate":"it works"#,
        // Ports below 1024, and nothing else.
        "runs as frontgate, rights 0000000000000400, no new ones 1, seccomp 2",
        "descriptors: all",
        r#"reload: 0, {"frontgate":"it was changed"#,
        r#"bad reload: 1, active, {"frontgate":"it was changed"#,
        "HUP is a reload to systemd, too",
        "by one process",
        "bad start: failed exit-code 78, tried again: 0",
        "there is no key `nonsense` here",
        "start: 0",
        "killed: it serves again",
        "read-only for root",
        "a /tmp of its own",
        "logrotate: 0",
        "/var/log/frontgate/access.log frontgate frontgate 640",
        "/var/log/frontgate/access.log.1 frontgate frontgate 640",
        "its state is kept",
        "the one before serves on",
        "upgrade.conf",
        "first upgrade: 0",
        "second upgrade: 0",
        "upgrades: failed 0",
        "bad upgrade: 1, active",
        "and the one before serves on",
        "after an upgrade the watchdog is content",
        "Failed with result 'watchdog'",
        "port 80: 0",
        "stop: 0, inactive success 0",
        "in flight: 200 slow",
        "before the first: inactive",
        "the first: 200, active",
        "restart: 0",
        "restarts: failed 0",
        "it has ended",
        "nothing is left",
        "--- done",
    ] {
        assert!(said.contains(words), "`{words}` is missing:\n{said}");
    }
    let writes: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("writes: ")).collect();
    assert_eq!(writes, ["/var/lib/frontgate", "/var/log/frontgate", "/run/frontgate", "/tmp"], "{said}");
    assert!(!said.contains("in vain: "), "{said}");
}
