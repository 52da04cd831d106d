//! Files that are mounted by themselves: whatever takes the place of their original is not seen.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What the process has mounted, by the kernel's own account (proc(5)).
const MOUNTS: &str = "/proc/self/mountinfo";

/// Whether something is mounted at this very path, links followed.
pub(super) fn is_mount(path: &Path) -> bool {
    let Ok(path) = std::fs::canonicalize(path) else { return false };
    std::fs::read_to_string(MOUNTS).is_ok_and(|mounts| has(&mounts, &path))
}

fn has(mounts: &str, path: &Path) -> bool {
    mounts.lines().filter_map(|line| line.split(' ').nth(4)).any(|point| plain(point) == path.as_os_str().as_bytes())
}

/// A path without the octal numbers that stand for blanks and backslashes in it.
fn plain(point: &str) -> Vec<u8> {
    let (mut out, bytes, mut at) = (Vec::new(), point.as_bytes(), 0);
    while let Some(byte) = bytes.get(at) {
        let number = point.get(at + 1..at + 4).filter(|_| *byte == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok());
        out.push(number.unwrap_or(*byte));
        at += if number.is_some() { 4 } else { 1 };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r"36 35 98:0 / / rw,noatime shared:1 - ext4 /dev/root rw
37 36 98:0 /cm/frontgate.yaml /etc/frontgate/frontgate.yaml ro,relatime - ext4 /dev/root rw
38 36 98:0 /x /etc/a\040b\134c.yaml ro - ext4 /dev/root rw
";

    #[test]
    fn only_what_is_a_mount_itself_is_one() {
        for (path, mounted) in [
            ("/etc/frontgate/frontgate.yaml", true),
            ("/etc/frontgate", false),
            ("/etc/frontgate/other.yaml", false),
            (r"/etc/a b\c.yaml", true),
            ("/", true),
        ] {
            assert_eq!(has(TABLE, Path::new(path)), mounted, "{path}");
        }
    }
}
