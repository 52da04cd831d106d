//! `saga`: steps that can be made one after the other and taken back, and a place to remember them in.

use frontgate_filters::registry::FilterConfig;
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::{Place, Spanned};
use http::Method;
use http::header::{AUTHORIZATION, COOKIE};

use super::reading::Uses;
use super::{json, name, requests};
use crate::compose::reference::{Origin, Scope};
use crate::config::check::Report;
use crate::config::check::filters::{Used, resolved};
use crate::config::model::{Call, Config, OnMissingKey, Route, Saga, SagaStep, Target, Undo};
use crate::router::Pattern;

/// The most steps of one.
const MOST_STEPS: usize = 32;
/// The most attempts of a step.
const MOST_ATTEMPTS: u32 = 100;

/// Checks the sagas of all routes.
pub(super) fn check(config: &Config, report: &mut Report<'_, '_>) {
    for route in &config.routes {
        for target in route.target.written() {
            if let Target::Saga(saga) = target {
                self::saga(config, route, saga, report);
            }
        }
    }
}

fn saga(config: &Config, route: &Route, saga: &Spanned<Saga>, report: &mut Report<'_, '_>) {
    let key = report.tree.key_of(saga.place);
    if !cfg!(feature = "saga") {
        report.helped(key, "this build has no sagas", Some("build it with `--features saga`".to_owned()));
    }
    if config.server.state_dir.is_none() {
        let help = "write `server: {state_dir: /var/lib/frontgate}`: a directory that stays".to_owned();
        report.helped(key, "a saga has to be remembered, and `server.state_dir` names no place for that", Some(help));
    }
    times(route, saga, report);
    self::key(saga, key, report);
    around(config, route, key, report);
    let path = Pattern::parse(&route.path).ok();
    let names: Vec<&str> = saga.steps().map(|(name, _)| name).collect();
    if names.is_empty() {
        report.lacking(saga.steps.place, "a saga has at least one step");
    }
    if names.len() > MOST_STEPS {
        report.error(saga.steps.place, format!("a saga has at most {MOST_STEPS} steps, and these are {}", names.len()));
    }
    for (name, step) in saga.steps() {
        if name.strip_suffix("-undo").is_some_and(|undone| names.contains(&undone)) {
            let message = format!("a step called `{name}` would have the key of another step's undo: `Idempotency-Key: <saga>-{name}`");
            report.error(report.tree.key_of(step.place), message);
        }
    }
    let last = names.len().saturating_sub(1);
    for (index, (name, step)) in saga.steps().enumerate() {
        self::name(name, report.tree.key_of(step.place), path.as_ref(), report);
        self::step(step, index == last, report);
    }
    // Without the route's path nobody knows its variables.
    let Some(path) = path else { return };
    let scope = Scope { path: &path, calls: &names, each: false, saga: true };
    let mut read = Vec::new();
    for (index, (name, step)) in saga.steps().enumerate() {
        let call = Spanned { value: &step.call, place: step.place };
        let uses = self::call(call, scope, report);
        later(&uses, &names, index, false, report);
        read.push(uses);
        if let Some(Spanned { value: Undo::Call(undo), place }) = &step.undo {
            let uses = self::call(Spanned { value: undo, place: *place }, scope, report);
            later(&uses, &names, index, true, report);
            lost(&uses, name, index, report);
            read.push(uses);
        }
    }
    if let Some(answer) = &saga.answer {
        let mut uses = Uses::none();
        json::read(answer, scope, &mut uses, report);
        read.push(uses);
    }
    claims(config, route, saga, &read, report);
    anybody(config, route, saga, key, &read, report);
}

/// Reads what a call refers to.
fn call<'c>(call: Spanned<&'c Call>, scope: Scope<'_>, report: &mut Report<'_, '_>) -> Uses<'c> {
    let mut uses = Uses::none();
    for (_, target) in &call.value.requests {
        requests::target(target, scope, &mut uses, report);
        kept(target, report);
    }
    for value in call.value.headers.values() {
        requests::header(value, scope, &mut uses, report);
        if value.value.contains(['{', '}']) {
            kept(value, report);
        }
    }
    if let Some(body) = &call.value.body {
        json::read(body, scope, &mut uses, report);
    }
    uses
}

