//! GraphQL as HTTP carries it: what a request asks for, by POST or in a URL, and the status and media type of what it gets.
//!
//! A form or a text, which a page of another site can send without being asked, is no request; and a URL changes nothing.

mod body;

use std::borrow::Cow;

use bytes::Bytes;
use frontgate_filters::reply::{Reply, ReplyBody};
use frontgate_filters::words::cache_control::NO_STORE;
use frontgate_filters::words::fields;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use pingora_http::RequestHeader;
use serde_json::{Value, json};

use self::body::Said;
use super::accept::ranges;
use super::{Kind, Outcome, Refused};
use crate::refusals;
use crate::telemetry::GraphqlRefusal;

/// The media type whose statuses say what became of a request.
const RESPONSE: &str = "application/graphql-response+json";
const JSON: &str = "application/json";

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `application/json`: 200 whatever became of a request that could be read, as clients have long known it.
    Json,
    /// `application/graphql-response+json`: a request that is not executed gets 400.
    Response,
}

impl Form {
    /// The one that this request accepts; none where it accepts neither.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let (mut json, mut response, mut any, mut is_said) = (None, None, None, false);
        for (essence, weight) in ranges(headers) {
            is_said = true;
            let is = |wanted: &str| essence.eq_ignore_ascii_case(wanted.as_bytes());
            let best = if is(JSON) {
                &mut json
            } else if is(RESPONSE) {
                &mut response
            } else if is("application/*") || is("*/*") {
                &mut any
            } else {
                continue;
            };
            *best = Some(best.map_or(weight, |known: u16| known.max(weight)));
        }
        if !is_said {
            return Some(Self::Json);
        }
        let [as_json, as_response] = [json, response].map(|named| named.or(any).unwrap_or(0));
        match (as_json, as_response) {
            (0, 0) => None,
            (json, named) if response.is_some() && named >= json => Some(Self::Response),
            (0, _) => Some(Self::Response),
            _ => Some(Self::Json),
        }
    }

    fn content_type(self) -> HeaderValue {
        match self {
            Self::Json => HeaderValue::from_static("application/json; charset=utf-8"),
            Self::Response => HeaderValue::from_static("application/graphql-response+json; charset=utf-8"),
        }
    }

    /// The status of a request that is not executed.
    fn not_executed(self) -> StatusCode {
        match self {
            Self::Json => StatusCode::OK,
            Self::Response => StatusCode::BAD_REQUEST,
        }
    }
}

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Asked<'r> {
    /// The document's text.
    pub document: Option<Cow<'r, str>>,
    /// What the document is known by, where it is asked for by that.
    pub id: Option<Cow<'r, str>>,
    /// Whether `id` is its hash, as clients make a document known themselves.
    pub is_hash: bool,
    /// Which of its operations.
    pub operation: Option<Cow<'r, str>>,
    /// The values of variables, as JSON: an object.
    pub variables: Option<Cow<'r, [u8]>>,
}

/// Why a request is not read.
#[derive(Debug)]
pub(crate) struct Unread {
    /// What it counts as.
    pub counts: GraphqlRefusal,
    /// What the client gets.
    pub reply: Reply,
}

/// The methods of a route, for `Allow`.
fn allowed(by_get: bool) -> &'static str {
    if by_get { "GET, HEAD, POST" } else { "POST" }
}

/// Reads a request. `by_get`: whether queries come in URLs, too.
pub(crate) fn read<'r>(head: &'r RequestHeader, body: &'r [u8], by_get: bool) -> Result<(Form, Asked<'r>), Unread> {
    let is_get = head.method == Method::GET || head.method == Method::HEAD;
    if !(head.method == Method::POST || is_get && by_get) {
        return Err(Unread { counts: GraphqlRefusal::Method, reply: refusals::wrong_method(allowed(by_get)) });
    }
    let Some(form) = Form::of(&head.headers) else {
        let detail = "Answers are application/graphql-response+json or application/json, and the request accepts neither.";
        let reply = Reply::problem(StatusCode::NOT_ACCEPTABLE, "not_acceptable", detail);
        return Err(Unread { counts: GraphqlRefusal::NotAcceptable, reply: reply.with(VARY, ACCEPT_WORD) });
    };
    let asked = if is_get { in_url(head.uri.query().unwrap_or_default()) } else { in_body(&head.headers, body)? };
    asked.map(|asked| (form, asked)).map_err(|wrong| wrong.told(form))
}

