//! The program: everything is in the library.

use std::process::ExitCode;
use std::time::Duration;

use tikv_jemallocator::Jemalloc;

/// Returns freed memory to the kernel within seconds, by a thread of its own; the C library's allocator retains most of it.
/// ADR 38 has the figures.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// What tasks that are cut off may take to end.
const LAST_WORDS: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    let code = runtime.block_on(scrm_gateway::cli::run());
    // What is cut off now tells the audit trail so as it is dropped. Nobody waits for what may still be looked up or read in the
    // background: a name server that is silent is not to hold the end up.
    runtime.shutdown_timeout(LAST_WORDS);
    code
}
