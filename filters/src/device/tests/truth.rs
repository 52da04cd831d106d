//! Which class a device of the uap-core fixtures is in, told by its family, brand and model and never by its User-Agent.
//!
//! A fixture names a device and no class. These rules map what its maker sold: makers of one kind of device by the brand, makers of several by
//! the series. `None` means that this does not settle it, and the fixture is left out of the count.

/// Makers that sold tablets and no phones under these brands.
const TABLET_BRANDS: &[&str] = &[
    "ainol",
    "airis",
    "amaway",
    "aoc",
    "aoson",
    "arival",
    "arnova",
    "attab",
    "audiosonic",
    "azend",
    "bedove",
    "blusens",
    "captiva",
    "cmx",
    "cobykyros",
    "cube",
    "danew",
    "denver",
    "dex",
    "enot",
    "haipad",
    "hannspree",
    "hena",
    "impression",
    "informer",
    "ionik",
    "jaytech",
    "lenco",
    "lexibook",
    "malata",
    "manta",
    "mediacom",
    "modecom",
    "mpman",
    "mytab",
    "nabi",
    "nextbook",
    "nook",
    "odys",
    "omega",
    "orion",
    "papyre",
    "pipo",
    "ployer",
    "pov",
    "proscan",
    "skytex",
    "smartq",
    "touchmate",
    "trekstor",
    "versus",
    "woxter",
    "xoro",
    "yarvik",
    "yifang",
    "3q",
    "zync",
    "kobo",
];

/// Makers that sold phones and no tablets under these brands.
const PHONE_BRANDS: &[&str] = &[
    "amoi",
    "bird",
    "blackberry",
    "cat",
    "coolpad",
    "docomo",
    "doov",
    "garmin-asus",
    "geeksphone",
    "gfive",
    "gionee",
    "i-mate",
    "infinix",
    "itel",
    "jiayu",
    "k-touch",
    "kddi",
    "ktouch",
    "lava",
    "maxx",
    "meizu",
    "mobistel",
    "nec",
    "nokia",
    "oneplus",
    "oppo",
    "palm",
    "siemens",
    "sonyericsson",
    "spice",
    "sprint",
    "tecno",
    "thl",
    "tmobile",
    "tooky",
    "umeox",
    "vertu",
    "vivo",
    "walton",
    "wiko",
    "xolo",
    "zopo",
    "cubot",
    "fly",
    "micromax",
    "imobile",
    "htc",
    "motorola",
    "pantech",
    "qmobile",
    "qmobilevn",
    "lemon",
    "videocon",
    "phicomm",
    "kyocera",
    "telstra",
    "lyf",
    "runbo",
];

