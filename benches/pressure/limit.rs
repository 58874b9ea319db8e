//! The memory limit of the process under test: a memory cgroup of its own (v2 or v1), else a limit of its address space.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The chart's memory limit, in bytes.
const BYTES: u64 = 1 << 30;

/// A limit of 1 GiB for one process. Dropping it removes the cgroup; the process must have ended.
#[derive(Debug)]
pub struct Limit(Option<Group>);

/// A memory cgroup, with the names of its files.
#[derive(Debug)]
struct Group {
    folder: PathBuf,
    version: &'static str,
    limit: &'static str,
    peak: &'static str,
    /// Has a line `oom_kill N` in both versions.
    events: &'static str,
}

impl Limit {
    /// Creates a cgroup below that of this process, or below the root where the former is not writable.
    pub fn create() -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let path_of = |controller: &str| {
            let line = own.lines().find(|line| line.split(':').nth(1) == Some(controller));
            line.and_then(|line| line.splitn(3, ':').nth(2)).unwrap_or("/").trim_start_matches('/').to_owned()
        };
        let (v1, v2) = (path_of("memory"), path_of(""));
        let bases = [("v1", "/sys/fs/cgroup/memory", v1), ("v2", "/sys/fs/cgroup", v2)];
        let candidates = bases.iter().flat_map(|(version, root, own)| {
            [Path::new(root).join(own), PathBuf::from(root)].map(|parent| (*version, parent))
        });
        Self(candidates.into_iter().find_map(|(version, parent)| Group::create(version, &parent)))
    }

    /// Returns shell commands that put the shell, and what it executes afterwards, under the limit; ends before a command.
    pub fn script(&self) -> String {
        match &self.0 {
            Some(group) => format!("echo $$ > '{}/cgroup.procs' && exec ", group.folder.display()),
            None => format!("exec prlimit --as={BYTES} -- "),
        }
    }

    pub fn description(&self) -> String {
        match &self.0 {
            Some(group) => format!("memory cgroup {} of 1 GiB", group.version),
            None => "address space of 1 GiB (no memory cgroup is writable)".to_owned(),
        }
    }

    /// The most memory that the cgroup has used, in KiB.
    pub fn peak_kib(&self) -> Option<u64> {
        let group = self.0.as_ref()?;
        let text = fs::read_to_string(group.folder.join(group.peak)).ok()?;
        text.trim().parse::<u64>().ok().map(|bytes| bytes / 1024)
    }

    /// The processes of the cgroup that the kernel has killed for memory.
    pub fn killed(&self) -> u64 {
        let Some(group) = &self.0 else { return 0 };
        let text = fs::read_to_string(group.folder.join(group.events)).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or_default()
    }
}

impl Group {
    fn create(version: &'static str, parent: &Path) -> Option<Self> {
        let (limit, peak, events) = match version {
            "v1" => ("memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control"),
            _ => ("memory.max", "memory.peak", "memory.events"),
        };
        // Only where the parent itself is a cgroup: elsewhere a folder would be created that limits nothing.
        if !parent.join("cgroup.procs").exists() {
            return None;
        }
        let folder = parent.join(format!("scrm-gateway-pressure-{}", std::process::id()));
        fs::create_dir(&folder).ok()?;
        let group = Self { folder, version, limit, peak, events };
        let file = group.folder.join(group.limit);
        // Cgroup v2 creates the file only where the parent delegates the memory controller.
        (file.exists() && fs::write(file, BYTES.to_string()).is_ok()).then_some(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel takes a moment to release the group of a process that has ended.
        for _try in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() || !self.folder.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        println!("the cgroup {} could not be removed", self.folder.display());
    }
}
