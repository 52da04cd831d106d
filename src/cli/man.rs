//! `frontgate man`: manual pages, made of what the commands say of themselves.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Command;
use clap_mangen::Man;

use super::{exit, fail};
use crate::files;

/// What the commands do not say, in the language of manual pages.
const REST: &str = r#".SH "EXIT STATUS"
0 where all is well, 1 for an error at run time, 2 for a wrong command line, 4 where two configurations differ, 69 where nothing answers, 78 for a
bad configuration.
.SH SIGNALS
TERM drains: readiness fails, and the process ends once its requests have, at the latest after
.BR server.drain.timeout .
INT ends it at once. QUIT hands the listening sockets to a process that was started with
.BR "run \-\-upgrade" ,
and drains once that one serves; where none waits it drains as TERM does. HUP reads the configuration again and opens the access log anew. USR1 opens
the access log anew and does nothing else. USR2 is ignored, with a line in the log.
.SH ENVIRONMENT
.B FRONTGATE_ADMIN
is the admin address that commands ask, and
.B FRONTGATE_ADMIN_TOKEN
its token.
.B FRONTGATE_UPGRADE_SOCKET
is where a process that takes over and the one whose place it takes find each other, where
.B \-\-upgrade\-socket
names no other path.
.B RUST_LOG
sets how much the process says on standard error: error, warn, info.
.SH FILES
.I ./frontgate.yaml
or else
.I /etc/frontgate/
is the configuration, where
.B \-\-config
names no other: a file, or a directory of files that end in .yaml.
"#;

/// Prints the page of this command, of the gateway itself where none is named; or writes all of them into a directory.
pub(super) fn run(mut gateway: Command, named: &[String], into: Option<&Path>) -> ExitCode {
    gateway.build();
    let written = match into {
        Some(folder) => write_all(&gateway, true, folder),
        None => {
            let mut command = &gateway;
            for name in named {
                match command.find_subcommand(name) {
                    Some(found) => command = found,
                    None => return fail(exit::USAGE, &format!("there is no command `{}`", named.join(" "))),
                }
            }
            let written = page(command, named.is_empty()).and_then(|page| io::stdout().write_all(&page));
            written.map_err(|error| format!("the page cannot be written: {error}"))
        }
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail(exit::RUNTIME, &why),
    }
}

fn page(command: &Command, is_first: bool) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    if is_first {
        page.extend_from_slice(REST.as_bytes());
    }
    Ok(page)
}

/// Writes the page of a command and of all its commands into a directory, which is made where there is none. The error names the path.
fn write_all(command: &Command, is_first: bool, folder: &Path) -> Result<(), String> {
    let cannot = |path: &Path, error: &io::Error| format!("`{}` cannot be written: {}", path.display(), files::words(error));
    std::fs::create_dir_all(folder).map_err(|error| cannot(folder, &error))?;
    let file = folder.join(Man::new(command.clone()).get_filename());
    page(command, is_first).and_then(|page| std::fs::write(&file, page)).map_err(|error| cannot(&file, &error))?;
    command.get_subcommands().filter(|inner| !inner.is_hide_set()).try_for_each(|inner| write_all(inner, false, folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_page_under_its_whole_name() {
        let folder = std::env::temp_dir().join(format!("frontgate-man-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let mut gateway = crate::cli::command();
        gateway.build();

        write_all(&gateway, true, &folder.join("man1")).expect("it is made");
        let file = folder.join("man1").join("frontgate.1");
        let refused = write_all(&gateway, true, &file);
        let folder = folder.join("man1");

        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let first = read("frontgate.1");
        for section in ["NAME", "SYNOPSIS", "OPTIONS", "\"EXIT STATUS\"", "SIGNALS", "ENVIRONMENT", "FILES"] {
            assert!(first.contains(&format!(".SH {section}\n")), "{section}:\n{first}");
        }
        assert!(first.contains("frontgate\\-check(1)"), "it leads to the others:\n{first}");
        let inner = read("frontgate-upstreams-drain.1");
        assert!(inner.contains("\\-\\-for") && !inner.contains("SIGNALS"), "{inner}");
        assert!(first.contains("QUIT") && first.contains("USR2") && first.contains("FRONTGATE_UPGRADE_SOCKET"), "{first}");
        assert!(refused.is_err_and(|why| why.starts_with(&format!("`{}` cannot be written: ", file.display()))));
        std::fs::remove_dir_all(folder.parent().expect("its own")).expect("it is there");
    }
}