/// A request that can be read as HTTP and not as GraphQL.
struct Wrong {
    counts: GraphqlRefusal,
    message: &'static str,
}

impl Wrong {
    fn malformed(message: &'static str) -> Self {
        Self { counts: GraphqlRefusal::Malformed, message }
    }

    fn told(self, form: Form) -> Unread {
        Unread { counts: self.counts, reply: refused(form, StatusCode::BAD_REQUEST, self.message, "BAD_REQUEST", "graphql_malformed") }
    }
}

pub(super) const ACCEPT_WORD: HeaderValue = HeaderValue::from_static("Accept");

/// What a body asks for, which has to be JSON in UTF-8.
fn in_body<'r>(headers: &HeaderMap, body: &'r [u8]) -> Result<Result<Asked<'r>, Wrong>, Unread> {
    let content_type = fields::only(headers, &CONTENT_TYPE).ok().flatten().map(HeaderValue::as_bytes).unwrap_or_default();
    let is_coded = headers.get(CONTENT_ENCODING).is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if is_coded || !fields::is_media_type(content_type, JSON) || !is_utf8(content_type) {
        let detail = match fields::is_media_type(content_type, "multipart/form-data") {
            true => "Files are not taken: a request is application/json.",
            false => "A request is application/json in UTF-8, without a Content-Encoding.",
        };
        let reply = Reply::problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail);
        return Err(Unread { counts: GraphqlRefusal::MediaType, reply });
    }
    Ok(body::of_json(body))
}

/// Whether a content type names no other encoding of characters than the only one that JSON has.
fn is_utf8(content_type: &[u8]) -> bool {
    let mut parameters = content_type.split(|byte| *byte == b';').skip(1).map(<[u8]>::trim_ascii);
    parameters.all(|parameter| match parameter.split_at_checked(8) {
        Some((name, value)) if name.eq_ignore_ascii_case(b"charset=") => {
            let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
            value.eq_ignore_ascii_case(b"utf-8") || value.eq_ignore_ascii_case(b"utf8")
        }
        _ => true,
    })
}

/// Whether a URL has a parameter that is a part of a request.
pub(super) fn asks_in_url(query: &str) -> bool {
    let is_of_request = |key: Cow<'_, [u8]>| matches!(&*key, b"query" | b"documentId" | b"operationName" | b"variables" | b"extensions");
    query.split('&').any(|pair| is_of_request(decoded(pair.split('=').next().unwrap_or_default())))
}

/// What a URL asks for: the members of a body as parameters, `variables` and `extensions` as JSON.
fn in_url(query: &str) -> Result<Asked<'_>, Wrong> {
    let (mut document, mut id, mut operation, mut variables, mut extensions) = (None, None, None, None, None);
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let slot = match &*decoded(key) {
            b"query" => &mut document,
            b"documentId" => &mut id,
            b"operationName" => &mut operation,
            b"variables" => &mut variables,
            b"extensions" => &mut extensions,
            _ => continue,
        };
        let text = String::from_utf8(decoded(value).into_owned()).map_err(|_| Wrong::malformed("A parameter is not UTF-8."))?;
        if slot.replace(text).is_some() {
            return Err(Wrong::malformed("A parameter stands there twice."));
        }
    }
    let text = |text: Option<String>| text.filter(|text| !text.is_empty()).map(Cow::Owned);
    let extensions = match text(extensions) {
        Some(text) => serde_json::from_str(&text).map_err(|_| Wrong::malformed("`extensions` is not JSON."))?,
        None => None,
    };
    let variables = match variables.filter(|text| !text.is_empty()) {
        Some(text) => {
            let not_json = || Wrong::malformed("`variables` is not JSON.");
            let said: Said<'_> = serde_json::from_str(&text).map_err(|_| not_json())?;
            let is_there = said.is_object()?;
            if body::is_too_deep(text.as_bytes()) {
                return Err(not_json());
            }
            is_there.then(|| Cow::Owned(text.into_bytes()))
        }
        None => None,
    };
    asked(text(document), text(id), text(operation), variables, extensions)
}

/// As forms write it: plus is a space, `%` begins two hexadecimal digits.
fn decoded(text: &str) -> Cow<'_, [u8]> {
    if !text.bytes().any(|byte| matches!(byte, b'+' | b'%')) {
        return text.as_bytes().into();
    }
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).collect::<Vec<u8>>().into()
}

