//! Pages of one source's customers (contract §3.4).

use std::sync::Arc;

use tokio::time::Instant;

use crate::model::{
    CallerId, CustomerPage, Meta, Operation, Page, Problem, ProblemCode, SourceName, SourceReport, SourceStatus,
    SourcedCustomer, Warning, WarningCode,
};
use crate::upstream::{Deadline, ListCustomers, ListRequest, Position};

use super::audit::{ABANDONED, OK};
use super::cursor::{Binding, Cursors, WalkState};
use super::details::Details;
use super::failure::log;
use super::{RequestContext, Sources, Trail, now};

/// The largest `limit`.
pub const MAX_LIMIT: u32 = 1_000;
/// What `limit` is where the caller does not say.
pub const DEFAULT_LIMIT: u32 = 100;

/// What is asked of a list.
#[derive(Debug, Clone)]
pub struct ListQuery {
    pub source: Option<String>,
    pub staff_id: Option<String>,
    /// 1 to [`MAX_LIMIT`].
    pub limit: Option<u32>,
    pub cursor: Option<String>,
    pub raw: bool,
}

/// Pages through a source's customers.
#[derive(Clone)]
pub struct Lists {
    pub sources: Sources,
    pub cursors: Arc<Cursors>,
    /// Learns from rows which ids belong together.
    pub details: Details,
}

/// One source's list, as one caller asked for it.
pub(super) struct OpenList {
    pub(super) source: SourceName,
    list: Arc<dyn ListCustomers>,
    staff_id: Option<String>,
    raw: bool,
    caller: CallerId,
    trail: Trail,
    details: Details,
}

/// One upstream page.
pub(super) struct ReadPage {
    pub(super) rows: Vec<SourcedCustomer>,
    pub(super) next: Option<Position>,
    pub(super) total: Option<u64>,
    /// The warning that the total is not what it was.
    pub(super) drift: Option<Warning>,
}

impl Lists {
    /// # Errors
    /// `cursor_invalid`, `invalid_request`, `not_offered`, or the source's failure: then the same cursor may be tried
    /// again.
    pub async fn page(&self, context: &RequestContext, query: &ListQuery) -> Result<CustomerPage, Problem> {
        let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
        let (open, state) = self.open(context, query, limit)?;
        let page = open.read_for(context, &state).await?;
        let fetched_at = now();
        let mut warnings: Vec<Warning> = page.drift.into_iter().collect();
        let (rows, next) = slice(&state, page.rows, page.next, page.total, limit);
        open.audit(rows.len(), OK);
        let next_cursor = next.map(|next| self.cursors.seal(next, &open.binding(), fetched_at));
        let mut data = Vec::with_capacity(rows.len());
        for (index, row) in rows.into_iter().enumerate() {
            warnings.extend(row.warnings.into_iter().map(|warning| warning.below(&format!("/data/{index}"))));
            data.push(row.customer);
        }
        let report =
            SourceReport { source: open.source, status: SourceStatus::Ok, fetched_at: Some(fetched_at), problem: None };
        Ok(CustomerPage {
            data,
            page: Page { next_cursor, total: page.total },
            meta: Meta { sources: vec![report], warnings },
        })
    }

    /// Finds the list, and where in it the caller stands. `page_size` is what a walk begins with, within the source's
    /// own bound.
    pub(super) fn open(
        &self,
        context: &RequestContext,
        query: &ListQuery,
        page_size: u32,
    ) -> Result<(OpenList, WalkState), Problem> {
        let source = self.sources.one_for(&context.caller, query.source.as_deref(), Operation::ListCustomers)?;
        let Some(list) = source.operations.list.clone() else {
            return Err(Problem::new(ProblemCode::NotOffered, format!("source {} does not list", source.name)));
        };
        if list.requires_staff_id() && query.staff_id.is_none() {
            let detail = format!("is required: source {} lists the customers of one staff member", source.name);
            return Err(Problem::parameter("staff_id", "missing", detail));
        }
        let open = OpenList {
            source: source.name.clone(),
            staff_id: query.staff_id.clone(),
            raw: query.raw,
            caller: context.caller.id.clone(),
            trail: context.trail(Operation::ListCustomers, &source.name),
            details: self.details.clone(),
            list,
        };
        let state = match &query.cursor {
            Some(cursor) => self.cursors.open(cursor, &open.binding(), now())?,
            None => WalkState {
                position: Position::Start,
                offset: 0,
                page_size: page_size.min(open.list.max_page_size()),
                total: None,
            },
        };
        Ok((open, state))
    }
}

