//! What a reload changed, for whoever asked for it: a hash says that something did, not what. And what one would change.

mod difference;
mod loss;
mod portrait;
mod sdl;
mod told;
mod words;

pub(crate) use self::difference::difference;
pub(crate) use self::loss::{GONE, KEYS, of_sagas};
pub(crate) use self::portrait::{Key, Portrait};
pub(crate) use self::told::{changes, first, listed};
