//! The rules of tables and hints here; [`known`] devices and the [`agreement`] with public collections beside it.

mod agreement;
mod known;
mod sample;
mod truth;

use http::HeaderValue;

use super::*;

const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148";
const WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";
const LINUX: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";
const ANDROID_TABLET: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";

fn devices(table: &str) -> Devices {
    Devices::new(&serde_yaml::from_str(table).expect("a table")).expect("a table that compiles")
}

fn told<'d>(devices: &'d Devices, agent: &str, mobile: Option<&str>, platform: Option<&str>) -> &'d str {
    &devices.classes()[devices.classify_parts(agent.as_bytes(), mobile.map(str::as_bytes), platform.map(str::as_bytes))]
}

#[test]
fn the_first_entry_that_matches_names_the_class() {
    let devices = devices("[{first: [chrome]}, {second: [WINDOWS]}, {first: [iphone]}]");

    assert_eq!(devices.classes().iter().map(|name| &**name).collect::<Vec<_>>(), ["first", "second", "desktop"]);
    assert_eq!(told(&devices, WINDOWS, None, None), "first");
    assert_eq!(told(&devices, "windows", None, None), "second");
    assert_eq!(told(&devices, IPHONE, None, None), "first");
    assert_eq!(told(&devices, "anything", None, None), "desktop");
}

#[test]
fn what_a_rule_excludes_goes_on_to_the_next_entry() {
    let devices = devices("- tablet: {any: [ipad, tablet, android], none: [mobile]}\n- mobile: [mobile, iphone, android]\n");

    assert_eq!(told(&devices, ANDROID_TABLET, None, None), "tablet");
    assert_eq!(told(&devices, "Mozilla/5.0 (Linux; ANDROID 10; K) Mobile", None, None), "mobile");
}

#[test]
fn a_rule_without_any_takes_everything_it_does_not_exclude() {
    let devices = devices("- old: {none: [Mozilla/5.0]}\n");

    assert_eq!(told(&devices, "curl/8", None, None), "old");
    assert_eq!(told(&devices, "", None, None), "old");
    assert_eq!(told(&devices, WINDOWS, None, None), "desktop");
}

#[test]
fn an_entry_may_name_the_desktop() {
    let devices = devices("[{desktop: [electron]}, {mobile: [mobile]}]");

    assert_eq!(devices.classes().len(), 2);
    assert_eq!(told(&devices, "electron mobile", None, None), "desktop");
}

#[test]
fn hints_name_a_class_of_a_written_table_only_where_no_entry_matched() {
    let devices = devices("[{smart_tv: [bravia]}, {tablet: [ipad]}, {mobile: [iphone]}]");

    assert_eq!(told(&devices, LINUX, Some("?1"), None), "mobile");
    assert_eq!(told(&devices, LINUX, Some("?0"), Some("\"Android\"")), "tablet");
    assert_eq!(told(&devices, LINUX, Some("?0"), Some("\"Linux\"")), "desktop");
    assert_eq!(told(&devices, "bravia", Some("?1"), None), "smart_tv");
}

#[test]
fn hints_name_no_class_that_the_table_does_not_have() {
    let devices = devices("[{phone: [iphone]}]");

    assert_eq!(told(&devices, LINUX, Some("?1"), Some("\"Android\"")), "desktop");
}

#[test]
fn the_builtin_table_believes_hints_over_a_desktops_user_agent() {
    let devices = Devices::builtin();

    assert_eq!(told(devices, LINUX, Some("?1"), Some("\"Android\"")), "mobile");
    assert_eq!(told(devices, LINUX, Some("?0"), Some("\"Android\"")), "tablet");
    assert_eq!(told(devices, WINDOWS, Some("?0"), Some("\"Windows\"")), "desktop");
    assert_eq!(told(devices, ANDROID_TABLET, Some("?1"), Some("Android")), "mobile");
    assert_eq!(told(devices, "", Some("?1"), None), "mobile");
    assert_eq!(told(devices, "Googlebot/2.1", Some("?1"), Some("\"Android\"")), "bot");
    assert_eq!(told(devices, LINUX, Some("yes"), Some("\"Plan 9\"")), "desktop");
}

