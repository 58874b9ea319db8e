//! Whom an answer to a detail is about. A source may answer about another customer than asked, or about several: what belongs
//! to somebody else is never shown, merged or cached (contract §3, identity).

use std::collections::HashSet;

use indexmap::IndexSet;

use serde::de::DeserializeOwned;

use crate::model::{CustomerId, Relation, SourceName, SourcedCustomer, Warning, WarningCode};

use super::lenient::FromVendor;
use super::rows::{Row, has_id};

/// No row of an answer is about the customer who was asked for: why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NobodyAsked {
    Another,
    NoId,
}

impl NobodyAsked {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Another => "it is about another customer than the one asked for",
            Self::NoId => "it has no id of a customer",
        }
    }
}

/// A detail: the rows about one customer, joined.
#[derive(Debug)]
pub struct Detail<'a> {
    pub customer: SourcedCustomer,
    /// The rows that it was made of.
    pub rows: Vec<Row<'a>>,
}

/// Reads the rows of an answer to a detail, which are not empty, and joins those about the customer of this id. The others are
/// ignored with a warning.
pub fn detail<'a, T: FromVendor + DeserializeOwned>(
    source: &SourceName,
    asked: &Asked<'_>,
    rows: Vec<Row<'a>>,
    convert: impl Fn(T) -> SourcedCustomer,
) -> Result<Detail<'a>, NobodyAsked> {
    let total = rows.len();
    let read = |mut row: Row<'a>| {
        let mut customer = convert(row.read()?);
        customer.warnings.extend(row.repaired_text(source));
        Some((customer, row))
    };
    let selected = select(asked, rows.into_iter().filter_map(read).collect())?;
    let rejected = total - selected.len();
    let (customers, rows): (Vec<_>, Vec<_>) = selected.into_iter().unzip();
    let mut customer = join(customers).ok_or(NobodyAsked::NoId)?;
    customer.warnings.extend(mismatch(source, rejected));
    Ok(Detail { customer, rows })
}

/// Whom a detail was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub id: &'a CustomerId,
    /// Whether the source is known to answer with an id that it translated (`accept_translated_ids`).
    pub accept_translated: bool,
}

/// Selects the rows about the customer. A row with only another kind of id is accepted if it contradicts none of those that have
/// the id. If no row has the id and translation is accepted, the first row says whom the source means.
fn select<R>(asked: &Asked<'_>, rows: Vec<(SourcedCustomer, R)>) -> Result<Vec<(SourcedCustomer, R)>, NobodyAsked> {
    let known: Vec<_> = rows.into_iter().filter(|(row, _)| has_id(row)).collect();
    if known.is_empty() {
        return Err(NobodyAsked::NoId);
    }
    let has_asked = |row: &SourcedCustomer| id_like(asked.id, row) == Some(asked.id.as_str());
    let is_anothers = |row: &SourcedCustomer| id_like(asked.id, row).is_some() && !has_asked(row);
    let may_be_asked = |row: &SourcedCustomer| {
        let ids = Ids::of(row);
        !is_anothers(row) && !known.iter().any(|(other, _)| is_anothers(other) && ids.shares_one(other))
    };
    let row = known
        .iter()
        .find(|(row, _)| has_asked(row))
        .or_else(|| known.iter().find(|(row, _)| asked.accept_translated || may_be_asked(row)));
    let ids = row.map(|(row, _)| Ids::of(row)).ok_or(NobodyAsked::Another)?;
    Ok(known.into_iter().filter(|(row, _)| ids.agree(row)).collect())
}

/// The row's id of the asked kind.
fn id_like<'a>(asked: &CustomerId, row: &'a SourcedCustomer) -> Option<&'a str> {
    match asked {
        CustomerId::ExternalUserId(_) => row.customer.external_user_id.as_deref(),
        CustomerId::UnionId(_) => row.customer.union_id.as_deref(),
    }
}

/// Both ids of a row.
struct Ids {
    external_user_id: Option<String>,
    union_id: Option<String>,
}

impl Ids {
    fn of(row: &SourcedCustomer) -> Self {
        let customer = &row.customer;
        Self { external_user_id: customer.external_user_id.clone(), union_id: customer.union_id.clone() }
    }

    fn pairs<'a>(&'a self, row: &'a SourcedCustomer) -> [(Option<&'a String>, Option<&'a String>); 2] {
        [
            (self.external_user_id.as_ref(), row.customer.external_user_id.as_ref()),
            (self.union_id.as_ref(), row.customer.union_id.as_ref()),
        ]
    }

    /// Whether a row contradicts neither id.
    fn agree(&self, row: &SourcedCustomer) -> bool {
        self.pairs(row).iter().all(|(one, other)| one.is_none() || other.is_none() || one == other)
    }

    fn shares_one(&self, row: &SourcedCustomer) -> bool {
        self.pairs(row).iter().any(|(one, other)| one.is_some() && one == other)
    }
}

/// Joins the rows of one customer into one record: the first value of each field, and every relation once.
pub fn join(rows: impl IntoIterator<Item = SourcedCustomer>) -> Option<SourcedCustomer> {
    let mut rows = rows.into_iter();
    let mut joined = rows.next()?;
    for row in rows {
        add(&mut joined, row);
    }
    Some(joined)
}

fn add(joined: &mut SourcedCustomer, row: SourcedCustomer) {
    let SourcedCustomer { customer: row, warnings } = row;
    let customer = &mut joined.customer;
    for (field, value) in [
        (&mut customer.external_user_id, row.external_user_id),
        (&mut customer.union_id, row.union_id),
        (&mut customer.name, row.name),
        (&mut customer.nickname, row.nickname),
        (&mut customer.avatar_url, row.avatar_url),
        (&mut customer.location, row.location),
    ] {
        *field = field.take().or(value);
    }
    customer.gender = customer.gender.or(row.gender);
    customer.account_type = customer.account_type.or(row.account_type);
    let mut relations: IndexSet<Relation> = customer.relations.drain(..).collect();
    // A relation that is repeated has the warnings of the first one.
    let places: Vec<Option<usize>> = row
        .relations
        .into_iter()
        .map(|relation| {
            let (place, is_new) = relations.insert_full(relation);
            is_new.then_some(place)
        })
        .collect();
    customer.relations = relations.into_iter().collect();
    let mobiles: IndexSet<String> = customer.mobiles.drain(..).chain(row.mobiles).collect();
    customer.mobiles = mobiles.into_iter().collect();
    let known: HashSet<Warning> = joined.warnings.iter().cloned().collect();
    let moved = warnings
        .into_iter()
        .filter_map(|warning| warning.relocated("/relations/", |index| places.get(index).copied().flatten()))
        .filter(|warning| !known.contains(warning));
    joined.warnings.extend(moved);
}

/// The warning of an answer with rows about others.
fn mismatch(source: &SourceName, rejected: usize) -> Option<Warning> {
    (rejected > 0).then(|| Warning {
        code: WarningCode::IdentityMismatch,
        source: source.clone(),
        pointer: None,
        detail: format!("{rejected} rows of the source's answer are not about this customer and were ignored"),
    })
}
