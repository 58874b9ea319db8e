//! One source takes requests and answers nothing, under mixed load; the other is to go on as before.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use scrm_gateway::sandbox::Source;
use scrm_gateway::sandbox::faults::{Effect, Rule};
use serde_json::json;
use tokio::time::Instant;

use crate::bounds::Bounds;
use crate::gateway::Bench;
use crate::load::{Class, Sample, percentile, send};

const RATE: u32 = 500;
const WARM_UP: Duration = Duration::from_secs(10);
const BEFORE: Duration = Duration::from_secs(30);
const HOLE: Duration = Duration::from_mins(1);
const AFTER: Duration = Duration::from_secs(30);

/// A p99 in the hole to the one before it.
const MOST_SLOWER: f64 = 1.5;
/// The memory at most in the second half of the hole, and after it, to that of its first half.
const MOST_GROWTH: f64 = 1.1;
/// What the memory may grow by in the hole, in MiB: callers wait there who did not before, at most `server.max_in_flight` (1,024),
/// with 64 KiB each for their connection, their call and its connection.
const MOST_STEP: f64 = 64.0;
/// `breaker.open_for` of the configuration, and a call.
const BACK_WITHIN: Duration = Duration::from_millis(5_500);

/// The name of each class, and of 20 requests how many are its.
const MIX: [(&str, usize); 6] = [
    ("tanma_detail", 7),
    ("juzibot_detail", 6),
    ("merged", 4),
    ("tanma_list", 1),
    ("juzibot_list", 1),
    ("juzibot_write", 1),
];

pub async fn run(bounds: &mut Bounds) {
    let bench = Arc::new(Bench::start().await);
    let classes = classes(&bench);
    let mut mixed: Vec<&Class> = Vec::new();
    // Spread, so that no class comes in bursts.
    for round in 0..20 {
        let of_this_round = MIX.iter().filter(|(_, share)| round * share / 20 != (round + 1) * share / 20);
        mixed.extend(of_this_round.filter_map(|(name, _)| classes.iter().find(|class| class.name == *name)));
    }
    assert_eq!(mixed.len(), 20);
    send(&bench, Instant::now(), RATE, WARM_UP, &mixed).await;

    let begun = Instant::now();
    let over = Arc::new(AtomicBool::new(false));
    let watch = tokio::spawn(watch(bench.clone(), begun, over.clone()));
    let switch = async {
        tokio::time::sleep(BEFORE).await;
        let hole = Rule::new(Source::Juzibot, Effect::NeverAnswer { applied: false });
        bench.sandbox.state().set_faults(vec![hole]).await.unwrap();
        tokio::time::sleep(HOLE).await;
        bench.sandbox.state().clear_faults().await;
    };
    let (samples, ()) = tokio::join!(send(&bench, begun, RATE, BEFORE + HOLE + AFTER, &mixed), switch);
    over.store(true, Ordering::Relaxed);
    let readings = watch.await.unwrap();
    report(&samples, &readings, bounds);
    write(&samples, &readings);
}

/// A reading of the gateway's memory and of the breaker.
struct Reading {
    at: Duration,
    resident_kib: u64,
    breaker: String,
}

async fn watch(bench: Arc<Bench>, begun: Instant, over: Arc<AtomicBool>) -> Vec<Reading> {
    let mut readings = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let breaker = bench.breaker().await;
        readings.push(Reading { at: begun.elapsed(), resident_kib: bench.resident_kib(), breaker });
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    readings
}

fn classes(bench: &Bench) -> [Class; MIX.len()] {
    let people = bench.sandbox.state().people();
    let known: Vec<_> = (0..people.len()).filter_map(|index| people.person(index)).collect();
    let ids = |of: &dyn Fn(&scrm_gateway::sandbox::people::Person) -> bool| -> Arc<[String]> {
        known.iter().filter(|person| of(person)).map(|person| person.external_user_id.clone()).collect()
    };
    let detail = |name, ids: Arc<[String]>, query: &'static str| Class {
        name,
        path: Box::new(move |number| format!("/v1/customers/{}{query}", ids[number * 7 % ids.len()])),
        body: None,
    };
    let list = |name, path: &'static str| Class { name, path: Box::new(move |_| path.to_owned()), body: None };
    let union_id = people.featured().union_id;
    let note = move |number| {
        json!({"items": [{"staff_id": "rocky", "union_id": union_id, "content": format!("note {number}")}]}).to_string()
    };
    [
        detail("tanma_detail", ids(&|person| person.tanma.is_some()), "?source=tanma"),
        detail("juzibot_detail", ids(&|person| person.juzibot.is_some()), "?source=juzibot"),
        detail("merged", ids(&|person| person.tanma.is_some() && person.juzibot.is_some()), ""),
        list("tanma_list", "/v1/customers?source=tanma&staff_id=rocky&limit=20"),
        list("juzibot_list", "/v1/customers?source=juzibot&limit=20"),
        Class { name: "juzibot_write", path: Box::new(|_| "/v1/follow-ups".to_owned()), body: Some(Box::new(note)) },
    ]
}

