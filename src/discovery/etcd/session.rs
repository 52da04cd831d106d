//! One member followed for as long as that goes well: all keys read, then watched, and a member that falls silent given up.

use std::time::{Duration, Instant};

use etcd_client::{Client, Error, EventType, GetOptions, WatchOptions};

use super::listed::Listed;
use super::{PULSE, Spec};
use crate::discovery::Reporter;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a watch may say nothing, though it is asked for its progress at every pulse.
const SILENCE: Duration = Duration::from_secs(12);
/// How often all keys are read although they are watched.
const RENEWAL: Duration = Duration::from_secs(300);
/// How many keys are read at once.
const PAGE: i64 = 1000;

/// Why a watch cannot go on where it was, though nothing is wrong with the member.
pub(super) struct End {
    pub why: String,
}

/// Follows the keys at this member. `served` once all were read.
///
/// The watch is there before the keys are read: between a read and a watch that begins after it a deletion can be compacted away, of which
/// older servers then say nothing (Debian 12's 3.4.23 is one). For the same reason all keys are read again from time to time.
pub(super) async fn follow(spec: &Spec, member: &str, reporter: &Reporter, served: &mut bool) -> Result<End, String> {
    let options = spec.options().await?;
    let mut client = timely(Client::connect([member], Some(options))).await?;
    let options = WatchOptions::new().with_prefix().with_progress_notify().with_fragment();
    let mut watch = timely(client.watch(spec.prefix.as_str(), Some(options))).await?;
    let created = timely(watch.message()).await?.ok_or_else(ended)?;
    if created.canceled() {
        return Err(refused(created.cancel_reason()));
    }
    let (mut revision, cluster) = created.header().map(|header| (header.revision(), header.cluster_id())).ok_or_else(nameless)?;
    let mut listed = Listed::default();
    let mut read = read_all(spec, &mut client, &mut listed).await?;
    listed.tell(reporter);
    *served = true;

    let (mut heard, mut read_at) = (Instant::now(), Instant::now());
    let mut pulse = tokio::time::interval(PULSE);
    loop {
        let message = tokio::select! {
            message = watch.message() => message.map_err(|error| words(&error))?,
            _ = pulse.tick() => {
                if heard.elapsed() > SILENCE {
                    return Err(format!("it was silent for {} s", SILENCE.as_secs()));
                }
                if read_at.elapsed() > RENEWAL {
                    let mut fresh = Listed::default();
                    read = read_all(spec, &mut client, &mut fresh).await?;
                    listed = fresh;
                    listed.tell(reporter);
                    read_at = Instant::now();
                }
                timely(watch.request_progress()).await?;
                continue;
            }
        };
        let message = message.ok_or_else(ended)?;
        heard = Instant::now();
        if message.compact_revision() > 0 {
            return Ok(End { why: "what it had yet to say was compacted away".to_owned() });
        }
        if message.canceled() {
            return Err(refused(message.cancel_reason()));
        }
        if let Some(header) = message.header() {
            if header.cluster_id() != cluster || header.revision() < revision {
                return Ok(End { why: "it has another history than before".to_owned() });
            }
            revision = header.revision();
        }
        // What was read already is no news.
        let news = message.events().iter().filter_map(|event| Some((event.event_type(), event.kv()?)));
        let mut is_news = false;
        for (kind, key) in news.filter(|(_, key)| key.mod_revision() > read) {
            is_news = true;
            match kind {
                EventType::Put => listed.put(spec, key.key(), key.value())?,
                EventType::Delete => listed.delete(key.key()),
            }
        }
        if is_news { listed.tell(reporter) } else { reporter.again() }
    }
}

fn ended() -> String {
    "it ended the watch".to_owned()
}

fn refused(why: &str) -> String {
    format!("it refused the watch: {}", short(why))
}

fn nameless() -> String {
    "its answer has no revision".to_owned()
}

/// Reads all keys as they are at one revision, page by page. That revision.
async fn read_all(spec: &Spec, client: &mut Client, listed: &mut Listed) -> Result<i64, String> {
    let (mut from, mut revision) = (spec.prefix.clone().into_bytes(), 0);
    loop {
        let page = GetOptions::new().with_range(end_of(spec.prefix.as_bytes())).with_limit(PAGE).with_revision(revision);
        let page = timely(client.get(from.as_slice(), Some(page))).await?;
        if revision == 0 {
            revision = page.header().ok_or_else(nameless)?.revision();
        }
        for key in page.kvs() {
            listed.put(spec, key.key(), key.value())?;
        }
        match page.kvs().last() {
            Some(last) if page.more() => {
                from = last.key().to_vec();
                from.push(0);
            }
            _ => return Ok(revision),
        }
    }
}

/// The first key after all those that begin with this one. It is not empty, and is ASCII.
fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

/// What etcd answers in time.
async fn timely<T>(asked: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(|error| words(&error)),
        Err(_) => Err(format!("it did not answer within {} s", PATIENCE.as_secs())),
    }
}

/// What went wrong, on a line.
fn words(error: &Error) -> String {
    match error {
        Error::GRpcStatus(status) => short(status.message()),
        Error::TransportError(_) => "it cannot be reached".to_owned(),
        other => short(&other.to_string()),
    }
}

/// Somebody else's words, as far as they fit on a line.
fn short(text: &str) -> String {
    text.chars().take(200).collect::<String>().replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_where_its_prefix_does() {
        assert_eq!(end_of(b"/services/shop/"), b"/services/shop0");
        assert_eq!(end_of(&[b'a', 0xff]), b"b");
        assert_eq!(end_of(&[0xff]), [0]);
    }
}
