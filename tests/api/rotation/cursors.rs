//! Keys of cursors that change while callers walk.

use super::{SOON, SecretFile, until};
use crate::support::{Gateway, GatewayOptions};

const LIST: &str = "/v1/customers?source=juzibot&limit=5";
const OLD: &str = "CANARY-old-cursor-key-0123456789abcdef";
const NEW: &str = "CANARY-new-cursor-key-0123456789abcdef";

async fn replica(keys: &SecretFile) -> Gateway {
    let key_file = format!("[cursor]\nkey_file = \"{}\"\n", keys.path().display());
    Gateway::with(GatewayOptions { server: SOON.to_owned(), extra: key_file, ..GatewayOptions::default() }).await
}

async fn cursor(of: &Gateway) -> String {
    of.get(LIST).await.ok()["page"]["next_cursor"].as_str().unwrap().to_owned()
}

async fn takes(gateway: &Gateway, cursor: &str) -> bool {
    let answer = gateway.get(&format!("{LIST}&cursor={cursor}")).await;
    if answer.status != 200 {
        answer.problem(400, "cursor_invalid");
    }
    answer.status == 200
}

#[tokio::test]
async fn the_first_line_of_now_seals_and_every_line_of_now_opens() {
    let keys = SecretFile::holding(OLD);
    let gateway = replica(&keys).await;
    let with_the_new = replica(&SecretFile::holding(NEW)).await;
    let old = cursor(&gateway).await;

    keys.change(&format!("{NEW}\n{OLD}\n"));
    until(async || {
        assert!(takes(&gateway, &old).await, "its key is still listed");
        let fresh = cursor(&gateway).await;
        assert!(takes(&gateway, &fresh).await);
        takes(&with_the_new, &fresh).await
    })
    .await;

    keys.change(&format!("{NEW}\n"));
    until(async || {
        assert!(takes(&gateway, &cursor(&gateway).await).await);
        !takes(&gateway, &old).await
    })
    .await;
    gateway.stop().await;
    with_the_new.stop().await;
}

/// The steps of `docs/operations.md`, of which each replica takes notice when it does.
#[tokio::test]
async fn replicas_change_their_key_step_by_step_and_none_refuses_a_cursor_of_another() {
    let files = [SecretFile::holding(OLD), SecretFile::holding(OLD)];
    let replicas = [replica(&files[0]).await, replica(&files[1]).await];
    let with_the_old = replica(&SecretFile::holding(OLD)).await;
    let with_the_new = replica(&SecretFile::holding(NEW)).await;
    let mut given = vec![cursor(&replicas[0]).await];
    let steps = [format!("{OLD}\n{NEW}\n"), format!("{NEW}\n{OLD}\n")];
    for (step, keys) in steps.iter().enumerate() {
        for (file, changing) in files.iter().zip(&replicas) {
            file.change(keys);
            until(async || match step {
                0 => takes(changing, &cursor(&with_the_new).await).await,
                _ => !takes(&with_the_old, &cursor(changing).await).await,
            })
            .await;
            // Between the one and the other, and after both.
            for replica in &replicas {
                given.push(cursor(replica).await);
            }
            for cursor in &given {
                assert!(takes(&replicas[0], cursor).await && takes(&replicas[1], cursor).await, "step {step}");
            }
        }
    }
    for gateway in replicas.into_iter().chain([with_the_old, with_the_new]) {
        gateway.stop().await;
    }
}
