//! The simulated sources: strict, deterministic twins of `JuziBot` and Tanma behind real HTTP, in this process.
//!
//! They hold the gateway to what the vendors document (token, signature, clock skew, page and batch limits) and are stricter where
//! the vendors are silent: a request the real sources might let pass is refused here. What a vendor does not say is a switch in
//! [`juzibot::Rules`] or [`tanma::Rules`].
//!
//! The road of a request: `serve` accepts it, `exchange` counts it and finds the endpoint, [`juzibot`] or [`tanma`] answers from
//! [`State`], which asks [`people`], and [`faults`] may spoil the answer. `control` changes all this from outside. This module
//! knows nothing of the gateway.

mod control;
mod endpoint;
mod exchange;
pub mod faults;
pub mod juzibot;
pub mod people;
mod serve;
mod state;
mod strict;
pub mod tanma;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use endpoint::{Endpoint, Source};
pub use state::{AppliedFollowUp, AppliedRemark, Calls, State};

/// What to simulate, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many persons there are over both sources at the start; 100,000 are cheap.
    pub customers: usize,
    /// The same seed gives the same persons, byte for byte.
    pub seed: u64,
    pub juzibot: juzibot::Rules,
    pub tanma: tanma::Rules,
    /// Port 0 takes a free one; see [`Sandbox::juzibot_url`].
    pub juzibot_listen: SocketAddr,
    pub tanma_listen: SocketAddr,
    pub control_listen: SocketAddr,
    /// The script of faults in force from the start; see [`State::set_faults`].
    pub faults: Vec<faults::Rule>,
}

impl Default for Options {
    fn default() -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            customers: 1_000,
            seed: 1,
            juzibot: juzibot::Rules::default(),
            tanma: tanma::Rules::default(),
            juzibot_listen: any_port,
            tanma_listen: any_port,
            control_listen: any_port,
            faults: Vec::new(),
        }
    }
}

const JUZIBOT: &str = "simulated JuziBot";
const TANMA: &str = "simulated Tanma";
const CONTROL: &str = "control endpoint";

fn cannot_listen(name: &str, address: SocketAddr, error: &std::io::Error) -> std::io::Error {
    std::io::Error::new(error.kind(), format!("{name}: cannot listen on {address}: {error}"))
}

/// The running sources. Dropping it stops them too, without waiting.
#[derive(Debug)]
pub struct Sandbox {
    juzibot: SocketAddr,
    tanma: SocketAddr,
    control: SocketAddr,
    state: Arc<State>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Binds the three ports and serves on them until [`Sandbox::stop`]. Fails where a port cannot be bound or a fault makes no sense.
pub async fn start(mut options: Options) -> std::io::Result<Sandbox> {
    let bind = |name, address| serve::Port::bind(address).map_err(|error| cannot_listen(name, address, &error));
    let juzibot = bind(JUZIBOT, options.juzibot_listen)?;
    let tanma = bind(TANMA, options.tanma_listen)?;
    let control = bind(CONTROL, options.control_listen)?;
    let script = std::mem::take(&mut options.faults);
    let sandbox = Sandbox {
        juzibot: juzibot.address(),
        tanma: tanma.address(),
        control: control.address(),
        state: Arc::new(State::new(options)),
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
    };
    let Sandbox { state, stop, tasks, .. } = &sandbox;
    for (name, port, source) in [(JUZIBOT, juzibot, Source::Juzibot), (TANMA, tanma, Source::Tanma)] {
        let (address, gate) = (port.address(), serve::Gate::Faults(state.clone(), source));
        port.serve(exchange::handler(state.clone(), source), gate, tasks, stop.clone())
            .map_err(|error| cannot_listen(name, address, &error))?;
    }
    let address = control.address();
    control
        .serve(control::handler(state.clone()), serve::Gate::AlwaysOpen, tasks, stop.clone())
        .map_err(|error| cannot_listen(CONTROL, address, &error))?;
    tasks.close();
    state.set_faults(script).await.map_err(|fault| std::io::Error::new(std::io::ErrorKind::InvalidInput, fault))?;
    Ok(sandbox)
}

impl Sandbox {
    /// The base URL of the simulated `JuziBot`, without a trailing slash.
    pub fn juzibot_url(&self) -> String {
        format!("http://{}", self.juzibot)
    }

    /// The base URL of the simulated Tanma, without a trailing slash.
    pub fn tanma_url(&self) -> String {
        format!("http://{}", self.tanma)
    }

    /// The URL of the control endpoint, without a trailing slash; `control` tells what it does.
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control)
    }

    /// What the sources know and have been asked.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Closes all ports and connections, those in the middle of an answer included, and waits until that is done.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
