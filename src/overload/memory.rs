//! How much of the memory that the process may have is in use: by its control group, by its own limits, and by what the machine has left.
//!
//! Of several bounds the one that is nearest counts. All of it is Linux's; elsewhere nothing is known, and nothing is given up for it.

use std::fs;
use std::path::{Path, PathBuf};

use super::Measured;
use super::source::{Source, kibibytes, number};

/// Where control groups are mounted.
const GROUPS: &str = "/sys/fs/cgroup";

/// Where it is read.
pub(super) struct Memory {
    process: Option<Source>,
    machine: Option<Source>,
    groups: Vec<Group>,
    /// The limits that the process was given: how much of what, and whose bound that is.
    limits: Vec<(u64, &'static str, &'static str)>,
}

impl Default for Memory {
    fn default() -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self {
            process: Source::open(Path::new("/proc/self/status")),
            machine: Source::open(Path::new("/proc/meminfo")),
            groups: folders(&groups, Path::new(GROUPS)).into_iter().filter_map(|(kind, folder)| Group::open(kind, &folder)).collect(),
            limits: Vec::new(),
        }
    }
}

impl Memory {
    /// Looks what bounds there are: they may be changed while the process runs.
    pub(super) fn refresh(&mut self) {
        use rlimit::{INFINITY, Resource};
        self.groups.iter_mut().for_each(Group::refresh);
        let limits = [(Resource::AS, "VmSize:", "the limit of address space"), (Resource::DATA, "VmData:", "the limit of data")];
        let limits = limits.into_iter().filter_map(|(resource, name, of)| {
            let most = resource.get_soft().ok().filter(|most| *most != INFINITY)?;
            Some((most, name, of))
        });
        self.limits.clear();
        self.limits.extend(limits);
    }

    /// What is in use of the nearest bound.
    pub(super) fn used(&mut self) -> Option<Measured> {
        let status = self.process.as_mut()?.read()?;
        let limits =
            self.limits.iter().filter_map(|(most, name, of)| Some(Measured::Used { used: kibibytes(status, name)?, most: *most, of }));
        let machine = self.machine.as_mut().and_then(|machine| of_machine(status, machine.read()?));
        let groups = self.groups.iter_mut().filter_map(Group::used);
        groups.chain(limits).chain(machine).max_by(|a, b| a.value().total_cmp(&b.value()))
    }
}

/// The least of the bounds that the process has: of its control groups, its own limits, and what the machine has in all.
pub(crate) fn bound() -> Option<u64> {
    let mut memory = Memory::default();
    memory.refresh();
    let machine = memory.machine.as_mut().and_then(|machine| kibibytes(machine.read()?, "MemTotal:"));
    let groups = memory.groups.iter().filter_map(|group| group.bound);
    groups.chain(memory.limits.iter().map(|(most, ..)| *most)).chain(machine).min()
}

/// A version of control groups, by the names of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    most: &'static str,
    used: &'static str,
    /// What the kernel would give up without a word, in `memory.stat`.
    spare: &'static str,
}

const SECOND: Kind = Kind { most: "memory.max", used: "memory.current", spare: "inactive_file" };
const FIRST: Kind = Kind { most: "memory.limit_in_bytes", used: "memory.usage_in_bytes", spare: "total_inactive_file" };

/// A control group.
struct Group {
    kind: Kind,
    most: Source,
    used: Source,
    stat: Option<Source>,
    bound: Option<u64>,
}

impl Group {
    fn open(kind: Kind, folder: &Path) -> Option<Self> {
        let open = |name| Source::open(&folder.join(name));
        Some(Self { kind, most: open(kind.most)?, used: open(kind.used)?, stat: open("memory.stat"), bound: None })
    }

    fn refresh(&mut self) {
        // Above it is what the first version says where there is no bound; the second says `max`.
        const NONE: u64 = 1 << 60;
        self.bound = self.most.number().filter(|most| *most < NONE);
    }

    /// What is in use of its bound, where it has one.
    fn used(&mut self) -> Option<Measured> {
        let most = self.bound?;
        let spare = self.stat.as_mut().and_then(|stat| number(stat.read()?, self.kind.spare)).unwrap_or(0);
        Some(Measured::Used { used: self.used.number()?.saturating_sub(spare), most, of: "the limit of the control group" })
    }
}

