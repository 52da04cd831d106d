//! Sockets that systemd, or whoever else speaks its protocol, listened on before and started the gateway with: `LISTEN_FDS` of sd_listen_fds(3).

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::door::{Bound, Handed, Inherited, Role};

/// The first of them.
const FIRST: RawFd = 3;

/// The sockets that this process was started with; an error where one of them is of no use. To be called once, before anything else is opened.
pub(crate) fn inherited() -> Result<Inherited, String> {
    let variable = |name: &str| std::env::var(name).ok();
    let roles = roles(variable("LISTEN_PID").as_deref(), variable("LISTEN_FDS").as_deref(), variable("LISTEN_FDNAMES").as_deref())?;
    let sockets = (FIRST..).zip(roles).map(|(number, (name, role))| {
        let bound = take(number).and_then(|descriptor| Bound::handed(descriptor, true));
        let bound = bound.map_err(|error| format!("LISTEN_FDS: the descriptor {number}{name} cannot be listened on: {error}"))?;
        Ok(Handed { role, configured: None, bound })
    });
    Ok(Inherited::new(sockets.collect::<Result<_, String>>()?))
}

/// What each descriptor is for, by its name, with what is to be said of it. None are for another process.
fn roles(pid: Option<&str>, count: Option<&str>, names: Option<&str>) -> Result<Vec<(String, Option<Role>)>, String> {
    let (Some(pid), Some(count)) = (pid, count) else { return Ok(Vec::new()) };
    if pid.parse() != Ok(std::process::id()) {
        return Ok(Vec::new());
    }
    let count: usize =
        count.parse().ok().filter(|count| *count <= 4096).ok_or_else(|| format!("LISTEN_FDS: `{count}` is no number of descriptors"))?;
    let mut names = names.unwrap_or_default().split(':');
    let role = |name: &str| match name {
        "admin" => Some(Role::Admin),
        "status" => Some(Role::Status),
        _ => None,
    };
    let named = |name: &str| if name.is_empty() { String::new() } else { format!(" (`{name}`)") };
    Ok((0..count).map(|_| names.next().unwrap_or_default()).map(|name| (named(name), role(name))).collect())
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
        let found = |pid: &str, count, names| {
            roles(Some(pid), Some(count), names).map(|roles| roles.into_iter().map(|(_, role)| role).collect::<Vec<_>>())
        };

        assert_eq!(found(&own, "3", Some("web:admin:status")), Ok(vec![None, Some(Role::Admin), Some(Role::Status)]));
        assert_eq!(found(&own, "2", Some("admin")), Ok(vec![Some(Role::Admin), None]));
        assert_eq!(found(&own, "1", None), Ok(vec![None]));
        assert_eq!(found("1", "3", None), Ok(Vec::new()));
        assert_eq!(roles(None, Some("3"), None).map(|roles| roles.len()), Ok(0));
        assert!(found(&own, "many", None).is_err() && found(&own, "100000", None).is_err());
    }
}
