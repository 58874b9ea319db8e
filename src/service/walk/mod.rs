//! All of a source's customers, one after the other (contract §3.4, NDJSON): memory is bounded by two upstream pages,
//! the one being given out and the one being read ahead, however slow the reader is. Pages that are large are not read ahead.

mod seen;
mod slots;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::memory::Reservation;
use crate::model::{Customer, Problem, ProblemCode, ShortProblem, StreamEnd, Warning, WarningCode};
use crate::trace;
use crate::upstream::{Deadline, ListedRow};

use super::audit::OK;
use super::cursor::{Cursors, WalkState};
use super::lists::{ListQuery, Lists, MAX_LIMIT, OpenList, ReadPage};
use super::warning_list::WarningList;
use super::{QuotaHandle, RequestContext, now};
use seen::Seen;
use slots::{Slot, Slots};

pub use slots::StreamLimits;

/// Warnings that the end of a stream lists.
const MAX_WARNINGS: usize = 100;
/// The most pages in a row of which every row was sent before: the source repeats itself.
const MAX_REPEATED_PAGES: u32 = 20;
/// The most pages in a row without a row that could be sent.
const MAX_EMPTY_PAGES: u32 = 200;

/// Divisor of what a page reserves: the quotient is what its rows need once they are decoded.
const DECODED_PART: usize = 2;

/// Begins walks.
#[derive(Clone)]
pub struct Walks {
    lists: Lists,
    slots: Slots,
    /// For the upstream work of each page.
    page_timeout: Duration,
    /// Cancelled when the time for draining is over.
    closing: CancellationToken,
}

/// What a walk brings.
#[derive(Debug)]
pub enum Step {
    Customer(Box<Customer>),
    /// All customers were brought.
    End(StreamEnd),
    /// The walk broke off; it may be taken up where the cursor stands.
    Broken {
        error: ShortProblem,
        resume_cursor: String,
    },
}

impl Walks {
    pub fn new(lists: Lists, limits: StreamLimits, page_timeout: Duration, closing: CancellationToken) -> Self {
        Self { lists, slots: Slots::new(limits), page_timeout, closing }
    }

    /// Begins a walk, or takes one up at a cursor. The first page is read before this returns.
    ///
    /// # Errors
    /// Those of a page, `overloaded` or `rate_limited` where too many walks are under way.
    pub async fn begin(&self, context: &RequestContext, query: &ListQuery) -> Result<Walk, Problem> {
        let (open, state) = self.lists.open(context, query, MAX_LIMIT)?;
        let slot = self.slots.take(&context.caller.id)?;
        let page = decoded(open.read_for(context, &state).await?);
        let mut walk = Walk {
            reader: Arc::new(Reader { open, quota: context.quota.clone(), page_timeout: self.page_timeout }),
            cursors: self.lists.cursors.clone(),
            closing: self.closing.clone(),
            state: state.clone(),
            rows: Vec::new().into_iter(),
            ahead: None,
            seen: Seen::default(),
            count: 0,
            skipped: 0,
            warnings: WarningList::new(MAX_WARNINGS),
            drifted: false,
            whole: query.cursor.is_none(),
            count_before: 0,
            repeated_pages: 0,
            empty_pages: 0,
            duplicates: 0,
            ended: false,
            memory: page.memory.clone(),
            _slot: slot,
        };
        walk.take(state, page);
        Ok(walk)
    }
}

/// A walk under way. Dropping it ends it.
pub struct Walk {
    reader: Arc<Reader>,
    cursors: Arc<Cursors>,
    closing: CancellationToken,
    /// Where the walk stands: the page in hand, and how many of its rows were given out.
    state: WalkState,
    rows: std::vec::IntoIter<ListedRow>,
    ahead: Option<Ahead>,
    seen: Seen,
    count: u64,
    /// Rows that could not be read.
    skipped: u64,
    warnings: WarningList,
    drifted: bool,
    /// Whether the walk began at the beginning.
    whole: bool,
    /// Rows given out before the page in hand.
    count_before: u64,
    /// Pages since the last one with a new row: those with duplicates, and all.
    repeated_pages: u32,
    empty_pages: u32,
    /// Rows of the page in hand that were sent before.
    duplicates: u64,
    ended: bool,
    /// Of the page in hand.
    memory: Arc<Reservation>,
    _slot: Slot,
}

/// The next page.
struct Ahead {
    state: WalkState,
    /// `None`: it is read when the page in hand has been given out.
    page: Option<Reading>,
}

type Reading = AbortOnDropHandle<Result<ReadPage, Problem>>;

struct Reader {
    open: OpenList,
    quota: QuotaHandle,
    page_timeout: Duration,
}

impl Reader {
    /// Waits for quota rather than fail: the reader has asked for everything, and will get it.
    async fn read(&self, state: &WalkState) -> Result<ReadPage, Problem> {
        self.quota.wait_for_one().await;
        self.open.read(state, Deadline(Instant::now() + self.page_timeout)).await.map(decoded)
    }

