//! The file that sagas are kept in: four functions, each of which does all that it is asked or nothing, behind which redb could be replaced.
//!
//! Commits are in two phases and keep what a repair needs, so that what was synced is there after a crash and opening takes no longer then. The
//! file is open to one process at a time.
//!
//! A file that was altered by others may make redb panic, in its destructors, too: what a panic leaves is forgotten instead of dropped.

mod backend;

use std::ops::{Bound, Deref, RangeInclusive};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, WriteTransaction};

use self::backend::Shared;
use super::file;
use super::machine::State;
use super::record::{Hash, Id, Millis, Record};
use crate::files;

/// Sagas by their ids.
const SAGAS: TableDefinition<u128, &[u8]> = TableDefinition::new("sagas");
/// Sagas by what their clients ask with.
const KEYS: TableDefinition<&[u8; 32], u128> = TableDefinition::new("keys");
/// Sagas by their states.
const STATES: TableDefinition<(u8, u128), ()> = TableDefinition::new("states");
/// Sagas by when they are forgotten, in milliseconds since 1970.
const ENDS: TableDefinition<(u64, u128), ()> = TableDefinition::new("ends");
/// The texts of definitions by their hashes.
const DEFINITIONS: TableDefinition<&[u8; 32], &str> = TableDefinition::new("definitions");
/// By how many sagas a definition is used.
const USES: TableDefinition<&[u8; 32], u64> = TableDefinition::new("uses");

/// What is written to see whether there is room, and goes at once.
const ROOM: TableDefinition<(), &[u8]> = TableDefinition::new("room");

/// Memory for pages of the file, in bytes.
const CACHE: usize = 16 << 20;

/// How many bytes of sagas are read at once.
pub(super) const MOST_AT_ONCE: usize = 4 << 20;

/// Why the file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Another process has it.
    Elsewhere,
    /// What is wrong with it.
    Broken(String),
    /// It is not what was written to it, or made somebody panic; how that was seen.
    Damaged(String),
}

impl Trouble {
    pub(super) fn of(error: impl Into<redb::Error>) -> Self {
        match error.into() {
            redb::Error::DatabaseAlreadyOpen => Self::Elsewhere,
            error @ redb::Error::Corrupted(_) => Self::Damaged(error.to_string()),
            redb::Error::Io(error) => Self::Broken(files::words(&error)),
            error => Self::Broken(error.to_string()),
        }
    }
}

/// What is to be written of one saga.
#[derive(Debug)]
pub(crate) enum Write {
    /// It begins, unless its key is taken.
    Begin {
        /// Its id.
        id: Id,
        /// What it is.
        record: Box<Record>,
        /// The text of its definition.
        definition: String,
    },
    /// It is now so.
    Change {
        /// Its id.
        id: Id,
        /// What it is.
        record: Box<Record>,
        /// The state that it was in.
        before: State,
        /// When it is forgotten, where it has ended.
        forgotten: Option<Millis>,
        /// When it would have been forgotten before, where it had ended.
        was_forgotten: Option<Millis>,
    },
}

impl Write {
    /// How many bytes it writes, about.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Begin { record, definition, .. } => record.to_bytes().len() + definition.len(),
            Self::Change { record, .. } => record.to_bytes().len(),
        }
    }
}

/// What became of a write.
#[derive(Debug)]
pub(crate) enum Written {
    /// It is there.
    Done,
    /// Its key is that of this saga, and nothing was written.
    Taken(Id, Kept),
}

/// A saga as it is in the file. It may be large, and so whoever asked for it reads it, while the file answers others.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kept(Vec<u8>);

impl Kept {
    /// What it says, or why it cannot be read: that concerns no other.
    pub(crate) fn read(&self) -> Result<Record, String> {
        Record::read(&self.0)
    }
}

/// A saga that was found; of one that cannot be read, why.
pub(crate) type Found = (Id, Result<Record, String>);

/// Whether a file is what was written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// That is proved: all of it is read and compared with its checksums, and what is free in it is counted anew.
    Proved,
    /// This process has written it, or proved it before.
    Known,
}

/// The file, open.
pub(crate) struct Store {
    /// Until it is dropped.
    database: Option<Database>,
    backend: Shared,
    /// Which one it is, and where it was found.
    identity: file::Identity,
    folder: PathBuf,
}

