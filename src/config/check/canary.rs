//! `canary` and reads and writes apart: versions that can be told from each other, shares that fit into a whole, facts that can be known.

use std::collections::HashSet;

use frontgate_filters::words::matching::{Match, Wanted};
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::{Place, Spanned};
use http::HeaderName;

use super::Report;
use super::filters::{Used, entries, resolved};
use crate::config::model::{AfterWrite, CanaryOptions, Config, MOST_VARIANTS, Route, Split, Target, Upstream, Variant};

/// The name of the route's own upstream where a version is named.
const STABLE: &str = "stable";
/// Longer than this nobody's replicas lag behind.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

pub(super) fn check(config: &Config, report: &mut Report<'_, '_>) {
    let verified: HashSet<HeaderName> = entries(config).flat_map(|entry| entry.config.options().identity_headers()).collect();
    for route in &config.routes {
        for target in route.target.written() {
            if let Target::Apart(split) = target {
                self::split(split, report);
            }
        }
        versions(config, route, &verified, report);
        filters(config, route, report);
    }
}

fn versions(config: &Config, route: &Route, verified: &HashSet<HeaderName>, report: &mut Report<'_, '_>) {
    let Some(first) = route.canary.first() else {
        if let Some(options) = &route.canary_options {
            let place = report.tree.key_of(options.place);
            report.lacking(place, "`canary_options` belong to `canary`, which this route has not");
        }
        return;
    };
    if route.target.makes_calls() {
        return;
    }
    if !route.target.is_proxied() {
        report.lacking(first.place, "`canary` chooses between an upstream and others, but this route has no `upstream`");
        return;
    }
    if route.canary.len() > MOST_VARIANTS {
        report.error(route.canary[MOST_VARIANTS].place, format!("a route has at most {MOST_VARIANTS} versions beside its own upstream"));
    }
    let options = route.canary_options.as_ref().map(|options| &options.value);
    if let Some(options) = options {
        sticky(options, report);
    }
    let mut sum = 0.0;
    for (index, variant) in route.canary.iter().enumerate() {
        let earlier = &route.canary[..index];
        name(variant, earlier, report);
        serves(config, route, variant, report);
        if let Some(share) = &variant.share {
            sum += share.0;
            // What rounding adds is no share.
            if sum > 1.0 + 1e-9 && sum - share.0 <= 1.0 + 1e-9 {
                report.error(share.place, format!("the shares up to this one are {}% of the requests, more than all", rounded(sum)));
            }
        } else if let Some(by) = &variant.by {
            report.warn(by.place, "`by` says whom a `share` draws, and there is none".to_owned(), None);
        }
        if variant.share.is_none() && variant.matches.is_none() {
            report.lacking(variant.version.place, format!("nobody gets the version `{}`: write `share` or `match`", variant.version.value));
        }
        if let Some(matches) = &variant.matches {
            self::matches(config, route, variant, matches, verified, report);
            let takes = |other: &Match| {
                let goes_before = says(&matches.value) && !says(other);
                !other.facts.is_empty() && !goes_before && matches.value.implies(other)
            };
            if let Some(other) = earlier.iter().find(|other| other.matches.as_ref().is_some_and(|other| takes(other))) {
                let message = format!("whoever this matches gets `{}` before", other.version.value);
                report.warn(matches.place, message, Some("write the narrower one first".to_owned()));
            }
        }
    }
    let none_left = |upstream: &Upstream| {
        let taken =
            |version: &str| route.canary.iter().any(|variant| variant.endpoints.as_ref().is_some_and(|taken| taken.value == version));
        upstream.discover.is_none()
            && !upstream.endpoints.is_empty()
            && upstream.endpoints.iter().all(|one| one.version.as_ref().is_some_and(|version| taken(version)))
    };
    for name in route.target.upstreams() {
        if config.upstreams.get(name.as_str()).is_some_and(|upstream| none_left(upstream)) {
            report.error(
                name.place,
                format!("every endpoint of the upstream `{}` is one of `canary`'s: none is left for `{STABLE}`", name.value),
            );
        }
    }
}

/// Whether a match asks for what clients say of themselves: that goes before all other facts.
fn says(matches: &Match) -> bool {
    matches.facts.iter().any(|fact| is_said(&fact.selector))
}

fn is_said(selector: &Selector) -> bool {
    matches!(selector, Selector::Header(_) | Selector::Cookie(_) | Selector::Query(_))
}

