//! Contract §3.5: every item of every batch gets exactly one account, and a true one, whatever the source does.
//!
//! Random batches under random scripts of faults; what each item was told is held against what the source applied. The
//! numbers are drawn from fixed seeds; `SCRM_BATCHES` asks for more or fewer.

use std::fmt::Write as _;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use reqwest::Method;
use scrm_gateway::sandbox::faults::{Effect, Rule, Target, When};
use scrm_gateway::sandbox::{Endpoint, Source};
use serde_json::{Value, json};

use crate::support::failures::codes;
use crate::support::ledger::{self, Applied};
use crate::support::people::writable;
use crate::support::{Gateway, GatewayOptions, Vendor};

/// Without `SCRM_BATCHES`.
const BATCHES: usize = 10_000;
/// Gateways that take them, each with its own sources.
const LANES: usize = 8;
/// Most batches' largest size: three chunks of remarks.
const MAX_ITEMS: u64 = 120;
/// Some batches' sizes: five chunks of remarks or six, of which four go out at once.
const MANY_CHUNKS: std::ops::Range<u64> = 201..300;
/// Of one write. Long enough for one that nothing is wrong with.
const TIMEOUT: Duration = Duration::from_millis(150);

struct Dice(ChaCha8Rng);

impl Dice {
    /// A number from 0 to `below` - 1.
    fn below(&mut self, below: u64) -> u64 {
        self.0.next_u64() % below
    }

    fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    /// More small ones than large ones: a large batch says little that a small one does not, but for those with more
    /// chunks than go out at once.
    fn size(&mut self, remarks: bool) -> u64 {
        if remarks && self.one_in(15) {
            return MANY_CHUNKS.start + self.below(MANY_CHUNKS.end - MANY_CHUNKS.start);
        }
        let most = self.pick(&[3, 10, 10, 60, MAX_ITEMS]);
        1 + self.below(most)
    }

    /// What a source may do. One that refuses after it has applied would lie, and is believed: that is left out.
    fn effect(&mut self) -> Effect {
        let applied = self.one_in(2);
        match self.below(40) {
            0..6 => Effect::Reset { applied },
            6..8 => {
                let code = self.pick(&[84_061, 40_001, 45_009, 40_058]);
                Effect::Code { code, message: "no".to_owned(), applied: false }
            }
            8..12 => Effect::Code { code: self.pick(&[50_001, 99_999]), message: "no".to_owned(), applied },
            12..14 => self.status(&[400, 401, 404, 429], false),
            14..18 => self.status(&[500, 502, 503], applied),
            18..24 => {
                let items = usize::try_from(1 + self.below(60)).unwrap();
                Effect::FailItems { items, code: self.pick(&[0, 0, 50_001, 40_058, 99_999]), item_code: 84_061 }
            }
            24..28 => Effect::StrayFailure,
            28..31 => Effect::Truncate { keep: self.pick(&[None, Some(0), Some(9)]) },
            31..34 => Effect::Html { applied },
            34 => Effect::NeverAnswer { applied },
            35 => Effect::Delay { min: TIMEOUT / 2, max: Some(TIMEOUT * 2), applied },
            36 => Effect::Drip { bytes: 8, every: TIMEOUT / 10 },
            37 => Effect::RefuseConnections,
            _ => Effect::Delay { min: Duration::ZERO, max: Some(Duration::from_millis(5)), applied },
        }
    }

    fn status(&mut self, of: &[u16], applied: bool) -> Effect {
        let retry_after = self.one_in(2).then(|| "1".to_owned());
        Effect::Status { status: self.pick(of), retry_after, body: String::new(), applied }
    }

    fn script(&mut self, endpoint: Endpoint) -> Vec<Rule> {
        let refused = Effect::Code { code: 40_001, message: "no".to_owned(), applied: false };
        let stops = self.one_in(8).then(|| Rule::new(endpoint, refused).when(When::First(1)).after(self.below(3)));
        let others = (0..self.below(4)).map(|_| {
            let effect = self.effect();
            if effect == Effect::RefuseConnections {
                return Rule::new(Source::Juzibot, effect).after(self.below(3));
            }
            let when = match self.below(4) {
                0 => When::Always,
                1 => When::First(1 + self.below(2)),
                2 => When::Every(1 + self.below(3)),
                _ => When::Rate(0.5),
            };
            Rule::new(Target::Endpoint(endpoint), effect).when(when).after(self.below(2))
        });
        stops.into_iter().chain(others).collect()
    }

    /// Items whose texts are all different, some of them for nobody.
    fn items(&mut self, people: &[(&str, String)], remarks: bool, batch: usize) -> Vec<Value> {
        let from = usize::try_from(self.below(people.len() as u64)).unwrap();
        // Notes for one customer may be several; remarks may not.
        let apart = if remarks || self.one_in(2) { people.len() } else { 5 };
        let text = if remarks { "remark" } else { "content" };
        (0..usize::try_from(self.size(remarks)).unwrap())
            .map(|index| {
                let (staff_id, union_id) = &people[(from + index % apart) % people.len()];
                let union_id = if self.one_in(12) { format!("ozNobody{index}") } else { union_id.clone() };
                json!({"staff_id": staff_id, "union_id": union_id, text: name(batch, index)})
            })
            .collect()
    }
}

fn name(batch: usize, index: usize) -> String {
    format!("b{batch} i{index}")
}

/// The status of a batch whose caller did not wait for it.
const LEFT: u16 = 0;

