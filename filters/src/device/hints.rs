//! The client hints that say something about the device.

/// What `Sec-CH-UA-Mobile` and `Sec-CH-UA-Platform` say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// `?1` or `?0`.
    pub mobile: Option<bool>,
    /// The platform, where it tells something.
    pub platform: Option<Platform>,
}

/// The platforms that lead to a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// Phones, tablets and more.
    Android,
    /// Phones and tablets of Apple's.
    Ios,
    /// Apple's tablets alone.
    Ipad,
    /// Windows, macOS, Linux, Chrome OS.
    Desktop,
    /// Tizen and webOS.
    Tv,
}

impl Hints {
    /// Reads both headers; what is not understood is passed over.
    pub fn read(mobile: Option<&[u8]>, platform: Option<&[u8]>) -> Self {
        let mobile = match mobile.map(<[u8]>::trim_ascii) {
            Some(b"?1") => Some(true),
            Some(b"?0") => Some(false),
            _ => None,
        };
        Self { mobile, platform: platform.and_then(named) }
    }
}

/// The header is a string in quotes (RFC 8941); some clients leave the quotes out.
fn named(value: &[u8]) -> Option<Platform> {
    const NAMES: &[(&str, Platform)] = &[
        ("android", Platform::Android),
        ("ios", Platform::Ios),
        ("ipados", Platform::Ipad),
        ("windows", Platform::Desktop),
        ("macos", Platform::Desktop),
        ("mac os x", Platform::Desktop),
        ("linux", Platform::Desktop),
        ("chrome os", Platform::Desktop),
        ("chromium os", Platform::Desktop),
        ("chromeos", Platform::Desktop),
        ("tizen", Platform::Tv),
        ("webos", Platform::Tv),
    ];
    let value = value.trim_ascii();
    let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    NAMES.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(value)).map(|&(_, platform)| platform)
}