/// The class, where family, brand and model settle it.
pub fn class(family: &str, brand: &str, model: &str) -> Option<&'static str> {
    let (family, brand, model) = (family.to_ascii_lowercase(), brand.to_ascii_lowercase(), model.to_ascii_lowercase());
    let named = format!("{family} {model}");
    let has = |parts: &[&str]| parts.iter().any(|part| named.contains(part));
    let begins = |parts: &[&str]| parts.iter().any(|part| model.starts_with(part));

    if brand == "spider" || family == "spider" {
        return Some("bot");
    }
    if has(&["playstation", "xbox", "dreamcast"]) || brand == "nintendo" {
        return Some("console");
    }
    if has(&["apple watch", "sony sw2"]) || brand == "meta" || family.starts_with("glass") {
        return Some("wearable");
    }
    if brand == "google" && family == "chromecast" && (model.contains("smartspeaker") || model.contains("nest hub")) {
        return None;
    }
    if ["hbbtv", "netcast.tv", "inettv", "webtv", "googletv", "roku", "appletv", "chromecast"].contains(&family.as_str())
        || brand == "generic_inettv"
        || family.starts_with("netcast")
        || has(&["smart-tv", "smarttv", "google tv", "viera", "tv-hdmi", "tv box"])
    {
        return Some("smart_tv");
    }
    match family.as_str() {
        "ipad" | "generic tablet" | "kindle" => return Some("tablet"),
        "iphone" | "ipod" | "generic feature phone" | "generic smartphone" => return Some("mobile"),
        "mac" => return Some("desktop"),
        _ => {}
    }
    if family.starts_with("macbook") {
        return Some("desktop");
    }
    if brand == "generic_android_tablet" {
        return Some("tablet");
    }
    // Copies named after other makers' devices say nothing of their own size.
    if ["sprd", "xianghe", "alps", "unknown", "sumsung", "generic_android"].contains(&brand.as_str()) {
        return None;
    }
    if has(&[
        "tablet",
        "galaxy tab",
        "mediapad",
        "playbook",
        "touchpad",
        "lifetab",
        "ideatab",
        "iconia",
        "xoom",
        "transformer",
        "nexus 7",
        "nexus 9",
        "nexus 10",
        "kindle fire",
        "viewpad",
        "streak 7",
        "streak 10",
        "yoga tab",
        "smarttab",
        "pixel c",
        "lumia 2520",
        "slate 7",
        "slate 8",
        "slate 10",
    ]) {
        return Some("tablet");
    }
    // Phones of makers whose other devices are tablets.
    if begins(&["m-pp", "mob-", "sx-sp", "sp4", "smp"]) || has(&["phone", "mobii"]) {
        return None;
    }
    if TABLET_BRANDS.contains(&brand.as_str()) {
        return Some("tablet");
    }
    match brand.as_str() {
        "samsung" => samsung(&model),
        // Optimus Pad and G Pad.
        "lg" if begins(&["v500", "v507", "v510", "v900", "v901", "v905", "v909"]) || has(&["optimus pad"]) => Some("tablet"),
        "lg" if has(&["nexus 4", "nexus 5"]) || !begins(&["v4", "v5", "v6", "v7", "v8", "v9", "vk", "up", "app"]) => Some("mobile"),
        "htc" if has(&["flyer", "evo tab", "puccini", "p510", "p512", "p515", "jetstream", "evo view", "nexus"]) => None,
        "motorola" if begins(&["mz5", "mz6"]) => Some("tablet"),
        "motorola" if has(&["tv"]) => None,
        "nokia" if begins(&["n8-00"]) || !begins(&["n8", "n900", "n7"]) => Some("mobile"),
        "nokia" => None,
        "pantech" if begins(&["p41"]) || has(&["element"]) => None,
        "imobile" if has(&["note"]) => None,
        "micromax" if begins(&["p"]) => Some("tablet"),
        "fly" if has(&["flylife", "vision"]) => None,
        "spice" if begins(&["mi1010", "mi700", "mi707", "mi72"]) => Some("tablet"),
        "motorola" | "htc" | "siemens" | "fujitsu" if begins(&["m532"]) => None,
        "huawei" if has(&["ideoss7"]) || begins(&["s7"]) => Some("tablet"),
        "huawei" if has(&["pad", "tab"]) => None,
        "huawei" | "zte" | "alcatel"
            if has(&["tab", "pad", "t10", "t20", "t60", "evo7", "evo8", "v9", "v55", "v71", "v72", "k9", "e10", "light"]) =>
        {
            None
        }
        "huawei" | "zte" | "alcatel" => Some("mobile"),
        "prestigio" if begins(&["pmp", "pmt"]) => Some("tablet"),
        "prestigio" if begins(&["pap"]) => Some("mobile"),
        "acer" if begins(&["a1-", "a10", "a11", "a20", "a21", "a50", "a51", "a70", "b1-"]) => Some("tablet"),
        "acer" if has(&["liquid"]) || begins(&["e1", "e2", "e3", "s5", "v3", "z1"]) => Some("mobile"),
        "asus" if begins(&["tf", "me1", "me3", "me5", "pad me"]) => Some("tablet"),
        "asus" if begins(&["t00", "p5", "j1", "j5"]) => Some("mobile"),
        "toshiba" if begins(&["at1", "at2", "at3", "at4", "at5", "at7"]) || has(&["thrive", "folio"]) => Some("tablet"),
        "sony" if begins(&["sgp"]) || has(&["tablet"]) => Some("tablet"),
        "sony" if begins(&["c", "d", "l", "mt", "st", "so-0", "sol", "xperia"]) && !begins(&["dtv"]) => Some("mobile"),
        "celkon" if begins(&["ct"]) => Some("tablet"),
        "celkon" if begins(&["a"]) => Some("mobile"),
        "hisense" if begins(&["hs-7", "hs-9", "hs-10"]) => Some("tablet"),
        "hisense" if begins(&["hs-e", "hs-u", "eg", "andromax"]) => Some("mobile"),
        "medion" if begins(&["p4", "e4", "e3", "x4", "life "]) => Some("mobile"),
        "polaroid" if begins(&["midc7", "midc8", "midc9", "midc4", "midc0", "midc1", "pmid", "ptab"]) => Some("tablet"),
        "texet" if begins(&["tm-7", "tm-8", "tm-9", "tb-"]) => Some("tablet"),
        "texet" if begins(&["tm-3", "tm-4", "tm-5"]) => Some("mobile"),
        "archos" if begins(&["70", "80", "97", "101", "a70", "a101", "an7", "an8", "an9", "an10"]) => Some("tablet"),
        "archos" if begins(&["40", "45", "50", "53"]) => Some("mobile"),
        "lenovo" if begins(&["b6000", "b8000", "s6000", "a2107", "a3000", "a1000", "a5000"]) => Some("tablet"),
        "lenovo"
            if begins(&["k", "p", "s5", "s6", "s7", "s8", "s9", "a5", "a6", "a7", "a8"])
                && !begins(&["s5000", "s6000", "a7600", "k1", "a5500", "a7-"]) =>
        {
            Some("mobile")
        }
        "xiaomi" if has(&["pad"]) => Some("tablet"),
        "xiaomi" => Some("mobile"),
        "karbonn" if begins(&["a", "e", "s2", "s5", "titanium"]) => Some("mobile"),
        "gigabyte" if has(&["gsmart"]) => Some("mobile"),
        "google" if begins(&["pixel"]) && !has(&["pixelbook"]) => Some("mobile"),
        "blu" if !has(&["touch"]) => Some("mobile"),
        "amazon" if has(&["kindle", "jem", "otter", "tate"]) => Some("tablet"),
        brand if PHONE_BRANDS.contains(&brand) && !has(&["tab", "pad", "book", "tv"]) => Some("mobile"),
        _ => None,
    }
}