/// The groups that the process is in, itself and all above it.
fn folders(groups: &str, mount: &Path) -> Vec<(Kind, PathBuf)> {
    let mut folders = Vec::new();
    for line in groups.lines() {
        // `hierarchy:controllers:path`
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (kind, base) = match controllers {
            "" => (SECOND, mount.to_owned()),
            _ if controllers.split(',').any(|name| name == "memory") => (FIRST, mount.join("memory")),
            _ => continue,
        };
        // A container may see its own group as the top, and yet be told its path from the machine's.
        let own = base.join(path.trim_start_matches('/'));
        let own = if own.is_dir() { own } else { base.clone() };
        folders.extend(own.ancestors().take_while(|folder| folder.starts_with(&base)).map(|folder| (kind, folder.to_owned())));
    }
    folders
}

/// What the process has of what it could have: its own, and what is left on the machine. What others have is not its doing.
fn of_machine(status: &str, memory: &str) -> Option<Measured> {
    let used = kibibytes(status, "VmRSS:")?;
    Some(Measured::Used { used, most: used + kibibytes(memory, "MemAvailable:")?, of: "its own and what is left on the machine" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("frontgate-groups-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    fn write(folder: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(folder).expect("a folder");
        files.iter().for_each(|(name, text)| fs::write(folder.join(name), text).expect("a file"));
    }

    #[test]
    fn the_groups_of_both_versions_are_found_with_all_above_them() {
        let mount = folder("found");
        write(&mount.join("a/b"), &[]);
        write(&mount.join("memory/c"), &[]);

        let found = folders("5:devices:/x\n4:cpu,memory:/c\n0::/a/b\n", &mount);

        let names: Vec<_> = found.iter().map(|(kind, path)| (*kind, path.strip_prefix(&mount).unwrap().to_str().unwrap())).collect();
        assert_eq!(names, [(FIRST, "memory/c"), (FIRST, "memory"), (SECOND, "a/b"), (SECOND, "a"), (SECOND, "")]);
        let elsewhere = folders("0::/system.slice/of-the-machine\n", &mount);
        assert_eq!(elsewhere, [(SECOND, mount.clone())], "the path is not one that is seen here");
        fs::remove_dir_all(mount).expect("it is there");
    }

    #[test]
    fn what_the_kernel_would_give_up_is_not_in_use_and_no_bound_is_none() {
        let mount = folder("used");
        let stat = ("memory.stat", "anon 5\ninactive_file 30\ntotal_inactive_file 40\n");
        write(&mount.join("two"), &[("memory.max", "200\n"), ("memory.current", "150\n"), stat]);
        write(&mount.join("one"), &[("memory.limit_in_bytes", "200\n"), ("memory.usage_in_bytes", "150\n"), stat]);
        write(&mount.join("max"), &[("memory.max", "max\n"), ("memory.current", "150\n"), stat]);
        write(&mount.join("much"), &[("memory.limit_in_bytes", "9223372036854771712\n"), ("memory.usage_in_bytes", "1\n"), stat]);

        let used = |kind: Kind, name| {
            let mut group = Group::open(kind, &mount.join(name))?;
            assert!(group.used().is_none(), "nothing is known of a bound yet");
            group.refresh();
            group.used().map(Measured::value)
        };
        assert_eq!((used(SECOND, "two"), used(FIRST, "one")), (Some(0.6), Some(0.55)));
        assert_eq!((used(SECOND, "max"), used(FIRST, "much"), used(SECOND, "nowhere")), (None, None, None));
        fs::remove_dir_all(mount).expect("it is there");
    }

    #[test]
    fn what_others_have_of_the_machine_is_not_ours() {
        let status = "Name:\tfrontgate\nVmRSS:\t   100 kB\n";

        let share = |left: &str| of_machine(status, &format!("MemTotal: 10000 kB\nMemAvailable: {left} kB\n")).map(Measured::value);

        assert_eq!((share("900"), share("100")), (Some(0.1), Some(0.5)));
        assert_eq!(of_machine(status, "MemTotal: 10000 kB\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn something_is_known_of_this_very_process() {
        let mut memory = Memory::default();
        memory.refresh();

        let share = memory.used().expect("a measure").value();

        assert!(share > 0.0 && share < 1.0, "{share}");
    }
}
