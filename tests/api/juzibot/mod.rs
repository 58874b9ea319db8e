//! Contract §3.1 and the JuziBot adapter.

mod failures;
mod golden;
mod requests;
mod tolerance;
mod writes;

use serde_json::{Value, json};

use crate::support::{Stage, Vendor};

const JUZIBOT: Vendor = Vendor::Juzibot;

/// A customer with one relation and these members changed.
fn person(changes: &Value) -> Value {
    let mut person = json!({
        "externalUserId": "wm-one",
        "name": "李四",
        "gender": 1,
        "type": 1,
        "followUser": [follow_user(&json!({}))],
    });
    person.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    person
}

/// A relation with these members changed.
fn follow_user(changes: &Value) -> Value {
    let mut relation = json!({"userId": "rocky", "name": "张三", "remark": "", "createTimestamp": 0, "tags": []});
    relation.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    relation
}

/// The answer of the gateway where the list is these customers.
async fn listed(people: &[Value]) -> Value {
    Stage::answering(JUZIBOT, &JUZIBOT.ok(people)).await.list().await.ok()
}

/// The answer of the gateway where a detail's `data` is this.
async fn told(data: Value) -> Value {
    Stage::answering(JUZIBOT, &JUZIBOT.ok(data)).await.detail().await.ok()
}

/// A remark's item as a caller sends it.
fn remark(staff_id: &str) -> Value {
    json!({"staff_id": staff_id, "union_id": "o-one", "remark": "张总"})
}

/// A note's item as a caller sends it.
fn note(staff_id: &str) -> Value {
    json!({"staff_id": staff_id, "union_id": "o-one", "content": "called"})
}

/// A way to write, for what holds of both.
struct Write {
    path: &'static str,
    item: fn(&str) -> Value,
    /// The most entries of one call to the source.
    max_batch: usize,
}

const WRITES: [Write; 2] = [
    Write { path: "/v1/remarks?source=juzibot", item: remark, max_batch: 50 },
    Write { path: "/v1/follow-ups?source=juzibot", item: note, max_batch: 500 },
];
