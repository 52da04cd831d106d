//! The gateway's own log, on standard error: as much of it as the environment says, or for a time as much as an operator wants.
//!
//! What an operator wants concerns what the gateway itself tells, never the libraries below it: they would tell of headers, and so of secrets.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use log::{LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;

use crate::status::{Level, LogLevel};

/// What is told where RUST_LOG says nothing. Of watched directories not that one is gone: every exchange of a ConfigMap takes one away.
const DEFAULT: &str = "info,pingora_core=warn,pingora_proxy=warn,notify=error";
/// How long a level holds where nobody says how long.
pub(crate) const SPAN: Duration = Duration::from_secs(600);
/// The longest that one may hold.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The level that an operator wants, as a number; 0 where none does.
static WANTED: AtomicUsize = AtomicUsize::new(0);
/// The same with its end.
static HELD: Mutex<Option<(Level, Instant)>> = Mutex::new(None);
/// The most that the environment lets through, as a number.
static USUAL: AtomicUsize = AtomicUsize::new(0);

/// Writes with one of two, so that neither needs to know of the other's filter.
struct OwnLog {
    usual: env_logger::Logger,
    wanted: env_logger::Logger,
}

/// Begins to write.
pub(crate) fn init() {
    let usual = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(DEFAULT)).build();
    let wanted = env_logger::Builder::new().filter_level(LevelFilter::Trace).parse_write_style(&style()).build();
    USUAL.store(usual.filter() as usize, Ordering::Relaxed);
    log::set_max_level(usual.filter());
    // Whoever has a logger already keeps it.
    let _ = log::set_boxed_logger(Box::new(OwnLog { usual, wanted }));
}

/// Whether colours are used, as the environment says.
fn style() -> String {
    std::env::var(env_logger::DEFAULT_WRITE_STYLE_ENV).unwrap_or_default()
}

impl Log for OwnLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        match wanted_of(metadata.target()) {
            Some(level) => metadata.level() as usize <= level,
            None => self.usual.enabled(metadata),
        }
    }

    fn log(&self, record: &Record<'_>) {
        match wanted_of(record.target()) {
            Some(level) if record.level() as usize <= level => self.wanted.log(record),
            Some(_) => {}
            None => self.usual.log(record),
        }
    }

    fn flush(&self) {
        self.usual.flush();
    }
}

/// The level that an operator wants of whoever logs under this name, where one does.
fn wanted_of(target: &str) -> Option<usize> {
    let level = WANTED.load(Ordering::Relaxed);
    // The crates of the gateway are called after it.
    let is_own = || target.split("::").next().is_some_and(|name| name.split('_').next() == Some("frontgate"));
    (level > 0 && is_own()).then_some(level)
}

fn filter(level: Level) -> Option<LevelFilter> {
    match level {
        Level::Error => Some(LevelFilter::Error),
        Level::Warn => Some(LevelFilter::Warn),
        Level::Info => Some(LevelFilter::Info),
        Level::Debug => Some(LevelFilter::Debug),
        Level::Usual => None,
    }
}

/// Tells something at `debug`. The macro of that name would be left out of releases, for the sake of the libraries' lines.
pub(crate) fn detail(target: &'static str, words: fmt::Arguments<'_>) {
    if log::max_level() >= LevelFilter::Debug {
        log::logger().log(&Record::builder().level(log::Level::Debug).target(target).args(words).build());
    }
}

/// Tells so much for so long, or again what is usual.
pub(crate) fn hold(level: Level, time: Duration, now: Instant) {
    let mut held = HELD.lock();
    let wanted = filter(level).map_or(0, |filter| filter as usize);
    *held = (wanted > 0).then_some((level, now + time));
    WANTED.store(wanted, Ordering::Relaxed);
    let most = wanted.max(USUAL.load(Ordering::Relaxed));
    log::set_max_level(LevelFilter::iter().find(|filter| *filter as usize == most).unwrap_or(LevelFilter::Info));
}

/// What an operator has set, and how much longer it holds.
pub(crate) fn held(now: Instant) -> Option<LogLevel> {
    let (level, until) = (*HELD.lock())?;
    Some(LogLevel { level, for_ms: until.saturating_duration_since(now).as_millis() as u64 })
}

/// Goes back to what is usual where the time is over.
pub(crate) fn tick(now: Instant) {
    let over = HELD.lock().filter(|(_, until)| *until <= now);
    if let Some((level, _)) = over {
        hold(Level::Usual, Duration::ZERO, now);
        log::warn!("the log tells as much as usual again: the time of `{}` is over", level.label());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_holds_for_its_time_and_for_the_gateway_alone() {
        let now = Instant::now();
        USUAL.store(LevelFilter::Info as usize, Ordering::Relaxed);

        hold(Level::Debug, Duration::from_secs(5), now);
        assert_eq!(held(now + Duration::from_secs(2)), Some(LogLevel { level: Level::Debug, for_ms: 3000 }));
        assert_eq!((wanted_of("frontgate::reload"), wanted_of(concat!("frontgate", "_filters::jwt"))), (Some(4), Some(4)));
        assert_eq!((wanted_of("pingora_proxy::proxy_h1"), wanted_of("frontgates")), (None, None));
        assert_eq!(log::max_level(), LevelFilter::Debug);

        tick(now + Duration::from_secs(4));
        assert!(held(now).is_some());
        tick(now + Duration::from_secs(5));
        assert_eq!((held(now), wanted_of("frontgate"), log::max_level()), (None, None, LevelFilter::Info));
    }
}
