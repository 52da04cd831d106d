//! Who can read the page: with a keyboard, with a screen reader, by day and by night, on a small screen.

use super::*;

/// The contrast of every text that is to be seen with what it stands on, where that is below what WCAG 2.2 asks for (AA): a line each.
const PALE: &str = r#"(() => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const channels = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
    const light = (rgb) => { const [r, g, b] = rgb.map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const ground = (node) => { for (let at = node; at; at = at.parentElement) { const color = channels(getComputedStyle(at).backgroundColor); if (color[3] === 255) return color; } return [255, 255, 255, 255]; };
    const pale = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    let seen = 0;
    while (walker.nextNode()) {
        const node = walker.currentNode.parentElement;
        if (!walker.currentNode.textContent.trim() || !node.checkVisibility() || node.closest(".unseen, script, style, option")) continue;
        seen += 1;
        const style = getComputedStyle(node);
        const [one, other] = [light(channels(style.color).slice(0, 3)), light(ground(node).slice(0, 3))];
        const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        const size = parseFloat(style.fontSize);
        if (ratio < (size >= 24 || size >= 18.66 && style.fontWeight >= 700 ? 3 : 4.5)) pale.push(`${walker.currentNode.textContent.trim()}: ${ratio.toFixed(2)}`);
    }
    return seen > 40 ? pale : [`only ${seen} texts`];
})()"#;

/// What a screen reader would miss: a line each.
const UNNAMED: &str = r#"(() => {
    const found = [];
    const all = (selector) => [...document.querySelectorAll(selector)].filter((node) => node.checkVisibility());
    const name = (node) => node.getAttribute("aria-label") ?? (node.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ").trim();
    if (document.documentElement.lang !== "en" || !document.title) found.push("no language or title");
    for (const [selector, count] of [["h1", 1], ["main", 1], ["header", 1]]) if (document.querySelectorAll(selector).length !== count) found.push(`${selector}: not ${count}`);
    for (const node of all("section, [role=group], [role=img]")) if (!name(node)) found.push(`no name: ${node.outerHTML.slice(0, 80)}`);
    for (const node of all("input, select")) if (!node.labels.length) found.push(`no label: ${node.id}`);
    for (const node of all("button")) if (!node.textContent.trim()) found.push("a button without words");
    for (const table of all("table")) {
        const heads = [...table.querySelectorAll("thead th")];
        if (!heads.length || heads.some((head) => head.scope !== "col" || !head.textContent.trim())) found.push("a table's heads");
        for (const row of table.querySelectorAll("tbody tr")) {
            if (row.cells[0].tagName !== "TH" || row.cells[0].scope !== "row") found.push(`a row's head: ${row.textContent}`);
            if (row.cells.length !== heads.length) found.push(`${row.cells.length} cells for ${heads.length} heads: ${row.textContent}`);
        }
    }
    for (const node of all(".mark, .trend")) if (!node.closest("[aria-hidden=true]")) found.push("a mark that is read out");
    if (document.querySelectorAll("[aria-live], [role=status], [role=alert]").length > 2) found.push("too much is read out by itself");
    const levels = all("h1, h2, h3").map((head) => Number(head.tagName[1]));
    levels.forEach((level, at) => { if (at && level > levels[at - 1] + 1) found.push(`a heading of level ${level} after one of ${levels[at - 1]}`); });
    return found;
})()"#;

/// A gateway that has something to show in every part of the page.
fn busy(name: &str) -> (Process, Origin) {
    let (origin, fails) = moody();
    let process = Process::start(name, &text(origin.address, "127.0.0.1:0"));
    for path in ["/products?as=tv", "/limited", "/limited", "/versions", "/versions", "/nowhere"] {
        (0..3).for_each(|_| drop(get(process.address, path)));
    }
    fails.store(true, Ordering::SeqCst);
    until("the circuit to open", || get(process.address, "/products").header("retry-after").is_some());
    (process, origin)
}