impl Store {
    /// Opens the file in this directory and proves it. Both are made where they are not there, for this user alone, which the log says.
    pub(crate) fn open(folder: &Path) -> Result<Self, Trouble> {
        match Self::open_again(folder, Trust::Proved)? {
            Some(store) => Ok(store),
            None => {
                let new = file::New::in_folder(folder)?;
                let store = Self::on(new.file()?, folder, Trust::Known)?;
                new.finish()?;
                log::warn!(
                    "sagas: there was no journal in `{}`, and a new one is begun: no key is known that was used before",
                    folder.display()
                );
                Ok(store)
            }
        }
    }

    /// The same; nothing where it is not there.
    pub(crate) fn open_again(folder: &Path, trust: Trust) -> Result<Option<Self>, Trouble> {
        file::existing(folder)?.map(|file| Self::on(file, folder, trust)).transpose()
    }

    fn on(file: std::fs::File, folder: &Path, trust: Trust) -> Result<Self, Trouble> {
        let identity = file::Identity::of(&file).map_err(|error| Trouble::Broken(files::words(&error)))?;
        let backend = Shared::new(FileBackend::new(file).map_err(Trouble::of)?);
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE).set_check_integrity_on_open(trust == Trust::Proved);
        let database = builder.create_with_backend(backend.clone()).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => Trouble::Elsewhere,
            error => match Trouble::of(error) {
                Trouble::Broken(why) => Trouble::Broken(format!("`{}`: {why}", folder.join(file::NAME).display())),
                Trouble::Damaged(why) => Trouble::Damaged(format!("`{}` was altered: {why}", folder.join(file::NAME).display())),
                Trouble::Elsewhere => Trouble::Elsewhere,
            },
        })?;
        let store = Self { database: Some(database), backend, identity, folder: folder.to_owned() };
        let begun = store.begin()?;
        (|| -> Result<(), redb::Error> {
            begun.open_table(SAGAS)?;
            begun.open_table(KEYS)?;
            begun.open_table(STATES)?;
            begun.open_table(ENDS)?;
            begun.open_table(DEFINITIONS)?;
            begun.open_table(USES)?;
            Ok(())
        })()
        .map_err(Trouble::of)?;
        begun.commit().map_err(Trouble::of)?;
        Ok(store)
    }

    fn database(&self) -> &Database {
        self.database.as_ref().expect("it is there until it is dropped")
    }

    /// Leaves what a panic has left of it as it is, and lets others have the file. What it had in memory is lost to this process.
    pub(crate) fn abandon(mut self) {
        self.forget();
    }

    fn forget(&mut self) {
        if let Some(database) = self.database.take() {
            std::mem::forget(database);
            let _ = self.backend.close();
        }
    }

    /// Whether so many bytes can be written and synced, which takes as long as it takes to do so.
    pub(crate) fn has_room(&self, bytes: usize) -> Result<(), Trouble> {
        let writing = self.begin()?;
        (|| -> Result<(), redb::Error> {
            writing.open_table(ROOM)?.insert((), &*vec![0; bytes])?;
            Ok(())
        })()
        .map_err(Trouble::of)?;
        self.commit(writing)?;
        let writing = self.begin()?;
        (|| -> Result<(), redb::Error> {
            writing.delete_table(ROOM)?;
            Ok(())
        })()
        .map_err(Trouble::of)?;
        self.commit(writing)
    }

    /// Writes all of this with one sync. What is written may be written again: that changes nothing.
    pub(crate) fn put(&self, batch: &[Write]) -> Result<Vec<Written>, Trouble> {
        let writing = self.begin()?;
        let written = put(&writing, batch).map_err(Trouble::of)?;
        if !written.iter().any(|written| matches!(written, Written::Done)) {
            // Nothing was written that would have to be synced.
            writing.abort().map_err(Trouble::of)?;
        } else {
            self.commit(writing)?;
        }
        Ok(written)
    }

    /// The saga of this id; of one that cannot be read, why: that concerns no other.
    pub(crate) fn record(&self, id: Id) -> Result<Option<Result<Record, String>>, Trouble> {
        (|| {
            let sagas = self.database().begin_read()?.open_table(SAGAS)?;
            Ok::<_, redb::Error>(sagas.get(id.0)?.map(|found| Record::read(found.value())))
        })()
        .map_err(Trouble::of)
    }

    /// The sagas whose ids are between these two, both included, at most so many, in their order.
    pub(crate) fn between(&self, ids: RangeInclusive<u128>, most: usize) -> Result<Vec<Id>, Trouble> {
        (|| {
            let sagas = self.database().begin_read()?.open_table(SAGAS)?;
            let found = sagas.range::<u128>(ids)?.take(most).map(|entry| Ok(Id(entry?.0.value())));
            found.collect::<Result<_, redb::StorageError>>().map_err(redb::Error::from)
        })()
        .map_err(Trouble::of)
    }

    /// The saga that began with this key.
    pub(crate) fn of_key(&self, key: Hash) -> Result<Option<(Id, Kept)>, Trouble> {
        (|| {
            let reading = self.database().begin_read()?;
            let Some(id) = reading.open_table(KEYS)?.get(&key.0)?.map(|found| found.value()) else { return Ok(None) };
            let kept = reading.open_table(SAGAS)?.get(id)?.map(|found| Kept(found.value().to_vec()));
            Ok::<_, redb::Error>(kept.map(|kept| (Id(id), kept)))
        })()
        .map_err(Trouble::of)
    }

    /// The sagas in a state of this name, at most so many and of no more than [`MOST_AT_ONCE`] bytes, but one, those with ids behind this one, in
    /// their order. Of one that cannot be read, why.
    pub(crate) fn range(&self, state: &str, after: Option<Id>, most: usize) -> Result<Vec<Found>, Trouble> {
        let code = code_of(state);
        (|| {
            let reading = self.database().begin_read()?;
            let (states, sagas) = (reading.open_table(STATES)?, reading.open_table(SAGAS)?);
            let first = after.map_or(Bound::Included((code, 0)), |after| Bound::Excluded((code, after.0)));
            let (mut found, mut bytes) = (Vec::new(), 0);
            for entry in states.range::<(u8, u128)>((first, Bound::Included((code, u128::MAX))))?.take(most) {
                let (_, id) = entry?.0.value();
                let kept = sagas.get(id)?;
                bytes += kept.as_ref().map_or(0, |kept| kept.value().len());
                if bytes > MOST_AT_ONCE && !found.is_empty() {
                    break;
                }
                let record = kept.map_or_else(|| Err("it is not there".to_owned()), |record| Record::read(record.value()));
                found.push((Id(id), record));
            }
            Ok::<_, redb::Error>(found)
        })()
        .map_err(Trouble::of)
    }

    /// The text of a definition.
    pub(crate) fn definition(&self, hash: Hash) -> Result<Option<String>, Trouble> {
        (|| {
            Ok::<_, redb::Error>(self.database().begin_read()?.open_table(DEFINITIONS)?.get(&hash.0)?.map(|found| found.value().to_owned()))
        })()
        .map_err(Trouble::of)
    }

    /// Forgets sagas whose time is over, at most so many; how many there were.
    pub(crate) fn delete(&self, now: Millis, most: usize) -> Result<usize, Trouble> {
        let over: Vec<(u64, u128)> = (|| {
            let ends = self.database().begin_read()?.open_table(ENDS)?;
            let over = ends.range::<(u64, u128)>(..(now.0, 0))?.take(most).map(|entry| Ok(entry?.0.value()));
            over.collect::<Result<_, redb::StorageError>>().map_err(redb::Error::from)
        })()
        .map_err(Trouble::of)?;
        if over.is_empty() {
            return Ok(0);
        }
        let writing = self.begin()?;
        forget(&writing, &over).map_err(Trouble::of)?;
        self.commit(writing)?;
        Ok(over.len())
    }

    /// That the file is still what is found under its name: what is written to another one is lost with this process.
    pub(crate) fn is_found(&self) -> Result<(), Trouble> {
        self.identity.is_found(&self.folder)
    }

    /// Nothing is said to be written that nobody could find, whenever the file was taken away.
    fn commit(&self, writing: Writing) -> Result<(), Trouble> {
        self.is_found()?;
        writing.commit().map_err(Trouble::of)?;
        self.is_found()
    }

    fn begin(&self) -> Result<Writing, Trouble> {
        let mut begun = self.database().begin_write().map_err(Trouble::of)?;
        begun.set_two_phase_commit(true);
        begun.set_quick_repair(true);
        Ok(Writing(Some(begun)))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.forget();
        }
    }
}

