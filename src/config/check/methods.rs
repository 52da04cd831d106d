//! Lists of methods, wherever one may be written.

use frontgate_filters::words::spanned::Spanned;
use http::Method;

use super::Report;

/// Checks a list of methods; without one it is `otherwise`.
pub(super) fn check(methods: &Spanned<Vec<Spanned<String>>>, otherwise: &str, report: &mut Report<'_, '_>) {
    if methods.is_empty() {
        report.lacking(methods.place, format!("`methods` is empty: leave it out {otherwise}"));
    }
    for (index, method) in methods.iter().enumerate() {
        if !is_method(method, report) {
            continue;
        }
        if matches!(method.as_str(), "CONNECT" | "TRACE") {
            report.error(method.place, format!("`{}` is not supported", method.value));
        } else if let Some(first) = methods[..index].iter().find(|other| other.value == method.value) {
            report.both(method.place, format!("duplicate method `{}`", method.value), first.place, "already listed here");
        }
    }
}

/// Whether this is a method; what is none is reported.
pub(super) fn is_method(method: &Spanned<String>, report: &mut Report<'_, '_>) -> bool {
    // `*` may stand in a token, and people mean all methods by it.
    let is_method = Method::from_bytes(method.as_bytes()).is_ok() && !method.bytes().any(|byte| byte.is_ascii_lowercase() || byte == b'*');
    if !is_method {
        let help = Method::from_bytes(method.to_uppercase().as_bytes()).ok().map(|method| format!("did you mean `{method}`?"));
        let help = if method.value == "*" { Some("write the methods that are meant, one by one".to_owned()) } else { help };
        report.helped(method.place, format!("`{}` is not a method", method.value), help);
    }
    is_method
}
