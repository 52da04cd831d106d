use serde_json::json;

use super::*;
use crate::config::model::Upstream;
use crate::status::SourceState;
use crate::telemetry::Metrics;

fn part(identity: &str) -> Part {
    Part {
        source: format!("source {identity}"),
        identity: identity.to_owned(),
        patience: Duration::from_secs(60),
        run: Arc::new(|_| Box::pin(std::future::pending())),
    }
}

fn endpoint(number: u16) -> Found {
    Found { address: ([10, 0, 0, 1], number).into(), weight: 1, version: None, name: None }
}

fn these(numbers: impl IntoIterator<Item = u16>) -> Vec<Found> {
    numbers.into_iter().map(endpoint).collect()
}

fn keeper(parts: &[&str], before: Option<&Keeper>, serving: Vec<Found>) -> Arc<Keeper> {
    Keeper::new("shop", parts.iter().map(|identity| part(identity)).collect(), before, Vec::new(), serving, Arc::default())
}

fn pool(more: serde_json::Value) -> Arc<Pool> {
    let mut config = json!({"endpoints": []});
    config.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
    let config: Upstream = serde_json::from_value(config).expect("an upstream");
    Arc::new(Pool::new("shop", &config, None, &Metrics::new(), None))
}

fn of(pool: &Pool) -> Vec<u16> {
    let mut ports: Vec<u16> = pool.endpoints().iter().map(|endpoint| endpoint.address.port()).collect();
    ports.sort_unstable();
    ports
}

#[test]
fn a_pool_has_the_written_addresses_and_what_every_source_names() {
    let (keeper, pool) = (keeper(&["a", "b"], None, Vec::new()), pool(json!({})));
    keeper.serve(&pool, these([1]), None);

    keeper.found(0, these([2, 3]));
    keeper.found(1, vec![endpoint(4), Found { weight: 9, ..endpoint(2) }]);
    assert_eq!(of(&pool), [1], "a source waits for nobody");
    keeper.give(None);

    assert_eq!(of(&pool), [1, 2, 3, 4]);
    let weight = pool.endpoints().iter().find(|endpoint| endpoint.address.port() == 2).map(|endpoint| endpoint.weight);
    assert_eq!(weight, Some(9), "the last one counts");
}

#[test]
fn a_source_that_fails_changes_nothing_and_says_why() {
    let (keeper, pool) = (keeper(&["a"], None, Vec::new()), pool(json!({})));
    keeper.serve(&pool, Vec::new(), None);
    let state = |keeper: &Keeper| keeper.status(Instant::now()).sources.remove(0);
    assert_eq!(state(&keeper).state, SourceState::Waiting);
    keeper.found(0, these([1, 2]));
    assert_eq!(state(&keeper).state, SourceState::Current);

    keeper.failed(0, Failed { why: "it is away".to_owned(), is_invalid: false });
    keeper.give(None);

    assert_eq!(of(&pool), [1, 2]);
    let told = state(&keeper);
    assert_eq!((told.state, told.why.as_deref(), told.endpoints), (SourceState::Away, Some("it is away"), 2));
    keeper.again(0);
    assert_eq!((state(&keeper).state, state(&keeper).why), (SourceState::Current, None));
}

#[test]
fn what_is_in_doubt_leaves_when_an_operator_says_so() {
    let (keeper, pool) = (keeper(&["a"], None, Vec::new()), pool(json!({})));
    keeper.serve(&pool, Vec::new(), None);
    keeper.found(0, these(1..=4));
    keeper.found(0, these([4]));
    keeper.give(None);
    assert_eq!((of(&pool), keeper.status(Instant::now()).sources[0].held), (vec![1, 2, 3, 4], 3));

    assert_eq!(keeper.accept(), 3);
    keeper.give(None);

    assert_eq!((of(&pool), keeper.accept()), (vec![4], 0));
}

#[test]
fn in_doubt_those_stay_that_pass_their_probes() {
    let (keeper, pool) = (keeper(&["a"], None, Vec::new()), pool(json!({"health": {"tcp": true, "start": "unhealthy"}})));
    keeper.serve(&pool, Vec::new(), None);
    keeper.found(0, these(1..=3));
    keeper.give(None);
    let good = pool.to_be_probed().1.into_iter().find(|endpoint| endpoint.address.port() == 2).expect("an endpoint");
    pool.found(&good, Ok(()), Instant::now());

    keeper.found(0, Vec::new());
    keeper.give(None);
    assert_eq!(of(&pool), [2]);

    pool.found(&good, Err(crate::upstream::cause::Cause::Refused), Instant::now());
    keeper.probed(|passes| keeper.set.lock().parts[0].judge.look(passes));
    keeper.give(None);
    assert!(of(&pool).is_empty());
}

