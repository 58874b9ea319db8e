//! Contract §3.2 and the Tanma adapter.

mod attributes;
mod failures;
mod golden;
mod requests;
mod tolerance;

use serde_json::{Value, json};

use crate::support::{Stage, Vendor};

const TANMA: Vendor = Vendor::Tanma;

/// A row of the list with these members changed.
fn row(changes: &Value) -> Value {
    let mut row = json!({
        "customerId": 1,
        "qwUserId": "dowen",
        "type": 1,
        "fields": [],
        "tagIds": [],
        "createTime": "2021-03-06 16:22:17",
        "lastUpdateTime": "2021-03-31 14:59:21",
        "wechatNickname": null,
        "wechatAvatar": null,
        "wechatLocation": null,
        "convertCustomerTime": null,
        "qwRemark": null,
        "externalUserId": null,
    });
    row.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    row
}

/// A row of a detail.
fn detail_row(staff_id: &str, added: impl Into<Value>) -> Value {
    json!({"qwUserId": staff_id, "externalUserId": "wm-one", "qwCustomerTime": added.into()})
}

/// The answer of the gateway where the list is these rows.
async fn listed(rows: &[Value]) -> Value {
    let page = TANMA.ok(json!({"list": rows, "nextCursor": null}));
    Stage::answering(TANMA, &page).await.list().await.ok()
}

/// The answer of the gateway where a detail's `data` is this.
async fn told(data: Value) -> Value {
    Stage::answering(TANMA, &TANMA.ok(data)).await.detail().await.ok()
}
