//! The identity check of details. A source may answer about another customer than requested, or about several: what belongs to
//! somebody else is never shown, merged or cached (contract §3, identity).

use std::collections::HashSet;

use indexmap::IndexSet;

use serde::de::DeserializeOwned;

use crate::model::{CustomerId, Relation, SourceName, SourcedCustomer, Warning, WarningCode};

use super::lenient::FromVendor;
use super::rows::{self, Row};
use super::warnings;

/// The reason for which no row of an answer can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NobodyAsked {
    Another,
    NoId,
}

impl NobodyAsked {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Another => "it is about another customer, or about several",
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

/// The customer that a detail was requested for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub id: &'a CustomerId,
    /// Whether the source is known to answer with an id that it translated (`accept_translated_ids`).
    pub accept_translated: bool,
}

/// Reads the rows of an answer to a detail, which are not empty, and joins those about the customer of this id. Rows about
/// others are ignored, and rows that cannot be read are skipped, with warnings.
pub fn detail<'a, T: FromVendor + DeserializeOwned>(
    source: &SourceName,
    asked: &Asked<'_>,
    raw: bool,
    rows: Vec<Row<'a>>,
    convert: impl Fn(T) -> SourcedCustomer,
) -> Result<Detail<'a>, NobodyAsked> {
    let mut warnings = Vec::new();
    let mut known = Vec::with_capacity(rows.len());
    for (index, mut row) in rows.into_iter().enumerate() {
        match row.read().map(&convert) {
            Some(customer) if Ids::of(&customer).is_any() => known.push((customer, row)),
            read => warnings.push(rows::skipped(source, None, index, read.is_some())),
        }
    }
    let total = known.len();
    let selected = select(asked, known)?;
    warnings.extend(mismatch(source, total - selected.len()));
    let (customers, mut rows): (Vec<_>, Vec<_>) = selected.into_iter().unzip();
    let mut customer = join(customers).ok_or(NobodyAsked::NoId)?;
    if raw {
        // What an unread field needs of repair shows only here.
        rows.iter_mut().for_each(Row::repair_if_unparsable);
    }
    customer.warnings.extend(rows.iter().find_map(|row| row.repaired_text(source)));
    customer.warnings.extend(warnings);
    warnings::truncate(source, &mut customer.warnings);
    Ok(Detail { customer, rows })
}

/// Selects the rows about the customer.
///
/// Of rows with the requested id, those that agree on the other id are used, and with them the rows that have only that other
/// id. Without any, rows that have only the other kind of id are accepted if all rows of the answer agree on it. If translation
/// is accepted, the first id of the requested kind counts as the requested one.
fn select<R>(asked: &Asked<'_>, rows: Vec<(SourcedCustomer, R)>) -> Result<Vec<(SourcedCustomer, R)>, NobodyAsked> {
    let ids: Vec<(Sent, Option<String>)> = rows.iter().map(|(row, _)| asked_and_other(asked.id, row)).collect();
    if ids.is_empty() {
        return Err(NobodyAsked::NoId);
    }
    let has = |id: &str| ids.iter().any(|(sent, _)| matches!(sent, Sent::Id(sent) if sent == id));
    let translated = ids.iter().find_map(|(sent, _)| match sent {
        Sent::Id(id) if asked.accept_translated => Some(id.clone()),
        _ => None,
    });
    let meant = Some(asked.id.as_str().to_owned()).filter(|id| has(id)).or(translated);
    let Some(meant) = meant else {
        let others: HashSet<&String> = ids.iter().filter_map(|(_, other)| other.as_ref()).collect();
        let agree = others.len() == 1 && ids.iter().all(|(sent, _)| *sent == Sent::Absent);
        return if agree { Ok(rows) } else { Err(NobodyAsked::Another) };
    };
    let is_meant = |sent: &Sent| matches!(sent, Sent::Id(id) if *id == meant);
    let other = ids.iter().filter(|(sent, _)| is_meant(sent)).find_map(|(_, other)| other.clone());
    let belongs = |(sent, of_row): &(Sent, Option<String>)| match sent {
        _ if is_meant(sent) => of_row.is_none() || *of_row == other,
        Sent::Absent => other.is_some() && *of_row == other,
        Sent::Id(_) | Sent::Unreadable => false,
    };
    let belongs: Vec<bool> = ids.iter().map(belongs).collect();
    Ok(rows.into_iter().zip(belongs).filter(|(_, belongs)| *belongs).map(|(row, _)| row).collect())
}

/// A row's id of the requested kind.
#[derive(Debug, PartialEq, Eq)]
enum Sent {
    Absent,
    Id(String),
    /// It was sent and cannot be compared.
    Unreadable,
}

/// A row's id of the requested kind, and its other id.
fn asked_and_other(asked: &CustomerId, row: &SourcedCustomer) -> (Sent, Option<String>) {
    let Ids { external_user_id, union_id } = Ids::of(row);
    let (id, other, pointer) = match asked {
        CustomerId::ExternalUserId(_) => (external_user_id, union_id, "/external_user_id"),
        CustomerId::UnionId(_) => (union_id, external_user_id, "/union_id"),
    };
    let unreadable = |warning: &Warning| warning.pointer.as_deref() == Some(pointer);
    let sent = match id {
        Some(id) => Sent::Id(id),
        None if row.warnings.iter().any(unreadable) => Sent::Unreadable,
        None => Sent::Absent,
    };
    (sent, other)
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

    fn is_any(&self) -> bool {
        self.external_user_id.is_some() || self.union_id.is_some()
    }
}

/// Joins the rows of one customer into one record: the first value of each field, and every relation once.
pub fn join(rows: impl IntoIterator<Item = SourcedCustomer>) -> Option<SourcedCustomer> {
    let mut rows = rows.into_iter();
    let SourcedCustomer { customer: mut joined, warnings } = rows.next()?;
    let mut warnings: IndexSet<Warning> = warnings.into_iter().collect();
    let mut relations: IndexSet<Relation> = joined.relations.drain(..).collect();
    let mut mobiles: IndexSet<String> = joined.mobiles.drain(..).collect();
    for SourcedCustomer { customer: row, warnings: of_row } in rows {
        for (field, value) in [
            (&mut joined.external_user_id, row.external_user_id),
            (&mut joined.union_id, row.union_id),
            (&mut joined.name, row.name),
            (&mut joined.nickname, row.nickname),
            (&mut joined.avatar_url, row.avatar_url),
            (&mut joined.location, row.location),
        ] {
            *field = field.take().or(value);
        }
        joined.gender = joined.gender.or(row.gender);
        joined.account_type = joined.account_type.or(row.account_type);
        mobiles.extend(row.mobiles);
        // A relation that is repeated has the warnings of the first one.
        let place = |relation| {
            let (place, is_new) = relations.insert_full(relation);
            is_new.then_some(place)
        };
        let places: Vec<Option<usize>> = row.relations.into_iter().map(place).collect();
        let moved = |warning: Warning| warning.relocated("/relations/", |index| places.get(index).copied().flatten());
        warnings.extend(of_row.into_iter().filter_map(moved));
    }
    joined.relations = relations.into_iter().collect();
    joined.mobiles = mobiles.into_iter().collect();
    Some(SourcedCustomer { customer: joined, warnings: warnings.into_iter().collect() })
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