impl OpenList {
    pub(super) fn binding(&self) -> Binding<'_> {
        Binding::new(&self.caller, &self.source, self.staff_id.as_deref(), self.raw)
    }

    /// Tells the audit trail of raw rows that are given out.
    pub(super) fn audit(&self, rows: usize, outcome: &str) {
        if self.raw {
            self.trail.read_rows(self.staff_id.as_deref(), rows, outcome);
        }
    }

    /// Reads the upstream page at which the walk stands, for a request that waits for it.
    pub(super) async fn read_for(&self, context: &RequestContext, state: &WalkState) -> Result<ReadPage, Problem> {
        let begun = Instant::now();
        let page = self.read(state, context.deadline).await;
        context.timings.note(&self.source, begun.elapsed());
        page
    }

    /// Reads the upstream page at which the walk stands.
    pub(super) async fn read(&self, state: &WalkState, deadline: Deadline) -> Result<ReadPage, Problem> {
        let request = ListRequest {
            staff_id: self.staff_id.clone(),
            position: state.position.clone(),
            page_size: state.page_size,
            raw: self.raw,
        };
        let asked = Asked(Some(self));
        let page = self.list.list(&request, deadline).await;
        asked.answered();
        let page = page.map_err(|error| {
            log(&error);
            self.audit(0, error.code().as_str());
            Problem::from(&error)
        })?;
        self.details.learn(page.rows.iter().map(|row| &row.customer));
        let drift = match (state.total, page.total) {
            (Some(before), Some(now)) if before != now => Some(drift(&self.source, before, now)),
            _ if page.ended_early => Some(Warning {
                code: WarningCode::Drift,
                source: self.source.clone(),
                pointer: None,
                detail: "the list ended before the source's own total: rows may be missed".to_owned(),
            }),
            _ => None,
        };
        Ok(ReadPage { rows: page.rows, next: page.next, total: page.total, drift })
    }
}

/// A page that a source was asked for. Dropped before it is answered, nobody waits for it any longer.
struct Asked<'a>(Option<&'a OpenList>);

impl Asked<'_> {
    fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some(list) = self.0 {
            list.audit(0, ABANDONED);
        }
    }
}

/// The rows of this answer and where the next one begins: further down the same upstream page, or on the next.
fn slice(
    state: &WalkState,
    rows: Vec<SourcedCustomer>,
    next: Option<Position>,
    total: Option<u64>,
    limit: u32,
) -> (Vec<SourcedCustomer>, Option<WalkState>) {
    let in_page = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    let from = state.offset.min(in_page);
    let to = in_page.min(from.saturating_add(limit));
    let total = total.or(state.total);
    let following = if to < in_page {
        Some(WalkState { offset: to, total, ..state.clone() })
    } else {
        next.map(|position| WalkState { position, offset: 0, page_size: state.page_size, total })
    };
    let rows = rows.into_iter().skip(from as usize).take((to - from) as usize).collect();
    (rows, following)
}

fn drift(source: &SourceName, before: u64, now: u64) -> Warning {
    Warning {
        code: WarningCode::Drift,
        source: source.clone(),
        pointer: None,
        detail: format!("the total changed from {before} to {now} during the walk: rows may repeat or be missed"),
    }
}
