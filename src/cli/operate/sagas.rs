//! `frontgate saga`: which sagas the running gateway has, what became of one, and what an operator does about it.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use frontgate_filters::words::units::Duration;

use super::reach::{Answered, Gateway};
use super::told::shown;
use super::{encoded, indented, is_refusal, refusal};
use crate::cli::check::Format;
use crate::cli::table::{Column, table};
use crate::cli::{Admin, exit, fail};
use crate::status::{SagaBrief, SagaList, SagaObeyed, SagaState, SagaStatus};

/// What is wanted of the sagas.
#[derive(clap::Subcommand)]
pub(in crate::cli) enum OnSaga {
    /// List those that have not ended, the oldest of each state first
    List {
        #[command(flatten)]
        admin: Admin,
        /// Only those in this state, which may be one of an end
        #[arg(long, value_enum)]
        state: Option<SagaState>,
        /// Only those that began on this route
        #[arg(long, value_name = "NAME")]
        route: Option<String>,
        /// Only those that began so long ago or longer, such as 1h
        #[arg(long, value_name = "TIME")]
        older: Option<Duration>,
        /// Only what a client knows by this key, in whatever state it is. A key of several parts takes this once for each, in the order of the
        /// configuration
        #[arg(long, value_name = "KEY")]
        key: Vec<String>,
        /// For people, or as JSON for programs
        #[arg(long, value_enum, default_value = "human")]
        format: Format,
    },
    /// Show one: what its steps and their undos came to, what is tried next, and what operators did
    Show {
        #[command(flatten)]
        one: One,
        /// For people, or as JSON for programs
        #[arg(long, value_enum, default_value = "human")]
        format: Format,
    },
    /// Have a stuck one tried again where it stopped, with times that begin anew
    Retry {
        #[command(flatten)]
        one: One,
    },
    /// Give a stuck one up: nothing is sent for it any more, and what it did stays as it is
    Abandon {
        #[command(flatten)]
        one: One,
        /// Why, for whoever asks later
        #[arg(long, value_name = "TEXT")]
        note: String,
    },
    /// Take back what a done one did, its last undo first
    ///
    /// It is refused where the last step has no undo, which would stand without what was done for it: `--leave` with its name says that this is
    /// wanted, and the others are taken back. It is refused for one that has not ended; of a stuck one, `--leave` with the step that it is stuck
    /// at takes back what was done before that. It is refused as well where nothing would be taken back. What the client was answered stays.
    Undo {
        #[command(flatten)]
        one: One,
        /// A step that stays as it is; may be given several times
        #[arg(long, value_name = "STEP")]
        leave: Vec<String>,
    },
}

/// A saga of the running gateway.
#[derive(clap::Args)]
pub(in crate::cli) struct One {
    #[command(flatten)]
    admin: Admin,
    /// Its id, or as much of the beginning as no other one has: `saga` in the answer or in the log
    id: String,
}

