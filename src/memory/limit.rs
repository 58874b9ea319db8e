//! The memory limit of the process: the control group's, as far as one is visible.

use std::fmt;
use std::path::{Path, PathBuf};

/// The limit where neither the configuration nor a control group sets one, in bytes.
const DEFAULT: u64 = 1 << 30;
/// Control groups of version 1 report a number near 2^63 where no limit is set.
const UNLIMITED: u64 = 1 << 60;

/// A memory limit and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// In bytes.
    pub bytes: u64,
    pub origin: Origin,
    /// What the process can have, if that is less than a configured limit: bytes, and where they come from.
    pub exceeded: Option<(u64, Origin)>,
}

/// Where a memory limit comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `server.memory_limit`.
    Configured,
    /// The control group of the process, or one above it.
    ControlGroup,
    /// The machine's memory, which is less than the control group's limit or the default.
    Machine,
    /// None of these.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configured => "server.memory_limit",
            Self::ControlGroup => "the control group",
            Self::Machine => "the machine's memory",
            Self::Default => "default",
        })
    }
}

impl Origin {
    /// The limit that comes from here, as a noun phrase.
    pub fn of_limit(self) -> &'static str {
        match self {
            Self::ControlGroup => "the limit of the control group",
            Self::Machine => "the machine's memory",
            Self::Configured => "server.memory_limit",
            Self::Default => "the default",
        }
    }
}

impl Limit {
    /// The limit of this process. `configured` is `server.memory_limit`.
    pub fn of_process(configured: Option<u64>) -> Self {
        Self::below(Path::new("/"), configured)
    }

    /// The limit, where the files below `root` (`proc` and `sys/fs/cgroup`) report what the process can have.
    fn below(root: &Path, configured: Option<u64>) -> Self {
        let group = control_group(root).map(|bytes| (bytes, Origin::ControlGroup));
        let machine = machine(root).map(|bytes| (bytes, Origin::Machine));
        // Of two that are equal, the first counts.
        let least = |limits: [Option<(u64, Origin)>; 2]| limits.into_iter().flatten().min_by_key(|(bytes, _)| *bytes);
        let available = least([group, machine]);
        if let Some(bytes) = configured {
            let exceeded = available.filter(|(available, _)| *available < bytes);
            return Self { bytes, origin: Origin::Configured, exceeded };
        }
        let (bytes, origin) =
            least([group.or(Some((DEFAULT, Origin::Default))), machine]).unwrap_or((DEFAULT, Origin::Default));
        Self { bytes, origin, exceeded: None }
    }
}

/// The lowest limit of the process's control groups and those above them, of either version.
fn control_group(root: &Path) -> Option<u64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    groups.lines().filter_map(hierarchy).flat_map(|(mount, group, file)| limits(&root.join(mount), group, file)).min()
}

/// Where a line of `/proc/self/cgroup` (`4:memory:/a/b`, `0::/a/b`) leads: the mount point, the group and the name of its limit.
fn hierarchy(line: &str) -> Option<(&'static str, &str, &'static str)> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, group) = rest.split_once(':')?;
    if controllers.is_empty() {
        Some(("sys/fs/cgroup", group, "memory.max"))
    } else {
        let is_memory = controllers.split(',').any(|controller| controller == "memory");
        is_memory.then_some(("sys/fs/cgroup/memory", group, "memory.limit_in_bytes"))
    }
}

/// The limits of a group and of all above it. In a container the group's path may be the host's: then only the mount point,
/// which is the container's own group, is there.
fn limits(mount: &Path, group: &str, file: &str) -> Vec<u64> {
    let group: PathBuf = mount.join(group.trim_start_matches('/'));
    let read = |group: &Path| std::fs::read_to_string(group.join(file)).ok()?.trim().parse().ok();
    let above = group.ancestors().take_while(|above| above.starts_with(mount));
    above.filter_map(read).filter(|bytes| *bytes < UNLIMITED).collect()
}

