//! What the file keeps, and what it says when it cannot.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
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

    assert_eq!(store.record(one), Ok(Some(Ok(record("a")))));
    assert_eq!(
        store.of_key(Hash::of(&[b"b"])).expect("read").map(|(id, kept)| (id, kept.read().map(|record| record.state))),
        Some((other, Ok(State::Undoing(0))))
    );
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
    assert_eq!(store.record(Id(2)), Ok(None));
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
    assert_eq!((store.record(Id(1)), store.of_key(Hash::of(&[b"a"]))), (Ok(None), Ok(None)));
    assert_eq!(store.delete(Millis(1000), 10), Ok(1));
    assert_eq!(names(&store, "stuck"), [Id(2)], "what needs an operator stays");
    assert_eq!(store.definition(definition), Ok(Some("text".to_owned())));
    store.put(&[change(Id(2), "b", State::Stuck(Stuck::Undo(0)), State::Abandoned, Some(60))]).expect("it is put");
    assert_eq!(store.delete(Millis(1000), 10), Ok(1));
    assert_eq!(store.definition(definition), Ok(None));
}

/// From now on this saga is written in a form that nobody knows here.
pub(in super::super) fn damage(store: &Store, id: Id) {
    let writing = store.begin().expect("it can be written");
    writing.open_table(SAGAS).expect("it is there").insert(id.0, &br#"{"format":2}"#[..]).expect("it is written");
    writing.commit().expect("it is written");
}

#[test]
fn one_that_cannot_be_read_keeps_its_key_and_concerns_no_other() {
    let scratch = Scratch::new("unreadable");
    let store = Store::open(&scratch.0).expect("it opens");
    store.put(&[begin(Id(1), "a"), begin(Id(2), "b")]).expect("it is put");
    damage(&store, Id(1));

    let written = store.put(&[begin(Id(3), "a"), begin(Id(4), "c"), begin(Id(5), "b")]).expect("it is put");

    match &written[..] {
        [Written::Taken(Id(1), damaged), Written::Done, Written::Taken(Id(2), sound)] => {
            assert!(damaged.read().is_err() && sound.read() == Ok(record("b")), "{written:?}");
        }
        _ => panic!("{written:?}"),
    }
    assert!(matches!(store.of_key(Hash::of(&[b"a"])), Ok(Some((Id(1), kept))) if kept.read().is_err()));
    assert!(matches!(store.record(Id(1)), Ok(Some(Err(_)))));
    assert_eq!(names(&store, "running"), [Id(1), Id(2), Id(4)]);
}

#[test]
fn an_empty_file_is_not_begun_anew_and_one_that_was_half_made_is() {
    let scratch = Scratch::new("empty");
    fs::create_dir_all(&scratch.0).expect("made");
    let path = scratch.0.join(file::NAME);
    fs::write(&path, "").expect("written");

    let trouble = Store::open(&scratch.0).err();

    assert!(matches!(&trouble, Some(Trouble::Broken(why)) if why.contains("is empty")), "{trouble:?}");
    assert_eq!(fs::metadata(&path).expect("it is there").len(), 0);
    fs::remove_file(&path).expect("removed");
    fs::write(scratch.0.join("sagas.redb.new"), "half of a file").expect("written");
    Store::open(&scratch.0).expect("it is made").put(&[begin(Id(1), "a")]).expect("it is put");
    assert!(!scratch.0.join("sagas.redb.new").exists());
    assert_eq!(names(&Store::open(&scratch.0).expect("it opens"), "running"), [Id(1)]);
}

#[test]
fn one_that_is_to_be_there_is_not_made() {
    let scratch = Scratch::new("absent");

    assert!(matches!(Store::open_again(&scratch.0, Trust::Proved), Ok(None)));

    assert!(!scratch.0.exists());
}

#[test]
fn a_link_or_a_file_of_somebody_else_is_refused_and_one_that_others_can_read_is_closed_to_them() {
    let scratch = Scratch::new("whose");
    drop(Store::open(&scratch.0).expect("it opens"));
    let (path, moved) = (scratch.0.join(file::NAME), scratch.0.join("moved"));
    let mode = || fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
    let refused = || match Store::open(&scratch.0) {
        Err(Trouble::Broken(why)) => why,
        other => panic!("{:?}", other.err()),
    };

    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("changed");
    drop(Store::open(&scratch.0).expect("it opens"));
    assert_eq!(mode(), 0o600);
    fs::rename(&path, &moved).expect("moved");
    symlink(&moved, &path).expect("linked");
    assert!(refused().contains("symbolic link"), "{}", refused());
    fs::remove_file(&path).expect("removed");
    fs::rename(&moved, &path).expect("moved");
    let folder = scratch.0.with_extension("moved");
    let _ = fs::remove_dir_all(&folder);
    fs::rename(&scratch.0, &folder).expect("moved");
    symlink(&folder, &scratch.0).expect("linked");
    assert!(refused().contains("symbolic link"), "{}", refused());
    fs::remove_file(&scratch.0).expect("removed");
    fs::rename(&folder, &scratch.0).expect("moved");
    if std::os::unix::fs::chown(&path, Some(4711), None).is_err() {
        eprintln!("only root can give a file to somebody else: not tried");
        return;
    }
    assert!(refused().contains("belongs to user 4711"), "{}", refused());
}

/// What a process leaves that is killed while it has the file open.
fn left_by_one_that_was_killed(scratch: &Scratch) -> Vec<u8> {
    let store = Store::open(&scratch.0).expect("it opens");
    for number in 1..=8 {
        store.put(&[begin(Id(number), &number.to_string())]).expect("it is put");
        store.put(&[change(Id(number), &number.to_string(), State::Running(0), State::Done, Some(50))]).expect("it is put");
    }
    fs::read(scratch.0.join(file::NAME)).expect("it can be read")
}

#[test]
fn of_a_file_with_a_bit_that_was_flipped_nothing_is_believed_that_is_not_proved_and_nobody_panics() {
    let scratch = Scratch::new("bits");
    let sound = left_by_one_that_was_killed(&scratch);
    let path = scratch.0.join(file::NAME);
    let pages = (0..sound.len()).step_by(4096).flat_map(|page| page..page + 24);
    let (mut opened, mut refused) = (0, 0);

    for at in pages.filter(|at| sound[*at] != 0) {
        let mut altered = sound.clone();
        altered[at] ^= 0x80;
        fs::write(&path, &altered).expect("written");
        match Store::open(&scratch.0) {
            Ok(store) => {
                opened += 1;
                for number in 1..=8 {
                    let found = store.record(Id(number)).expect("it can be read").map(|found| found.map(|found| found.state));
                    assert_eq!(found, Some(Ok(State::Done)), "byte {at}");
                }
                store.put(&[begin(Id(9), "9")]).expect("it is put");
            }
            Err(Trouble::Damaged(why) | Trouble::Broken(why)) => {
                refused += 1;
                assert!(why.contains("sagas.redb"), "byte {at}: {why}");
            }
            Err(Trouble::Elsewhere) => panic!("byte {at}: nobody has it"),
        }
    }

    assert!(opened > 5 && refused > 5, "{opened} were opened, {refused} were refused");
}

#[test]
fn what_a_panic_leaves_lets_others_have_the_file() {
    let scratch = Scratch::new("panic");
    let store = Store::open(&scratch.0).expect("it opens");
    store.put(&[begin(Id(1), "a")]).expect("it is put");

    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let writing = store.begin().expect("it can be written");
        writing.open_table(SAGAS).expect("it is there").insert(2, &b"half"[..]).expect("it is written");
        panic!("in the middle of it");
    }));
    assert!(panicked.is_err());
    store.abandon();

    let store = Store::open(&scratch.0).expect("it opens");
    assert_eq!(names(&store, "running"), [Id(1)]);
    assert_eq!(store.record(Id(2)), Ok(None));
}