/// What the environment brings is kept with each saga where it is no header of its own.
fn kept(value: &Spanned<String>, report: &mut Report<'_, '_>) {
    if report.tree.is_from_environment(value.place) {
        let message = "what the environment brings to this is kept with each saga: in clear, and as it was when the saga began";
        let help = "a header without references is not kept: each attempt has it from the configuration in force".to_owned();
        report.warn(value.place, message, Some(help));
    }
}

/// Whether a key tells one request of a client from another, and whether one that is made up can be asked with.
fn key(saga: &Saga, otherwise: Place, report: &mut Report<'_, '_>) {
    let place = saga.key.0.iter().map(|selector| selector.place).find(|place| *place != Place::default()).unwrap_or(otherwise);
    let is_of_all = |selector: &Selector| {
        use Selector::{ClientIp, Device, Host, Method, Route, Scheme, TlsSni, TlsVersion, Version};
        matches!(selector, ClientIp | Device | Host | Method | Route | Scheme | TlsSni | TlsVersion | Version)
    };
    let help = || Some("list `header.Idempotency-Key`".to_owned());
    if saga.key.0.iter().all(|selector| is_of_all(&selector.value)) {
        let message = "nothing of this key tells one request from another: whoever asks next would be told the answer to the first";
        report.helped(place, message, help());
    } else if saga.on_missing_key == OnMissingKey::Generate
        && !saga.key.0.iter().any(|selector| matches!(&selector.value, Selector::Header(name) if name.as_str() == "idempotency-key"))
    {
        let message = "a key that is made up (`on_missing_key: generate`) is told as `Idempotency-Key`, and this key has no such part: nobody could ask with it";
        report.helped(place, message, help());
    }
}

fn times(route: &Route, saga: &Saga, report: &mut Report<'_, '_>) {
    for (key, time, why) in [
        ("deadline", &saga.deadline, "no step would be made"),
        ("give_up", &saga.give_up, "no undo would be tried again"),
        ("keep", &saga.keep, "no client could ask again"),
    ] {
        if time.0.is_zero() {
            report.error(time.place, format!("`{key}` is 0: {why}"));
        }
    }
    if let Some(timeout) = route.timeout
        && saga.wait.place != Place::default()
        && saga.wait.0 > timeout.0
    {
        let message =
            format!("a client is kept for `wait` ({}) at most, and its request is over sooner (`timeout`, {timeout})", saga.wait.value);
        report.warn(saga.wait.place, message, Some(format!("it gets 202 shortly before {timeout}")));
    }
    if saga.give_up.0 < saga.deadline.0 && !saga.give_up.0.is_zero() {
        let place = if saga.give_up.place == Place::default() { saga.deadline.place } else { saga.give_up.place };
        let message = format!(
            "what was done within `deadline` ({}) is to be taken back within `give_up` ({}): a service that is away for so long leaves the saga stuck",
            saga.deadline.value, saga.give_up.value
        );
        report.warn(place, message, Some("let `give_up` be hours: a service that was away is back by then".to_owned()));
    }
    if saga.keep.0 < saga.deadline.0 && !saga.keep.0.is_zero() {
        let place = if saga.keep.place == Place::default() { saga.deadline.place } else { saga.keep.place };
        let message = format!(
            "ends are remembered (`keep`, {}) for less than a saga may go on (`deadline`, {}): a client that asks again would begin anew",
            saga.keep.value, saga.deadline.value
        );
        report.error(place, message);
    }
}

