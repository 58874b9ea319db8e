//! One row: a gateway of its own, the reads of other callers before and during the load, memory before and after, the verdict.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::answers::{Answers, CLOSED};
use crate::client::{Connection, PROBE, get};
use crate::gateway::{Changes, Gateway, token};
use crate::probe::{Probe, Reading};
use crate::rows::Issuer;
use crate::sources::Sources;
use crate::stub::{Shape, Stub};

const QUIET: Duration = Duration::from_secs(4);
/// From the end of the load until its memory has to be free.
const RELEASE: Duration = Duration::from_secs(20);
/// The load of a row must have ended by then.
const LONGEST_LOAD: Duration = Duration::from_secs(100);
/// Memory after the load: (idle + stores) × 1.2 + this.
const SLACK_MIB: u64 = 32;

/// A row of the table.
pub struct Row {
    pub name: &'static str,
    pub what: &'static str,
    /// The result of commit f8e0379.
    pub before: &'static str,
    pub setup: Setup,
    pub load: for<'a> fn(&'a Trial) -> Pin<Box<dyn Future<Output = Load> + Send + 'a>>,
}

/// What a row needs.
#[derive(Debug, Default)]
pub struct Setup {
    pub variables: &'static [(&'static str, &'static str)],
    pub stub: Option<Shape>,
    /// Whether there is an issuer that publishes and rotates keys.
    pub issuer: bool,
    pub files: Option<(u32, u32)>,
    /// The limits of the stores that the load fills, in MiB.
    pub stores_mib: u64,
}

/// The result of the load.
#[derive(Debug, Default)]
pub struct Load {
    /// The answers to whoever caused it.
    pub answers: Answers,
    /// Whether the contract lets the gateway close a connection without an answer, or in the middle of one.
    pub may_close: bool,
    pub notes: Vec<String>,
    pub missed: Vec<String>,
}

/// A gateway that is ready for the load of a row.
pub struct Trial {
    pub gateway: Arc<Gateway>,
    pub sources: Arc<Sources>,
    pub issuer: Option<Issuer>,
    _stub: Option<Stub>,
}

/// The result of a row.
pub struct Outcome {
    pub others: String,
    pub memory: String,
    pub causing: String,
    pub notes: Vec<String>,
    pub missed: Vec<String>,
}

impl Trial {
    async fn start(sources: &Arc<Sources>, setup: &Setup) -> Result<Self, String> {
        let stub = futures_util::future::OptionFuture::from(setup.stub.map(Stub::start)).await;
        let variables = setup.variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let issuer = futures_util::future::OptionFuture::from(setup.issuer.then(Issuer::start)).await;
        let mut sections = stub.as_ref().map(Stub::section).unwrap_or_default();
        sections += &issuer.as_ref().map(Issuer::section).unwrap_or_default();
        let changes = Changes { variables, sections, files: setup.files };
        let gateway = Arc::new(Gateway::start(sources, &changes).await?);
        Ok(Self { gateway, sources: sources.clone(), issuer, _stub: stub })
    }

    /// Details of Tanma that are cached from now on.
    async fn cached_details(&self) -> Result<Arc<[String]>, String> {
        let list = "/v1/customers?source=tanma&staff_id=rocky&limit=20";
        let mut connection = Connection::open(PROBE, self.gateway.public).await.map_err(|error| error.to_string())?;
        let authorization = token("probe");
        let reply = connection.send(get(list, Some(&authorization))).await.map_err(|error| error.to_string())?.json();
        let rows = reply["data"].as_array().map(Vec::as_slice).unwrap_or_default();
        let ids = rows.iter().filter_map(|row| row["external_user_id"].as_str());
        let paths: Arc<[String]> = ids.map(|id| format!("/v1/customers/{id}?source=tanma")).collect();
        for path in paths.iter() {
            let reply = connection.send(get(path, Some(&authorization))).await.map_err(|error| error.to_string())?;
            if reply.status != 200 {
                return Err(format!("a detail was not served before the load: {}", reply.status));
            }
        }
        if paths.is_empty() { Err("no customer to read".to_owned()) } else { Ok(paths) }
    }