/// Asks, and prints the answer.
pub(in crate::cli) fn run(path: Option<&Path>, what: &OnSaga) -> ExitCode {
    let (admin, format) = match what {
        OnSaga::List { admin, format, .. } => (admin, *format),
        OnSaga::Show { one, format } => (&one.admin, *format),
        OnSaga::Retry { one } | OnSaga::Abandon { one, .. } | OnSaga::Undo { one, .. } => (&one.admin, Format::Human),
    };
    let gateway = Gateway::find(path, admin);
    let (method, target) = target(what);
    let Answered { code, body } = match gateway.ask(method, &target) {
        Ok(answered) => answered,
        Err(why) => return fail(exit::UNAVAILABLE, &why),
    };
    if code != 200 {
        if !is_refusal(&body) {
            return fail(exit::UNAVAILABLE, &gateway.is_another());
        }
        let _ = std::io::stderr().write_all(refusal(&body).as_bytes());
        return ExitCode::from(exit::RUNTIME);
    }
    let text = match what {
        OnSaga::List { .. } => serde_json::from_slice(&body).map(|told| list(&told, &none(what))),
        OnSaga::Show { .. } => serde_json::from_slice(&body).map(|told| whole(&told)),
        _ => serde_json::from_slice(&body).map(|told| obeyed(&told)),
    };
    let Ok(text) = text else { return fail(exit::UNAVAILABLE, &gateway.is_another()) };
    let text = if format == Format::Json { indented(&body) } else { text };
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// What the admin address is asked for.
fn target(what: &OnSaga) -> (&'static str, String) {
    let at = |one: &One, rest: &str| format!("/-/sagas/{}{rest}", encoded(&one.id));
    match what {
        OnSaga::List { state, route, older, key, .. } => {
            let asked = [
                state.map(|state| format!("state={}", state.label())),
                route.as_ref().map(|route| format!("route={}", encoded(route))),
                older.map(|older| format!("older={older}")),
            ];
            let key = key.iter().map(|part| format!("key={}", encoded(part)));
            let asked = asked.into_iter().flatten().chain(key).collect::<Vec<_>>().join("&");
            ("GET", if asked.is_empty() { "/-/sagas".to_owned() } else { format!("/-/sagas?{asked}") })
        }
        OnSaga::Show { one, .. } => ("GET", at(one, "")),
        OnSaga::Retry { one } => ("POST", at(one, "/retry")),
        OnSaga::Abandon { one, note } => ("POST", at(one, &format!("/abandon?note={}", encoded(note)))),
        OnSaga::Undo { one, leave } => {
            let leave = leave.iter().map(|step| format!("leave={}", encoded(step))).collect::<Vec<_>>().join("&");
            ("POST", at(one, &if leave.is_empty() { "/undo".to_owned() } else { format!("/undo?{leave}") }))
        }
    }
}

/// What is said where no saga was found.
fn none(what: &OnSaga) -> String {
    match what {
        OnSaga::List { key, .. } if !key.is_empty() => {
            "No saga is known by this key. One of several parts takes `--key` for each, in the order of \
             the configuration; a route that is gone from there takes `--route`.\n"
                .to_owned()
        }
        OnSaga::List { state, route, older, .. } => {
            let which = if route.is_none() && older.is_none() { "No saga" } else { "No saga that was asked for" };
            format!("{which} is {}.\n", state.map_or("open", SagaState::label))
        }
        _ => String::new(),
    }
}

/// What became of an order.
fn obeyed(told: &SagaObeyed) -> String {
    let stays = match &*told.stays {
        [] => String::new(),
        [only] => format!("; `{}` stays as it is", shown(only)),
        several => format!("; {} stay as they are", several.iter().map(|step| format!("`{}`", shown(step))).collect::<Vec<_>>().join(", ")),
    };
    format!("The saga {} is {} now{stays}.\n", told.id, told.state.label())
}

/// Several, a line each.
fn list(told: &SagaList, none: &str) -> String {
    let rows = told.sagas.iter().map(|saga| {
        let attempts = saga.attempts.map_or_else(|| "-".to_owned(), |attempts| attempts.to_string());
        let next = saga.next_attempt_ms.map_or_else(|| "-".to_owned(), |next| format!("in {}", span(next)));
        let or_dash = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), shown);
        [
            saga.id.clone(),
            saga.route.clone(),
            saga.state.label().to_owned(),
            or_dash(&saga.step),
            span(saga.age_ms),
            attempts,
            next,
            or_dash(&saga.trouble),
        ]
    });
    let columns = [
        Column::Left("SAGA"),
        Column::Left("ROUTE"),
        Column::Left("STATE"),
        Column::Left("STEP"),
        Column::Right("AGE"),
        Column::Right("TRIED"),
        Column::Left("NEXT"),
        Column::Left("TROUBLE"),
    ];
    let mut text = table(columns, &rows.collect::<Vec<_>>());
    if text.is_empty() && told.complete && told.unreadable.is_empty() {
        none.clone_into(&mut text);
    }
    // A string takes whatever is written to it.
    let _ = match (told.more, told.complete) {
        (0, true) => Ok(()),
        (more, true) => writeln!(text, "And {more} more: `--state`, `--route` and `--older` choose among them."),
        (more, false) => {
            writeln!(text, "And {more} more at least, for not all were looked at: `--state`, `--route` and `--older` choose among them.")
        }
    };
    if !told.unreadable.is_empty() {
        let _ = writeln!(text, "Cannot be read, so that nobody goes on with them: {}.", shown(&told.unreadable.join(", ")));
    }
    text
}