fn machine(root: &Path) -> Option<u64> {
    let info = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let kibibytes = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.trim().strip_suffix(" kB")?;
    kibibytes.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limit that these files and `server.memory_limit` lead to.
    fn limit(files: &[(&str, &str)], configured: Option<u64>) -> Limit {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        Limit::below(root.path(), configured)
    }

    /// As [`limit`], for a limit that is not configured.
    fn found(files: &[(&str, &str)]) -> (u64, Origin) {
        let limit = limit(files, None);
        (limit.bytes, limit.origin)
    }

    const V2: (&str, &str) = ("proc/self/cgroup", "0::/pod/gateway\n");
    const V1: (&str, &str) = ("proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/pod/gateway\n0::/\n");
    const NO_LIMIT_V1: &str = "9223372036854771712\n";

    #[test]
    fn version_2_limit_is_the_lowest_of_the_hierarchy() {
        let own = ("sys/fs/cgroup/pod/gateway/memory.max", "1073741824\n");
        let above = ("sys/fs/cgroup/pod/memory.max", "536870912\n");
        assert_eq!(found(&[V2, own]), (1 << 30, Origin::ControlGroup));
        assert_eq!(found(&[V2, own, above]), (1 << 29, Origin::ControlGroup));
        let unlimited = ("sys/fs/cgroup/pod/gateway/memory.max", "max\n");
        assert_eq!(found(&[V2, unlimited, above]), (1 << 29, Origin::ControlGroup));
        assert_eq!(found(&[V2, unlimited]), (DEFAULT, Origin::Default));
    }

    #[test]
    fn version_1_limit_is_the_lowest_of_the_hierarchy() {
        let own = ("sys/fs/cgroup/memory/pod/gateway/memory.limit_in_bytes", "1073741824\n");
        let above = ("sys/fs/cgroup/memory/memory.limit_in_bytes", NO_LIMIT_V1);
        assert_eq!(found(&[V1, own, above]), (1 << 30, Origin::ControlGroup));
        assert_eq!(found(&[V1, above]), (DEFAULT, Origin::Default));
        let group = ("proc/self/cgroup", "3:cpu:/pod/gateway\n");
        assert_eq!(found(&[group, own]), (DEFAULT, Origin::Default), "no memory controller");
    }

    #[test]
    fn limit_at_the_mount_point_is_that_of_the_container() {
        let host_path = ("proc/self/cgroup", "0::/kubepods/burstable/pod1/c1\n");
        assert_eq!(found(&[host_path, ("sys/fs/cgroup/memory.max", "268435456")]), (1 << 28, Origin::ControlGroup));
        let namespaced = ("proc/self/cgroup", "0::/\n");
        assert_eq!(found(&[namespaced, ("sys/fs/cgroup/memory.max", "268435456")]), (1 << 28, Origin::ControlGroup));
    }

    #[test]
    fn machine_with_less_memory_than_the_group_decides() {
        let own = ("sys/fs/cgroup/pod/gateway/memory.max", "1099511627776");
        let machine = ("proc/meminfo", "MemTotal:       2097152 kB\nMemFree:  1 kB\n");
        assert_eq!(found(&[V2, own, machine]), (2 << 30, Origin::Machine));
        let own = ("sys/fs/cgroup/pod/gateway/memory.max", "1073741824");
        assert_eq!(found(&[V2, own, machine]), (1 << 30, Origin::ControlGroup));
    }

    #[test]
    fn machine_with_less_memory_than_the_default_decides() {
        assert_eq!(found(&[("proc/meminfo", "MemTotal: 524288 kB\n")]), (512 << 20, Origin::Machine));
        assert_eq!(found(&[("proc/meminfo", "MemTotal: 2097152 kB\n")]), (DEFAULT, Origin::Default));
    }

    #[test]
    fn configured_limit_reports_what_it_exceeds() {
        let own = ("sys/fs/cgroup/pod/gateway/memory.max", "1073741824");
        let machine = ("proc/meminfo", "MemTotal: 2097152 kB\n");
        let exceeded = |files: &[(&str, &str)], bytes| {
            let limit = limit(files, Some(bytes));
            assert_eq!((limit.bytes, limit.origin), (bytes, Origin::Configured));
            limit.exceeded
        };
        assert_eq!(exceeded(&[V2, own, machine], 100 << 30), Some((1 << 30, Origin::ControlGroup)));
        assert_eq!(exceeded(&[V2, own, machine], 1 << 30), None);
        assert_eq!(exceeded(&[machine], 100 << 30), Some((2 << 30, Origin::Machine)));
        assert_eq!(exceeded(&[], 100 << 30), None, "nothing is known");
    }

    #[test]
    fn unreadable_files_give_the_default() {
        assert_eq!(found(&[]), (DEFAULT, Origin::Default));
        assert_eq!(found(&[("proc/self/cgroup", "nonsense\n:\n")]), (DEFAULT, Origin::Default));
        let damaged = ("sys/fs/cgroup/pod/gateway/memory.max", "lots");
        assert_eq!(found(&[V2, damaged, ("proc/meminfo", "MemTotal: many kB")]), (DEFAULT, Origin::Default));
    }
}
