//! TLS towards a source: who is trusted, and what is told where somebody is not.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_util::task::AbortOnDropHandle;

use super::{ALONE, VENDORS};
use crate::support::failures::check_discretion;
use crate::support::{Gateway, GatewayOptions, Vendor};

/// A certificate authority of a test, and the file that makes it trusted.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { issuer, folder: tempfile::tempdir().unwrap() };
        std::fs::write(authority.file(), authority.issuer.pem()).unwrap();
        authority
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// `outbound.ca_file`.
    fn trusted(&self) -> String {
        format!("[outbound]\nca_file = \"{}\"\n", self.file().display())
    }

    /// A server with a certificate for this name.
    async fn server(&self, name: &str) -> Server {
        self.server_with(CertificateParams::new([name.to_owned()]).unwrap()).await
    }

    async fn server_with(&self, params: CertificateParams) -> Server {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap();
        Server::start(TlsAcceptor::from(Arc::new(config))).await
    }
}

/// Answers every request with an empty page of Tanma's, and counts them.
struct Server {
    port: u16,
    requests: Arc<AtomicUsize>,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    async fn start(acceptor: TlsAcceptor) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = requests.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, acceptor.clone(), counted.clone()));
            }
        });
        Self { port, requests, _task: AbortOnDropHandle::new(task) }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// A gateway both of whose sources are this server, known by `host`.
    async fn gateway(&self, host: &str, extra: &str) -> Gateway {
        let url = format!("https://{host}:{}", self.port);
        Gateway::with(GatewayOptions {
            juzibot_url: Some(url.clone()),
            tanma_url: Some(url),
            juzibot: ALONE.to_owned(),
            tanma: ALONE.to_owned(),
            extra: extra.to_owned(),
            ..GatewayOptions::default()
        })
        .await
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, requests: Arc<AtomicUsize>) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut request = Vec::new();
    // Whatever the request is, its head is enough.
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        if !matches!(stream.read_buf(&mut request).await, Ok(1..)) {
            return;
        }
    }
    requests.fetch_add(1, Ordering::SeqCst);
    let body = r#"{"code": 0, "data": {"list": []}}"#;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    let _sent = stream.write_all(answer.as_bytes()).await;
    let _closed = stream.shutdown().await;
}

/// Nothing that can be asked is answered, nothing is sent, and nothing internal is told.
async fn refused(server: &Server, host: &str, extra: &str, why: &str) {
    let gateway = server.gateway(host, extra).await;
    for vendor in VENDORS {
        for path in [vendor.list_path(), vendor.detail_path()] {
            let reply = gateway.get(path).await;
            let problem = reply.problem(503, "source_unavailable");
            assert_eq!(problem["detail"], format!("source {}: it cannot be reached", vendor.name()), "{why}");
            assert_eq!(problem["upstream"], json!(null), "{why}");
            check_discretion(why, &reply.body);
        }
    }
    let item = json!({"staff_id": "rocky", "union_id": "o-one", "remark": "r"});
    gateway.post("/v1/remarks", &json!({"items": [item]})).await.problem(503, "source_unavailable");
    gateway.stop().await;
    assert_eq!(server.requests(), 0, "{why}");
}

#[tokio::test]
async fn a_source_is_trusted_by_the_authority_that_the_configuration_names() {
    let authority = Authority::new();
    for host in ["localhost", "127.0.0.1"] {
        let server = authority.server(host).await;
        let gateway = server.gateway(host, &authority.trusted()).await;
        // The one answer that the server has is a page of Tanma's.
        gateway.get(Vendor::Tanma.list_path()).await.ok();
        gateway.get(Vendor::Juzibot.list_path()).await.problem(502, "source_bad_data");
        assert_eq!(server.requests(), 2);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_source_whose_authority_is_not_trusted_gets_nothing() {
    let (authority, another) = (Authority::new(), Authority::new());
    let server = authority.server("localhost").await;
    refused(&server, "localhost", "", "the system does not know the authority").await;
    refused(&server, "localhost", &another.trusted(), "another authority, in place of the system's").await;
}

#[tokio::test]
async fn a_source_under_another_name_or_past_its_time_gets_nothing() {
    let authority = Authority::new();
    let trusted = authority.trusted();
    for name in ["hub.example", "localhost.hub.example", "127.0.0.1", "*.localhost"] {
        refused(&authority.server(name).await, "localhost", &trusted, name).await;
    }
    refused(&authority.server("localhost").await, "127.0.0.1", &trusted, "a name is no address").await;
    let mut over = CertificateParams::new(["localhost".to_owned()]).unwrap();
    over.not_after = rcgen::date_time_ymd(2020, 1, 1);
    refused(&authority.server_with(over).await, "localhost", &trusted, "expired").await;
    let mut later = CertificateParams::new(["localhost".to_owned()]).unwrap();
    later.not_before = rcgen::date_time_ymd(2900, 1, 1);
    refused(&authority.server_with(later).await, "localhost", &trusted, "not valid yet").await;
}

#[tokio::test]
async fn a_source_that_speaks_no_tls_where_it_should_gets_nothing() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let plain = AbortOnDropHandle::new(tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.len() < VENDORS.len() {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 5];
            stream.read_exact(&mut bytes).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            seen.push(bytes);
        }
        seen
    }));
    let server = Server { port, requests: Arc::default(), _task: AbortOnDropHandle::new(tokio::spawn(async {})) };
    let gateway = server.gateway("localhost", "").await;
    for vendor in VENDORS {
        gateway.get(vendor.list_path()).await.problem(503, "source_unavailable");
    }
    gateway.stop().await;
    // What a TLS client says first, and no HTTP.
    for bytes in plain.await.unwrap() {
        assert_eq!(bytes[..2], [0x16, 0x03]);
    }
}