/// What is wrong with a step whatever the others are.
fn step(step: &Spanned<SagaStep>, is_last: bool, report: &mut Report<'_, '_>) {
    let call = Spanned { value: step.call.clone(), place: step.place };
    request(&call, report);
    match &step.undo {
        None if !is_last => {
            let message = "a step says how it is taken back: write `undo`, or `undo: none` where there is nothing to take back";
            report.lacking(step.place, message);
        }
        None | Some(Spanned { value: Undo::Nothing, .. }) => {}
        Some(Spanned { value: Undo::Call(undo), place }) => request(&Spanned { value: (**undo).clone(), place: *place }, report),
    }
    if let Some(attempts) = &step.attempts
        && !(1..=MOST_ATTEMPTS).contains(&attempts.value)
    {
        report.error(attempts.place, format!("`attempts` is a number from 1 to {MOST_ATTEMPTS}"));
    }
    let never = [
        ("when", step.call.when.as_ref().map(|when| when.place), "a saga whose steps are not all made could not be told from one that is"),
        ("otherwise", step.call.otherwise.as_ref().map(|otherwise| otherwise.place), "a step that fails takes back what is done"),
        ("optional", step.call.optional.as_ref().map(|optional| optional.place), "a step that fails takes back what is done"),
        ("each", step.call.each.as_ref().map(|each| each.place), "a step is one call, which is known by one key"),
    ];
    for (key, place, why) in never {
        if let Some(place) = place {
            report.error(report.tree.key_of(place), format!("a step has no `{key}`: {why}"));
        }
    }
}

fn request(call: &Spanned<Call>, report: &mut Report<'_, '_>) {
    requests::check(super::at(call), report);
    if let Some((name, value)) = call.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("idempotency-key")) {
        let help = "its value is `{STEP.key}`, where something else needs it".to_owned();
        report.helped(
            report.tree.key_of(value.place),
            format!("`{name}` is said by the gateway: the same for all attempts of a step"),
            Some(help),
        );
    }
    if let Some(timeout) = call.timeout.as_ref().filter(|timeout| timeout.0.is_zero()) {
        report.error(timeout.place, "`timeout` is 0: it would always fail");
    }
}

/// References to what is not there yet.
fn later(uses: &Uses<'_>, names: &[&str], index: usize, is_undo: bool, report: &mut Report<'_, '_>) {
    for found in &uses.all {
        let (step, is_key) = match &found.origin {
            Origin::Call(step, _) => (*step, false),
            Origin::Key(step) => (*step, true),
            _ => continue,
        };
        let (text, range) = (found.part.text, found.part.range.clone());
        if step > index {
            let message = format!("`{}` comes after `{}`: a step refers to those before it", names[step], names[index]);
            report.inside(text, range, message, None);
        } else if step == index && !is_key && !is_undo {
            let help = format!("its own key is `{{{}.key}}`", names[index]);
            report.inside(text, range, format!("`{}` has no answer yet where it is asked", names[index]), Some(help));
        }
    }
}

/// An undo that cannot be sent where the answer to its step was lost.
fn lost(uses: &Uses<'_>, name: &str, index: usize, report: &mut Report<'_, '_>) {
    if let Some(found) = uses.all.iter().find(|found| matches!(found.origin, Origin::Call(step, _) if step == index)) {
        let message = format!(
            "this undo needs the answer to `{name}`: where that is lost the step is asked once more, and where it cannot be had the saga is stuck"
        );
        let help = format!("where the service can be asked by the key of the step, write `{{{name}.key}}`");
        report.doubt_inside(found.part.text, found.part.range.clone(), message, Some(help));
    }
}

/// Filters and methods of the route that mean nothing around a saga, or too much. Of keys that do it is told with all that need an `upstream`.
fn around(config: &Config, route: &Route, key: Place, report: &mut Report<'_, '_>) {
    let list = resolved(config, &config.server.filters).chain(resolved(config, &route.filters));
    for (used, entry) in list {
        let Some(entry) = entry else { continue };
        if let FilterConfig::CircuitBreaker(breaker) = &entry.config
            && !breaker.fallback.is_empty()
        {
            let message = "a step is done or it is not: a circuit breaker of a saga has no `fallback`";
            report.both(used.place, message, key, "this makes steps");
        }
        if entry.config.options().needs_grpc() {
            report.both(used.place, "this filter makes gRPC calls of requests, and a saga answers them with JSON", key, "this makes calls");
        }
    }
    if let Some(methods) = &route.methods {
        for method in methods.iter().filter(|method| method.value == "OPTIONS") {
            report.error(method.place, "`OPTIONS` begins no saga: it asks what may be asked");
        }
        let has = |wanted: &dyn Fn(&str) -> bool| methods.iter().any(|method| wanted(&method.value));
        if !has(&|method| !matches!(method, "GET" | "HEAD")) {
            report.error(methods.place, "nothing begins a saga here: GET asks what became of one; list POST, too");
        } else if !has(&|method| method == Method::GET.as_str()) {
            let help = Some("list GET, too".to_owned());
            report.warn(methods.place, "a client that does not wait for the end cannot ask what became of it", help);
        }
    }
}

