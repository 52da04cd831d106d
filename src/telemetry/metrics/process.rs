//! What the kernel knows about this process, under the names every Prometheus client uses.
//!
//! `/proc/self` is read at the time of a scrape only. What cannot be read, as on other systems than Linux, is left out.

use std::fs;

use super::scrape::Scrape;

/// Adds the process's metrics.
pub(super) fn scrape(scrape: &mut Scrape) {
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::parse) {
        let help = "Total user and system CPU time spent in seconds.";
        scrape.counter("process_cpu_seconds_total", help, &[], stat.cpu_seconds);
        if let Some(boot) = fs::read_to_string("/proc/stat").ok().and_then(|text| number_after(&text, "btime")) {
            let help = "Start time of the process since unix epoch in seconds.";
            scrape.gauge("process_start_time_seconds", help, &[], boot + stat.started_after_boot);
        }
    }
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        if let Some(kibibytes) = number_after(&status, "VmRSS:") {
            let help = "Resident memory size in bytes.";
            scrape.gauge("process_resident_memory_bytes", help, &[], kibibytes * 1024.0);
        }
        if let Some(threads) = number_after(&status, "Threads:") {
            scrape.gauge("process_threads", "Number of OS threads in the process.", &[], threads);
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is this very listing.
        let open = open.count().saturating_sub(1);
        scrape.gauge("process_open_fds", "Number of open file descriptors.", &[], open as f64);
    }
    if let Some(most) = fs::read_to_string("/proc/self/limits").ok().and_then(|text| number_after(&text, "Max open files")) {
        scrape.gauge("process_max_fds", "Maximum number of open file descriptors.", &[], most);
    }
}

/// The first number on the line that starts with `key`.
fn number_after(text: &str, key: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Two fields of `/proc/self/stat`, in seconds.
struct Stat {
    cpu_seconds: f64,
    started_after_boot: f64,
}

impl Stat {
    /// Linux tells user space its times in hundredths of a second, however fast its own clock ticks.
    const TICKS: f64 = 100.0;

    fn parse(text: &str) -> Option<Self> {
        // The second field is the command in brackets, which may hold spaces and brackets itself; the third follows the last.
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let seconds = |number: usize| Some(fields.get(number - 3)?.parse::<f64>().ok()? / Self::TICKS);
        Some(Self { cpu_seconds: seconds(14)? + seconds(15)?, started_after_boot: seconds(22)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_brackets_does_not_shift_the_fields() {
        let text = "7 (a) b (c) R 1 1 1 0 -1 4194560 95 0 0 0 150 250 0 0 20 0 1 0 12345 0 0";

        let stat = Stat::parse(text).unwrap();

        assert_eq!((stat.cpu_seconds, stat.started_after_boot), (4.0, 123.45));
    }

    #[test]
    fn an_unlimited_number_of_files_is_left_out() {
        assert_eq!(number_after("Max open files            1024      4096  files", "Max open files"), Some(1024.0));
        assert_eq!(number_after("Max open files            unlimited unlimited files", "Max open files"), None);
    }
}
