//! What the file keeps, and what it says when it cannot.

use std::path::PathBuf;

use super::super::machine::Stuck;
use super::*;

/// A folder of its own, which goes with its test.
pub(in super::super) struct Scratch(pub PathBuf);

impl Scratch {
    pub(in super::super) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("frontgate-saga-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        Self(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(in super::super) fn record(key: &str) -> Record {
    let definition = Hash::of(&[b"definition"]);
    Record::begin("checkout".to_owned(), Hash::of(&[key.as_bytes()]), Hash::of(&[b"f"]), definition, "r".to_owned(), Millis(1))
}

fn begin(id: Id, key: &str) -> Write {
    Write::Begin { id, record: Box::new(record(key)), definition: "text".to_owned() }
}

fn change(id: Id, key: &str, before: State, state: State, forgotten: Option<u64>) -> Write {
    let mut record = record(key);
    record.state = state;
    Write::Change { id, record: Box::new(record), before, forgotten: forgotten.map(Millis), was_forgotten: None }
}

fn names(store: &Store, state: &str) -> Vec<Id> {
    store.range(state, None, 100).expect("it can be read").into_iter().map(|(id, _)| id).collect()
}

#[test]
fn what_is_put_is_there_when_the_file_is_opened_again_and_only_its_owner_sees_it() {
    let scratch = Scratch::new("again");
    let (one, other) = (Id(1), Id(2));
    let store = Store::open(&scratch.0).expect("it opens");
    store.put(&[begin(one, "a"), begin(other, "b")]).expect("it is put");
    store.put(&[change(other, "b", State::Running(0), State::Undoing(0), None)]).expect("it is put");
    drop(store);

    let store = Store::open(&scratch.0).expect("it opens");

    assert_eq!(store.get(one), Ok(Some(record("a"))));
    assert_eq!(store.of_key(Hash::of(&[b"b"])).expect("read").map(|(id, record)| (id, record.state)), Some((other, State::Undoing(0))));
    assert_eq!(store.of_key(Hash::of(&[b"c"])), Ok(None));
    assert_eq!((names(&store, "running"), names(&store, "undoing"), names(&store, "stuck")), (vec![one], vec![other], vec![]));
    assert_eq!(store.definition(record("a").definition), Ok(Some("text".to_owned())));
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(&scratch.0), mode(&scratch.0.join("sagas.redb"))), (0o700, 0o600));
}

#[test]
fn a_key_begins_one_saga_and_putting_the_same_again_changes_nothing() {
    let scratch = Scratch::new("key");
    let store = Store::open(&scratch.0).expect("it opens");

    let written = store.put(&[begin(Id(1), "a"), begin(Id(2), "a"), begin(Id(1), "a")]).expect("it is put");

    assert!(matches!(&written[..], [Written::Done, Written::Taken(Id(1), _), Written::Done]), "{written:?}");
    assert_eq!(store.get(Id(2)), Ok(None));
    for _ in 0..2 {
        store.put(&[change(Id(1), "a", State::Running(0), State::Done, Some(50))]).expect("it is put");
        assert_eq!((names(&store, "running"), names(&store, "done")), (vec![], vec![Id(1)]));
    }
}

#[test]
fn what_has_ended_is_forgotten_when_its_time_is_over_and_its_definition_with_the_last_of_it() {
    let scratch = Scratch::new("forget");
    let store = Store::open(&scratch.0).expect("it opens");
    store.put(&[begin(Id(1), "a"), begin(Id(2), "b"), begin(Id(3), "c")]).expect("it is put");
    store.put(&[change(Id(1), "a", State::Running(0), State::Done, Some(50))]).expect("it is put");
    store.put(&[change(Id(2), "b", State::Running(0), State::Stuck(Stuck::Undo(0)), None)]).expect("it is put");
    store.put(&[change(Id(3), "c", State::Running(0), State::Undone, Some(70))]).expect("it is put");
    let definition = record("a").definition;

    assert_eq!(store.delete(Millis(50), 10), Ok(0));
    assert_eq!(store.delete(Millis(51), 10), Ok(1));
    assert_eq!((store.get(Id(1)), store.of_key(Hash::of(&[b"a"]))), (Ok(None), Ok(None)));
    assert_eq!(store.delete(Millis(1000), 10), Ok(1));
    assert_eq!(names(&store, "stuck"), [Id(2)], "what needs an operator stays");
    assert_eq!(store.definition(definition), Ok(Some("text".to_owned())));
    store.put(&[change(Id(2), "b", State::Stuck(Stuck::Undo(0)), State::Abandoned, Some(60))]).expect("it is put");
    assert_eq!(store.delete(Millis(1000), 10), Ok(1));
    assert_eq!(store.definition(definition), Ok(None));
}

#[test]
fn a_range_goes_on_where_it_was_left() {
    let scratch = Scratch::new("range");
    let store = Store::open(&scratch.0).expect("it opens");
    let all: Vec<Write> = (1..=5).map(|number| begin(Id(number), &number.to_string())).collect();
    store.put(&all).expect("it is put");

    let first = store.range("running", None, 2).expect("it can be read");
    let second = store.range("running", Some(first[1].0), 10).expect("it can be read");

    assert_eq!((first.len(), second.iter().map(|(id, _)| id.0).collect::<Vec<_>>()), (2, vec![3, 4, 5]));
}

#[test]
fn one_process_has_it_and_what_is_no_such_file_is_not_touched() {
    let scratch = Scratch::new("lock");
    let store = Store::open(&scratch.0).expect("it opens");
    assert_eq!(Store::open(&scratch.0).err(), Some(Trouble::Elsewhere));
    drop(store);
    assert!(Store::open(&scratch.0).is_ok());

    let path = scratch.0.join("sagas.redb");
    fs::write(&path, "something else that is as long as it has to be to look like a file").expect("written");
    let trouble = Store::open(&scratch.0).err();
    assert!(matches!(&trouble, Some(Trouble::Broken(why)) if why.contains("sagas.redb")), "{trouble:?}");
    assert!(fs::read_to_string(&path).expect("text").starts_with("something else"));
}
