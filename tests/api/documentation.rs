//! `/docs` and `/openapi.json` as HTTP serves them: codings, validators, caching.

use std::io::Read;

use flate2::read::GzDecoder;
use reqwest::header::{ACCEPT_ENCODING, IF_NONE_MATCH};
use reqwest::{Method, Response};

use crate::support::{Gateway, GatewayOptions, Token};

const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// A client that shows bodies and redirects as they are sent.
fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy().no_gzip().redirect(reqwest::redirect::Policy::none());
    client.build().unwrap()
}

/// Sends a request without a token.
async fn send(gateway: &Gateway, method: Method, path: &str, encoding: &str, known: Option<&str>) -> Response {
    let client = client();
    let mut request = client.request(method, format!("{}{path}", gateway.url)).header(ACCEPT_ENCODING, encoding);
    if let Some(known) = known {
        request = request.header(IF_NONE_MATCH, known);
    }
    request.send().await.unwrap()
}

async fn get(gateway: &Gateway, path: &str, encoding: &str) -> Response {
    send(gateway, Method::GET, path, encoding, None).await
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// The addresses that the page of the Swagger UI loads.
async fn files_of_page(gateway: &Gateway) -> Vec<String> {
    let page = get(gateway, "/docs/", "identity").await.text().await.unwrap();
    let parts = page.split(['"']).collect::<Vec<_>>();
    let attributes = parts.windows(2).filter(|pair| pair[0].ends_with("href=") || pair[0].ends_with("src="));
    attributes.map(|pair| pair[1].to_owned()).collect()
}

#[tokio::test]
async fn page_loads_immutable_files_at_hashed_relative_addresses() {
    let gateway = Gateway::start().await;
    let files = files_of_page(&gateway).await;
    assert_eq!(files.len(), 7, "{files:?}");
    for file in files {
        // Without a slash or a scheme it is found behind any prefix.
        let [stem, hash, extension] = file.split('.').collect::<Vec<_>>().try_into().unwrap();
        assert!(!file.contains(['/', ':']) && hash.len() == 22, "{file}");
        let hashed = get(&gateway, &format!("/docs/{file}"), "identity").await;
        assert_eq!((hashed.status().as_u16(), header(&hashed, "cache-control")), (200, IMMUTABLE), "{file}");
        let plain = get(&gateway, &format!("/docs/{stem}.{extension}"), "identity").await;
        assert_eq!((plain.status().as_u16(), header(&plain, "cache-control")), (200, "no-cache"), "{file}");
        assert_eq!(header(&hashed, "etag"), header(&plain, "etag"));
        assert_eq!(hashed.bytes().await.unwrap(), plain.bytes().await.unwrap());
        let other = format!("/docs/{stem}.{}.{extension}", "A".repeat(22));
        assert_eq!(get(&gateway, &other, "identity").await.status(), 404, "another content has another address");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn each_coding_has_its_own_strong_etag() {
    let gateway = Gateway::start().await;
    for path in ["/openapi.json", "/docs/", "/docs/index.html", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css"] {
        let mut seen = Vec::new();
        for (encoding, coding) in
            [("identity", ""), ("br", ""), ("", ""), ("gzip, br", "gzip"), ("*", "gzip"), ("identity;q=0", "")]
        {
            let response = get(&gateway, path, encoding).await;
            assert_eq!((response.status().as_u16(), header(&response, "content-encoding")), (200, coding), "{path}");
            assert_eq!(
                (header(&response, "vary"), header(&response, "cache-control")),
                ("accept-encoding", "no-cache")
            );
            let (etag, length) = (header(&response, "etag").to_owned(), header(&response, "content-length").to_owned());
            assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
            let head = send(&gateway, Method::HEAD, path, encoding, None).await;
            for name in ["etag", "content-length", "content-encoding", "content-type", "vary", "cache-control"] {
                assert_eq!(header(&head, name), header(&response, name), "{path} {name}");
            }
            assert!(head.bytes().await.unwrap().is_empty());
            let bytes = response.bytes().await.unwrap();
            assert_eq!(length, bytes.len().to_string(), "{path}");
            let mut plain = Vec::new();
            match coding {
                "gzip" => GzDecoder::new(bytes.as_ref()).read_to_end(&mut plain).unwrap(),
                _ => bytes.as_ref().read_to_end(&mut plain).unwrap(),
            };
            seen.push((coding, etag, plain));
        }
        let etag_of = |wanted: &str| &seen.iter().find(|(coding, ..)| *coding == wanted).unwrap().1;
        assert_ne!(etag_of(""), etag_of("gzip"), "{path}");
        for (coding, etag, plain) in &seen {
            assert_eq!((etag, plain), (etag_of(coding), &seen[0].2), "{path}");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn matching_etag_of_chosen_coding_is_not_modified() {
    let gateway = Gateway::start().await;
    let bundle = files_of_page(&gateway).await.into_iter().find(|file| file.starts_with("swagger-ui-bundle")).unwrap();
    for (path, caching) in
        [("/openapi.json", "no-cache"), ("/docs/", "no-cache"), (&format!("/docs/{bundle}"), IMMUTABLE)]
    {
        let etag_of = async |encoding: &str| header(&get(&gateway, path, encoding).await, "etag").to_owned();
        let [plain, gzip] = [etag_of("identity").await, etag_of("gzip").await];
        for (known, encoding, status) in [
            (plain.as_str(), "identity", 304),
            (&gzip, "gzip", 304),
            (&format!("W/{gzip}"), "gzip", 304),
            (&format!("\"other\", {gzip}"), "gzip", 304),
            ("*", "gzip", 304),
            (&plain, "gzip", 200),
            (&gzip, "identity", 200),
            ("\"other\"", "gzip", 200),
            ("nonsense", "gzip", 200),
        ] {
            for method in [Method::GET, Method::HEAD] {
                let response = send(&gateway, method, path, encoding, Some(known)).await;
                assert_eq!(response.status(), status, "{path} {known} {encoding}");
                let expected = if encoding == "gzip" { &gzip } else { &plain };
                assert_eq!(header(&response, "etag"), expected);
                assert_eq!(
                    (header(&response, "vary"), header(&response, "cache-control")),
                    ("accept-encoding", caching)
                );
                if status == 304 {
                    assert_eq!((header(&response, "content-length"), header(&response, "content-encoding")), ("", ""));
                    assert!(response.bytes().await.unwrap().is_empty());
                }
            }
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn only_authenticated_answers_are_compressed() {
    let rate_limit = "per_address = { requests = 60, window = \"1h\", burst = 9 }".to_owned();
    let gateway = Gateway::with(GatewayOptions { rate_limit, ..GatewayOptions::default() }).await;
    let list = client().get(format!("{}/v1/customers?source=juzibot", gateway.url)).header(ACCEPT_ENCODING, "gzip");
    let list = list.bearer_auth(Token::default().sign()).send().await.unwrap();
    assert_eq!((list.status().as_u16(), header(&list, "content-encoding")), (200, "gzip"));
    let bytes = list.bytes().await.unwrap();
    assert_eq!(bytes[8], 4, "the fastest level (RFC 1952 §2.3.1, XFL)");
    let mut seen = Vec::new();
    for (method, path) in [
        (Method::GET, "/v1/errors"),
        (Method::GET, "/v1/customers?source=juzibot"),
        (Method::POST, "/v1/remarks"),
        (Method::GET, "/v1/nothing"),
        (Method::GET, "/docs/nothing"),
        (Method::DELETE, "/v1/errors"),
        (Method::GET, "/"),
        (Method::GET, "/v1/errors?x=1"),
        (Method::GET, "/v1/errors"),
    ] {
        let response = send(&gateway, method.clone(), path, "gzip", None).await;
        seen.push(response.status().as_u16());
        assert_eq!(header(&response, "content-encoding"), "", "{method} {path}");
        assert!(!header(&response, "vary").contains("encoding"), "{method} {path}");
        let body = response.bytes().await.unwrap();
        assert!(path == "/" || body.starts_with(b"{\""), "{method} {path}");
    }
    assert_eq!(seen, [200, 401, 401, 404, 404, 405, 303, 400, 429]);
    gateway.stop().await;
}