#[test]
fn another_configuration_goes_on_with_what_is_known_until_its_own_sources_have_answered() {
    let (old, pool) = (keeper(&["a", "b"], None, Vec::new()), pool(json!({})));
    old.serve(&pool, these([1]), None);
    old.found(0, these([2]));
    old.found(1, these([3]));
    old.give(None);
    assert!(old.asks(&[part("a"), part("b")]) && !old.asks(&[part("b"), part("a")]) && !old.asks(&[part("a")]));

    let next = keeper(&["b", "c"], Some(&old), pool.endpoints());
    old.stop();
    next.serve(&pool, these([9]), None);
    assert_eq!(of(&pool), [1, 2, 3, 9], "`c` has yet to answer");
    old.found(0, these([7]));
    old.give(None);
    next.found(1, these([4]));
    next.give(None);

    assert_eq!(of(&pool), [3, 4, 9], "what is no more is asked no more");
}

#[test]
fn more_than_anybody_has_is_a_mistake() {
    let keeper = keeper(&["a"], None, Vec::new());

    keeper.found(0, (0..=MOST as u32).map(|number| Found { address: (number.to_be_bytes(), 80).into(), ..endpoint(1) }).collect());

    let told = keeper.status(Instant::now()).sources.remove(0);
    assert_eq!((told.endpoints, told.why.as_deref()), (0, Some("it names 100001 endpoints, and 100000 are the most")));
}

#[tokio::test]
async fn sources_are_asked_once_for_as_long_as_the_keeper_lives_and_their_changes_are_given_to_the_pool() {
    let (ended, mut end) = tokio::sync::mpsc::channel::<()>(1);
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = asked.clone();
    let run: Run = Arc::new(move |reporter| {
        let (ended, count) = (ended.clone(), count.clone());
        Box::pin(async move {
            let _ended = ended;
            count.fetch_add(1, Ordering::SeqCst);
            reporter.found(these([1, 2]));
            std::future::pending::<()>().await;
        })
    });
    let keeper = Keeper::new("shop", vec![Part { run, ..part("a") }], None, Vec::new(), Vec::new(), Arc::default());
    let pool = pool(json!({}));
    keeper.serve(&pool, Vec::new(), None);

    keeper.start(&Handle::current());
    keeper.start(&Handle::current());
    let given = tokio::time::timeout(Duration::from_secs(30), async {
        while of(&pool) != [1, 2] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    given.await.expect("the pool has them");
    drop(keeper);

    // The channel closes when nothing holds the other end: neither the keeper nor the source.
    assert!(tokio::time::timeout(Duration::from_secs(30), end.recv()).await.expect("it has ended").is_none());
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn what_was_kept_of_a_source_is_there_before_it_answers() {
    let kept = |source: &str, age| Kept { source: source.to_owned(), age: Duration::from_secs(age), endpoints: these([1, 2]) };
    let (parts, pool) = (vec![part("a"), part("b")], pool(json!({})));
    let keeper = Keeper::new("shop", parts, None, vec![kept("source a", 60), kept("source z", 5)], Vec::new(), Arc::default());

    assert_eq!(keeper.endpoints(&these([9])), these([9, 1, 2]));
    keeper.serve(&pool, Vec::new(), None);
    let told = keeper.status(Instant::now()).sources;
    assert_eq!((told[0].state, told[1].state), (SourceState::Warm, SourceState::Waiting));
    assert!((60..70).contains(&told[0].age_seconds), "{}", told[0].age_seconds);

    keeper.found(0, these([3]));
    keeper.give(None);
    assert_eq!(of(&pool), [3], "an answer is better than what was kept");
}

#[tokio::test]
async fn what_is_known_is_kept_on_disk() {
    let folder = std::env::temp_dir().join(format!("frontgate-keeper-{}", std::process::id()));
    let (keeper, pool) = (keeper(&["a"], None, Vec::new()), pool(json!({})));
    keeper.serve(&pool, Vec::new(), Some(folder.clone()));
    keeper.found(0, these([1, 2]));

    keeper.keep().await;

    let kept = kept::read(&folder, "shop", SystemTime::now()).expect("it can be read");
    assert_eq!((kept[0].source.as_str(), &kept[0].endpoints), ("source a", &these([1, 2])));
    std::fs::remove_dir_all(&folder).expect("removed");
}