    /// Reads a page in a task of its own.
    fn start(self: &Arc<Self>, state: &WalkState) -> Reading {
        let (reader, state) = (self.clone(), state.clone());
        AbortOnDropHandle::new(tokio::spawn(trace::carried(async move { reader.read(&state).await })))
    }
}

/// A page whose answer has been decoded. Only a part of its rows is written at once, so it gives back what only decoding needed.
fn decoded(page: ReadPage) -> ReadPage {
    page.memory.shrink_to(page.memory.bytes() / DECODED_PART);
    page
}

/// Whether the next page may be read while this one is given out: decoding one like it takes [`DECODED_PART`] times what is left of
/// this one. A page of more than half of a share would leave too little for that.
fn may_read_ahead(memory: &Reservation) -> bool {
    memory.bytes().saturating_mul(DECODED_PART) <= memory.most() / 2
}

impl Walk {
    /// The next step; `None` after the last one.
    pub async fn next(&mut self) -> Option<Step> {
        if self.ended {
            return None;
        }
        loop {
            if self.closing.is_cancelled() {
                return Some(self.broken(&stopping()));
            }
            if let Some(customer) = self.ready() {
                return Some(Step::Customer(customer));
            }
            let Some(Ahead { state, page }) = self.ahead.take() else {
                return Some(self.end());
            };
            let page = page.unwrap_or_else(|| {
                self.memory.shrink_to(0);
                self.reader.start(&state)
            });
            let read = tokio::select! {
                read = page => read,
                () = self.closing.cancelled() => continue,
            };
            if self.goes_round() {
                return Some(self.broken(&goes_round()));
            }
            let lost = || Problem::new(ProblemCode::Internal, "reading the next page was lost");
            match read.unwrap_or_else(|_panic| Err(lost())) {
                Ok(page) => self.take(state, page),
                Err(problem) => {
                    self.state = state;
                    return Some(self.broken(&problem));
                }
            }
        }
    }

    /// The next customer of the page in hand.
    pub fn ready(&mut self) -> Option<Box<Customer>> {
        loop {
            let row = self.rows.next()?;
            self.state.offset += 1;
            let row = match row {
                Ok(row) => row,
                Err(warning) => {
                    self.skipped += 1;
                    self.warn(warning);
                    continue;
                }
            };
            if !self.seen.is_new(&row.customer) {
                self.duplicates += 1;
                continue;
            }
            let line = self.count;
            self.count += 1;
            for warning in row.warnings {
                self.warn(warning.below(&format!("/{line}")));
            }
            return Some(Box::new(row.customer));
        }
    }

    /// Turns to a page that was read, and begins to read the one after it, unless the page is large.
    fn take(&mut self, state: WalkState, page: ReadPage) {
        let total = page.total.or(state.total);
        for warning in page.warnings {
            // In a stream there is no page for it to point at.
            self.warn(Warning { pointer: None, ..warning });
        }
        self.memory = page.memory;
        self.ahead = page.next.map(|state| {
            let page = may_read_ahead(&self.memory).then(|| self.reader.start(&state));
            Ahead { state, page }
        });
        self.rows = page.rows.into_iter();
        // Of a page that a cursor points into, the rows before it were given out already.
        self.rows.by_ref().take(state.offset as usize).for_each(drop);
        self.reader.open.audit(self.rows.as_slice().iter().flatten().count(), OK);
        self.state = WalkState { total, ..state };
    }

    /// Whether page after page has brought nothing new: a source whose cursors go in a circle would be read for ever.
    fn goes_round(&mut self) -> bool {
        if self.count > self.count_before {
            (self.repeated_pages, self.empty_pages) = (0, 0);
        } else {
            self.repeated_pages += u32::from(self.duplicates > 0);
            self.empty_pages += 1;
        }
        self.count_before = self.count;
        self.duplicates = 0;
        self.repeated_pages >= MAX_REPEATED_PAGES || self.empty_pages >= MAX_EMPTY_PAGES
    }

    fn warn(&mut self, warning: Warning) {
        self.drifted |= warning.code == WarningCode::Drift;
        self.warnings.add(warning);
    }

    fn end(&mut self) -> Step {
        self.ended = true;
        let found = self.count + self.skipped;
        if let Some(total) = self.state.total.filter(|total| self.whole && found < *total && !self.drifted) {
            self.warn(Warning {
                code: WarningCode::Drift,
                source: self.reader.open.source.clone(),
                pointer: None,
                detail: format!("{found} of the {total} customers that the source counts were found"),
            });
        }
        let warnings = self.warnings.take(&self.reader.open.source);
        Step::End(StreamEnd { count: self.count, skipped: self.skipped, warnings })
    }

    fn broken(&mut self, problem: &Problem) -> Step {
        self.ended = true;
        let resume_cursor = self.cursors.seal(self.state.clone(), &self.reader.open.binding(), now());
        Step::Broken { error: problem.short(), resume_cursor }
    }
}

fn goes_round() -> Problem {
    Problem::new(ProblemCode::SourceBadData, "the source sends page after page without a new customer")
}

fn stopping() -> Problem {
    Problem::new(ProblemCode::Overloaded, "the gateway is stopping; go on with the cursor")
}
