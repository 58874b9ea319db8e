//! The composition root: configuration → sources → service → router → serve → drain.

mod connection;
mod port;
mod serve;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::config::{Config, Server};
use crate::edge::{AddressLimit, AddressLimitConfig, Authenticator, Cors, Edge, SWEEP_EVERY, Timeouts};
use crate::live::{self, Live, Reread};
use crate::memory::InFlight;
use crate::model::{CallerId, SourceName};
use crate::open_files;
use crate::openapi::{self, Surface};
use crate::outbound::ClientError;
use crate::routes::{self, Services, docs, health};
use crate::service::Sources;
use crate::service::batch::Batches;
use crate::service::cursor::{CursorKeys, Cursors};
use crate::service::customers::Customers;
use crate::service::details::Details;
use crate::service::lists::Lists;
use crate::service::walk::Walks;
use crate::store::idempotency::IdempotencyStore;
use crate::store::quota::Quotas;
use crate::telemetry;
use crate::upstream;

use connection::{ConnectionLimits, HeadBudget};
use serve::AddressConnections;

/// What a probe in flight is given when the process ends.
const ADMIN_DRAIN: Duration = Duration::from_secs(1);
/// The time of a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The same on the admin port, whose clients are near.
const ADMIN_HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// The memory that unfinished heads share, in bytes.
const MAX_HEADS_BYTES: usize = 16 * 1024 * 1024;
/// The same of the admin port.
const MAX_ADMIN_HEADS_BYTES: usize = 1024 * 1024;

/// What keeps the service from starting.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("cannot listen on {address}: {error}")]
    Listen { address: SocketAddr, error: std::io::Error },
}

impl StartError {
    /// Whether the configuration is at fault.
    pub fn is_configuration(&self) -> bool {
        !matches!(self, Self::Listen { .. })
    }
}

/// Everything put together, with no port bound.
struct App {
    public: Router,
    admin: Router,
    limits: serve::Limits,
    edge: Edge,
    idempotency: IdempotencyStore,
    /// Writes under way.
    writes: TaskTracker,
    cut_writes: CancellationToken,
    closing: CancellationToken,
    readiness: health::Readiness,
    /// `None` if it is not served.
    document: Option<docs::Document>,
    /// The files of secrets and keys.
    files: Vec<Arc<dyn Reread>>,
}