fn report(samples: &[Sample], readings: &[Reading], bounds: &mut Bounds) {
    let phases = [
        ("before", Duration::ZERO, BEFORE),
        ("hole", BEFORE, BEFORE + HOLE),
        ("after", BEFORE + HOLE, BEFORE + HOLE + AFTER),
    ];
    println!("class           phase     answers  ok %    p50 ms   p99 ms");
    let mut p99 = std::collections::BTreeMap::new();
    for (class, _) in MIX {
        for (phase, from, to) in phases {
            let of: Vec<&Sample> =
                samples.iter().filter(|sample| sample.class == class && (from..to).contains(&sample.at)).collect();
            let good = of.iter().filter(|sample| sample.good).count();
            let (half, most) = (percentile(&of, 0.5), percentile(&of, 0.99));
            p99.insert((class, phase), most);
            println!(
                "{class:<15} {phase:<8} {:>8} {:>5} {half:>9.1} {most:>8.1}",
                of.len(),
                good * 100 / of.len().max(1)
            );
        }
    }
    for class in ["tanma_detail", "tanma_list"] {
        let ratio = p99[&(class, "hole")] / p99[&(class, "before")];
        bounds.at_most(&format!("{class}: p99 in the hole / before"), ratio, MOST_SLOWER);
    }
    let memory = |from: Duration, to: Duration| {
        let of = readings.iter().filter(|reading| (from..to).contains(&reading.at));
        of.map(|reading| reading.resident_kib).max().unwrap_or_default()
    };
    for (phase, from, to) in phases {
        println!("resident at most, {phase}: {} KiB", memory(from, to));
    }
    let half = BEFORE + HOLE / 2;
    #[expect(clippy::cast_precision_loss, reason = "a process of far less than 2^52 KiB")]
    let ratio =
        |of: (Duration, Duration), to: (Duration, Duration)| memory(of.0, of.1) as f64 / memory(to.0, to.1) as f64;
    let (first, second) = ((BEFORE, half), (half, BEFORE + HOLE));
    #[expect(clippy::cast_precision_loss, reason = "a process of far less than 2^52 KiB")]
    let step = memory(BEFORE, BEFORE + HOLE).saturating_sub(memory(Duration::ZERO, BEFORE)) as f64 / 1024.0;
    bounds.at_most("resident, hole - before, MiB", step, MOST_STEP);
    bounds.at_most("resident, second half of the hole / first half", ratio(second, first), MOST_GROWTH);
    bounds.at_most("resident, after / hole", ratio((BEFORE + HOLE, BEFORE + HOLE + AFTER), first), MOST_GROWTH);
    let opened = readings.iter().find(|reading| reading.at > BEFORE && reading.breaker == "open");
    println!("breaker open {:?} after the hole began", opened.map(|reading| reading.at.saturating_sub(BEFORE)));
    let healed = BEFORE + HOLE;
    let served = samples
        .iter()
        .filter(|sample| sample.class.starts_with("juzibot") && sample.good && sample.at > healed)
        .map(|sample| sample.at + sample.took)
        .min();
    let back = served.map_or(f64::INFINITY, |at| at.saturating_sub(healed).as_secs_f64());
    bounds.at_most("first answer of the source after the hole ended, s", back, BACK_WITHIN.as_secs_f64());
    let late = samples.iter().filter(|sample| sample.at > healed + Duration::from_secs(6) && !sample.good).count();
    println!("answers without what was asked for, of requests from 6 s after the hole: {late}");
}

/// Seconds, for a plot: each second's percentiles and counts of each class, and each reading.
fn write(samples: &[Sample], readings: &[Reading]) {
    let Some(folder) = std::env::var_os("SCRM_BENCH_OUT").map(PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).unwrap();
    let mut text = "second,class,count,ok,p50_ms,p99_ms\n".to_owned();
    for second in 0..(BEFORE + HOLE + AFTER).as_secs() {
        for (class, _) in MIX {
            let of: Vec<&Sample> =
                samples.iter().filter(|sample| sample.class == class && sample.at.as_secs() == second).collect();
            let good = of.iter().filter(|sample| sample.good).count();
            let (half, most) = (percentile(&of, 0.5), percentile(&of, 0.99));
            writeln!(text, "{second},{class},{},{good},{half:.2},{most:.2}", of.len()).unwrap();
        }
    }
    std::fs::write(folder.join("blackhole.csv"), text).unwrap();
    let mut text = "second,resident_kib,breaker\n".to_owned();
    for reading in readings {
        writeln!(text, "{:.2},{},{}", reading.at.as_secs_f64(), reading.resident_kib, reading.breaker).unwrap();
    }
    std::fs::write(folder.join("blackhole-gateway.csv"), text).unwrap();
}
