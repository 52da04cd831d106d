//! What the parts of a User-Agent are signs of: the signs here, the [`texts`](TEXTS) that they are found by beside them.

mod texts;

pub use self::texts::TEXTS;

use super::Signs;

macro_rules! signs {
    ($($(#[$doc:meta])* $sign:ident),* $(,)?) => {
        /// One thing that a User-Agent can tell.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Sign { $($(#[$doc])* $sign),* }
    };
}

signs! {
    /// What browsers have begun with since 1994.
    Mozilla,
    /// An engine that draws pages.
    Engine,
    /// `compatible;`, which browsers stopped to say and crawlers did not.
    Compatible,
    /// The browsers that did say it.
    OldCompatible,
    /// Where a desktop browser runs.
    Desktop,
    /// A computer's own name, which is all that it says where it runs Android.
    Computer,
    /// A browser that does not say Mozilla.
    OldBrowser,
    /// The word of a program that fetches.
    Crawler,
    /// A word of a reader of feeds, which runs on a server or on a desk.
    Feed,
    /// `bot`.
    Bot,
    /// Names that end in it, and an address that a component put into desktops' User-Agents.
    NotBot,
    /// An address on the web: who wants to be asked.
    Contact,
    /// Apple's networking library, on phones and on desktops.
    CfNetwork,
    /// A console.
    Console,
    /// A watch, glasses.
    Wearable,
    /// A television's own words.
    Tv,
    /// The word TV alone.
    TvWord,
    /// Televisions, watches and some phones.
    Tizen,
    /// Models of boxes and sticks, which are all that an Android box says.
    BoxName,
    /// Models of televisions, which begin with the size of the screen in inches or name its kind.
    TvModel,
    /// A tablet's own words.
    TabletName,
    /// The address of a mailbox, which also looks like a build's name.
    Mail,
    /// A word of a program that fetches for others, which some phones say too.
    Errand,
    /// `pad`.
    Pad,
    /// Names of phones that end in it.
    NotPad,
    /// `tab`.
    TabletWord,
    /// Models of Android tablets.
    TabletModel,
    /// Android.
    Android,
    /// The word Mobile.
    Mobile,
    /// A phone's own words.
    PhoneName,
    /// Models of Android phones.
    PhoneModel,
    /// Makers of phones, of which many make tablets too.
    Maker,
    /// Phones before Android.
    FeaturePhone,
    /// An iPad.
    Ipad,
    /// A Mac, or an iPad that calls itself one.
    Macintosh,
    /// An iPhone, an iPod, or a program on one.
    Iphone,
    /// Any of Apple's that fit in a hand.
    Apple,
    /// The hints say a phone.
    HintMobile,
    /// The hints say a system of phones and no phone.
    HintTablet,
    /// The hints say a television.
    HintTv,
    /// The hints say a system of computers, and no phone.
    HintDesktop,
    /// There is a User-Agent.
    Named,
}

impl Sign {
    /// The sign as a set of one.
    pub const fn bit(self) -> Signs {
        1 << self as u8
    }
}