/// In per cent.
fn rounded(share: f64) -> f64 {
    (share * 1e6).round() / 1e4
}

/// The name that a version goes by.
fn name(variant: &Variant, earlier: &[Spanned<Variant>], report: &mut Report<'_, '_>) {
    let version = &variant.version;
    if version.is_empty() || !version.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
        report.error(version.place, "`version` must be printable ASCII without spaces");
    } else if version.value == STABLE {
        report.error(version.place, format!("`{STABLE}` is the name of the route's own upstream"));
    } else if let Some(first) = earlier.iter().find(|other| other.version.value == version.value) {
        report.both(version.place, format!("duplicate version `{}`", version.value), first.version.place, "already listed here");
    }
}

/// Who answers for a version.
fn serves(config: &Config, route: &Route, variant: &Variant, report: &mut Report<'_, '_>) {
    match (&variant.upstream, &variant.endpoints) {
        (None, None) => {
            let message = format!("nobody serves the version `{}`: write `upstream` or `endpoints`", variant.version.value);
            report.lacking(variant.version.place, message);
        }
        (Some(_), Some(endpoints)) => report.error(endpoints.place, "a version has either `upstream` or `endpoints`, not both"),
        (Some(name), None) => {
            let reads = route.target.written().iter().find_map(|target| match target {
                Target::Apart(split) if split.read.value == name.value => Some(&split.read),
                _ => None,
            });
            if let Some(read) = reads {
                report.both(name.place, "this version would write to the upstream for reads", read.place, "it is for reads");
            } else if let Some(own) = route.target.upstreams().find(|own| own.value == name.value) {
                let help = "write `endpoints` for those of its endpoints that have the version".to_owned();
                report.helped(name.place, format!("`{}` is the route's own upstream", own.value), Some(help));
            }
        }
        (None, Some(version)) => {
            for name in route.target.upstreams() {
                let Some(upstream) = config.upstreams.get(name.as_str()) else { continue };
                let is_known = upstream.endpoints.iter().any(|one| one.version.as_ref().is_some_and(|known| known.value == version.value));
                if is_known || report.tree.is_torn_at(upstream.place) {
                    continue;
                }
                let message = format!("no endpoint of the upstream `{}` has the version `{}`", name.value, version.value);
                // Those that are found while the gateway runs may have it.
                match upstream.discover.is_some() {
                    true => report.warn(version.place, message, None),
                    false => report.error(version.place, message),
                }
            }
        }
    }
}

fn sticky(options: &CanaryOptions, report: &mut Report<'_, '_>) {
    let Some(sticky) = &options.sticky else { return };
    if !is_token(&sticky.cookie) {
        report.error(sticky.cookie.place, format!("`{}` is not the name of a cookie", sticky.cookie.value));
    }
    if sticky.ttl.0.as_secs() == 0 {
        report.error(sticky.ttl.place, "`ttl` of the cookie must be at least 1s");
    }
}

/// RFC 6265, section 4.1.1.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Facts that can be known, from somebody who may say them.
fn matches(
    config: &Config,
    route: &Route,
    variant: &Variant,
    matches: &Spanned<Match>,
    verified: &HashSet<HeaderName>,
    report: &mut Report<'_, '_>,
) {
    report.problems(matches.problems());
    if matches.facts.is_empty() {
        report.lacking(matches.place, "`match` is empty: it would take every request");
    }
    let options = route.canary_options.as_ref().map(|options| &options.value);
    let clients_choose = options.is_some_and(|options| options.client_may_choose);
    let sticky = options.and_then(|options| options.sticky.as_ref()).map(|sticky| sticky.cookie.as_str());
    let versions: Vec<&str> = route.canary.iter().map(|variant| variant.version.as_str()).chain([STABLE]).collect();
    for fact in &matches.facts {
        let place = report.tree.key_of(fact.wanted.place);
        let values = match &fact.wanted.value {
            Wanted::Any => &[][..],
            Wanted::OneOf(values) => values,
        };
        match &fact.selector {
            Selector::Version => report.error(place, "`version` is what is chosen here"),
            Selector::Cookie(name) if sticky == Some(name) => {
                for value in values.iter().filter(|value| !versions.contains(&value.as_str())) {
                    // One that is not in a list has the fact's own place.
                    let place = if values.len() == 1 { fact.wanted.place } else { value.place };
                    report.unknown(place, "version", value, versions.iter().copied());
                }
            }
            Selector::Cookie(_) | Selector::Query(_) if !clients_choose => {
                let help = "write `client_may_choose: true` in `canary_options`, or match what is verified, such as a claim".to_owned();
                report.helped(
                    place,
                    format!("`{}` is whatever the client sends, and clients may not choose here", fact.selector),
                    Some(help),
                );
            }
            Selector::Header(name) if !clients_choose && !verified.contains(name) && config.server.trusted_proxies.is_empty() => {
                let help =
                    "name who may say it in `server.trusted_proxies`, or write `client_may_choose: true` in `canary_options`".to_owned();
                report.warn(
                    place,
                    format!("nobody may choose by `{}`: no proxy is trusted, and clients may not", fact.selector),
                    Some(help),
                );
            }
            _ => {}
        }
        let is_signed = matches!(&fact.selector, Selector::Cookie(name) if sticky == Some(name));
        if is_said(&fact.selector) && !is_signed && values.iter().any(|value| value.value == STABLE) {
            let message = format!("`{STABLE}` asks for the route's own upstream, not for `{}`", variant.version.value);
            report.error(fact.wanted.place, message);
        }
    }
}