#[test]
fn room_is_looked_for_and_given_back() {
    let scratch = Scratch::new("room");
    let store = Store::open(&scratch.0).expect("it opens");
    store.put(&[begin(Id(1), "a")]).expect("it is put");

    for _ in 0..3 {
        store.has_room(1 << 20).expect("there is room");
    }

    assert!(fs::metadata(scratch.0.join(file::NAME)).expect("it is there").len() < 8 << 20);
    assert_eq!(names(&store, "running"), [Id(1)]);
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
fn a_range_of_large_ones_ends_before_it_is_too_much_and_never_before_the_first() {
    let scratch = Scratch::new("large");
    let store = Store::open(&scratch.0).expect("it opens");
    let large = |number: u128, bytes: usize| {
        let mut record = record(&number.to_string());
        record.facts.insert("body.text".to_owned(), format!("\"{}\"", "x".repeat(bytes)));
        Write::Begin { id: Id(number), record: Box::new(record), definition: "text".to_owned() }
    };
    store.put(&[large(1, MOST_AT_ONCE + 1), large(2, MOST_AT_ONCE / 2), large(3, MOST_AT_ONCE / 3), large(4, 1)]).expect("it is put");

    let (mut pages, mut after) = (Vec::new(), None);
    while let Some(last) = {
        let page = store.range("running", after, 10).expect("it can be read");
        pages.push(page.iter().map(|(id, _)| id.0).collect::<Vec<_>>());
        page.last().map(|(id, _)| *id)
    } {
        after = Some(last);
    }

    assert_eq!(pages, [vec![1], vec![2, 3, 4], vec![]]);
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