/// One with everything.
fn whole(told: &SagaStatus) -> String {
    let brief = &told.brief;
    let mut out = String::new();
    let mut say = |name: &str, text: &str| {
        // A string takes whatever is written to it.
        let _ = writeln!(out, "{name:<8} {text}");
    };
    say("saga", &brief.id);
    say("route", &brief.route);
    say("state", &state(brief));
    say("begun", &format!("{}, {} ago, by request {}", brief.begun, span(brief.age_ms), shown(&told.request_id)));
    say("changed", &format!("{}, {} ago", told.changed, span(brief.unchanged_ms)));
    if let Some(attempts) = brief.attempts {
        let next = brief.next_attempt_ms.map(|next| format!(", again in {}", span(next))).unwrap_or_default();
        say("tried", &format!("{attempts} times{next}"));
    }
    if let Some(trouble) = &brief.trouble {
        say("trouble", &shown(trouble));
    }
    if let Some(failure) = &told.failure {
        say("failed", &shown(failure));
    }
    if let Some(answer) = &told.answer {
        say("answer", &format!("{} {}, {} bytes", answer.status, shown(&answer.content_type), answer.bytes));
    }
    if let Some(bytes) = told.body_bytes {
        say("body", &format!("{bytes} bytes of its client"));
    }
    for (name, value) in &told.facts {
        say("fact", &format!("{} {}", shown(name), shown(value)));
    }
    for act in &told.acts {
        let note = act.note.as_deref().map(|note| format!(": {}", shown(note))).unwrap_or_default();
        say("act", &format!("{} {} by {}{note}", act.at, act.what, shown(&act.who)));
    }
    for way in &told.ways {
        say("way", &shown(&way.command));
        say("", &shown(&way.when));
    }
    let rows = told.steps.iter().map(|step| {
        let place = |name: &str| if name.is_empty() { "all of it".to_owned() } else { shown(name) };
        let values = step.values.iter().map(|(name, value)| format!("{} {}", place(name), shown(value))).collect::<Vec<_>>();
        let values = if values.is_empty() { "-".to_owned() } else { values.join(", ") };
        let undo = step.undo.map_or("-", |undo| undo.label());
        [step.name.clone(), step.came_to.label().to_owned(), undo.to_owned(), step.key.clone(), values]
    });
    let columns =
        [Column::Left("STEP"), Column::Left("CAME TO"), Column::Left("UNDO"), Column::Left("IDEMPOTENCY-KEY"), Column::Left("VALUES")];
    out.push('\n');
    out.push_str(&table(columns, &rows.collect::<Vec<_>>()));
    if told.steps.iter().any(|step| step.asks.is_some()) {
        let or_dash = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), shown);
        let rows = told.steps.iter().map(|step| [step.name.clone(), or_dash(&step.asks), or_dash(&step.undo_asks)]);
        out.push('\n');
        out.push_str(&table([Column::Left("STEP"), Column::Left("ASKS"), Column::Left("UNDO ASKS")], &rows.collect::<Vec<_>>()));
        out.push_str("An undo carries the key of its step with `-undo` behind it.\n");
    }
    out
}

fn state(brief: &SagaBrief) -> String {
    let step = brief.step.as_deref().map(|step| format!(" at {step}")).unwrap_or_default();
    format!("{}{step}", brief.state.label())
}