    /// The problem codes that `/v1/errors` documents, with their status.
    async fn documented(&self) -> BTreeMap<String, u64> {
        let reply = Connection::open(PROBE, self.gateway.public).await.unwrap().send(get("/v1/errors", None)).await;
        let catalogue = reply.unwrap().json();
        let rows = catalogue["data"].as_array().into_iter().flatten();
        rows.filter_map(|row| Some((row["code"].as_str()?.to_owned(), row["status"].as_u64()?))).collect()
    }
}

/// Runs a row.
pub async fn run(row: &Row, sources: &Arc<Sources>) -> Result<Outcome, String> {
    let trial = Trial::start(sources, &row.setup).await?;
    let (paths, documented) = (trial.cached_details().await?, trial.documented().await);
    let probe = Probe::start(trial.gateway.public, paths.clone()).await;
    tokio::time::sleep(QUIET).await;
    let quiet = probe.stop().await;
    let idle = trial.gateway.resident_mib().ok_or("the gateway ended before the load")?;

    let probe = Probe::start(trial.gateway.public, paths).await;
    let load = tokio::time::timeout(LONGEST_LOAD, (row.load)(&trial)).await;
    let loaded = probe.stop().await;
    let mut load =
        load.unwrap_or_else(|_| Load { missed: vec!["the load did not end in time".to_owned()], ..Load::default() });
    if trial.gateway.ended().is_none() {
        tokio::time::sleep(RELEASE).await;
    }
    let peak = trial.gateway.peak_mib();
    let mut missed = std::mem::take(&mut load.missed);
    judge_process(&trial.gateway, idle, row.setup.stores_mib, &mut missed);
    judge_others(&quiet, &loaded, &mut missed);
    judge_causing(&load, &documented, &mut missed);
    let mib = |value: Option<u64>| value.map_or("–".to_owned(), |value| value.to_string());
    Ok(Outcome {
        others: format!(
            "p50 {:.1} → {:.1} ms, p99 {:.1} → {:.1} ms; {}",
            quiet.percentile(0.5),
            loaded.percentile(0.5),
            quiet.percentile(0.99),
            loaded.percentile(0.99),
            loaded.answers
        ),
        memory: format!("{idle} / {} / {} MiB", mib(peak), mib(trial.gateway.resident_mib())),
        causing: load.answers.to_string(),
        notes: load.notes,
        missed,
    })
}

/// The process is still the one that was started, and its memory is free again.
fn judge_process(gateway: &Gateway, idle: u64, stores: u64, missed: &mut Vec<String>) {
    if let Some(status) = gateway.ended() {
        missed.push(format!("the process ended: {status}"));
    }
    if gateway.killed() > 0 {
        missed.push("the kernel killed the process for memory".to_owned());
    }
    let most = (idle + stores) * 6 / 5 + SLACK_MIB;
    if let Some(after) = gateway.resident_mib().filter(|after| *after > most) {
        missed.push(format!("{after} MiB resident 20 s after the load, more than {most}"));
    }
}

/// Other callers notice little: every read succeeds, p50 ≤ 3 × quiet + 2 ms.
fn judge_others(quiet: &Reading, loaded: &Reading, missed: &mut Vec<String>) {
    let most = 3.0 * quiet.percentile(0.5) + 2.0;
    let half = loaded.percentile(0.5);
    // It is not a number if no read was answered.
    if half.is_nan() || half > most {
        missed.push(format!("p50 of other callers {half:.1} ms, more than {most:.1}"));
    }
    let failed = loaded.answers.except(|outcome| outcome == "200");
    if !failed.is_empty() {
        missed.push(format!("reads of other callers failed ({})", failed.join(", ")));
    }
}

/// Whoever causes the load gets successes and documented problems, none of them `internal`.
fn judge_causing(load: &Load, documented: &BTreeMap<String, u64>, missed: &mut Vec<String>) {
    let expected = |outcome: &str| match outcome.split_once(' ') {
        Some((status, code)) => {
            code != "internal" && documented.get(code).is_some_and(|documented| documented.to_string() == status)
        }
        None if outcome == CLOSED => load.may_close,
        None => outcome.starts_with('2') || outcome.starts_with('3'),
    };
    let undocumented = load.answers.except(expected);
    if !undocumented.is_empty() {
        missed.push(format!("undocumented answers to the load ({})", undocumented.join(", ")));
    }
}
