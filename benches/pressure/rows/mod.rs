//! The rows of the table.

mod admin;
mod assets;
mod batches;
mod black_hole;
mod bodies;
mod files;
mod heads;
mod keys;
mod lists;
mod readers;
mod stores;

pub use keys::Issuer;

use crate::stub::Shape;
use crate::trial::{Row, Setup};

/// A list of the stub with small customers.
const SMALL: Shape = Shape { rows: 20, relations: 1, tags: 2 };
/// A list of 2 MB.
const WIDE: Shape = Shape { rows: 1_000, relations: 1, tags: 16 };
/// A list of 440,000 JSON values.
const MANY_VALUES: Shape = Shape { rows: 1_000, relations: 4, tags: 20 };
const _: () = assert!(MANY_VALUES.values() == 440_000);
/// A detail of about 20 KB in 100 relations.
const MANY_PARTS: Shape = Shape { rows: 20, relations: 100, tags: 1 };

/// Lower than the default of 256 MiB, so that it is soon filled.
const CACHE: (&str, &str) = ("CACHE__MAX_BYTES", "40MiB");
const CACHE_MIB: u64 = 40;
/// One caller fills the store, so its share is all of it.
const OUTCOMES: (&str, &str) = ("IDEMPOTENCY__MAX_BYTES", "16MiB");
const CALLER_OUTCOMES: (&str, &str) = ("IDEMPOTENCY__MAX_BYTES_PER_CALLER", "16MiB");
const OUTCOMES_MIB: u64 = 16;
/// The stores are filled from one address.
const ADDRESS: (&str, &str) = ("RATE_LIMIT__PER_ADDRESS__REQUESTS", "6000000");
const WINDOW: (&str, &str) = ("RATE_LIMIT__PER_ADDRESS__WINDOW", "1m");

/// All rows, in the order of the table.
#[rustfmt::skip]
pub fn all() -> Vec<Row> {
    let stub = |shape| Setup { stub: Some(shape), ..Setup::default() };
    vec![
        Row {
            name: "a", what: "one caller, 60 concurrent follow-up batches of 7.9 MiB, 8 s",
            before: "killed for memory within 2 s", setup: stub(SMALL), load: |trial| Box::pin(batches::run(trial)),
        },
        Row {
            name: "b", what: "50 bodies of 7.9 MiB stopped one byte before their end, 30 s",
            before: "408 MiB and 50 slots for 30 s", setup: stub(SMALL), load: |trial| Box::pin(bodies::run(trial)),
        },
        Row {
            name: "c1", what: "20 readers of 2 MB pages, half of them gzip, that drain 70 KB every 45 s, `max_in_flight = 20`, 50 s",
            before: "everyone else gets 503",
            setup: Setup { variables: &[("SERVER__MAX_IN_FLIGHT", "20")], ..stub(WIDE) },
            load: |trial| Box::pin(readers::few(trial)),
        },
        Row {
            name: "c2", what: "1,100 such readers within 20 s, defaults, 50 s",
            before: "one caller takes all 1,024 slots", setup: stub(WIDE), load: |trial| Box::pin(readers::many(trial)),
        },
        Row {
            name: "d", what: "no token: the largest documentation asset with gzip, 98 requests/s from one address, 10 s",
            before: "1.76 of 2 cores, p50 from 0.9 to 43 ms", setup: Setup::default(),
            load: |trial| Box::pin(assets::run(trial)),
        },
        Row {
            name: "e1", what: "cache of 40 MiB filled to twice its limit with small customers",
            before: "2–2.7 × the limit resident",
            setup: Setup { variables: &[CACHE, ADDRESS, WINDOW], stores_mib: CACHE_MIB, ..stub(SMALL) },
            load: |trial| Box::pin(stores::cache(trial)),
        },
        Row {
            name: "e2", what: "cache of 40 MiB filled to twice its limit with customers of 100 relations",
            before: "2–2.7 × the limit resident",
            setup: Setup { variables: &[CACHE, ADDRESS, WINDOW], stores_mib: CACHE_MIB, ..stub(MANY_PARTS) },
            load: |trial| Box::pin(stores::cache(trial)),
        },
        Row {
            name: "e3", what: "idempotency store of 16 MiB filled until it refuses",
            before: "1.9 × the limit resident",
            setup: Setup { variables: &[OUTCOMES, CALLER_OUTCOMES, ADDRESS, WINDOW], stores_mib: OUTCOMES_MIB, ..stub(SMALL) },
            load: |trial| Box::pin(stores::outcomes(trial)),
        },
        Row {
            name: "f", what: "no token: 3,589 connections from four addresses with 58 KB of an unfinished head, 14 s",
            before: "347 MiB, most of it kept", setup: Setup::default(), load: |trial| Box::pin(heads::run(trial)),
        },
        Row {
            name: "g1", what: "soft limit of 256 open files (hard: 4,096), 400 idle connections, calls to sources, 15 s",
            before: "calls fail as `source_unavailable`, `/readyz` times out",
            setup: Setup { files: Some((256, 4_096)), ..stub(SMALL) }, load: |trial| Box::pin(files::raised(trial)),
        },
        Row {
            name: "g2", what: "the same with a hard limit of 256",
            before: "the breaker opens",
            setup: Setup { files: Some((256, 256)), ..stub(SMALL) }, load: |trial| Box::pin(files::short(trial)),
        },
        Row {
            name: "h", what: "200 silent connections to the admin port, twice, 12 s",
            before: "`/livez` answers after 9.5 s", setup: Setup::default(), load: |trial| Box::pin(admin::run(trial)),
        },
        Row {
            name: "i", what: "an unknown `kid` every 15 s and two key rotations, `jwks_cool_down = \"15s\"`, 45 s",
            before: "up to 30 s of 401 after each rotation",
            setup: Setup { issuer: true, ..Setup::default() }, load: |trial| Box::pin(keys::run(trial)),
        },
        Row {
            name: "j", what: "58 concurrent lists, half of them gzip, of a source with 440,000 values each, 8 s",
            before: "killed for memory", setup: stub(MANY_VALUES), load: |trial| Box::pin(lists::run(trial)),
        },
        Row {
            name: "k", what: "a source that stops answering, 1.4 s timeout, 50 lists/s",
            before: "the breaker opens after 7–9 s",
            setup: Setup { variables: &[("SOURCES__JUZIBOT__TIMEOUT", "1400ms")], ..Setup::default() },
            load: |trial| Box::pin(black_hole::run(trial)),
        },
    ]
}
