//! The budget's metrics, of a process of its own.

use std::collections::BTreeMap;

use crate::cli::{Running, addresses, command, folder_for, http, sandbox};

use super::{MOST_OF_A_SHARE, bearer, stalled};

/// The samples whose names begin so.
pub(super) async fn samples(admin: &str) -> BTreeMap<String, f64> {
    let text = http().get(format!("{admin}/metrics")).send().await.unwrap().text().await.unwrap();
    let sample = |line: &str| line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.parse().unwrap()));
    text.lines().filter(|line| line.starts_with("memory_")).filter_map(sample).collect()
}

#[tokio::test]
async fn metrics_show_limit_shares_bytes_in_flight_and_refusals() {
    let sandbox = sandbox().await;
    let (folder, _config) = folder_for(&sandbox);
    let mut command = command(folder.path(), &["serve", "--config", "gateway.toml"]);
    command.env("SCRM_GATEWAY__SERVER__MEMORY_LIMIT", "256MiB");
    let mut gateway = Running::start(command);
    let (url, admin) = addresses(&mut gateway).await;
    let mib = f64::from(1 << 20);
    let idle = samples(&admin).await;
    for (name, value) in [
        ("memory_limit_bytes", 256.0 * mib),
        ("memory_share_bytes{share=\"cache\"}", 64.0 * mib),
        ("memory_share_bytes{share=\"idempotency\"}", 15.0 * mib),
        ("memory_share_bytes{share=\"in_flight\"}", 76.0 * mib),
        ("memory_share_bytes{share=\"rest\"}", 101.0 * mib),
        ("memory_in_flight_bytes", 0.0),
        ("memory_refusals_total{scope=\"total\"}", 0.0),
        ("memory_refusals_total{scope=\"caller\"}", 0.0),
        ("memory_refusals_total{scope=\"request\"}", 0.0),
    ] {
        assert_eq!(idle.get(name), Some(&value), "{name}: {idle:?}");
    }
    let held = stalled(&url, "greedy", MOST_OF_A_SHARE).await;
    let post = http().post(format!("{url}/v1/remarks?source=juzibot")).header("authorization", bearer("greedy"));
    let refused = post.header("content-type", "application/json").body(vec![b' '; 2_000_000]).send().await.unwrap();
    assert_eq!(refused.status(), 429);
    let busy = samples(&admin).await;
    assert!(busy["memory_in_flight_bytes"] > 15.0 * mib, "{busy:?}");
    assert_eq!(busy.get("memory_refusals_total{scope=\"caller\"}"), Some(&1.0), "{busy:?}");
    drop(held);
    gateway.terminate().await;
    assert_eq!(gateway.ended().await.0, Some(0));
    sandbox.stop().await;
}
