//! The built-in table: what the signs are ([`signs`]), and in which order they decide.
//!
//! The order is the point. A crawler says which phone it plays, so crawlers go first; a television box says Android, so televisions go before
//! tablets; what is left of Android is told by the word Mobile; and what is left of everything is a browser or a program, told by its shape.

mod signs;

use super::hints::{Hints, Platform};
use super::matcher::{self, Pattern, Signs};

use self::signs::{Sign, TEXTS};

/// The classes by index.
pub const CLASSES: &[&str] = &["smart_tv", "console", "wearable", "tablet", "mobile", "bot", super::DESKTOP];

const SMART_TV: usize = 0;
const CONSOLE: usize = 1;
const WEARABLE: usize = 2;
const TABLET: usize = 3;
const MOBILE: usize = 4;
const BOT: usize = 5;
const DESKTOP: usize = 6;

/// The patterns of all signs.
pub fn patterns() -> Vec<Pattern<'static>> {
    let each = |&(sign, texts): &(Sign, &'static str)| texts.split(", ").map(move |text| Pattern::marked(text, sign.bit()));
    TEXTS.iter().flat_map(each).collect()
}

/// The rules, in order.
pub fn rules() -> Vec<matcher::Rule> {
    use Sign::*;
    let set = |signs: &[Sign]| signs.iter().fold(0, |set, sign| set | sign.bit());
    let rule = |class, any: &[Sign], all: &[Sign], none: &[Sign]| matcher::Rule { class, any: set(any), all: set(all), none: set(none) };
    vec![
        // Programs that say so, whichever device they play.
        rule(BOT, &[Crawler], &[], &[]),
        rule(BOT, &[Bot], &[], &[NotBot]),
        rule(BOT, &[Feed], &[], &[Desktop, Android, Apple, CfNetwork, OldBrowser, Tv]),
        rule(BOT, &[Compatible], &[Engine], &[OldCompatible, Tv]),
        // Things with a name of their own.
        rule(CONSOLE, &[Console], &[], &[]),
        rule(WEARABLE, &[Wearable], &[], &[]),
        rule(SMART_TV, &[Tv], &[], &[]),
        rule(TABLET, &[TabletName], &[], &[]),
        rule(SMART_TV, &[TvWord, Tizen, HintTv], &[], &[Mobile, PhoneName, Apple, Desktop, Contact]),
        rule(DESKTOP, &[Computer], &[Android], &[TabletWord]),
        rule(SMART_TV, &[TvModel], &[Android], &[TabletWord, TabletModel, PhoneModel]),
        rule(SMART_TV, &[BoxName], &[Android], &[Mobile, TabletWord]),
        rule(DESKTOP, &[Desktop], &[CfNetwork], &[]),
        rule(MOBILE, &[CfNetwork], &[], &[]),
        // Applications on phones may carry an address, pages' visitors do not.
        rule(BOT, &[Contact, Mail, Errand], &[], &[Android, Desktop, OldBrowser, PhoneName, FeaturePhone, NotBot]),
        rule(BOT, &[Contact, Errand], &[Engine], &[PhoneName, FeaturePhone, NotBot]),
        // Apple's, whose applications do not say Mozilla.
        rule(TABLET, &[Ipad], &[], &[]),
        rule(MOBILE, &[Iphone], &[], &[]),
        // Android: by the model, by what the browser hints, by the word Mobile, which browsers leave out on tablets.
        rule(DESKTOP, &[HintDesktop], &[Android], &[]),
        rule(TABLET, &[TabletModel], &[Android], &[]),
        rule(TABLET, &[TabletWord], &[Android], &[Desktop]),
        rule(TABLET, &[Pad], &[Android], &[Desktop, NotPad]),
        rule(MOBILE, &[HintMobile], &[], &[]),
        rule(MOBILE, &[Mobile, PhoneName, PhoneModel], &[Android], &[]),
        rule(TABLET, &[HintTablet], &[], &[]),
        rule(TABLET, &[Engine], &[Android, Mozilla], &[]),
        rule(MOBILE, &[Android], &[], &[Desktop]),
        // Other phones.
        rule(MOBILE, &[FeaturePhone, PhoneName, PhoneModel], &[], &[]),
        rule(MOBILE, &[Maker], &[], &[Desktop, Engine]),
        rule(MOBILE, &[Mobile], &[], &[Desktop]),
        // A browser says Mozilla and its engine, or where it runs; a program says neither.
        rule(DESKTOP, &[Desktop, OldBrowser, Computer], &[], &[]),
        rule(BOT, &[Compatible], &[], &[OldCompatible]),
        rule(BOT, &[Named], &[], &[Engine]),
    ]
}

/// The signs that no pattern finds, where these are found.
pub fn more_signs(agent: &[u8], found: Signs, hints: Hints) -> Signs {
    let mut signs = 0;
    let mut set = |sign: Sign| signs |= sign.bit();
    match (hints.platform, hints.mobile) {
        (_, Some(true)) => set(Sign::HintMobile),
        // Safari and whatever draws with it call an iPad a Macintosh; where the hints say iOS all the same, it is one.
        (Some(Platform::Ios), None) if found & Sign::Macintosh.bit() == 0 => set(Sign::HintMobile),
        (Some(Platform::Ipad | Platform::Ios), _) | (Some(Platform::Android), Some(false)) => set(Sign::HintTablet),
        (Some(Platform::Tv), _) => set(Sign::HintTv),
        (Some(Platform::Desktop), Some(false)) => set(Sign::HintDesktop),
        _ => {}
    }
    if !agent.is_empty() {
        set(Sign::Named);
    }
    signs
}