/// Samsung's series.
fn samsung(model: &str) -> Option<&'static str> {
    let begins = |parts: &[&str]| parts.iter().any(|part| model.starts_with(part));
    if begins(&[
        "gt-p", "gt-n5", "gt-n8", "sm-t", "sm-p", "sm-x", "sch-i800", "sch-i815", "sch-i905", "sch-i915", "shw-m180", "shw-m380",
        "shw-m480", "shw-m500", "sgh-t849", "sgh-t859", "sgh-i957", "sgh-i987", "sc-01c",
    ]) {
        return Some("tablet");
    }
    if begins(&[
        "sch-i705", "sch-i925", "sgh-i467", "sgh-i497", "sgh-t779", "sgh-t869", "sgh-i957", "sc-02d", "sc-01d", "sc-01e", "shw-m305",
        "sph-p",
    ]) {
        return None;
    }
    if begins(&[
        "gt-",
        "sgh",
        "sch",
        "sph",
        "shw",
        "shv",
        "sm-a",
        "sm-c",
        "sm-g",
        "sm-j",
        "sm-n",
        "sm-s",
        "sc-0",
        "galaxy s",
        "galaxy nexus",
    ]) {
        return Some("mobile");
    }
    None
}

/// Where a system settles the class: the families of the operating system fixtures.
pub fn class_of_system(family: &str) -> Option<&'static str> {
    match family {
        "Windows" | "Mac OS X" | "Mac OS" | "Ubuntu" | "FreeBSD" | "OpenBSD" | "NetBSD" | "Solaris" | "Debian" | "Gentoo" | "Mandriva"
        | "Red Hat" | "BSD" | "Chrome OS" | "SerenityOS" => Some("desktop"),
        "GoogleTV" | "WebTV" | "tvOS" | "ATV OS X" | "Web0S" | "Roku" | "FireHbbTV" | "Chromecast Linux" | "Chromecast Android" => {
            Some("smart_tv")
        }
        "WatchOS" => Some("wearable"),
        "Windows Phone"
        | "Windows Mobile"
        | "Symbian OS"
        | "Symbian^3"
        | "Symbian^3 Anna"
        | "Symbian^3 Belle"
        | "BlackBerry OS"
        | "KaiOS"
        | "BREW"
        | "Brew MP"
        | "Bada"
        | "Nokia Series 40"
        | "Nokia Series 30 Plus" => Some("mobile"),
        "BlackBerry Tablet OS" | "WeTab" | "Kindle" => Some("tablet"),
        _ => None,
    }
}
