//! Shares: users who are drawn stay with their version, on every node, and a raised share only adds some.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{named, text, who_for};
use crate::harness::{Gateway, Log, Process, until};

fn by_share(next: &str, third: &str) -> String {
    [
        "canary:".to_owned(),
        format!("  - {{version: v2, upstream: next, share: {next}, by: [cookie.user, header.X-User]}}"),
        format!("  - {{version: v3, upstream: third, share: {third}, by: header.X-User}}"),
        "canary_options: {seed: shop}".to_owned(),
    ]
    .join("\n")
}

fn users() -> Vec<String> {
    (0..150).map(|number| format!("user-{number}")).collect()
}

/// Who answers each user.
fn drawn(address: SocketAddr) -> BTreeMap<String, String> {
    users().into_iter().map(|user| (user.clone(), who_for(address, &user))).collect()
}

#[test]
fn a_drawn_user_stays_with_a_version_that_is_told_and_counted() {
    let (stable, next, third) = (named("stable"), named("next"), named("third"));
    let log = Log::new("canary-shares");
    let gateway = Gateway::start(&log.of(&text(stable.address, next.address, third.address, "", &by_share("30%", "20%"))));

    let first = drawn(gateway.address);
    assert_eq!(drawn(gateway.address), first, "each user meets the same version again");

    let count = |name: &str| first.values().filter(|who| *who == name).count();
    let (in_next, in_third) = (count("next"), count("third"));
    assert!((25..=65).contains(&in_next) && (12..=48).contains(&in_third), "{in_next} and {in_third} of 150");
    for (origin, version, count) in [(&stable, "stable", count("stable")), (&next, "v2", in_next), (&third, "v3", in_third)] {
        assert_eq!(origin.received().len(), 2 * count, "{version}");
        assert!(origin.received().iter().all(|request| request.header("x-bff-version") == [version]), "{version}: {}", origin.last().head);
        let series = format!("frontgate_canary_requests_total{{route=\"shop\",version=\"{version}\",code=\"200\"}}");
        until("the count", || gateway.metric(&series) == 2.0 * count as f64);
    }
    let lines = log.wait_for(300);
    for (version, count) in [("stable", count("stable")), ("v2", in_next), ("v3", in_third)] {
        assert_eq!(lines.iter().filter(|line| line["version"] == version).count(), 2 * count, "{version}");
    }
    let user = first.iter().find(|(_, who)| *who == "next").unwrap().0;
    let reply = super::ask(gateway.address, "GET /x", &format!("X-User: {user}\r\n"));
    assert_eq!((reply.header("x-bff-version"), reply.header("vary")), (Some("v2"), None), "{}", reply.head);
}

#[test]
fn two_processes_agree_and_a_share_that_is_raised_by_reload_only_adds_users() {
    let (stable, next, third) = (named("stable"), named("next"), named("third"));
    let configured = |share: &str| text(stable.address, next.address, third.address, "", &by_share(share, "10%"));
    let one = Process::start("canary-one", &configured("5%"));
    let other = Process::start("canary-other", &configured("5%"));
    let mut before = drawn(one.address);
    assert_eq!(drawn(other.address), before, "two nodes with one seed");

    for share in ["10%", "50%"] {
        one.write(&configured(share));
        assert_eq!(one.ask("POST", "/-/reload").status, 200);
        let now = drawn(one.address);
        for (user, was) in &before {
            let is = &now[user];
            // Those after it keep their share of what is left: some of stable's may join them.
            let stays = is == was || is == "next" || was == "stable";
            assert!(stays, "{user} went from {was} to {is} when the share of v2 was raised to {share}");
        }
        before = now;
    }
    let count = before.values().filter(|who| *who == "next").count();
    assert!((50..=100).contains(&count), "{count} of 150 at 50%");

    other.write(&configured("50%"));
    assert_eq!(other.ask("POST", "/-/reload").status, 200);
    assert_eq!(drawn(other.address), before, "both have the same shares again");
}

#[test]
fn a_user_is_on_one_side_on_every_route_with_the_same_seed() {
    let (stable, next, third) = (named("stable"), named("next"), named("third"));
    let both = text(stable.address, next.address, third.address, "", &by_share("50%", "0%")).replace(
        "  - {name: others, path: /others/next, upstream: next}\n",
        "  - name: others
    path: /others/next
    upstream: third
    canary: [{version: v2, upstream: next, share: 50%, by: header.X-User}]
    canary_options: {seed: shop}
",
    );
    let gateway = Gateway::start(&both);

    for user in &users()[..60] {
        let here = who_for(gateway.address, user);
        let there =
            super::ask(gateway.address, "GET /others/next", &format!("X-User: {user}\r\n")).json()["name"].as_str().unwrap().to_owned();
        assert_eq!(here == "next", there == "next", "{user}: {here} and {there}");
    }
}

#[test]
fn endpoints_of_the_routes_own_upstream_are_a_version_and_stable_has_the_others() {
    let (old, new, nameless) = (named("old"), named("new"), named("nameless"));
    let route = "canary: [{version: v2, endpoints: v2.1, share: 40%, by: header.X-User}]";
    let versions = format!(
        "stable: {{endpoints: [{{address: {}, version: v1}}, {{address: {}, version: v2.1}}, {}]}}",
        old.address, new.address, nameless.address
    );
    let own = text(old.address, new.address, nameless.address, "", route)
        .replace(&format!("stable: {{endpoints: [{}]}}", old.address), &versions);
    let gateway = Gateway::start(&own);
    let first = drawn(gateway.address);

    let count = |name: &str| first.values().filter(|who| *who == name).count();
    assert!((40..=80).contains(&count("new")), "{}", count("new"));
    assert!(count("old") > 20 && count("nameless") > 20, "both others are stable's");
    let again = drawn(gateway.address);
    assert!(first.iter().all(|(user, who)| (who == "new") == (again[user] == "new")), "each user stays");

    let version = |name: &str| {
        let user = again.iter().find(|(_, who)| *who == name).unwrap().0;
        let asked = || super::ask(gateway.address, "GET /x", &format!("X-User: {user}\r\n"));
        // Among the others turns are taken.
        let reply = (0..20).map(|_| asked()).find(|reply| reply.json()["name"] == name).unwrap();
        reply.header("x-bff-version").map(str::to_owned)
    };
    assert_eq!(version("new").as_deref(), Some("v2"), "what was chosen");
    assert_eq!(version("old").as_deref(), Some("v1"), "what answered");
    assert_eq!(version("nameless").as_deref(), Some("stable"));
}
