//! A fast source in `JuziBot`'s format: answers of a given size, built once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::{Request, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

/// The size of the answers.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Rows of a list.
    pub rows: usize,
    /// Relations of a customer.
    pub relations: usize,
    /// Tags of a relation; each is five JSON values and about 100 bytes.
    pub tags: usize,
}

impl Shape {
    /// The JSON values of a list, by the fields of [`customer`].
    pub const fn values(self) -> usize {
        self.rows * (8 + self.relations * (8 + 5 * self.tags))
    }
}

/// The running source. It stops when it is dropped.
pub struct Stub {
    address: SocketAddr,
    _server: AbortOnDropHandle<()>,
}

impl Stub {
    pub async fn start(shape: Shape) -> Self {
        let rows: Vec<Value> = (0..shape.rows).map(|row| customer(&format!("wm{row:030}"), shape)).collect();
        let list = Bytes::from(json!({"errcode": 0, "errmsg": "ok", "data": rows, "total": shape.rows}).to_string());
        // A detail is the bytes around its id.
        let detail = json!({"errcode": 0, "errmsg": "ok", "data": customer("ID", shape)}).to_string();
        let answers = Arc::new((list, detail));
        let handler = move |request: Request<axum::body::Body>| answer(request, answers.clone());
        let (address, server) = serve(Router::new().fallback(handler)).await;
        Self { address, _server: server }
    }

    /// The section of the configuration that makes this the source `stub`.
    pub fn section(&self) -> String {
        format!("[sources.stub]\nkind = \"juzibot\"\nbase_url = \"http://{}\"\ntoken = \"stub-token\"\n", self.address)
    }
}

/// Serves on a free port of loopback.
pub async fn serve(router: Router) -> (SocketAddr, AbortOnDropHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, AbortOnDropHandle::new(server))
}

async fn answer(request: Request<axum::body::Body>, answers: Arc<(Bytes, String)>) -> Response {
    let (list, detail) = &*answers;
    let (head, mut body) = request.into_parts();
    while let Some(Ok(_part)) = body.frame().await {}
    let body = match head.uri.path() {
        path if path.ends_with("/list") => list.clone(),
        path if path.ends_with("/detail") => {
            let query = head.uri.query().unwrap_or_default();
            let id = query.split('&').find_map(|pair| pair.strip_prefix("externalUserId="));
            detail.replace("ID", id.unwrap_or_default()).into()
        }
        _ => Bytes::from_static(br#"{"errcode":0,"errmsg":"ok"}"#),
    };
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// An id of 24 characters that looks random: a page must not shrink to nothing by compression.
fn tag_id(id: &str, tag: usize) -> String {
    let mut hasher = DefaultHasher::new();
    (id, tag).hash(&mut hasher);
    let hash = u128::from(hasher.finish());
    format!("et{:022x}", (hash << 24) | (hash >> 40))
}

fn customer(id: &str, shape: Shape) -> Value {
    let tags: Vec<Value> = (0..shape.tags)
        .map(|tag| json!({"groupName": "group of tags", "tagName": format!("tag {tag:08}"), "type": "1", "tagId": tag_id(id, tag)}))
        .collect();
    let relations: Vec<Value> = (0..shape.relations)
        .map(|staff| {
            json!({
                "userId": format!("staff{staff}"), "name": "a member of staff", "remark": "a remark", "avatar": "https://avatar.test/0",
                "createTimestamp": 1_604_048_292_000_i64, "state": "state", "tags": tags,
            })
        })
        .collect();
    json!({
        "externalUserId": id, "unionId": format!("union-{id}"), "name": "a customer", "avatar": "https://avatar.test/1",
        "gender": 1, "type": 1, "followUser": relations,
    })
}
