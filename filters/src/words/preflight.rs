//! Preflights: requests by which a browser asks whether a page may make another one (Fetch, section 3.2.2).

use http::Method;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use pingora_http::RequestHeader;

use super::selector::Selector;

/// Whether a request is a preflight.
pub fn is_preflight(head: &RequestHeader) -> bool {
    head.method == Method::OPTIONS && head.headers.contains_key(ORIGIN) && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Whether a preflight has this fact as the request will that it asks about. Browsers send no header of the page's own with it, no cookie and no
/// certificate, and fewer hints of the device.
pub fn tells(selector: &Selector) -> bool {
    matches!(
        selector,
        Selector::ClientIp
            | Selector::Host
            | Selector::Path
            | Selector::Query(_)
            | Selector::Scheme
            | Selector::TlsSni
            | Selector::TlsVersion
    )
}

/// The method that a preflight asks about; none where the request is not one.
pub fn asked_method(head: &RequestHeader) -> Option<Method> {
    let value = head.headers.get(ACCESS_CONTROL_REQUEST_METHOD).filter(|_| is_preflight(head))?;
    Method::from_bytes(value.as_bytes()).ok()
}
