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
/// How many keys are read at once.
const PAGE: i64 = 1000;

/// Why a watch cannot go on where it was, though nothing is wrong with the member.
pub(super) struct End {
    pub why: String,
}

/// Follows the keys at this member. `served` once all were read.
pub(super) async fn follow(spec: &Spec, member: &str, reporter: &Reporter, served: &mut bool) -> Result<End, String> {
    let options = spec.options().await?;
    let mut client = timely(Client::connect([member], Some(options))).await?;
    let mut listed = Listed::default();
    let (read, cluster) = read_all(spec, &mut client, &mut listed).await?;
    listed.tell(reporter);
    *served = true;

    let options = WatchOptions::new().with_prefix().with_start_revision(read + 1).with_progress_notify().with_fragment();
    let mut watch = timely(client.watch(spec.prefix.as_str(), Some(options))).await?;
    let (mut revision, mut heard) = (read, Instant::now());
    let mut pulse = tokio::time::interval(PULSE);
    loop {
        let message = tokio::select! {
            message = watch.message() => message.map_err(|error| words(&error))?,
            _ = pulse.tick() => {
                if heard.elapsed() > SILENCE {
                    return Err(format!("it was silent for {} s", SILENCE.as_secs()));
                }
                timely(watch.request_progress()).await?;
                continue;
            }
        };
        let Some(message) = message else { return Err("it ended the watch".to_owned()) };
        heard = Instant::now();
        if message.compact_revision() > 0 {
            return Ok(End { why: format!("revision {} was compacted away", revision + 1) });
        }
        if message.canceled() {
            return Err(format!("it refused the watch: {}", short(message.cancel_reason())));
        }
        if let Some(header) = message.header() {
            if header.cluster_id() != cluster || header.revision() < revision {
                return Ok(End { why: "it has another history than before".to_owned() });
            }
            revision = header.revision();
        }
        if message.events().is_empty() {
            reporter.again();
            continue;
        }
        for event in message.events() {
            let Some(key) = event.kv() else { continue };
            match event.event_type() {
                EventType::Put => listed.put(spec, key.key(), key.value())?,
                EventType::Delete => listed.delete(key.key()),
            }
        }
        listed.tell(reporter);
    }
}

/// Reads all keys as they are at one revision, page by page. That revision, and the cluster's number.
async fn read_all(spec: &Spec, client: &mut Client, listed: &mut Listed) -> Result<(i64, u64), String> {
    let (mut from, mut revision, mut cluster) = (spec.prefix.clone().into_bytes(), 0, 0);
    loop {
        let page = GetOptions::new().with_range(end_of(spec.prefix.as_bytes())).with_limit(PAGE).with_revision(revision);
        let page = timely(client.get(from.as_slice(), Some(page))).await?;
        let header = page.header().ok_or_else(|| "its answer has no revision".to_owned())?;
        if revision == 0 {
            (revision, cluster) = (header.revision(), header.cluster_id());
        }
        for key in page.kvs() {
            listed.put(spec, key.key(), key.value())?;
        }
        match page.kvs().last() {
            Some(last) if page.more() => {
                from = last.key().to_vec();
                from.push(0);
            }
            _ => return Ok((revision, cluster)),
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
