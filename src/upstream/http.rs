//! The one HTTP client for sources: timeouts, size cap, and errors without a URL in them.

use std::error::Error;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Request, StatusCode};
use tokio::time::Instant;

use crate::model::SourceName;
use crate::outbound::{self, ClientConfig, ClientError};
use crate::trace::{self, TRACEPARENT};

use super::answer_memory::AnswerMemory;
use super::phase::{Connecting, Phase, Progress};
use super::redact::Redactor;
use super::{Deadline, Failure, Settings, UpstreamError};

/// Whether a call changes something at the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Read,
    Write,
}

/// An answer, read whole, with the source's credentials replaced in it.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
    /// How far our clock is ahead of the source's, by its `Date`, which is exact to a second.
    pub clock_ahead: Option<SignedDuration>,
    pub body: Bytes,
}

impl Reply {
    pub fn is_success(&self) -> bool {
        self.status.is_success()
    }
}

/// The way to one source.
pub struct Client {
    name: SourceName,
    http: reqwest::Client,
    timeout: Duration,
    write_timeout: Duration,
    max_response: usize,
    propagate_trace: bool,
    redactor: Redactor,
}

impl Client {
    pub fn new(
        name: &SourceName,
        settings: &Settings,
        shared: &ClientConfig,
        redactor: Redactor,
    ) -> Result<Self, ClientError> {
        let builder = outbound::client(shared, &settings.base_url, settings.connect_timeout)?;
        let mut builder = builder.connector_layer(Connecting);
        if let Some(silence) = settings.read_timeout {
            builder = builder.read_timeout(silence);
        }
        Ok(Self {
            name: name.clone(),
            http: builder.build().map_err(ClientError::build)?,
            timeout: settings.timeout,
            write_timeout: settings.write_timeout,
            max_response: settings.max_response,
            propagate_trace: shared.propagate_trace,
            redactor,
        })
    }

    /// Sends one request and reads the answer whole. `request` is made here and now, so that what it carries of the time
    /// (a signature) is of the moment of sending.
    pub async fn send(
        &self,
        effect: Effect,
        deadline: Deadline,
        request: impl FnOnce() -> Request + Send,
    ) -> Result<Reply, UpstreamError> {
        let allowed = match effect {
            Effect::Read => self.timeout,
            Effect::Write => self.write_timeout,
        };
        let progress = Progress::current();
        let mut memory = AnswerMemory::of_call(effect);
        let begun = Instant::now();
        let own = begun + allowed;
        let until = deadline.0.min(own);
        if until <= begun {
            return Err(self.error(Failure::DeadlinePassed { sent: false, phase: progress.phase() }));
        }
        progress.reached(Phase::Answer);
        let exchange = progress.of(self.exchange(effect, request(), &progress, &mut memory));
        if let Ok(answered) = tokio::time::timeout_at(until, exchange).await {
            return answered;
        }
        let phase = progress.phase();
        if let Some(failure) = memory.late() {
            return Err(self.error(failure));
        }
        Err(self.error(if deadline.0 < own {
            Failure::DeadlinePassed { sent: true, phase }
        } else {
            Failure::TimedOut { sent: true, phase }
        }))
    }

    async fn exchange(
        &self,
        effect: Effect,
        mut request: Request,
        progress: &Progress,
        memory: &mut AnswerMemory,
    ) -> Result<Reply, UpstreamError> {
        let trace = trace::current().filter(|_| self.propagate_trace);
        if let Some(value) = trace.and_then(|trace| HeaderValue::from_str(&trace.child().to_string()).ok()) {
            request.headers_mut().insert(TRACEPARENT, value);
        }
        let response = self.http.execute(request).await;
        let mut response = response.map_err(|error| self.transport(effect, error, progress.phase()))?;
        progress.reached(Phase::Body);
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let clock_ahead = clock_ahead(response.headers());
        let declared = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        if declared > self.max_response {
            return Err(self.error(Failure::TooLarge("larger than max_response".to_owned())));
        }
        let mut body = BytesMut::with_capacity(declared.min(MOST_AT_FIRST));
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > self.max_response => {
                    return Err(self.error(Failure::TooLarge("larger than max_response".to_owned())));
                }
                Ok(Some(chunk)) => {
                    let received = memory.received(body.len() + chunk.len()).await;
                    received.map_err(|failure| self.error(failure))?;
                    body.extend_from_slice(&chunk);
                }
                Ok(None) => break,
                Err(error) if error.is_timeout() || shortage_of(effect, &error).is_some() => {
                    return Err(self.transport(effect, error, Phase::Body));
                }
                Err(error) => {
                    let failure = Failure::BadPayload("cut short".to_owned());
                    return Err(self.error(failure).caused_by(error.without_url()));
                }
            }
        }
        memory.decoded(&body).await.map_err(|failure| self.error(failure))?;
        let body = self.redactor.clean_json(&body).map_or_else(|| body.freeze(), Bytes::from);
        Ok(Reply { status, retry_after, clock_ahead, body })
    }

    fn error(&self, failure: Failure) -> UpstreamError {
        UpstreamError::new(&self.name, failure)
    }

    /// The one place where a client error becomes ours: its URL, which holds the token, is taken off.
    fn transport(&self, effect: Effect, error: reqwest::Error, phase: Phase) -> UpstreamError {
        let shortage = shortage_of(effect, &error).map(Failure::Overloaded);
        let failure = shortage.unwrap_or_else(|| match (error.is_connect(), error.is_timeout()) {
            (true, true) => Failure::TimedOut { sent: false, phase: Phase::Connect },
            (true, false) => Failure::Unreachable,
            // `read_timeout` runs while a connection is made, too; but it may have gone out over another one meanwhile.
            (false, true) => Failure::TimedOut { sent: true, phase },
            (false, false) if is_unreadable(&error) => {
                Failure::BadPayload("its head is not HTTP or too large".to_owned())
            }
            (false, false) => Failure::ConnectionLost,
        });
        self.error(failure).caused_by(error.without_url())
    }
}

/// The resource of this machine that a call lacked. What breaks off a write that is being sent leaves a doubt about the write, so
/// that it is no shortage alone.
fn shortage_of(effect: Effect, error: &reqwest::Error) -> Option<&'static str> {
    (effect == Effect::Read || error.is_connect()).then(|| outbound::shortage(error)).flatten()
}

/// Whether something was answered that hyper could not take for a head: what is no HTTP, more than a hundred headers, or
/// more than some 400 KiB of them.
fn is_unreadable(error: &reqwest::Error) -> bool {
    std::iter::successors(error.source(), |cause| (**cause).source())
        .any(|cause| cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse))
}

/// Our clock's distance from that of who wrote `Date` (RFC 9110 §6.6.1), in whole seconds.
fn clock_ahead(headers: &HeaderMap) -> Option<SignedDuration> {
    let theirs = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    let theirs = Timestamp::try_from(theirs).ok()?;
    Some(SignedDuration::from_secs(Timestamp::now().as_second() - theirs.as_second()))
}

/// What is set aside for a body on its declared length alone, in bytes.
const MOST_AT_FIRST: usize = 1 << 20;
/// The longest wait that a source's word is taken for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

/// `Retry-After` in either form (RFC 9110 §10.2.3), from now.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    Some(at.duration_since(SystemTime::now()).unwrap_or_default().min(LONGEST_RETRY_AFTER))
}
