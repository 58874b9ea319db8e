//! The limit of open files (`RLIMIT_NOFILE`): a connection takes one, and so does all else that the gateway opens.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Probes and scrapes at once, and the part of a low limit that they may take.
const ADMIN_CONNECTIONS: usize = 100;
const ADMIN_PART: usize = 8;
/// Files beside connections: listeners, standard streams, the runtime, name lookups, fetches of keys, files of secrets.
const OTHER_FILES: usize = 128;
/// At least this part of the limit is for callers, even if less is left for everything else than it may need.
const MIN_CALLERS_PART: usize = 4;

/// Returns how many files the process may have open once [`raise_limit`] has run; `None` without a limit.
pub fn limit() -> Option<usize> {
    getrlimit(Resource::Nofile).maximum.map(|files| usize::try_from(files).unwrap_or(usize::MAX))
}

/// Returns how many connections the admin port may have.
pub fn admin_connections() -> usize {
    limit().map_or(ADMIN_CONNECTIONS, |limit| (limit / ADMIN_PART).clamp(1, ADMIN_CONNECTIONS))
}

/// Raises the soft limit to the hard one.
pub fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, soft = current, hard = maximum, "the limit of open files cannot be raised");
    }
}

/// Returns how many connections of callers fit in a limit of open files, beside calls to sources, probes and the rest.
pub fn connections_within(limit: usize, calls_to_sources: usize) -> usize {
    let reserved = calls_to_sources.saturating_add(ADMIN_CONNECTIONS + OTHER_FILES);
    limit.saturating_sub(reserved).max(limit / MIN_CALLERS_PART).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_sources_probes_and_files() {
        let limits = [(1_048_576, 1_048_220), (10_356, 10_000), (1_024, 668), (256, 64), (1, 1)];
        for (limit, connections) in limits {
            assert_eq!(connections_within(limit, 128), connections, "{limit}");
        }
        assert_eq!(connections_within(1_000, usize::MAX), 250);
    }
}