#[test]
fn an_ipad_that_calls_itself_a_macintosh_is_one_where_the_hints_tell() {
    const MAC: &str =
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Safari/605.1.15";
    let devices = Devices::builtin();

    assert_eq!(told(devices, MAC, None, None), "desktop");
    assert_eq!(told(devices, MAC, Some("?0"), Some("\"macOS\"")), "desktop");
    assert_eq!(told(devices, MAC, Some("?0"), Some("\"iOS\"")), "tablet");
    assert_eq!(told(devices, MAC, None, Some("\"iOS\"")), "tablet");
    assert_eq!(told(devices, MAC, None, Some("\"iPadOS\"")), "tablet");
    assert_eq!(told(devices, MAC, Some("?1"), Some("\"iOS\"")), "mobile");
    assert_eq!(told(devices, IPHONE, None, Some("\"iOS\"")), "mobile");
}

#[test]
fn an_android_browser_on_a_computer_is_a_desktop_where_the_hints_tell() {
    let devices = Devices::builtin();

    assert_eq!(told(devices, ANDROID_TABLET, Some("?0"), Some("\"Chrome OS\"")), "desktop");
    assert_eq!(told(devices, ANDROID_TABLET, Some("?0"), Some("\"Windows\"")), "desktop");
    assert_eq!(told(devices, ANDROID_TABLET, Some("?0"), Some("\"Android\"")), "tablet");
}

#[test]
fn the_headers_are_read_from_a_request() {
    let mut headers = HeaderMap::new();
    let class = |headers: &HeaderMap| Devices::builtin().classes()[Devices::builtin().classify(headers)].to_string();

    assert_eq!(class(&headers), "desktop");

    headers.insert(USER_AGENT, HeaderValue::from_static(LINUX));
    headers.insert("sec-ch-ua-mobile", HeaderValue::from_static("?1"));
    headers.insert("sec-ch-ua-platform", HeaderValue::from_static("\"Android\""));
    assert_eq!(class(&headers), "mobile");
}

#[test]
fn only_the_first_kibibyte_is_looked_at() {
    let devices = devices("[{late: [needle]}]");
    let at = |before: usize| format!("{}needle", "x".repeat(before));

    assert_eq!(told(&devices, &at(LOOKED_AT - 6), None, None), "late");
    assert_eq!(told(&devices, &at(LOOKED_AT - 5), None, None), "desktop");
}

#[test]
fn any_bytes_are_a_user_agent() {
    let devices = Devices::builtin();
    for length in 0..64_u8 {
        let bytes: Vec<u8> = (0..length).map(|at| at.wrapping_mul(151) | 0x80).collect();
        assert!(devices.classify_parts(&bytes, Some(&bytes), Some(&bytes)) < devices.classes().len());
    }
}

#[test]
fn a_table_comes_back_as_it_was_written() {
    let written = r#"[{"smart_tv":["tizen"]},{"tablet":{"any":["ipad"],"none":["mobile"]}},{"old":{"none":["mozilla"]}}]"#;

    let table: Table = serde_json::from_str(written).expect("a table");

    assert_eq!(serde_json::to_string(&table).expect("a text"), written);
}

#[test]
fn what_cannot_be_meant_is_refused_with_the_reason() {
    for (table, reason) in [
        ("[{mobile: []}]", "names no text"),
        ("[{mobile: {}}]", "names no text"),
        ("[{mobile: [\"\"]}]", "an empty text"),
        ("[{mobile: {none: [\" \"]}}]", "an empty text"),
        ("[{mobile: {all: [x]}}]", "all"),
        ("[{Mobile: [x]}]", "not a device class"),
        ("[{\"\": [x]}]", "not a device class"),
        ("[{mobile: [x], tablet: [y]}]", "a dash of its own"),
        ("[{}]", "a map of one key"),
        ("[{mobile: iphone}]", "a list of texts"),
    ] {
        let error = serde_yaml::from_str::<Table>(table).expect_err(table).to_string();
        assert!(error.contains(reason), "{table}: {error}");
    }
}

#[test]
fn a_table_of_more_entries_than_there_are_signs_is_refused() {
    let table = |entries: usize| Table(serde_json::from_value(vec![serde_json::json!({"a": ["x"]}); entries].into()).expect("entries"));

    assert!(Devices::new(&table(64)).is_ok());
    assert!(Devices::new(&table(65)).is_err());
}