/// A started service.
pub struct Gateway {
    /// Where callers are served.
    pub address: SocketAddr,
    /// Where probes are served.
    pub admin_address: SocketAddr,
    files: Vec<Arc<dyn Reread>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Gateway {
    /// The files of secrets and keys, to be reloaded on demand.
    pub fn files(&self) -> Vec<Arc<dyn Reread>> {
        self.files.clone()
    }

    /// Stops taking requests, finishes those in flight within `drain_timeout`, and returns when all is closed.
    pub async fn stop(self) {
        self.stop.cancel();
        // It ends by itself; a panic in it has been logged.
        let _ended = self.task.await;
    }
}

/// Builds what the configuration describes, without binding a port or asking a source.
///
/// # Errors
/// Keys or certificates that cannot be used.
pub fn check(config: &Config) -> Result<(), StartError> {
    App::build(config).map(|_| ())
}

/// Builds the service, binds its ports and begins to serve.
///
/// # Errors
/// As [`check`], or a port that cannot be bound.
pub async fn start(config: &Config) -> Result<Gateway, StartError> {
    telemetry::metrics::install();
    telemetry::metrics::memory_limit(config.memory.limit.bytes, config.memory.named());
    open_files::raise_limit();
    let app = App::build(config)?;
    let (listener, address) = bind(config.server.listen).await?;
    let (admin_listener, admin_address) = bind(config.server.admin_listen).await?;
    let stop = CancellationToken::new();
    let (drain, reread) = (config.server.drain_timeout, config.server.reread_files);
    let files = app.files.clone();
    let following = AbortOnDropHandle::new(tokio::spawn(live::follow(files.clone(), reread)));
    let jwks = AbortOnDropHandle::new(tokio::spawn(app.edge.authenticator.follow()));
    if let Some(document) = app.document.clone() {
        // Beside the start, which it does not delay.
        tokio::task::spawn_blocking(move || document.compress());
    }
    let serving = run(app, listener, admin_listener, drain, stop.clone());
    let task = tokio::spawn(async move {
        serving.await;
        drop((following, jwks));
    });
    tracing::info!(%address, %admin_address, "serving");
    Ok(Gateway { address, admin_address, files, stop, task })
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let fault = |error| StartError::Listen { address, error };
    let listener = TcpListener::bind(address).await.map_err(fault)?;
    let bound = listener.local_addr().map_err(fault)?;
    Ok((listener, bound))
}

async fn run(app: App, public: TcpListener, admin: TcpListener, drain: Duration, stop: CancellationToken) {
    app.readiness.set(true);
    let (edge, idempotency) = (app.edge, app.idempotency);
    let (log, last_log) = (edge.clone(), edge.clone());
    let sweeper = tokio::spawn(async move {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            edge.sweep();
            idempotency.sweep();
        }
    });
    let upkeep = tokio::spawn(async move {
        loop {
            tokio::time::sleep(telemetry::metrics::UPKEEP_EVERY).await;
            telemetry::metrics::upkeep();
            log.log_omitted();
        }
    });
    // The admin port outlives the public one, so that probes see the drain.
    let admin_stop = CancellationToken::new();
    let ending = serve::Ending { stop: admin_stop.clone(), drain: ADMIN_DRAIN, closing: CancellationToken::new() };
    let admin = tokio::spawn(serve::serve(admin, app.admin, admin_limits(&app.limits), ending));
    let readiness = app.readiness.clone();
    let announced = stop.clone();
    let announce = tokio::spawn(async move {
        announced.cancelled().await;
        readiness.set(false);
        Instant::now()
    });
    let ending = serve::Ending { stop, drain, closing: app.closing };
    serve::serve(public, app.public, app.limits, ending).await;
    // A write whose caller has left has no connection that the drain would wait for.
    let since = announce.await.unwrap_or_else(|_panic| Instant::now());
    app.writes.close();
    if tokio::time::timeout_at(since + drain, app.writes.wait()).await.is_err() {
        tracing::warn!(writes = app.writes.len(), "drain_timeout is over; writes under way are cut");
        app.cut_writes.cancel();
        // At once, but for what they have to tell the audit trail.
        let _told = tokio::time::timeout(ADMIN_DRAIN, app.writes.wait()).await;
    }
    sweeper.abort();
    upkeep.abort();
    last_log.log_omitted();
    admin_stop.cancel();
    let _ended = admin.await;
}

