//! The head of an answer to a call: its fields stay where they were read until somebody wants all of them.

use bytes::Bytes;
use frontgate_filters::words::fields;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use pingora_http::ResponseHeader;
use smallvec::SmallVec;

use super::Fault;

/// An answer's head.
#[derive(Debug)]
pub(crate) struct Brief {
    /// The status.
    pub status: StatusCode,
    version: Version,
    /// The reason, where it is not the status's own.
    reason: Option<Box<str>>,
    /// The fields that belong to more than this hop.
    pub headers: Headers,
}

/// The fields of an answer's head.
#[derive(Debug)]
pub(crate) enum Headers {
    /// As they were read.
    Lines(Lines),
    /// As somebody has left them.
    Map(HeaderMap),
}

/// Fields where they were read.
#[derive(Debug)]
pub(crate) struct Lines {
    /// The head.
    bytes: Bytes,
    places: Places,
}

/// Where fields are in a head.
pub(crate) type Places = SmallVec<[Place; 12]>;

/// Where the name and the value of a field are. A head is no longer than four of these numbers can say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The first byte of its name, and how many there are.
    pub name: (u32, u32),
    /// The same of its value.
    pub value: (u32, u32),
}

/// The bytes of a head at a place in it.
pub(crate) fn at(bytes: &[u8], (begin, length): (u32, u32)) -> &[u8] {
    &bytes[begin as usize..][..length as usize]
}

impl Brief {
    /// Of a head whose fields are at these places, each in one line; they were found to be fields.
    pub(super) fn of_lines(status: StatusCode, version: Version, reason: Option<Box<str>>, bytes: Bytes, places: Places) -> Self {
        Self { status, version, reason, headers: Headers::Lines(Lines { bytes, places }) }
    }

    /// Has somebody pass it on who sees all of it, and may change it.
    pub(crate) fn pass<T>(&mut self, pass: impl FnOnce(&mut ResponseHeader) -> T) -> Result<T, Fault> {
        let taken =
            Self { status: self.status, version: self.version, reason: self.reason.take(), headers: std::mem::take(&mut self.headers) };
        let mut whole = taken.into_whole()?;
        let passed = pass(&mut whole);
        *self = whole.into();
        Ok(passed)
    }

    /// All of it, as filters see it.
    pub(crate) fn into_whole(self) -> Result<ResponseHeader, Fault> {
        let mut parts = http::Response::new(()).into_parts().0;
        (parts.status, parts.version) = (self.status, self.version);
        parts.headers = match self.headers {
            Headers::Lines(lines) => lines.into_map(|_, value| value)?,
            Headers::Map(map) => map,
        };
        let mut head = ResponseHeader::from(parts);
        if let Some(reason) = self.reason {
            head.set_reason_phrase(Some(&reason)).map_err(|_| Fault::Malformed("its reason cannot be read"))?;
        }
        Ok(head)
    }
}

impl From<ResponseHeader> for Brief {
    fn from(head: ResponseHeader) -> Self {
        let own = head.status.canonical_reason();
        let reason = head.get_reason_phrase().filter(|reason| Some(*reason) != own).map(Box::from);
        let parts = http::response::Parts::from(head);
        Self { status: parts.status, version: parts.version, reason, headers: Headers::Map(parts.headers) }
    }
}

impl Lines {
    fn values<'l>(&'l self, name: &HeaderName) -> impl Iterator<Item = &'l [u8]> {
        let wanted = name.as_str().as_bytes();
        let is = |place: &&Place| place.name.1 as usize == wanted.len() && at(&self.bytes, place.name).eq_ignore_ascii_case(wanted);
        self.places.iter().filter(is).map(|place| at(&self.bytes, place.value))
    }

    #[inline]
    fn into_map(self, mended: impl Fn(&HeaderName, Bytes) -> Bytes) -> Result<HeaderMap, Fault> {
        let mut map = HeaderMap::with_capacity(self.places.len() + 6);
        for Place { name, value } in self.places {
            let name = HeaderName::from_bytes(at(&self.bytes, name)).map_err(|_| Fault::Malformed("a field's name is no name"))?;
            let value = mended(&name, self.bytes.slice(value.0 as usize..(value.0 + value.1) as usize));
            let value = HeaderValue::from_maybe_shared(value).map_err(|_| Fault::Malformed("a field's value is no value"))?;
            map.append(name, value);
        }
        Ok(map)
    }
}

impl Headers {
    /// A map of them, with their values as they are mended.
    pub(super) fn into_map(self, mended: impl Fn(&HeaderName, Bytes) -> Bytes) -> Result<Self, Fault> {
        match self {
            Self::Lines(lines) => lines.into_map(mended).map(Self::Map),
            map @ Self::Map(_) => Ok(map),
        }
    }

    /// The values of all fields of this name, in their order.
    pub(crate) fn values(&self, name: &HeaderName) -> SmallVec<[&[u8]; 4]> {
        match self {
            Self::Lines(lines) => lines.values(name).collect(),
            Self::Map(map) => map.get_all(name).iter().map(HeaderValue::as_bytes).collect(),
        }
    }

    /// The members of a list of tokens over all of its lines.
    pub(crate) fn list(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        self.values(name).into_iter().flat_map(fields::members)
    }

    /// Whether there is a field of this name.
    #[cfg(feature = "saga")]
    pub(crate) fn contains_key(&self, name: &HeaderName) -> bool {
        !self.values(name).is_empty()
    }

    /// The first value of this name, to be passed on.
    pub(crate) fn get(&self, name: &HeaderName) -> Option<HeaderValue> {
        match self {
            Self::Lines(lines) => lines.values(name).next().and_then(|value| HeaderValue::from_bytes(value).ok()),
            Self::Map(map) => map.get(name).cloned(),
        }
    }

    /// All values of this name, to be passed on.
    pub(crate) fn get_all(&self, name: &HeaderName) -> impl Iterator<Item = HeaderValue> {
        self.values(name).into_iter().filter_map(|value| HeaderValue::from_bytes(value).ok())
    }
}

impl Default for Headers {
    fn default() -> Self {
        Self::Map(HeaderMap::new())
    }
}

impl From<HeaderMap> for Headers {
    fn from(map: HeaderMap) -> Self {
        Self::Map(map)
    }
}
