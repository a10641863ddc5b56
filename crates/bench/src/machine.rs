//! What is measured on: processor, cores, memory. Read from Linux' `/proc`; elsewhere the figures are absent.

use std::fs;
use std::thread::available_parallelism;

use serde::Serialize;

/// The machine, as a reader of the figures needs to know it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    /// The processor's name for itself.
    pub(crate) cpu: String,
    /// Threads that run at the same time.
    pub(crate) cores: usize,
    /// Operating system and its version.
    pub(crate) system: String,
    /// Bytes of memory.
    pub(crate) memory_bytes: Option<u64>,
}

impl Machine {
    pub(crate) fn read() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Machine {
            cpu: field(&info, "model name").unwrap_or("unknown").to_owned(),
            cores: cores(),
            system: format!("{} {}", std::env::consts::OS, release.trim()),
            memory_bytes: kib("/proc/meminfo", "MemTotal"),
        }
    }
}

/// Threads that run at the same time.
pub(crate) fn cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Bytes that can be allocated without pushing others out.
pub(crate) fn available_bytes() -> Option<u64> {
    kib("/proc/meminfo", "MemAvailable")
}

/// Bytes of memory that this process holds now.
pub(crate) fn resident_bytes() -> Option<u64> {
    kib("/proc/self/status", "VmRSS")
}

/// The most that this process held since [`forget_peak`], or since it began where that is not possible.
pub(crate) fn peak_bytes() -> Option<u64> {
    kib("/proc/self/status", "VmHWM")
}

/// Lets [`peak_bytes`] begin anew; false where the system does not do that.
pub(crate) fn forget_peak() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// A figure in KiB of one of `/proc`'s tables, in bytes.
fn kib(file: &str, name: &str) -> Option<u64> {
    parse_kib(&fs::read_to_string(file).ok()?, name)
}

fn parse_kib(table: &str, name: &str) -> Option<u64> {
    let figure = field(table, name)?.strip_suffix("kB")?.trim();
    Some(figure.parse::<u64>().ok()? << 10)
}

/// The value of the first line `name : value`.
fn field<'a>(table: &'a str, name: &str) -> Option<&'a str> {
    table.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_by_whole_names() {
        let table = "MemTotal:  24 kB\nMemAvailable:\t 3 kB\nHugePages_Total: 0\n";
        assert_eq!(parse_kib(table, "MemAvailable"), Some(3 << 10));
        assert_eq!(parse_kib(table, "Mem"), None);
        assert_eq!(parse_kib(table, "HugePages_Total"), None);
        assert_eq!(field("model name\t: A B\n", "model name"), Some("A B"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_peak_follows_an_allocation() {
        forget_peak();
        let before = resident_bytes().unwrap();
        let block = vec![1u8; 64 << 20];
        assert!(block.iter().all(|byte| *byte == 1));
        assert!(peak_bytes().unwrap() >= before + (48 << 20));
    }
}