/// A batch that was answered, or not waited for.
struct Told {
    batch: usize,
    items: usize,
    script: Vec<Rule>,
    status: u16,
    /// `None`: a problem for the whole.
    words: Option<Vec<String>>,
}

/// How many items were told what, and whether they were applied: that the faults reach every case.
#[derive(Default)]
struct Seen(std::collections::BTreeMap<(String, bool), usize>);

/// Half of the lanes are behind a breaker that opens and closes often; the others differ in what a write has to wait for.
async fn gateway(lane: usize) -> Gateway {
    let breaker = if lane.is_multiple_of(2) {
        "{ min_calls = 4, window = \"1s\", open_for = \"20ms\" }"
    } else {
        "{ min_calls = 1000000 }"
    };
    let (bound, batch_timeout) = match lane / 2 {
        0 => ("", "2s"),
        1 => ("", "250ms"),
        2 => ("max_in_flight = 1", "1s"),
        _ => ("quota = { requests = 600, window = \"1s\" }", "1s"),
    };
    let timeout = TIMEOUT.as_millis();
    let mut options = GatewayOptions {
        juzibot: format!("write_timeout = \"{timeout}ms\"\nbreaker = {breaker}\nretry = {{ attempts = 3 }}\n{bound}"),
        juzibot_codes: codes(Vendor::Juzibot),
        server: format!("batch_timeout = \"{batch_timeout}\""),
        ..GatewayOptions::default()
    };
    options.sandbox.customers = 400;
    options.sandbox.seed = 1 + lane as u64;
    Gateway::with(options).await
}

/// Sends the lane's share of the batches one after the other, then draws the line under all of them.
async fn lane(lane: usize, batches: usize) -> Seen {
    let gateway = gateway(lane).await;
    let state = gateway.sandbox.state();
    let people: Vec<(&str, String)> = writable(state).collect();
    assert!(people.len() as u64 >= MANY_CHUNKS.end);
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(lane as u64));
    let mut all = Vec::with_capacity(batches);
    for batch in 0..batches {
        let remarks = dice.one_in(2);
        let (path, endpoint) = if remarks {
            ("/v1/remarks", Endpoint::JuzibotSetRemark)
        } else {
            ("/v1/follow-ups", Endpoint::JuzibotAddFollow)
        };
        let script = dice.script(endpoint);
        let items = dice.items(&people, remarks, batch);
        state.set_faults(script.clone()).await.unwrap();
        let body = json!({"items": items}).to_string().into_bytes();
        let hurry = if dice.one_in(30) { "wait=0" } else { "wait=2" };
        let headers = [("content-type", "application/json"), ("prefer", hurry)];
        let answer = gateway.send(Method::POST, path, &headers, Some(body));
        // Some callers leave before they are answered.
        let patience = if dice.one_in(40) { Duration::from_millis(dice.below(30)) } else { Duration::from_mins(1) };
        let Ok(reply) = tokio::time::timeout(patience, answer).await else {
            assert!(patience < TIMEOUT, "lane {lane}, batch {batch}, under {script:?}: no answer");
            all.push(Told { batch, items: items.len(), script, status: LEFT, words: None });
            continue;
        };
        let status = reply.status.as_u16();
        let words = ledger::statuses(status, &reply.json(), items.len())
            .unwrap_or_else(|why| panic!("lane {lane}, batch {batch}, under {script:?}: {why}"));
        assert!([200, 422, 502, 503, 504].contains(&status), "lane {lane}, batch {batch}: {}", reply.body);
        all.push(Told { batch, items: items.len(), script, status, words });
    }
    // What is under way is waited for.
    let state = state.clone();
    gateway.stop().await;
    let applied = Applied::of(&state);
    audit(lane, &all, &applied)
}

fn audit(lane: usize, all: &[Told], applied: &Applied) -> Seen {
    let mut seen = Seen::default();
    let mut wrong = String::new();
    for told in all {
        for index in 0..told.items {
            let times = applied.times(&name(told.batch, index));
            let word = told.words.as_ref().map(|words| words[index].as_str());
            let left = told.status == LEFT;
            let case = if left { "left" } else { word.unwrap_or("problem") };
            *seen.0.entry((case.to_owned(), times > 0)).or_default() += 1;
            // Who left was told nothing, so all that can be wrong is an item that was applied twice.
            if if left { times > 1 } else { !ledger::is_true(word, times) } {
                let Told { batch, status, script, .. } = told;
                let _ = writeln!(
                    wrong,
                    "lane {lane}, batch {batch}, item {index}: {status} {word:?}, applied {times} times; {script:?}"
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_item_of_a_batch_is_accounted_for_once_and_truly_under_any_faults() {
    let asked = std::env::var_os("SCRM_BATCHES").and_then(|text| text.to_str()?.parse().ok());
    let batches = asked.unwrap_or(BATCHES).div_ceil(LANES);
    let lanes: Vec<_> = (0..LANES).map(|number| tokio::spawn(lane(number, batches))).collect();
    let mut seen = Seen::default();
    for lane in lanes {
        for (case, count) in lane.await.unwrap().0 {
            *seen.0.entry(case).or_default() += count;
        }
    }
    println!("{} batches: {:?}", batches * LANES, seen.0);
    for (word, applied) in [
        ("succeeded", true),
        ("failed", false),
        ("not_sent", false),
        ("unconfirmed", true),
        ("unconfirmed", false),
        ("problem", false),
        ("left", true),
        ("left", false),
    ] {
        assert!(seen.0.contains_key(&(word.to_owned(), applied)), "no item was {word} with applied {applied}");
    }
}