/// What is being written, until it is committed or dropped.
struct Writing(Option<WriteTransaction>);

impl Writing {
    fn commit(mut self) -> Result<(), redb::CommitError> {
        self.0.take().map_or(Ok(()), WriteTransaction::commit)
    }

    fn abort(mut self) -> Result<(), redb::StorageError> {
        self.0.take().map_or(Ok(()), WriteTransaction::abort)
    }
}

impl Deref for Writing {
    type Target = WriteTransaction;
    fn deref(&self) -> &WriteTransaction {
        self.0.as_ref().expect("it is there until it is over")
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::mem::forget(self.0.take());
        }
    }
}

/// The number of a state, by which sagas are found.
fn code(state: State) -> u8 {
    code_of(state.name())
}

fn code_of(state: &str) -> u8 {
    match state {
        "running" => 0,
        "undoing" => 1,
        "stuck" => 2,
        "done" => 3,
        "undone" => 4,
        _ => 5,
    }
}

fn put(writing: &WriteTransaction, batch: &[Write]) -> Result<Vec<Written>, redb::Error> {
    let mut sagas = writing.open_table(SAGAS)?;
    let mut states = writing.open_table(STATES)?;
    let mut ends = writing.open_table(ENDS)?;
    let mut written = Vec::with_capacity(batch.len());
    for write in batch {
        match write {
            Write::Begin { id, record, definition } => {
                let mut keys = writing.open_table(KEYS)?;
                let taken = keys.get(&record.key.0)?.map(|found| found.value());
                if taken == Some(id.0) {
                    written.push(Written::Done);
                    continue;
                }
                // Of one that cannot be read nobody knows any more what it was: its key stays taken.
                if let Some(taken) = taken
                    && let Some(before) = sagas.get(taken)?
                {
                    written.push(Written::Taken(Id(taken), Kept(before.value().to_vec())));
                    continue;
                }
                keys.insert(&record.key.0, id.0)?;
                sagas.insert(id.0, &*record.to_bytes())?;
                states.insert((code(record.state), id.0), ())?;
                let mut uses = writing.open_table(USES)?;
                let used = uses.get(&record.definition.0)?.map_or(0, |found| found.value());
                if used == 0 {
                    writing.open_table(DEFINITIONS)?.insert(&record.definition.0, definition.as_str())?;
                }
                uses.insert(&record.definition.0, used + 1)?;
            }
            Write::Change { id, record, before, forgotten, was_forgotten } => {
                sagas.insert(id.0, &*record.to_bytes())?;
                states.remove((code(*before), id.0))?;
                states.insert((code(record.state), id.0), ())?;
                if let Some(was) = was_forgotten {
                    ends.remove((was.0, id.0))?;
                }
                if let Some(forgotten) = forgotten {
                    ends.insert((forgotten.0, id.0), ())?;
                }
            }
        }
        written.push(Written::Done);
    }
    Ok(written)
}

fn forget(writing: &WriteTransaction, over: &[(u64, u128)]) -> Result<(), redb::Error> {
    let mut sagas = writing.open_table(SAGAS)?;
    let mut states = writing.open_table(STATES)?;
    let mut ends = writing.open_table(ENDS)?;
    let mut keys = writing.open_table(KEYS)?;
    let mut uses = writing.open_table(USES)?;
    let mut definitions = writing.open_table(DEFINITIONS)?;
    for entry in over {
        ends.remove(*entry)?;
        let record = sagas.remove(entry.1)?.map(|found| Record::read(found.value()));
        // What cannot be read is left out of account: its key and its definition stay.
        let Some(Ok(record)) = record else { continue };
        states.remove((code(record.state), entry.1))?;
        let is_its_key = keys.get(&record.key.0)?.is_some_and(|found| found.value() == entry.1);
        if is_its_key {
            keys.remove(&record.key.0)?;
        }
        let used = uses.get(&record.definition.0)?.map_or(0, |found| found.value());
        if used <= 1 {
            uses.remove(&record.definition.0)?;
            definitions.remove(&record.definition.0)?;
        } else {
            uses.insert(&record.definition.0, used - 1)?;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests;