fn asked<'r>(
    document: Option<Cow<'r, str>>,
    id: Option<Cow<'r, str>>,
    operation: Option<Cow<'r, str>>,
    variables: Option<Cow<'r, [u8]>>,
    extensions: Option<Value>,
) -> Result<Asked<'r>, Wrong> {
    let hash = match extensions {
        None => None,
        Some(Value::Object(mut extensions)) => hash(extensions.remove("persistedQuery"))?,
        Some(_) => return Err(Wrong::malformed("`extensions` is an object or null.")),
    };
    if document.is_none() && id.is_none() && hash.is_none() {
        return Err(Wrong::malformed("The request has no `query`."));
    }
    let is_hash = hash.is_some();
    // What the draft of persisted documents writes before a hash.
    let bare = |id: Cow<'r, str>| id.strip_prefix("sha256:").map(str::to_owned).map_or(id, Cow::Owned);
    Ok(Asked { document, id: hash.map(Cow::Owned).or_else(|| id.map(bare)), is_hash, operation, variables })
}

/// The hash by which a document is asked for, or made known.
fn hash(persisted: Option<Value>) -> Result<Option<String>, Wrong> {
    match persisted {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(persisted)) if persisted.get("sha256Hash").is_some_and(Value::is_string) => {
            Ok(persisted.get("sha256Hash").and_then(Value::as_str).map(str::to_ascii_lowercase))
        }
        Some(_) => Err(Wrong::malformed("`extensions.persistedQuery` is an object with a `sha256Hash`.")),
    }
}

/// The answer to a request that is not executed, as clients of GraphQL read it.
fn refused(form: Form, status: StatusCode, message: &str, code: &str, reason: &'static str) -> Reply {
    let body = json!({"errors": [{"message": message, "extensions": {"code": code}}]}).to_string();
    answer(form, status, body.into(), reason).with(CACHE_CONTROL, NO_STORE)
}

fn answer(form: Form, status: StatusCode, body: Bytes, reason: &'static str) -> Reply {
    let headers = vec![(CONTENT_TYPE, form.content_type()), (VARY, ACCEPT_WORD)];
    Reply { status, headers, body: ReplyBody::Bytes(body), reason }
}

/// The answer to a request whose document is not to be had, or may not be run.
pub(crate) fn not_known(form: Form, why: GraphqlRefusal) -> Reply {
    let (status, message, code) = match why {
        // Clients that make documents known themselves send the text next; some take another status for a server that is broken.
        GraphqlRefusal::UnknownDocument => (StatusCode::OK, "PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND"),
        GraphqlRefusal::NoPersisted => (StatusCode::OK, "PersistedQueryNotSupported", "PERSISTED_QUERY_NOT_SUPPORTED"),
        GraphqlRefusal::OtherHash => {
            (StatusCode::BAD_REQUEST, "The document has another SHA-256 than `extensions.persistedQuery.sha256Hash` says.", "BAD_REQUEST")
        }
        _ => (form.not_executed(), "Only operations that are known beforehand are run here.", "QUERY_NOT_IN_SAFELIST"),
    };
    refused(form, status, message, code, "graphql_not_persisted")
}

/// The answer that an outcome is.
pub(crate) fn told(form: Form, outcome: &Outcome) -> Reply {
    let body = outcome.body.clone();
    match outcome.kind {
        Kind::Data => {
            let mut reply = answer(form, StatusCode::OK, body, "graphql");
            reply.headers.extend(outcome.headers.iter().cloned());
            reply
        }
        Kind::Refused(why @ Refused::Mutation) => {
            let reply = answer(form, StatusCode::METHOD_NOT_ALLOWED, body, why.reason());
            reply.with(ALLOW, HeaderValue::from_static("POST")).with(CACHE_CONTROL, NO_STORE)
        }
        Kind::Refused(why) => answer(form, form.not_executed(), body, why.reason()).with(CACHE_CONTROL, NO_STORE),
    }
}

