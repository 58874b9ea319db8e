//! Large lists of a source, all at once; half of the answers are compressed.

use std::time::Duration;

use crate::client::{get, with_gzip};
use crate::gateway::token;
use crate::load::{Worker, closed_loop};
use crate::trial::{Load, Trial};

const CONCURRENT: usize = 58;
const LASTS: Duration = Duration::from_secs(8);

pub async fn run(trial: &Trial) -> Load {
    let authorization = token("load");
    let worker = Worker {
        gateway: trial.gateway.public,
        request: move |number| with_gzip(get("/v1/customers?source=stub&limit=1000", Some(&authorization)), number),
        patience: Duration::from_secs(30),
    };
    let answers = closed_loop(worker, CONCURRENT, LASTS, |_| false).await;
    Load { answers, ..Load::default() }
}