impl App {
    fn build(config: &Config) -> Result<Self, StartError> {
        let sources = config
            .sources
            .iter()
            .map(|source| upstream::build(source, &config.client).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        let names: Vec<SourceName> = sources.iter().map(|source| source.name.clone()).collect();
        let cursor_keys = cursor_keys(config);
        let mut files: Vec<Arc<dyn Reread>> = sources.iter().map(|source| source.secret()).collect();
        files.push(cursor_keys.clone());
        let closing = CancellationToken::new();
        let memory = InFlight::new(config.memory.in_flight);
        let services = services(config, Sources::new(sources), cursor_keys, &closing, &memory);
        let idempotency = services.idempotency.clone();
        let (writes, cut_writes) = (services.batches.writes.clone(), services.batches.cut.clone());
        let overrides = config.callers.iter().filter_map(|caller| {
            let id = CallerId { issuer: caller.issuer.as_str().into(), subject: caller.subject.as_str().into() };
            Some((id, caller.quota?))
        });
        let authenticator = Authenticator::new(&config.auth, config.callers.clone(), names, &config.client)?;
        files.extend(authenticator.files());
        let server = &config.server;
        let public_url = server.public_url.as_ref();
        let document = openapi::spec(public_url);
        let surface = Surface::of(&document);
        let edge = Edge {
            authenticator: Arc::new(authenticator),
            quotas: Arc::new(Quotas::new(config.rate_limit.default, overrides)),
            memory,
            address_limit: AddressLimit::new(AddressLimitConfig {
                quota: config.rate_limit.per_address,
                trusted_proxies: server.trusted_proxies.clone(),
                header: server.client_address_header,
            }),
            timeouts: Timeouts { request: server.request_timeout, batch: server.batch_timeout },
            max_in_flight: server.max_in_flight,
            body_limit: server.body_limit,
            body_pace: server.body_pace,
            cors: Cors {
                origins: config.cors_origins.clone(),
                request_headers: surface.request_headers,
                response_headers: surface.response_headers,
            },
            methods: Arc::new(surface.methods),
            public_url: public_url.map_or("", |url| url.as_str().trim_end_matches('/')).into(),
        };
        let (api, _document) = routes::api().split_for_parts();
        let (open, _document) = routes::open().split_for_parts();
        let mut pages = open;
        let document = config.docs_enabled.then(|| docs::Document::new(openapi::to_json(&document)));
        if let Some(document) = &document {
            pages = pages.merge(docs::docs(document.clone(), public_url));
        }
        let public = edge.protect(api.with_state(services)).merge(pages);
        let readiness = health::Readiness::default();
        Ok(Self {
            public: edge.enclose(public),
            admin: health::admin(readiness.clone()),
            limits: public_limits(server),
            edge,
            idempotency,
            writes,
            cut_writes,
            closing,
            readiness,
            document,
            files,
        })
    }
}

fn public_limits(server: &Server) -> serve::Limits {
    let addresses = AddressConnections::new(server.max_connections_per_address, server.trusted_proxies.clone());
    serve::Limits {
        max_connections: server.max_connections,
        when_full: serve::WhenFull::Wait(addresses),
        connection: ConnectionLimits {
            head_timeout: HEAD_TIMEOUT,
            heads: HeadBudget::new(MAX_HEADS_BYTES),
            pace: server.response_pace,
        },
    }
}

fn admin_limits(public: &serve::Limits) -> serve::Limits {
    serve::Limits {
        max_connections: open_files::admin_connections(),
        when_full: serve::WhenFull::CloseOldest,
        connection: ConnectionLimits {
            head_timeout: ADMIN_HEAD_TIMEOUT,
            heads: HeadBudget::new(MAX_ADMIN_HEADS_BYTES),
            ..public.connection.clone()
        },
    }
}

fn cursor_keys(config: &Config) -> Arc<Live<CursorKeys>> {
    config.cursor_keys.clone().unwrap_or_else(|| Arc::new(Live::fixed(CursorKeys::random())))
}

fn services(
    config: &Config,
    sources: Sources,
    cursor_keys: Arc<Live<CursorKeys>>,
    closing: &CancellationToken,
    memory: &InFlight,
) -> Services {
    let cursors = Arc::new(Cursors::new(cursor_keys, config.cursor_lifetime));
    let load_timeout = config.server.request_timeout;
    let details = Details::new(config.memory.cache, config.cache_windows, load_timeout, memory.clone());
    let lists = Lists { sources: sources.clone(), cursors, details: details.clone() };
    let server = &config.server;
    Services {
        customers: Customers { sources: sources.clone(), details: details.clone(), merge_grace: server.merge_grace },
        walks: Walks::new(lists.clone(), server.streams, server.request_timeout, closing.clone()),
        lists,
        batches: Batches {
            sources: sources.clone(),
            details,
            writes: TaskTracker::new(),
            cut: CancellationToken::new(),
        },
        sources,
        idempotency: IdempotencyStore::new(config.idempotency_bounds, config.idempotency_retention),
    }
}