impl Refused {
    /// What the log says.
    fn reason(self) -> &'static str {
        match self {
            Self::Parse => "graphql_parse",
            Self::Validation => "graphql_validation",
            Self::Operation => "graphql_operation",
            Self::Variables => "graphql_variables",
            Self::Limit => "graphql_limit",
            Self::Mutation => "graphql_mutation_by_get",
            Self::Introspection => "graphql_introspection",
        }
    }

    /// What it counts as.
    pub(crate) fn counts(self) -> GraphqlRefusal {
        match self {
            Self::Parse => GraphqlRefusal::Parse,
            Self::Validation => GraphqlRefusal::Validation,
            Self::Operation => GraphqlRefusal::Operation,
            Self::Variables => GraphqlRefusal::Variables,
            Self::Limit => GraphqlRefusal::Limit,
            Self::Mutation => GraphqlRefusal::MutationByGet,
            Self::Introspection => GraphqlRefusal::Introspection,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, target: &str, fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut head = RequestHeader::build(method, target.as_bytes(), None).expect("a head");
        for (name, value) in fields {
            head.append_header(*name, *value).expect("a header");
        }
        head
    }

    /// The document, its identifier, the operation and the variables of a request.
    type Posted = (Option<String>, Option<String>, Option<String>, Option<String>);

    fn posted(body: &str) -> Result<Posted, (u16, String)> {
        let head = head("POST", "/graphql", &[("Content-Type", "application/json")]);
        let asked = match read(&head, body.as_bytes(), true) {
            Ok((_, asked)) => asked,
            Err(unread) => return Err(said(&unread.reply)),
        };
        let owned = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        Ok((
            owned(asked.document),
            owned(asked.id),
            owned(asked.operation),
            asked.variables.map(|json| String::from_utf8_lossy(&json).into_owned()),
        ))
    }

    fn said(reply: &Reply) -> (u16, String) {
        let text = match &reply.body {
            ReplyBody::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            ReplyBody::Problem { code, .. } => (*code).to_owned(),
        };
        (reply.status.as_u16(), text)
    }

    #[test]
    fn the_form_of_an_answer_is_the_one_that_the_client_likes_best() {
        use Form::{Json, Response};
        for (accepts, form) in [
            (None, Some(Json)),
            (Some("*/*"), Some(Json)),
            (Some("application/*"), Some(Json)),
            (Some("application/json"), Some(Json)),
            (Some("application/json; charset=utf-8"), Some(Json)),
            (Some("application/graphql-response+json"), Some(Response)),
            (Some("Application/GraphQL-Response+JSON;charset=utf-8"), Some(Response)),
            (Some("application/graphql-response+json, application/json;q=0.9"), Some(Response)),
            (Some("application/graphql-response+json;q=0.5, application/json"), Some(Json)),
            (Some("multipart/mixed;deferSpec=20220824, application/graphql-response+json, application/json;q=0.9"), Some(Response)),
            (Some("application/json;q=0, */*"), Some(Response)),
            (Some("application/graphql-response+json;q=0, */*;q=0.1"), Some(Json)),
            (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Some(Json)),
            (Some("text/html"), None),
            (Some("application/json;q=0"), None),
            (Some("image/png;a=\"x, application/json\""), None),
        ] {
            let fields: Vec<(&'static str, &str)> = accepts.map(|text| ("Accept", text)).into_iter().collect();

            assert_eq!(Form::of(&head("POST", "/", &fields).headers), form, "{accepts:?}");
        }
    }

    #[test]
    fn a_body_is_an_object_whose_members_are_what_they_have_to_be() {
        let text = |text: &str| Some(text.to_owned());

        assert_eq!(posted(r#" {"query": "{a}"}"#), Ok((text("{a}"), None, None, None)));
        assert_eq!(
            posted(r#"{"query":"{\u0061}","operationName":null,"variables":null,"extensions":null,"other":[1]}"#),
            Ok((text("{a}"), None, None, None))
        );
        assert_eq!(
            posted(r#"{"query":"{a}","operationName":"A","variables":{"a": 1.0}}"#),
            Ok((text("{a}"), None, text("A"), text(r#"{"a": 1.0}"#)))
        );
        assert_eq!(posted(r#"{"documentId":"sha256:ab"}"#), Ok((None, text("ab"), None, None)));
        assert_eq!(posted(r#"{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"AB"}}}"#), Ok((None, text("ab"), None, None)));
        for (body, words) in [
            ("", "JSON object"),
            ("null", "JSON object"),
            ("{", "not JSON"),
            ("{} x", "not JSON"),
            ("[]", "one at a time"),
            ("[{\"query\":\"{a}\"}]", "one at a time"),
            ("{}", "no `query`"),
            (r#"{"qeury":"{a}"}"#, "no `query`"),
            (r#"{"query":"{a}","query":"{b}"}"#, "twice"),
            (r#"{"query":{}}"#, "`query` is a text"),
            (r#"{"query":["a"]}"#, "`query` is a text"),
            (r#"{"query":"{a}","operationName":0}"#, "`operationName`"),
            (r#"{"query":"{a}","variables":"x"}"#, "`variables`"),
            (r#"{"query":"{a}","variables":[]}"#, "`variables`"),
            (r#"{"query":"{a}","extensions":false}"#, "`extensions`"),
            (r#"{"query":"{a}","extensions":{"persistedQuery":1}}"#, "sha256Hash"),
        ] {
            let (status, said) = posted(body).expect_err(body);
            assert!(status == 400 && said.contains(words), "{body}: {status} {said}");
        }
        let deep = format!("{{\"query\":\"{{a}}\",\"variables\":{{\"a\":{}}}}}", "[".repeat(100_000));
        assert_eq!(posted(&deep).expect_err("not closed").0, 400);
        let deep = format!("{{\"query\":\"{{a}}\",\"other\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(posted(&deep).is_ok(), "what says nothing is passed over without climbing down into it");
        for (depth, is_taken) in [(125, true), (126, false), (100_000, false)] {
            let deep = format!("{{\"query\":\"{{a}}\",\"\\u0076ariables\":{{\"]\\\"\":{}{}}}}}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(posted(&deep).map(|(.., variables)| variables.is_some()).unwrap_or(false), is_taken, "{depth}");
        }
    }

    #[test]
    fn a_url_has_the_same_as_parameters() {
        let url = "/graphql?query=%7B+a%0A%7D&variables=%7B%22a%22%3A1%7D&operationName=&extensions=null&x=1";
        let asking = head("GET", url, &[]);
        let (form, asked) = read(&asking, b"", true).expect("a request");

        assert_eq!((form, asked.document.as_deref(), asked.operation.as_deref()), (Form::Json, Some("{ a\n}"), None));
        assert_eq!(asked.variables.as_deref(), Some(&br#"{"a":1}"#[..]));
        for (url, words) in [
            ("/graphql", "no `query`"),
            ("/graphql?query=a&query=b", "twice"),
            ("/graphql?query=%FF", "not UTF-8"),
            ("/graphql?query=a&variables=%7B", "not JSON"),
            ("/graphql?query=a&variables=1", "an object"),
        ] {
            let unread = read(&head("GET", url, &[]), b"", true).map(drop).expect_err(url);
            let (status, said) = said(&unread.reply);
            assert!(status == 400 && said.contains(words), "{url}: {status} {said}");
        }
    }

    #[test]
    fn what_is_no_request_gets_the_status_that_says_so() {
        let json = ("Content-Type", "application/json");
        for (method, fields, by_get, status, code) in [
            ("PUT", vec![json], true, 405, "method_not_allowed"),
            ("GET", vec![], false, 405, "method_not_allowed"),
            ("POST", vec![], true, 415, "unsupported_media_type"),
            ("POST", vec![("Content-Type", "text/plain")], true, 415, "unsupported_media_type"),
            ("POST", vec![("Content-Type", "application/x-www-form-urlencoded")], true, 415, "unsupported_media_type"),
            ("POST", vec![("Content-Type", "multipart/form-data; boundary=x")], true, 415, "unsupported_media_type"),
            ("POST", vec![("Content-Type", "application/json; charset=iso-8859-1")], true, 415, "unsupported_media_type"),
            ("POST", vec![json, ("Content-Type", "text/plain")], true, 415, "unsupported_media_type"),
            ("POST", vec![json, ("Content-Encoding", "gzip")], true, 415, "unsupported_media_type"),
            ("POST", vec![json, ("Accept", "text/html")], true, 406, "not_acceptable"),
        ] {
            let unread = read(&head(method, "/graphql?query=a", &fields), br#"{"query":"{a}"}"#, by_get).map(drop).expect_err(method);

            assert_eq!(said(&unread.reply), (status, code.to_owned()), "{method} {fields:?}");
            let allow = unread.reply.headers.iter().find(|(name, _)| *name == ALLOW).map(|(_, value)| value.clone());
            let wanted = (status == 405).then(|| HeaderValue::from_static(if by_get { "GET, HEAD, POST" } else { "POST" }));
            assert_eq!(allow, wanted);
        }
        let quoted = head("POST", "/", &[("Content-Type", "Application/JSON ; Charset=\"UTF-8\"")]);
        assert!(read(&quoted, br#"{"query":"{a}"}"#, true).is_ok());
    }
}
