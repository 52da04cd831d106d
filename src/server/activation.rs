//! Sockets that systemd, or whoever else speaks its protocol, listened on before and started the gateway with: `LISTEN_FDS` of sd_listen_fds(3).

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::door::{Bound, Handed, Inherited, Role};

/// The first of them.
const FIRST: RawFd = 3;

/// The sockets that this process was started with; an error where one of them is of no use. To be called once, before anything else is opened.
pub(crate) fn inherited() -> Result<Inherited, String> {
    let variable = |name: &str| std::env::var(name).ok();
    let names = names(variable("LISTEN_PID").as_deref(), variable("LISTEN_FDS").as_deref(), variable("LISTEN_FDNAMES").as_deref())?;
    let sockets = (FIRST..).zip(names).map(|(number, name)| {
        let bound = take(number).and_then(|descriptor| Bound::handed(descriptor, true));
        let bound = bound.map_err(|error| {
            let named = name.as_ref().map(|name| format!(" (`{name}`)")).unwrap_or_default();
            format!("LISTEN_FDS: the descriptor {number}{named} cannot be listened on: {error}")
        })?;
        Ok(Handed { role: name.as_deref().and_then(role), name, configured: None, bound })
    });
    Ok(Inherited::new(sockets.collect::<Result<_, String>>()?))
}

/// What a socket of this name is for, where that says so.
fn role(name: &str) -> Option<Role> {
    match name {
        "admin" => Some(Role::Admin),
        "status" => Some(Role::Status),
        _ => None,
    }
}

/// The names of the descriptors, as far as they have one. None are for another process.
fn names(pid: Option<&str>, count: Option<&str>, names: Option<&str>) -> Result<Vec<Option<String>>, String> {
    let (Some(pid), Some(count)) = (pid, count) else { return Ok(Vec::new()) };
    if pid.parse() != Ok(std::process::id()) {
        return Ok(Vec::new());
    }
    let count: usize =
        count.parse().ok().filter(|count| *count <= 4096).ok_or_else(|| format!("LISTEN_FDS: `{count}` is no number of descriptors"))?;
    let mut names = names.unwrap_or_default().split(':');
    Ok((0..count).map(|_| names.next().filter(|name| !name.is_empty()).map(str::to_owned)).collect())
}

/// Takes a descriptor that the process was started with, so that no other program gets it.
#[allow(unsafe_code, reason = "a descriptor that came as a number is nobody's yet")]
fn take(number: RawFd) -> std::io::Result<OwnedFd> {
    // SAFETY: the variables say that this descriptor is this process's to take, and this is asked before anything else is opened, so that no other part of
    // it has the number. What is not open is told by the next line, and forgotten instead of closed.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    match fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)) {
        Ok(_) => Ok(descriptor),
        Err(error) => {
            std::mem::forget(descriptor);
            Err(error.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_for_the_process_that_is_named_and_have_their_names() {
        let own = std::process::id().to_string();
        let found = |pid: &str, count, given| names(Some(pid), Some(count), given);
        let named = |names: &[&str]| Ok(names.iter().map(|name| Some((*name).to_owned()).filter(|name| !name.is_empty())).collect());

        assert_eq!(found(&own, "3", Some("web:admin:status")), named(&["web", "admin", "status"]));
        assert_eq!(["web", "admin", "status"].map(role), [None, Some(Role::Admin), Some(Role::Status)]);
        assert_eq!(found(&own, "3", Some("admin::")), named(&["admin", "", ""]));
        assert_eq!(found(&own, "1", None), named(&[""]));
        assert_eq!(found("1", "3", None), named(&[]));
        assert_eq!(names(None, Some("3"), None), named(&[]));
        assert!(found(&own, "many", None).is_err() && found(&own, "100000", None).is_err());
    }
}