/// Claims that nobody has verified.
fn claims(config: &Config, route: &Route, saga: &Saga, read: &[Uses<'_>], report: &mut Report<'_, '_>) {
    let list: Vec<Used<'_>> = resolved(config, &config.server.filters).chain(resolved(config, &route.filters)).collect();
    // A filter that could not be read may have been the one that is missed.
    let unsure = report.tree.torn || list.iter().any(|(_, entry)| entry.is_none());
    if unsure || list.iter().any(|(_, entry)| entry.is_some_and(|entry| entry.config.options().identifies())) {
        return;
    }
    let told = |selector: &Selector| format!("`{selector}` is read here, and no filter of this route verifies a token");
    let help = || Some("list a `jwt` in `filters`".to_owned());
    for selector in saga.key.0.iter().filter(|selector| selector.reads_claims()) {
        report.helped(selector.place, told(&selector.value), help());
    }
    for found in read.iter().flat_map(|uses| &uses.all) {
        if let Origin::Selector(selector) = &found.origin
            && selector.reads_claims()
        {
            report.inside(found.part.text, found.part.range.clone(), told(selector), help());
        }
    }
}

/// Whether nobody else has the same by chance, or knows it from hearsay.
fn is_of_the_caller(selector: &Selector) -> bool {
    match selector {
        Selector::Header(name) => *name == AUTHORIZATION || *name == COOKIE,
        Selector::Cookie(_) => true,
        selector => selector.reads_claims() || selector.is_of_certificate(),
    }
}

/// Answers that anybody is told who knows the key, where steps are made for one caller: who asks with GET says nothing else to be compared.
fn anybody(config: &Config, route: &Route, saga: &Saga, key: Place, read: &[Uses<'_>], report: &mut Report<'_, '_>) {
    if saga.key.0.iter().any(|selector| is_of_the_caller(&selector.value)) {
        return;
    }
    let mut list = resolved(config, &config.server.filters).chain(resolved(config, &route.filters));
    let verified = list.any(|(_, entry)| entry.is_some_and(|entry| entry.config.options().identifies()));
    let named = read.iter().flat_map(|uses| &uses.all).find_map(|found| match &found.origin {
        Origin::Selector(selector) if is_of_the_caller(selector) => Some((selector, &found.written)),
        _ => None,
    });
    let (why, help) = match (verified, named) {
        (false, None) => return,
        (true, _) => ("this route verifies tokens".to_owned(), "write `key: [claim.sub, header.Idempotency-Key]`".to_owned()),
        // A claim that nobody verifies is an error already.
        (false, Some((selector, _))) if selector.reads_claims() => return,
        // A token is another one when it was renewed, and would be another key.
        (false, Some((Selector::Header(_), written))) => {
            let help = "list a `jwt` in `filters`, and write `key: [claim.sub, header.Idempotency-Key]`";
            (format!("steps refer to `{written}`"), help.to_owned())
        }
        (false, Some((selector, written))) => {
            (format!("steps refer to `{written}`"), format!("write `key: [{selector}, header.Idempotency-Key]`"))
        }
    };
    let place = saga.key.0.iter().map(|selector| selector.place).find(|place| *place != Place::default()).unwrap_or(key);
    let message = format!("whoever sends the same key is told the answer to another: {why}, and the key holds nothing of the caller");
    report.warn(place, message, Some(help));
}
