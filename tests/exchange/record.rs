//! What each request met, one line each, so that two builds can be compared.

use std::fs::File;
use std::io::Write;
use std::sync::Mutex;

use super::client::{Saw, name};
use super::oracle::values;
use super::origin::Came;
use super::plan::{Case, Fields};

/// The file, where one is wanted.
pub struct Record(Option<Mutex<File>>);

impl Record {
    fn path() -> Option<std::ffi::OsString> {
        std::env::var_os("FRONTGATE_RECORD")
    }

    pub fn is_wanted() -> bool {
        Self::path().is_some()
    }

    pub fn from_environment() -> Self {
        let path = Self::path();
        Self(path.map(|path| Mutex::new(File::create(path).expect("the file can be written"))))
    }

    /// A line for each request of this case. Identifiers and the gateway's own date differ from run to run and are left out.
    pub fn put(&self, case: &Case, saw: &Saw, came: &[Vec<Came>]) {
        let Some(file) = &self.0 else { return };
        let mut lines = String::new();
        for (index, came) in came.iter().enumerate() {
            let came: Vec<String> = came
                .iter()
                .map(|came| format!("{:?} {} {} whole {}", came.head.line, told(&came.head.fields, &[]), sum(&came.body), came.whole))
                .collect();
            let met = saw.met.get(index).map(|met| {
                format!(
                    "{:?} {} {:?} {} {:?} {} trailers {} keeps {} broken {:?}",
                    met.informational,
                    met.status,
                    met.reason,
                    told(&met.head.fields, &["date"]),
                    met.framing,
                    sum(&met.body),
                    told(&met.trailers, &[]),
                    met.keeps,
                    met.broken
                )
            });
            lines.push_str(&format!("{} CAME {came:?} MET {met:?} END {:?} {}\n", name(case, index), saw.end, saw.extra));
        }
        file.lock().unwrap().write_all(lines.as_bytes()).expect("the file can be written");
    }
}

fn told(fields: &Fields, but: &[&str]) -> String {
    let but: Vec<&str> = but.iter().copied().chain(["x-request-id"]).collect();
    format!("{:?}", values(fields, &but))
}

/// A body's length and sum (FNV-1a).
fn sum(bytes: &[u8]) -> String {
    let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    format!("{} bytes {sum:016x}", bytes.len())
}