/// Two upstreams for reads and writes.
fn split(split: &Spanned<Split>, report: &mut Report<'_, '_>) {
    if split.read.value == split.write.value {
        report.warn(split.write.place, format!("reads and writes are both sent to `{}`", split.write.value), None);
    }
    if let Some(methods) = &split.read_methods {
        if methods.is_empty() {
            report.lacking(methods.place, "`read_methods` is empty: nothing would be sent to `read`");
        }
        for method in methods.iter() {
            super::methods::is_method(method, report);
        }
    }
    let Some(after) = &split.after_write else { return };
    let AfterWrite { length, by, .. } = &after.value;
    if length.0.is_zero() || length.0 > LONGEST {
        report.error(length.place, "`for` must be above 0 and at most 24h");
    }
    if by.value == Selector::Version {
        report.error(by.place, "`version` says nothing of who asks");
    }
}

/// Whether the claims that decide are there when it is decided: after a filter that verifies tokens, and before what depends on the choice.
fn filters(config: &Config, route: &Route, report: &mut Report<'_, '_>) {
    let list: Vec<Used<'_>> = resolved(config, &config.server.filters).chain(resolved(config, &route.filters)).collect();
    // A filter that could not be read may have been the one that is missed.
    if report.tree.torn || list.iter().any(|(_, entry)| entry.is_none()) {
        return;
    }
    let is = |test: &dyn Fn(&dyn frontgate_filters::filter::options::Options) -> bool| {
        list.iter().position(|(_, entry)| entry.is_some_and(|entry| test(entry.config.options())))
    };
    let identity = is(&|options| options.identifies());
    let dependent = is(&|options| options.depends_on_version());
    for (selector, place, key) in decisive(route) {
        if selector == &Selector::Version && key == "by" {
            report.error(place, "`version` is what is chosen here");
        }
        if !selector.reads_claims() {
            continue;
        }
        match (identity, dependent) {
            (None, _) => {
                let message = format!("`{selector}` is read by `{key}`, and no filter of this route verifies a token");
                report.helped(place, message, Some("list a `jwt` in `filters`".to_owned()));
            }
            (Some(identity), Some(dependent)) if dependent < identity => {
                let message =
                    format!("`{selector}` is read by `{key}` before a filter verifies a token: this filter depends on what is chosen");
                report.both(list[dependent].0.place, message, place, "it is read here");
            }
            _ => {}
        }
    }
}

/// The facts that decide where a request goes, each with its place and the key that it stands under.
fn decisive(route: &Route) -> Vec<(&Selector, Place, &'static str)> {
    let mut all = Vec::new();
    for variant in &route.canary {
        all.extend(variant.drawn_by().map(|by| (by.value, by.place, "by")));
        let facts = variant.matches.iter().flat_map(|matches| &matches.facts);
        all.extend(facts.map(|fact| (&fact.selector, fact.wanted.place, "match")));
    }
    for target in route.target.written() {
        if let Target::Apart(split) = target
            && let Some(after) = &split.after_write
        {
            all.push((&after.by.value, after.by.place, "after_write"));
        }
    }
    all
}
