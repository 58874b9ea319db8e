//! Pages of one source's customers (contract §3.4).

use std::sync::Arc;

use tokio::time::Instant;

use crate::memory::Reservation;
use crate::model::{
    CallerId, CustomerPage, Meta, Operation, Page, Problem, ProblemCode, SourceName, SourceReport, SourceStatus,
    Warning, WarningCode,
};
use crate::upstream::{Deadline, ListCustomers, ListPage, ListRequest, ListedRow, Position};

use super::audit::{ABANDONED, OK};
use super::cursor::{Binding, Cursors, WalkState};
use super::details::Details;
use super::failure::log;
use super::warning_list::WarningList;
use super::{RequestContext, Sources, Trail, now};

/// The largest `limit`.
pub const MAX_LIMIT: u32 = 1_000;
/// What `limit` is where the caller does not say.
pub const DEFAULT_LIMIT: u32 = 100;

/// The most warnings of one page.
const MAX_WARNINGS: usize = 1_000;

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
    memory: Arc<Reservation>,
}

/// One upstream page.
pub(super) struct ReadPage {
    pub(super) rows: Vec<ListedRow>,
    /// Where the next page begins; `None` on the last one.
    pub(super) next: Option<WalkState>,
    pub(super) total: Option<u64>,
    /// What is to be said of the page as a whole.
    pub(super) warnings: Vec<Warning>,
    /// What the rows take, and an answer made of them.
    pub(super) memory: Arc<Reservation>,
}

impl Lists {
    /// # Errors
    /// `cursor_invalid`, `invalid_request`, `not_offered`, or the source's failure: then the same cursor may be tried
    /// again.
    pub async fn page(&self, context: &RequestContext, query: &ListQuery) -> Result<CustomerPage, Problem> {
        let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
        let (open, state) = self.open(context, query, limit)?;
        let page = open.read_for(context, &state).await?;
        context.memory.absorb(&page.memory);
        let fetched_at = now();
        let mut warnings = WarningList::new(MAX_WARNINGS);
        page.warnings.into_iter().for_each(|warning| warnings.add(warning));
        let (rows, next) = slice(&state, page.rows, page.next, page.total, limit);
        open.audit(rows.iter().flatten().count(), OK);
        let next_cursor = next.map(|next| self.cursors.seal(next, &open.binding(), fetched_at));
        let mut data = Vec::with_capacity(rows.len());
        for row in rows {
            match row {
                Ok(row) => {
                    let place = format!("/data/{}", data.len());
                    row.warnings.into_iter().for_each(|warning| warnings.add(warning.below(&place)));
                    data.push(row.customer);
                }
                Err(skipped) => warnings.add(skipped),
            }
        }
        let warnings = warnings.take(&open.source);
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
            memory: context.memory.clone(),
            list,
        };
        let state = match &query.cursor {
            Some(cursor) => self.cursors.open(cursor, &open.binding(), now())?,
            None => WalkState {
                position: Position::Start,
                offset: 0,
                page_size: page_size.min(open.list.max_page_size()),
                total: None,
                rows_before: 0,
                previous: None,
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
        context.queried.add(&self.source);
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
            rows_before: state.rows_before,
            raw: self.raw,
        };
        let asked = Asked(Some(self));
        let memory = self.memory.sibling();
        let page = memory.charged(self.raw, self.list.list(&request, deadline)).await;
        asked.answered();
        let page = page.map_err(|error| {
            log(&error);
            self.audit(0, error.code().as_str());
            Problem::from(&error)
        })?;
        self.details.learn(page.rows.iter().flatten().map(|row| &row.customer));
        Ok(self.judge(state, page, memory))
    }

    /// Decides what a page says of the list: whether it goes on, and what a reader should know.
    fn judge(&self, state: &WalkState, page: ListPage, memory: Arc<Reservation>) -> ReadPage {
        let mut warnings = Vec::new();
        if page.total_unreadable {
            warnings.push(Warning {
                code: WarningCode::UnreadableValue,
                pointer: Some("/page/total".to_owned()),
                ..self.drift("the source's total cannot be read")
            });
        }
        let total_changed = match (state.total, page.total) {
            (Some(before), Some(now)) if before != now => Some((before, now)),
            _ => None,
        };
        if let Some((before, now)) = total_changed {
            let detail =
                format!("the total changed from {before} to {now} during the walk: rows may repeat or be missed");
            warnings.push(self.drift(&detail));
        }
        // Rows that were added meanwhile may repeat a page too; then the total has changed, and the walk goes on.
        let repeated = !page.rows.is_empty() && state.previous == Some(page.fingerprint) && total_changed.is_none();
        let total = page.total.or(state.total);
        let ends_early = page.rows.is_empty() && page.next.is_none() && total > Some(state.rows_before);
        if repeated || page.repeats {
            warnings.push(self.drift("the source sent the same page twice, so the list ends here: rows may be missed"));
        } else if ends_early {
            warnings.push(self.drift("the list ended before the source's own total: rows may be missed"));
        }
        if repeated {
            return ReadPage { rows: Vec::new(), next: None, total: page.total, warnings, memory };
        }
        let next = page.next.map(|position| WalkState {
            position,
            offset: 0,
            page_size: state.page_size,
            total,
            rows_before: state.rows_before.saturating_add(page.rows.len() as u64),
            previous: Some(page.fingerprint),
        });
        ReadPage { rows: page.rows, next, total: page.total, warnings, memory }
    }

    fn drift(&self, detail: &str) -> Warning {
        Warning { code: WarningCode::Drift, source: self.source.clone(), pointer: None, detail: detail.to_owned() }
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
    rows: Vec<ListedRow>,
    next: Option<WalkState>,
    total: Option<u64>,
    limit: u32,
) -> (Vec<ListedRow>, Option<WalkState>) {
    let in_page = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    let from = state.offset.min(in_page);
    let to = in_page.min(from.saturating_add(limit));
    let following =
        if to < in_page { Some(WalkState { offset: to, total: total.or(state.total), ..state.clone() }) } else { next };
    let rows = rows.into_iter().skip(from as usize).take((to - from) as usize).collect();
    (rows, following)
}
