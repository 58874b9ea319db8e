//! The program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    let code = runtime.block_on(scrm_gateway::cli::run());
    // Nobody waits any more for what may still be looked up or read in the background: a name server that is silent is not to
    // hold the end up.
    runtime.shutdown_background();
    code
}
