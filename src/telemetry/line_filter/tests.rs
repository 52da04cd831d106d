//! What filters of lines mean, and what people are told who write them wrong.

use std::time::{Duration, SystemTime};

use super::*;
use crate::telemetry::Flag;

/// A line of a request that failed.
fn line() -> Line<'static> {
    Line {
        request_id: "0197c5a0-0000-7000-8000-000000000001",
        client_ip: Some("10.1.2.3".parse().expect("an address")),
        method: "GET",
        path: b"/api/v1/products/7",
        route: "products",
        status: Some(503),
        reason: Some("circuit_open"),
        bytes_out: 2048,
        duration: Duration::from_micros(200_500),
        upstream: Some("catalog"),
        user_agent: Some(b"curl/8.5 (x86_64)"),
        circuit: Some("open"),
        flag: Some(Flag::UpstreamOverflow),
        ..Line::at(SystemTime::UNIX_EPOCH)
    }
}

fn filter(text: &str) -> LineFilter {
    text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
}

#[test]
fn fields_are_compared_and_joined() {
    for (text, expected) in [
        ("status>=500", true),
        ("status >= 500", true),
        ("status<500", false),
        ("status=503", true),
        ("status!=503", false),
        ("status>503", false),
        ("status<=503", true),
        ("route=products status>=500", true),
        ("route=products and status>=500", true),
        ("route=products status<500", false),
        ("route=users or status>=500", true),
        ("route=users or route=orders", false),
        // `and` binds closer than `or`.
        ("route=products or route=users and status<500", true),
        ("(route=products or route=users) and status<500", false),
        ("not route=users", true),
        ("not (route=products status=503)", false),
        ("not route=users status=503", true),
        ("NOT route=users AND status=503 OR share 0%", true),
        ("duration>200ms", true),
        ("duration>1s", false),
        ("duration_ms>200.4", true),
        ("duration_ms>=200.6", false),
        ("overhead=0s", true),
        ("bytes_out>=2KiB", true),
        ("bytes_out>2048", false),
        ("client_ip=10.0.0.0/8", true),
        ("client_ip=10.1.2.3", true),
        ("client_ip!=10.1.2.3", false),
        ("client_ip=::ffff:10.1.2.3", true),
        ("client_ip=2001:db8::/32", false),
        ("path~/api/", true),
        ("path~/v1", false),
        ("path~*/products/*", true),
        ("user_agent~\"curl/8.5 (\"", true),
        ("user_agent='curl/8.5 (x86_64)'", true),
        ("path=\"/api/v1/products/7\"", true),
        ("reason=circuit_open flags=UO circuit=open", true),
        ("method=GET", true),
        ("share 100%", true),
        ("share 0%", false),
    ] {
        assert_eq!(filter(text).holds(&line()), expected, "{text}");
    }
}

#[test]
fn a_field_that_is_not_there_is_unlike_everything() {
    let line = Line { status: None, ..Line::at(SystemTime::UNIX_EPOCH) };

    for text in ["status=200", "status<600", "status>=0", "upstream=catalog", "upstream~*", "client_ip=0.0.0.0/0", "reason~\"\""] {
        assert!(!filter(text).holds(&line), "{text}");
        assert!(filter(&format!("not {text}")).holds(&line), "{text}");
    }
    for text in ["status!=200", "upstream!=catalog", "client_ip!=10.0.0.0/8", "not reason~*"] {
        assert!(filter(text).holds(&line), "{text}");
    }
}

#[test]
fn a_share_is_that_share_and_the_same_requests_each_time() {
    let tenth = filter("share 10%");
    let ids: Vec<String> = (0..20_000_u64).map(|number| format!("0197c5a0-dead-7000-8000-{number:012x}")).collect();
    let of = |filter: &LineFilter, id: &str| filter.holds(&Line { request_id: id, ..line() });

    let taken = ids.iter().filter(|id| of(&tenth, id)).count();

    // Four standard deviations are 170.
    assert!((1830..=2170).contains(&taken), "{taken}");
    let more = filter("share 20%");
    assert!(ids.iter().all(|id| of(&tenth, id) == of(&filter("share 10.0%"), id) && (!of(&tenth, id) || of(&more, id))));
}

