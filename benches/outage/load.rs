//! Requests at a steady rate, whatever becomes of them: a late answer does not hold the next request back.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::gateway::Bench;

/// One answer.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Since the load began, of the request.
    pub at: Duration,
    pub took: Duration,
    pub class: &'static str,
    /// Whether it brought what was asked for; of a write, that it succeeded.
    pub good: bool,
}

/// A kind of request. `path` makes the nth, and `body`, where there is one, what is posted there.
pub struct Class {
    pub name: &'static str,
    pub path: Box<dyn Fn(usize) -> String + Send + Sync>,
    pub body: Option<Box<dyn Fn(usize) -> String + Send + Sync>>,
}

/// Sends `rate` requests a second for a time, of each class in turn; gives all answers.
pub async fn send(bench: &Bench, begun: Instant, rate: u32, lasts: Duration, classes: &[&Class]) -> Vec<Sample> {
    let (answered, mut samples) = mpsc::unbounded_channel();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let until = Instant::now() + lasts;
    let mut number = 0;
    while Instant::now() < until {
        ticks.tick().await;
        let class = classes[number % classes.len()];
        let url = format!("{}{}", bench.url, (class.path)(number));
        let request = match &class.body {
            Some(body) => bench.client.post(url).header("content-type", "application/json").body(body(number)),
            None => bench.client.get(url),
        };
        // Each caller sends every class.
        let request = request.header("authorization", bench.bearer(number / classes.len()));
        number += 1;
        let (name, is_write, answered) = (class.name, class.body.is_some(), answered.clone());
        tokio::spawn(async move {
            let started = Instant::now();
            let good = match request.send().await {
                Ok(reply) if reply.status() == 200 => {
                    reply.text().await.is_ok_and(|text| !is_write || text.contains("\"succeeded\":1"))
                }
                _ => false,
            };
            let at = started.duration_since(begun);
            // The receiver waits for all of them.
            let _sent = answered.send(Sample { at, took: started.elapsed(), class: name, good });
        });
    }
    drop(answered);
    let mut all = Vec::new();
    while let Some(sample) = samples.recv().await {
        all.push(sample);
    }
    all
}

/// The share-th smallest time, in milliseconds.
pub fn percentile(samples: &[&Sample], share: f64) -> f64 {
    let mut times: Vec<Duration> = samples.iter().map(|sample| sample.took).collect();
    times.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index of a list that fits into memory"
    )]
    let index = ((times.len() as f64 * share).ceil() as usize).saturating_sub(1);
    times.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}