/// A time that is gone or to come, in its largest whole unit: sagas go on for days.
fn span(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis}ms"),
        1_000..120_000 => format!("{}s", millis / 1_000),
        120_000..7_200_000 => format!("{}m", millis / 60_000),
        7_200_000..172_800_000 => format!("{}h", millis / 3_600_000),
        _ => format!("{}d", millis / 86_400_000),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    const STUCK: &str = r#""id":"0190aaaa-0000-7000-8000-000000000001","route":"checkout","state":"stuck","step":"charge/undo","begun":"2026-02-03T04:05:06Z",
        "age_ms":90000000,"unchanged_ms":61000,"attempts":12,"next_attempt_ms":null,"trouble":"the undo never succeeded: status 503""#;

    /// What is wanted by who types this.
    fn understood(words: &[&str]) -> OnSaga {
        Typed::try_parse_from([&["saga"], words].concat()).expect("it is understood").what
    }

    #[derive(clap::Parser)]
    struct Typed {
        #[command(subcommand)]
        what: OnSaga,
    }

    #[test]
    fn a_list_is_a_table_that_says_how_many_more_there_are() {
        let running = r#"{"id":"0190aaab-0000-7000-8000-000000000002","route":"checkout","state":"running","begun":"2026-02-03T04:05:06Z","age_ms":800,
            "unchanged_ms":10,"attempts":2,"next_attempt_ms":399}"#;
        let told = |more: u64, complete: bool| -> SagaList {
            serde_json::from_str(&format!(r#"{{"sagas":[{running},{{{STUCK}}}],"more":{more},"complete":{complete}}}"#)).expect("a list")
        };

        assert_eq!(
            list(&told(0, true), ""),
            "\
SAGA                                  ROUTE     STATE    STEP         AGE    TRIED  NEXT      TROUBLE
0190aaab-0000-7000-8000-000000000002  checkout  running  -            800ms      2  in 399ms  -
0190aaaa-0000-7000-8000-000000000001  checkout  stuck    charge/undo    25h     12  -         the undo never succeeded: status 503
"
            .replace("STEP         AGE    TRIED", "STEP           AGE  TRIED")
        );
        assert!(list(&told(7, true), "").ends_with("\nAnd 7 more: `--state`, `--route` and `--older` choose among them.\n"));
        assert!(list(&told(7, false), "").contains("And 7 more at least"));
        let none = SagaList { sagas: Vec::new(), more: 0, complete: true, unreadable: Vec::new() };
        let unreadable = SagaList { unreadable: vec!["0197c5a0".to_owned()], ..none.clone() };
        assert_eq!(list(&unreadable, "None.\n"), "Cannot be read, so that nobody goes on with them: 0197c5a0.\n");
        let words = |typed: &[&str]| list(&none, &super::none(&understood(typed)));
        assert_eq!(words(&["list"]), "No saga is open.\n");
        assert_eq!(words(&["list", "--state", "stuck"]), "No saga is stuck.\n");
        assert_eq!(words(&["list", "--state", "stuck", "--older", "1h"]), "No saga that was asked for is stuck.\n");
        assert!(words(&["list", "--key", "key-of-nobody-else"]).starts_with("No saga is known by this key."));
    }

    #[test]
    fn one_is_told_with_its_steps_and_without_what_a_terminal_would_obey() {
        let told = format!(
            r#"{{{STUCK},"changed":"2026-02-04T04:05:06Z","request_id":"r1\u001b[31m","failure":"confirm: status 409","definition":"ab",
            "facts":{{"claim.sub":"2qBkOmhlYSfKRL94"}},"answer":{{"status":502,"content_type":"application/problem+json","bytes":210}},
            "acts":[{{"at":"2026-02-04T05:00:00Z","who":"127.0.0.1:4711 without a token","what":"retry","note":"not \u202eso"}}],
            "ways":[{{"command":"frontgate saga retry 0190","when":"when its service is mended"}}],
            "steps":[
                {{"name":"reserve","key":"0190-reserve","came_to":"done","undo":"waiting","values":{{"":"AAAAOmhlYSfKRL94"}},
                 "asks":"POST stock /r","undo_asks":"DELETE stock /r/{{reserve.key}}"}},
                {{"name":"charge","key":"0190-charge","came_to":"done","undo":"stuck"}},
                {{"name":"confirm","key":"0190-confirm","came_to":"failed","undo":"stays"}},
                {{"name":"tell","key":"0190-tell","came_to":"never_made"}}]}}"#
        );

        let told = whole(&serde_json::from_str(&told).expect("a saga"));

        assert_eq!(
            told,
            "\
saga     0190aaaa-0000-7000-8000-000000000001
route    checkout
state    stuck at charge/undo
begun    2026-02-03T04:05:06Z, 25h ago, by request r1\u{fffd}[31m
changed  2026-02-04T04:05:06Z, 61s ago
tried    12 times
trouble  the undo never succeeded: status 503
failed   confirm: status 409
answer   502 application/problem+json, 210 bytes
fact     claim.sub 2qBkOmhlYSfKRL94
act      2026-02-04T05:00:00Z retry by 127.0.0.1:4711 without a token: not \u{fffd}so
way      frontgate saga retry 0190
         when its service is mended

STEP     CAME TO     UNDO     IDEMPOTENCY-KEY  VALUES
reserve  done        waiting  0190-reserve     all of it AAAAOmhlYSfKRL94
charge   done        stuck    0190-charge      -
confirm  failed      stays    0190-confirm     -
tell     never made  -        0190-tell        -

STEP     ASKS           UNDO ASKS
reserve  POST stock /r  DELETE stock /r/{reserve.key}
charge   -              -
confirm  -              -
tell     -              -
An undo carries the key of its step with `-undo` behind it.
"
        );
    }

    #[test]
    fn what_is_typed_is_asked_for_as_the_admin_address_takes_it() {
        let asked = |words: &[&str]| target(&understood(words));

        for (words, method, target) in [
            (&["list"][..], "GET", "/-/sagas"),
            (&["list", "--state", "stuck", "--route", "a/b", "--older", "1h"], "GET", "/-/sagas?state=stuck&route=a%2Fb&older=1h"),
            (&["show", "0190"], "GET", "/-/sagas/0190"),
            (&["show", "0190-a"], "GET", "/-/sagas/0190%2Da"),
            (&["retry", "../x"], "POST", "/-/sagas/%2E%2E%2Fx/retry"),
            (&["abandon", "0190", "--note", "by phone & mail"], "POST", "/-/sagas/0190/abandon?note=by%20phone%20%26%20mail"),
            (&["undo", "0190"], "POST", "/-/sagas/0190/undo"),
            (&["undo", "0190", "--leave", "confirm", "--leave", "a&b"], "POST", "/-/sagas/0190/undo?leave=confirm&leave=a%26b"),
            (&["list", "--key", "user 1", "--key", "k&1"], "GET", "/-/sagas?key=user%201&key=k%261"),
        ] {
            assert_eq!(asked(words), (method, target.to_owned()), "{words:?}");
        }
        assert!(Typed::try_parse_from(["saga", "abandon", "0190"]).is_err(), "nobody knows why");
        assert!(Typed::try_parse_from(["saga", "list", "--state", "lost"]).is_err());
    }
}