#[test]
fn what_is_written_wrong_is_answered_with_what_was_meant() {
    for (text, words) in [
        ("", "the filter is empty"),
        ("  ", "the filter is empty"),
        ("rout=products", "`rout` is no field of the access log: did you mean `route`?"),
        ("zebra=1", "there are request_id, trace_id"),
        ("status", "`status` is compared with nothing: write `status>=500`"),
        ("status>=", "`status>=` is followed by no value"),
        ("status>= and route=a", "`and` is no number"),
        (">=500", "there is no field before `>=`"),
        ("status==500", "`==` is written `=`"),
        ("path=~/api", "`=~` is written `~`"),
        ("path!~/api", "`!~` is written `not …~…`"),
        ("status>=400 && route=a", "`&&` is written `and`"),
        ("status>=400||route=a", "`||` is written `or`"),
        ("!status=400", "`!` is written `not`"),
        ("status=5xx", "write `status>=500 status<600`"),
        ("status~5", "`status` is compared by `=`, `!=`, `<`"),
        ("route>a", "`route` is compared by `=`, `!=` and `~`, not by `>`"),
        ("client_ip~10.", "`client_ip` is compared by `=` and `!=`"),
        ("client_ip=10.0.0", "neither an IP address nor a network"),
        ("duration>200", "`200` is not a duration"),
        ("duration_ms>200ms", "write `duration` to compare it with 200ms"),
        ("duration_ms>-1", "`-1` is no number of milliseconds"),
        ("bytes_out>10kb", "`10kb` is not a size"),
        ("method=get", "did you mean `GET`?"),
        ("flags=UX", "`flags` is never `UX`: did you mean"),
        ("circuit=ajar", "it is one of `closed`, `half_open`, `open`"),
        ("protocol=http/2", "did you mean `HTTP/2`?"),
        ("share", "`share` is followed by how much"),
        ("share 0.01", "`0.01` is not a share"),
        ("share=1%", "`share` is written without a sign"),
        ("(status=1", "a `(` is not closed"),
        ("status=1)", "a `)` closes nothing"),
        ("()", "a `)` stands where a field"),
        ("status=1 or", "something is missing at the end"),
        ("and status=1", "there is nothing before `and`"),
        ("status=1 or or status=2", "there is nothing before `or`"),
        ("route=\"a", "a `\"` has no end"),
        ("\"route\"=a", "`route` is in quotation marks"),
        (&"not ".repeat(40), "32 deep"),
        (&"(".repeat(40), "32 deep"),
        (&"a".repeat(2000), "longer than 1024"),
    ] {
        let why = text.parse::<LineFilter>().expect_err(text);
        assert!(why.contains(words), "{text}: {why}");
    }
}

#[test]
fn every_field_of_a_line_can_be_asked_for_and_no_other() {
    // In this order a line writes them; its time is for those who read it.
    let source = include_str!("../access_log/line.rs");
    let written = source.split("fn write(").nth(1).expect("it writes").split("\n    }\n").next().expect("an end");
    let names: Vec<&str> = written.split("(out, \"").skip(1).map(|rest| rest.split('"').next().expect("a name")).collect();
    let asked: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).filter(|name| !["duration", "overhead"].contains(name)).collect();

    assert_eq!(asked, names);
}

#[test]
fn what_is_asked_as_a_whole_is_told_to_those_who_know_all_names() {
    let filter = filter("route=a or not (route!=b upstream=c) or route~d or limit_key=x");

    assert_eq!(filter.named("route").collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(filter.named("upstream").collect::<Vec<_>>(), ["c"]);
    assert!(filter.reads_names());
    assert!(LineFilter::from_str("sub~a").is_ok_and(|filter| filter.reads_names()));
    assert!(!LineFilter::from_str("route=a").is_ok_and(|filter| filter.reads_names()));
}