#[test]
fn every_text_stands_out_by_day_and_by_night_and_everything_has_a_name() {
    let (process, _origin) = busy("dashboard-readers");
    let Some(mut browser) = shown(&process) else { return };
    browser.until("the requests", &format!("{} === '3'", cell("versions", 8)).replace("=== '3'", "!== undefined"));

    for scheme in ["light", "dark"] {
        browser.prefers(scheme);
        assert_eq!(browser.value(PALE), serde_json::json!([]), "{scheme}");
    }
    browser.prefers("light");
    let ground = "getComputedStyle(document.documentElement).backgroundColor";
    let day = browser.value(ground);
    browser.value("document.querySelector('#theme').click()");
    assert!(browser.text("#theme") == "Theme: dark" && browser.value(ground) != day);
    assert_eq!(browser.value(PALE), serde_json::json!([]), "the switch");
    browser.value("document.querySelector('#theme').click()");
    assert!(browser.text("#theme") == "Theme: light" && browser.value(ground) == day);
    assert_eq!(browser.value(UNNAMED), serde_json::json!([]));
    process.signal("STOP");
    browser.until("the silence to show", "document.querySelector('#gone').checkVisibility()");
    let pale = browser.value(PALE);
    process.signal("CONT");
    assert_eq!(pale, serde_json::json!([]), "while nobody answers");
}

#[test]
fn a_small_screen_shows_everything_without_being_moved_sideways() {
    let (process, _origin) = busy("dashboard-small");
    let Some(mut browser) = shown(&process) else { return };

    for width in [320, 390, 768, 1024, 1920] {
        browser.size(width, 700);
        browser.until("a few numbers", "document.querySelectorAll('#routes tr').length > 0");
        let wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(browser.value(wide), 0, "{width}");
    }
}

#[test]
fn the_keyboard_reaches_everything_in_the_order_of_reading() {
    let (process, _origin) = busy("dashboard-keys");
    let Some(mut browser) = shown(&process) else { return };
    browser.until("the routes", "document.querySelectorAll('#routes tr').length === 4");
    let focused = "(() => { const node = document.activeElement; return node.id || node.dataset.sort || node.getAttribute('aria-labelledby') || node.className; })()";

    let wanted = [
        "skip",
        "window",
        "pause",
        "theme",
        "filter",
        "routes-title",
        "name",
        "rate",
        "failed",
        "refused",
        "p50",
        "p99",
        "total",
        "upstreams-title",
        "circuits-title",
        "limits-title",
        "versions-title",
        "trimmed-title",
        "listeners-title",
    ];
    for place in wanted {
        browser.press("Tab");
        assert_eq!(browser.value(focused), place);
        let style = "getComputedStyle(document.activeElement)";
        let outline = browser.value(&format!("{style}.outlineStyle !== 'none' && parseFloat({style}.outlineWidth) >= 2"));
        assert_eq!(outline, true, "the focus on {place} is not to be seen");
    }
    // What follows begins again, or is the browser's own.
    browser.value("document.activeElement.blur(); document.querySelector('.skip').focus()");
    browser.press("Enter");
    assert_eq!(browser.value(focused), "main");

    browser.value("document.querySelector('[data-sort=name]').focus()");
    browser.press("Enter");
    assert_eq!(browser.value("document.querySelector('[data-sort=name]').closest('th').ariaSort"), "ascending");
    assert_eq!(browser.value("document.querySelector('[data-sort=rate]').closest('th').ariaSort"), "none");
    let names = "[...document.querySelectorAll('#routes th > span')].map((head) => head.textContent)";
    assert_eq!(browser.value(names), serde_json::json!(["no route", "limited", "products", "versions"]));
    browser.press("Enter");
    assert_eq!(browser.value(names), serde_json::json!(["versions", "products", "limited", "no route"]));
    browser.value("document.querySelector('#pause').focus()");
    browser.press(" ");
    assert_eq!(browser.value("document.querySelector('#pause').ariaPressed"), "true");
    browser.value("document.querySelector('#filter').focus()");
    browser.write("prod");
    assert_eq!(browser.value(names), serde_json::json!(["products"]));
    // What has the focus keeps it while the numbers change.
    browser.press("Tab");
    browser.value("document.querySelector('#pause').click(); document.querySelector('[data-sort=p99]').focus()");
    let seen = browser.text("#now");
    browser.until("newer numbers", &format!("document.querySelector('#now').textContent !== {seen:?}"));
    assert_eq!(browser.value(focused), "p99");
}
