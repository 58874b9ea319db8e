//! One source takes requests and answers nothing, under mixed load; the other is to go on as before.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use scrm_gateway::sandbox::Source;
use scrm_gateway::sandbox::faults::{Effect, Rule};
use tokio::time::Instant;

use crate::gateway::Bench;
use crate::load::{Class, Sample, percentile, send};

const RATE: u32 = 500;
const WARM_UP: Duration = Duration::from_secs(10);
const BEFORE: Duration = Duration::from_secs(30);
const HOLE: Duration = Duration::from_mins(1);
const AFTER: Duration = Duration::from_secs(30);

pub async fn run() {
    let bench = Arc::new(Bench::start().await);
    let classes = classes(&bench);
    // 40 % details of the other source, 30 % of the one that goes, 20 % of both, 10 % lists.
    let [tanma, juzibot, both, tanma_list, juzibot_list] = &classes;
    let mixed = [tanma, juzibot, both, tanma, juzibot, tanma, both, tanma, juzibot, tanma_list].into_iter().chain([
        tanma,
        juzibot,
        both,
        tanma,
        juzibot,
        tanma,
        both,
        tanma,
        juzibot,
        juzibot_list,
    ]);
    let mixed: Vec<&Class> = mixed.collect();
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
    report(&samples, &readings);
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

fn classes(bench: &Bench) -> [Class; 5] {
    let people = bench.sandbox.state().people();
    let known: Vec<_> = (0..people.len()).filter_map(|index| people.person(index)).collect();
    let ids = |of: &dyn Fn(&scrm_gateway::sandbox::people::Person) -> bool| -> Arc<[String]> {
        known.iter().filter(|person| of(person)).map(|person| person.external_user_id.clone()).collect()
    };
    let detail = |name, ids: Arc<[String]>, query: &'static str| Class {
        name,
        path: Box::new(move |number| format!("/v1/customers/{}{query}", ids[number * 7 % ids.len()])),
    };
    let list = |name, path: &'static str| Class { name, path: Box::new(move |_| path.to_owned()) };
    [
        detail("tanma_detail", ids(&|person| person.tanma.is_some()), "?source=tanma"),
        detail("juzibot_detail", ids(&|person| person.juzibot.is_some()), "?source=juzibot"),
        detail("merged", ids(&|person| person.tanma.is_some() && person.juzibot.is_some()), ""),
        list("tanma_list", "/v1/customers?source=tanma&staff_id=rocky&limit=20"),
        list("juzibot_list", "/v1/customers?source=juzibot&limit=20"),
    ]
}

fn report(samples: &[Sample], readings: &[Reading]) {
    let phases = [
        ("before", Duration::ZERO, BEFORE),
        ("hole", BEFORE, BEFORE + HOLE),
        ("after", BEFORE + HOLE, BEFORE + HOLE + AFTER),
    ];
    println!("class           phase     answers  ok %    p50 ms   p99 ms");
    let mut p99 = std::collections::BTreeMap::new();
    for class in ["tanma_detail", "tanma_list", "juzibot_detail", "juzibot_list", "merged"] {
        for (phase, from, to) in phases {
            let of: Vec<&Sample> =
                samples.iter().filter(|sample| sample.class == class && (from..to).contains(&sample.at)).collect();
            let good = of.iter().filter(|sample| sample.status == 200).count();
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
        println!("{class}: p99 in the hole / before = {:.2}", p99[&(class, "hole")] / p99[&(class, "before")]);
    }
    let memory = |from: Duration, to: Duration| {
        let of = readings.iter().filter(|reading| (from..to).contains(&reading.at));
        of.map(|reading| reading.resident_kib).max().unwrap_or_default()
    };
    for (phase, from, to) in phases {
        println!("resident at most, {phase}: {} KiB", memory(from, to));
    }
    let opened = readings.iter().find(|reading| reading.at > BEFORE && reading.breaker == "open");
    println!("breaker open {:?} after the hole began", opened.map(|reading| reading.at.saturating_sub(BEFORE)));
    let healed = BEFORE + HOLE;
    let served = samples
        .iter()
        .filter(|sample| sample.class.starts_with("juzibot") && sample.status == 200 && sample.at > healed)
        .map(|sample| sample.at + sample.took)
        .min();
    println!("first answer of the source {:?} after the hole ended", served.map(|at| at.saturating_sub(healed)));
    let late =
        samples.iter().filter(|sample| sample.at > healed + Duration::from_secs(6) && sample.status != 200).count();
    println!("answers other than 200 of requests from 6 s after the hole: {late}");
}

/// Seconds, for a plot: each second's percentiles and counts of each class, and each reading.
fn write(samples: &[Sample], readings: &[Reading]) {
    let Some(folder) = std::env::var_os("SCRM_BENCH_OUT").map(PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).unwrap();
    let mut text = "second,class,count,ok,p50_ms,p99_ms\n".to_owned();
    for second in 0..(BEFORE + HOLE + AFTER).as_secs() {
        for class in ["tanma_detail", "tanma_list", "juzibot_detail", "juzibot_list", "merged"] {
            let of: Vec<&Sample> =
                samples.iter().filter(|sample| sample.class == class && sample.at.as_secs() == second).collect();
            let good = of.iter().filter(|sample| sample.status == 200).count();
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
