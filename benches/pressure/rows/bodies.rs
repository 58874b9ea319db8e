//! Bodies that stop one byte before their end.

use std::time::Duration;

use axum::body::Bytes;
use futures_util::stream::{self, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::answers::{Answers, CLOSED};
use crate::client::{Body, Connection, LOAD, post};
use crate::gateway::token;
use crate::trial::{Load, Trial};

use super::batches::{self, PATH};

const CONCURRENT: usize = 50;
const LASTS: Duration = Duration::from_secs(30);

pub async fn run(trial: &Trial) -> Load {
    let answers = Answers::default();
    let (whole, gateway) = (batches::body(), trial.gateway.public);
    let mut tasks = JoinSet::new();
    for _ in 0..CONCURRENT {
        let (whole, answers) = (whole.clone(), answers.clone());
        tasks.spawn(async move {
            let mut request = post(PATH, &token("load"), unfinished(&whole));
            request.headers_mut().insert("content-length", whole.len().into());
            let answered = timeout(LASTS, async {
                let mut connection = Connection::open(LOAD, gateway).await.ok()?;
                connection.send(request).await.ok()
            });
            match answered.await {
                Ok(Some(reply)) => answers.add_reply(&reply),
                Ok(None) => answers.add(CLOSED),
                Err(_) => answers.add("waiting after 30 s"),
            }
        });
    }
    tasks.join_all().await;
    Load { answers, ..Load::default() }
}

/// All but the last byte, and then silence.
fn unfinished(whole: &Bytes) -> Body {
    let sent = Frame::data(whole.slice(..whole.len() - 1));
    BodyExt::boxed(StreamBody::new(stream::iter([Ok(sent)]).chain(stream::pending())))
}
