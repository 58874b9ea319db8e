//! Pages of one source's customers (contract §3.4).

use std::sync::Arc;

use crate::model::{
    CustomerPage, Meta, Operation, Page, Problem, SourceReport, SourceStatus, SourcedCustomer, Warning, WarningCode,
};
use crate::upstream::{ListCustomers, ListRequest, Position, Source};

use super::cursor::{Binding, Cursors, WalkState};
use super::failure::log;
use super::{RequestContext, Sources, now};

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
    pub limit: u32,
    pub cursor: Option<String>,
    pub raw: bool,
}

/// Pages through a source's customers.
#[derive(Clone)]
pub struct Lists {
    pub sources: Sources,
    pub cursors: Arc<Cursors>,
}

impl Lists {
    /// # Errors
    /// `cursor_invalid`, `invalid_request`, `not_offered`, or the source's failure: then the same cursor may be tried
    /// again.
    pub async fn page(&self, context: &RequestContext, query: &ListQuery) -> Result<CustomerPage, Problem> {
        let source = self
            .sources
            .one_for(&context.caller, query.source.as_deref(), Operation::ListCustomers)?;
        let list = operation(&source, query)?;
        let binding = Binding::new(&context.caller.id, &source.name, query.staff_id.as_deref(), query.raw);
        let begin = || WalkState {
            position: Position::Start,
            offset: 0,
            page_size: query.limit.min(list.max_page_size()),
            total: None,
        };
        let state = match &query.cursor {
            Some(cursor) => self.cursors.open(cursor, &binding, now())?,
            None => begin(),
        };
        let request = ListRequest {
            staff_id: query.staff_id.clone(),
            position: state.position.clone(),
            page_size: state.page_size,
            raw: query.raw,
        };
        let page = list.list(&request, context.deadline).await.map_err(|error| {
            log(&error);
            Problem::from(&error)
        })?;
        let fetched_at = now();

        let mut warnings = Vec::new();
        if let (Some(before), Some(now)) = (state.total, page.total)
            && before != now
        {
            warnings.push(drift(&source, before, now));
        }
        let (rows, next) = slice(&state, page.rows, page.next, page.total, query.limit);
        let next_cursor = next.map(|next| self.cursors.seal(next, &binding, fetched_at));
        let mut data = Vec::with_capacity(rows.len());
        for (index, row) in rows.into_iter().enumerate() {
            warnings.extend(row.warnings.into_iter().map(|warning| Warning {
                pointer: warning.pointer.map(|pointer| format!("/data/{index}{pointer}")),
                ..warning
            }));
            data.push(row.customer);
        }
        let report = SourceReport {
            source: source.name.clone(),
            status: SourceStatus::Ok,
            fetched_at: Some(fetched_at),
            problem: None,
        };
        Ok(CustomerPage {
            data,
            page: Page {
                next_cursor,
                total: page.total,
            },
            meta: Meta {
                sources: vec![report],
                warnings,
            },
        })
    }
}

fn operation<'a>(source: &'a Source, query: &ListQuery) -> Result<&'a Arc<dyn ListCustomers>, Problem> {
    let list = source.operations.list.as_ref().ok_or_else(|| {
        Problem::new(
            crate::model::ProblemCode::NotOffered,
            format!("source {} does not list", source.name),
        )
    })?;
    if list.requires_staff_id() && query.staff_id.is_none() {
        let detail = format!(
            "is required: source {} lists the customers of one staff member",
            source.name
        );
        return Err(Problem::parameter("staff_id", "missing", detail));
    }
    Ok(list)
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
        Some(WalkState {
            offset: to,
            total,
            ..state.clone()
        })
    } else {
        next.map(|position| WalkState {
            position,
            offset: 0,
            page_size: state.page_size,
            total,
        })
    };
    let rows = rows
        .into_iter()
        .skip(from as usize)
        .take((to - from) as usize)
        .collect();
    (rows, following)
}

fn drift(source: &Source, before: u64, now: u64) -> Warning {
    Warning {
        code: WarningCode::Drift,
        source: source.name.clone(),
        pointer: None,
        detail: format!("the total changed from {before} to {now} during the walk: rows may repeat or be missed"),
    }
}
