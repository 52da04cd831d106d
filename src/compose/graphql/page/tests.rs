use frontgate_filters::words::fields::text;

use super::*;

fn sha256(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    sha256(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn head(method: &str, target: &str, lines: &[(&'static str, &str)]) -> RequestHeader {
    let mut head = RequestHeader::build(method, target.as_bytes(), None).expect("a head");
    for (name, value) in lines {
        head.append_header(*name, *value).expect("a header");
    }
    head
}

const BROWSER: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8");

#[test]
fn what_is_carried_is_what_was_made_of_what_stands_beside_it() {
    use base64::Engine as _;
    let page = std::str::from_utf8(&PLAIN).expect("UTF-8");
    let sources = [
        &include_bytes!("page.html")[..],
        include_bytes!("page.css"),
        include_bytes!("start.jsx"),
        include_bytes!("make.mjs"),
        include_bytes!("package-lock.json"),
    ];
    let script = page.split_once("<script>").and_then(|(_, rest)| rest.rsplit_once("</script>")).expect("a script").0;
    let licences = include_str!("LICENCES.txt");

    assert_eq!(hex(page.as_bytes()), hash("page"));
    assert_eq!(base64::engine::general_purpose::STANDARD.encode(sha256(script.as_bytes())), hash("script"));
    assert_eq!(hex(licences.as_bytes()), hash("licences"));
    assert_eq!(hex(sources.map(hex).join("\n").as_bytes()), hash("sources"), "make.mjs is to be run again");
    assert!(page.contains(licences), "the page brings the words under which its parts may be passed on");
    for name in ["graphiql 3.", "react-dom 18.", "graphql 16.", "codemirror 5."] {
        assert!(licences.contains(name), "{name}");
    }
    assert!(PACKED.len() < 400 * 1024, "{} bytes in every binary", PACKED.len());
}

#[test]
fn the_page_names_no_address_but_its_own() {
    let page = std::str::from_utf8(&PLAIN).expect("UTF-8");
    let (markup, rest) = page.split_once("<style>").expect("a style");
    let (style, _) = rest.split_once("</style>").expect("its end");

    assert_eq!(markup.matches("href=\"data:,\"").count(), markup.matches("href=").count());
    let style = style.replace("http://www.w3.org/2000/svg", "");
    for outside in ["src=", "http:", "https:", "@import", "@font-face"] {
        assert!(!markup.contains(outside) && !style.contains(outside), "{outside}");
    }
    let addresses: Vec<&str> =
        style.split("url(").skip(1).filter(|rest| !rest.trim_start_matches(['"', '\'']).starts_with("data:")).collect();
    assert!(addresses.is_empty(), "{addresses:?}");
    let policy = text(&SAID.policy).expect("text");
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-") && !policy.contains("http"), "{policy}");
}

#[test]
fn the_page_is_for_who_likes_a_page_best_and_sends_no_query() {
    for (method, target, accepts, is_wanted) in [
        ("GET", "/graphql", Some(BROWSER.1), true),
        ("HEAD", "/graphql", Some(BROWSER.1), true),
        ("GET", "/graphql?", Some("text/html"), true),
        ("GET", "/graphql?tab=2", Some("TEXT/HTML;charset=utf-8"), true),
        ("GET", "/graphql", Some("text/html, */*;q=0.01"), true),
        ("GET", "/graphql", None, false),
        ("GET", "/graphql", Some("*/*"), false),
        ("GET", "/graphql", Some("application/json, text/plain, */*"), false),
        ("GET", "/graphql", Some("application/json, text/html"), false),
        ("GET", "/graphql", Some("application/graphql-response+json, text/html;q=0.9"), false),
        ("GET", "/graphql", Some("application/*, text/html"), false),
        ("GET", "/graphql", Some("text/html;q=0"), false),
        ("GET", "/graphql", Some("text/*"), false),
        ("GET", "/graphql", Some("image/avif,image/webp,*/*;q=0.8"), false),
        ("POST", "/graphql", Some(BROWSER.1), false),
        ("GET", "/graphql?query=%7B__typename%7D", Some(BROWSER.1), false),
        ("GET", "/graphql?quer%79=x", Some(BROWSER.1), false),
        ("GET", "/graphql?a=b&extensions=%7B%7D", Some(BROWSER.1), false),
        ("GET", "/graphql?documentId=home", Some(BROWSER.1), false),
    ] {
        let lines: Vec<(&'static str, &str)> = accepts.map(|value| ("Accept", value)).into_iter().collect();

        assert_eq!(find(&head(method, target, &lines)).is_some(), is_wanted, "{method} {target} {accepts:?}");
    }
}

#[test]
fn a_page_that_is_known_is_not_sent_again_and_who_cannot_unpack_gets_it_plain() {
    let told = |lines: &[(&'static str, &str)]| {
        let reply = find(&head("GET", "/graphql", &[&[BROWSER], lines].concat())).expect("the page");
        let find = |wanted: HeaderName| reply.headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.clone());
        let ReplyBody::Bytes(body) = &reply.body else { panic!("a page") };
        (reply.status.as_u16(), find(CONTENT_ENCODING), body.len(), find(ETAG), find(CONTENT_SECURITY_POLICY).is_some())
    };
    let tag = text(&SAID.tag).expect("text");

    let gzip = Some(HeaderValue::from_static("gzip"));
    let (all, few) = (PLAIN.len(), PACKED.len());
    assert!(few < all / 3);
    for (lines, status, coding, length) in [
        (vec![("Accept-Encoding", "gzip, deflate, br")], 200, gzip.clone(), few),
        (vec![("Accept-Encoding", "*")], 200, gzip.clone(), few),
        (vec![("Accept-Encoding", "br, gzip;q=0")], 200, None, all),
        (vec![], 200, None, all),
        (vec![("If-None-Match", tag)], 304, None, 0),
        (vec![("If-None-Match", "\"x\", W/\"y\""), ("If-None-Match", tag)], 304, None, 0),
        (vec![("If-None-Match", tag.trim_start_matches("W/"))], 304, None, 0),
        (vec![("If-None-Match", "*")], 304, None, 0),
        (vec![("If-None-Match", "\"x\""), ("Accept-Encoding", "gzip")], 200, gzip, few),
    ] {
        assert_eq!(told(&lines), (status, coding, length, Some(SAID.tag.clone()), true), "{lines:?}");
    }
}
