//! The Debian package, built of the binary under test: what is in it, and that it is installed, serves as its own user, and goes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use frontgate_test_support::{skipped, tool};

use super::{folder, project, succeeds};

/// The package, once for all tests.
pub(super) fn package() -> Option<&'static Path> {
    static PACKAGE: OnceLock<Option<PathBuf>> = OnceLock::new();
    PACKAGE.get_or_init(build).as_deref()
}

fn build() -> Option<PathBuf> {
    for name in ["make", "cargo-deb", "dpkg-deb", "dpkg-shlibdeps"] {
        tool(name)?;
    }
    // In a folder of its own, as if it had been built there: cargo-deb removes what was packed before, and that may be somebody's.
    let target = folder("package");
    let built = target.join("debug");
    std::fs::create_dir(&built).unwrap();
    let binary = built.join("frontgate");
    std::fs::hard_link(env!("CARGO_BIN_EXE_frontgate"), &binary).unwrap();
    let package = target.join("frontgate.deb");
    let packed = format!("PACKED=--fast --output {}", package.display());
    let mut make = Command::new("make");
    make.current_dir(project()).args(["package", &format!("BINARY={}", binary.display()), "PROFILE=dev", &packed]);
    succeeds(make.env("CARGO_TARGET_DIR", &target));
    Some(package)
}

#[test]
fn the_package_has_what_operators_look_for() {
    let Some(package) = package() else { return };
    let field = |name: &str| succeeds(Command::new("dpkg-deb").arg("-f").arg(package).arg(name)).trim().to_owned();

    assert_eq!((field("Package").as_str(), field("Version").starts_with(env!("CARGO_PKG_VERSION"))), ("frontgate", true));
    assert!(!field("Description").lines().next().unwrap().starts_with("A "), "lintian's synopsis has no article");
    let depends = field("Depends");
    assert!(depends.contains("libc6 (>= ") && depends.contains("systemd | systemd-standalone-sysusers"), "{depends}");
    let unpacked = folder("unpacked");
    succeeds(Command::new("dpkg-deb").arg("-x").arg(package).arg(&unpacked));
    let read = |path: &str| {
        let file = unpacked.join(path);
        match path.ends_with(".gz") {
            true => succeeds(Command::new("gzip").arg("-dc").arg(file)),
            false => std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}")),
        }
    };
    let unit = ["usr/lib/systemd/system/frontgate.service", "lib/systemd/system/frontgate.service"];
    let unit = unit.into_iter().find(|path| unpacked.join(path).exists()).expect("a unit");
    for (path, word) in [
        (unit, "ExecStart=/usr/bin/frontgate run -c /etc/frontgate"),
        ("etc/frontgate/frontgate.yaml", "version: 1"),
        ("etc/logrotate.d/frontgate", "USR1"),
        ("usr/lib/sysusers.d/frontgate.conf", "u frontgate "),
        ("usr/share/man/man1/frontgate.1.gz", ".TH frontgate 1"),
        ("usr/share/man/man1/frontgate-upstreams-drain.1.gz", "frontgate\\-upstreams\\-drain"),
        ("usr/share/bash-completion/completions/frontgate", "_frontgate()"),
        ("usr/share/zsh/vendor-completions/_frontgate", "#compdef frontgate"),
        ("usr/share/fish/vendor_completions.d/frontgate.fish", "complete -c frontgate"),
        ("usr/share/doc/frontgate/examples/frontgate.yaml", "version: 1"),
        ("usr/share/doc/frontgate/examples/upgrade.conf", "--upgrade"),
        ("usr/share/frontgate/frontgate.schema.json", "$schema"),
        ("usr/share/doc/frontgate/changelog.Debian.gz", &format!("frontgate ({}) ", field("Version"))),
        ("usr/share/doc/frontgate/copyright", "License: Apache-2.0"),
    ] {
        assert!(read(path).contains(word), "{path} does not have `{word}`");
    }
    let control = folder("control");
    succeeds(Command::new("dpkg-deb").arg("-e").arg(package).arg(&control));
    let kept = std::fs::read_to_string(control.join("conffiles")).unwrap();
    assert_eq!(
        kept.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>(),
        ["/etc/frontgate/frontgate.yaml", "/etc/logrotate.d/frontgate"]
    );
    for script in ["postinst", "prerm", "postrm"] {
        succeeds(Command::new("sh").arg("-n").arg(control.join(script)));
    }
    let checked =
        Command::new(unpacked.join("usr/bin/frontgate")).args(["check", "--no-files", "-c"]).arg(unpacked.join("etc/frontgate")).output();
    assert!(checked.unwrap().status.success());
    for folder in [unpacked, control] {
        let _ = std::fs::remove_dir_all(folder);
    }
}

#[test]
fn the_unit_takes_from_the_gateway_what_it_does_not_need() {
    let unit = project().join("conf/package/frontgate.service");
    let text = std::fs::read_to_string(&unit).unwrap();
    let seconds = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_suffix('s')?.parse::<u64>().ok());
    let drain = frontgate::config::load(Some(&project().join("conf/package/frontgate.yaml"))).map_err(|problems| problems.render(false));
    let drain = drain.unwrap().config.server.drain;
    assert!(seconds("TimeoutStopSec=").unwrap() > (drain.notice.0 + drain.timeout.0).as_secs(), "the drain needs its time");
    if tool("systemd-analyze").is_none() {
        return;
    }

    // Of ten, the fewer the better: 2.0 is a service that is hard to misuse.
    let said = succeeds(Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=20", "--no-pager"]).arg(&unit));

    assert!(said.contains("Overall exposure level"), "{said}");
}

/// What is done in a machine of its own.
const INSTALLED: &str = include_str!("installed.sh");
/// How that machine is made.
const MACHINE: &str = include_str!("machine.sh");

#[test]
fn installed_it_serves_as_its_own_user_and_goes_as_it_came() {
    let Some(package) = package() else { return };
    for name in ["unshare", "setpriv", "curl", "ip", "systemd-sysusers"] {
        if tool(name).is_none() {
            return;
        }
    }
    let place = folder("machine");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", MACHINE, "sh"]);
    let output =
        command.arg(&place).arg(package).arg(INSTALLED).env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let _ = std::fs::remove_dir_all(&place);
    if !said.contains("ready\n") {
        return skipped("no machine of its own can be made here: it takes root and an overlay");
    }

    assert!(output.status.success(), "{said}");
    for words in [
        "user: /var/lib/frontgate:/usr/sbin/nologin",
        "/etc/frontgate root frontgate 750",
        "/var/lib/frontgate frontgate frontgate 750",
        "/var/log/frontgate frontgate frontgate 750",
        "enabled",
        "runs as: frontgate",
        r#"answers: {"frontgate":"it works"#,
        "/var/log/frontgate/access.log frontgate",
        "ended: 0",
        "kept: # mine",
        "removed, and what is the operator's stays",
        "purged",
    ] {
        assert!(said.contains(words), "`{words}` is missing:\n{said}");
    }
    if tool("systemd-analyze").is_some() {
        assert!(said.contains("verified\n"), "{said}");
    }
}
