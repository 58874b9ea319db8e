//! A source that a caller does not see is as if it were not there: every answer is held, whole, against that of a gateway that
//! does not have it, and against that to a name that is nobody's.

use serde_json::{Value, json};

use super::{ask, options, post, whole};
use crate::support::{Gateway, GatewayOptions, Reply};

const STREAM: (&str, &str) = ("accept", "application/x-ndjson");
const KEY: (&str, &str) = ("idempotency-key", "key-of-sources");

/// A claim, and an entry of the configuration, by which Tanma is hidden. Each as a caller and what `[callers]` says.
fn hidings() -> [(&'static str, Value, &'static str); 3] {
    let entry = "[callers.one]\nissuer = \"test\"\nsubject = \"tester\"\nsources = [\"juzibot\"]\n";
    [
        ("by its claim", json!({"sources": ["juzibot"]}), ""),
        ("by its entry", json!({}), entry),
        ("by both", json!({"sources": ["juzibot", "tanma"]}), entry),
    ]
}

async fn gateway(with_tanma: bool, extra: &str, auth: &str) -> Gateway {
    let order = if with_tanma { r#"["juzibot", "tanma"]"# } else { r#"["juzibot"]"# };
    let options = options(extra);
    Gateway::with(GatewayOptions { with_tanma, order: order.to_owned(), auth: auth.to_owned(), ..options }).await
}

/// One request of every kind, in an order in which each may depend on the ones before.
async fn everything(gateway: &Gateway, claims: &Value) -> Vec<(String, Reply)> {
    let featured = gateway.sandbox.state().people().featured();
    let (id, union_id) = (featured.external_user_id, featured.union_id);
    let remark = json!({"items": [{"staff_id": "rocky", "union_id": union_id, "remark": "said"}]});
    let note = json!({"items": [{"staff_id": "rocky", "union_id": union_id, "content": "said"}]});
    let mut replies = Vec::new();
    for named in ["", "source=juzibot", "source=tanma", "source=nobody"] {
        for path in [
            format!("/v1/customers?limit=3&{named}"),
            format!("/v1/customers?limit=3&staff_id=dowen&include=raw&{named}"),
            format!("/v1/customers?cursor=AAAA&{named}"),
            format!("/v1/customers/{id}?{named}"),
            format!("/v1/customers/{id}?staff_id=dowen&{named}"),
            format!("/v1/customers/{id}?include=raw&{named}"),
            format!("/v1/customers/{id}?on_partial=fail&{named}"),
            format!("/v1/customers/{union_id}?id_type=union_id&{named}"),
            format!("/v1/customers/wmNobody?{named}"),
        ] {
            let path = path.trim_end_matches(['&', '?']).to_owned();
            replies.push((path.clone(), ask(gateway, claims, &path, &[]).await));
        }
        let list = format!("/v1/customers?{named}");
        replies.push((format!("{list}, streamed"), ask(gateway, claims, &list, &[STREAM]).await));
        for (path, body) in [("/v1/remarks", &remark), ("/v1/follow-ups", &note)] {
            let path = format!("{path}?{named}").trim_end_matches('?').to_owned();
            replies.push((path.clone(), post(gateway, claims, &path, body, &[]).await));
            replies.push((format!("{path}, with a key"), post(gateway, claims, &path, body, &[KEY]).await));
            replies.push((format!("{path}, empty"), post(gateway, claims, &path, &json!({"items": []}), &[]).await));
        }
    }
    for path in ["/v1/sources", "/v1/me", "/v1/errors"] {
        replies.push((path.to_owned(), ask(gateway, claims, path, &[]).await));
    }
    replies
}

#[tokio::test]
async fn every_answer_is_that_of_a_gateway_without_the_hidden_source() {
    for (how, claims, entry) in hidings() {
        let (hides, lacks) = (gateway(true, entry, "").await, gateway(false, entry, "").await);
        let of_hiding = everything(&hides, &claims).await;
        let of_lacking = everything(&lacks, &claims).await;
        assert!(of_hiding.iter().filter(|(_, reply)| reply.status == 200).count() > 20, "{how}");
        for ((what, hiding), (_, lacking)) in of_hiding.iter().zip(&of_lacking) {
            assert_eq!(whole(hiding), whole(lacking), "{what}, hidden {how}");
            let named = what.contains("tanma");
            assert!(named || !hiding.body.contains("tanma"), "{what}, hidden {how}: {}", hiding.body);
            assert!(!format!("{:?}", hiding.headers).contains("tanma"), "{what}, hidden {how}");
        }
        hides.stop().await;
        lacks.stop().await;
    }
}

/// All are hidden then, so the answers with and without Tanma are those of a gateway that has nothing for the caller.
#[tokio::test]
async fn what_the_default_hides_is_as_if_it_were_not_there() {
    let none = "default_sources = \"none\"";
    let (hides, lacks) = (gateway(true, "", none).await, gateway(false, "", none).await);
    let (of_hiding, of_lacking) = (everything(&hides, &json!({})).await, everything(&lacks, &json!({})).await);
    for ((what, hiding), (_, lacking)) in of_hiding.iter().zip(&of_lacking) {
        assert_eq!(whole(hiding), whole(lacking), "{what}");
        let about_customers =
            ["/v1/customers", "/v1/remarks", "/v1/follow-ups"].iter().any(|path| what.starts_with(path));
        assert!(!about_customers || hiding.status.is_client_error(), "{what}: {}", hiding.status);
        for name in ["juzibot", "tanma"].into_iter().filter(|name| !what.contains(name)) {
            assert!(!hiding.body.contains(name), "{what}: {}", hiding.body);
        }
    }
    for (gateway, which) in [(&hides, "with"), (&lacks, "without")] {
        assert!(gateway.sandbox.state().calls().values().all(|calls| *calls == 0), "a source was asked, {which} Tanma");
    }
    hides.stop().await;
    lacks.stop().await;
}

#[tokio::test]
async fn a_hidden_name_is_answered_as_one_that_is_nobodys() {
    let gateway = gateway(true, "", "").await;
    let claims = json!({"sources": ["juzibot"]});
    let all = everything(&gateway, &claims).await;
    let of =
        |name: &str| all.iter().filter(move |(what, _)| what.contains(&format!("source={name}"))).collect::<Vec<_>>();
    let (hidden, nobodys) = (of("tanma"), of("nobody"));
    assert!(hidden.len() == nobodys.len() && hidden.len() >= 15, "{}", hidden.len());
    for ((what, hidden), (_, nobodys)) in hidden.iter().zip(&nobodys) {
        assert_eq!(whole(hidden), whole(nobodys), "{what}");
        assert!(hidden.status.is_client_error(), "{what}");
        assert!(!hidden.body.contains("tanma"), "{what}: {}", hidden.body);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_list_of_sources_has_the_visible_ones_alone() {
    let entries = "[callers.one]\nissuer = \"test\"\nsubject = \"one\"\nsources = [\"juzibot\"]\n\
                   [callers.none]\nissuer = \"test\"\nsubject = \"none\"\nsources = []\n";
    for (default, of_nobody) in [("all", vec!["juzibot", "tanma"]), ("none", vec![])] {
        let gateway = gateway(true, entries, &format!("default_sources = \"{default}\"")).await;
        for (claims, expected) in [
            (json!({}), of_nobody.clone()),
            (json!({"sources": ["tanma"]}), vec!["tanma"]),
            (json!({"sub": "one"}), vec!["juzibot"]),
            (json!({"sub": "one", "sources": ["tanma"]}), vec![]),
            (json!({"sub": "none", "sources": ["tanma"]}), vec![]),
            (json!({"sub": "one", "iss": "https://other.test"}), of_nobody.clone()),
        ] {
            let sources = ask(&gateway, &claims, "/v1/sources", &[]).await.ok();
            let names: Vec<&str> =
                sources["data"].as_array().unwrap().iter().map(|source| source["name"].as_str().unwrap()).collect();
            assert_eq!(names, expected, "{default} {claims}");
            let me = ask(&gateway, &claims, "/v1/me", &[]).await.ok();
            assert_eq!(me["data"]["sources"], json!(expected), "{default} {claims}");
        }
        gateway.stop().await;
    }
}
