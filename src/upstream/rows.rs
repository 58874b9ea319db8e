//! The rows of a vendor's answer: split apart, decoded one by one, so that one damaged row costs itself alone.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::model::{SourceName, SourcedCustomer, Warning, WarningCode};

use super::envelope::Fragment;
use super::lenient::{FromVendor, Lenient, MAX_ELEMENTS};
use super::{ListedRow, repair};

/// A page of this many rows or more of which none can be read is refused: its format has changed.
pub const MIN_UNREADABLE_PAGE: usize = 20;

/// One element of a vendor's list, as JSON.
#[derive(Debug)]
pub struct Row<'a> {
    json: Cow<'a, str>,
    /// Whether characters of it were repaired.
    repaired: bool,
}

/// A list with more than [`MAX_ELEMENTS`] elements.
#[derive(Debug)]
pub struct TooMany;

/// A fragment that should be a list.
#[derive(Debug)]
pub enum Rows<'a> {
    List(Vec<Row<'a>>),
    /// An object, which may be the only row, or something else.
    Single(Row<'a>),
    /// A number, a boolean, or a text that is not JSON.
    NoList,
}

/// Splits a list. `null`, `""` and `{}` are empty, and a text is read as the JSON inside.
pub fn split<'a>(list: &Fragment<'a>) -> Result<Rows<'a>, TooMany> {
    let row = |json| Row { repaired: list.is_repaired(json), json: Cow::Borrowed(json) };
    match list.json.as_bytes().first() {
        Some(b'[') => Ok(Rows::List(elements(list.json)?.into_iter().map(|element| row(element.get())).collect())),
        Some(b'{') if is_empty_object(list.json) => Ok(Rows::List(Vec::new())),
        Some(b'{') => Ok(Rows::Single(row(list.json))),
        Some(b'n') => Ok(Rows::List(Vec::new())),
        Some(b'"') => split_text(list),
        _ => Ok(Rows::NoList),
    }
}

fn split_text<'a>(list: &Fragment<'a>) -> Result<Rows<'a>, TooMany> {
    let text = string(list.json).unwrap_or_default();
    let outer_is_strict = serde_json::from_str::<String>(list.json).is_ok();
    let text = text.trim();
    let repaired = serde_json::from_str::<&RawValue>(text).is_err().then(|| repair::json(text));
    let text = repaired.as_ref().map_or(text, |repaired| repaired.json.trim());
    let is_repaired = !outer_is_strict || repaired.is_some() || list.is_repaired(list.json);
    let own = |json: &str| Row { repaired: is_repaired, json: Cow::Owned(json.to_owned()) };
    if matches!(text, "" | "null") || is_empty_object(text) {
        return Ok(Rows::List(Vec::new()));
    }
    // Not a list if it is not JSON.
    match serde_json::from_str::<&RawValue>(text).map(RawValue::get) {
        Ok(json) if json.starts_with('{') => Ok(Rows::Single(own(json))),
        Ok(json) if json.starts_with('[') => {
            Ok(Rows::List(elements(json)?.into_iter().map(|element| own(element.get())).collect()))
        }
        _ => Ok(Rows::NoList),
    }
}

fn is_empty_object(json: &str) -> bool {
    json.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).is_some_and(|inner| inner.trim().is_empty())
}

fn elements(list: &str) -> Result<Vec<&RawValue>, TooMany> {
    // Its syntax was checked when the text around it was parsed.
    let elements: Vec<&RawValue> = serde_json::from_str(list).unwrap_or_default();
    if elements.len() > MAX_ELEMENTS { Err(TooMany) } else { Ok(elements) }
}

/// Parses a JSON string, after a repair of its characters if necessary; `None` if it is not a string.
pub fn string(json: &str) -> Option<String> {
    serde_json::from_str(json).or_else(|_| serde_json::from_str(&repair::json(json).json)).ok()
}

impl<'a> Rows<'a> {
    /// The rows, of which a single object is one; `None` if this is not a list.
    pub fn into_vec(self) -> Option<Vec<Row<'a>>> {
        match self {
            Self::List(rows) => Some(rows),
            Self::Single(row) => Some(vec![row]),
            Self::NoList => None,
        }
    }
}

impl Row<'_> {
    /// An element that cannot be read as an object.
    pub fn unreadable() -> Self {
        Self { json: Cow::Borrowed("null"), repaired: false }
    }

    /// Reads the row as an object; `None` if it is none. Of a key that is there twice the last value counts.
    pub fn read<T: FromVendor + DeserializeOwned>(&mut self) -> Option<T> {
        // Such a key fails a typed parse.
        self.parse().unwrap_or_else(|_| serde_json::from_value(serde_json::from_str(&self.json).ok()?).ok())
    }

    /// Reads the row as an object; `None` if it is none, or has a key twice.
    pub fn read_unambiguous<T: FromVendor>(&mut self) -> Option<T> {
        self.parse().ok().flatten()
    }

    fn parse<T: FromVendor>(&mut self) -> serde_json::Result<Option<T>> {
        let strict = serde_json::from_str::<Lenient<T>>(&self.json);
        if strict.as_ref().is_err_and(serde_json::Error::is_syntax) {
            self.repair();
            return serde_json::from_str(&self.json).map(Lenient::value);
        }
        strict.map(Lenient::value)
    }

    /// Repairs the row if its JSON is not valid, in fields that nobody reads too.
    pub fn repair_if_unparsable(&mut self) {
        if serde_json::from_str::<Value>(&self.json).is_err() {
            self.repair();
        }
    }

    /// The row as it was sent; `None` if it is nested too deeply for that.
    pub fn raw(&mut self) -> Option<Value> {
        if let Ok(raw) = serde_json::from_str(&self.json) {
            return Some(raw);
        }
        self.repair();
        serde_json::from_str(&self.json).ok()
    }

    fn repair(&mut self) {
        let repaired = repair::json(&self.json);
        if !repaired.places.is_empty() {
            self.json = Cow::Owned(repaired.json);
            self.repaired = true;
        }
    }

    /// The warning that belongs on the record if characters were repaired.
    pub fn repaired_text(&self, source: &SourceName) -> Option<Warning> {
        self.repaired.then(|| Warning {
            code: WarningCode::RepairedText,
            source: source.clone(),
            pointer: Some(String::new()),
            detail: "the source sent invalid text, which was repaired".to_owned(),
        })
    }
}

/// The decoded rows of a page.
#[derive(Debug)]
pub struct Page {
    pub rows: Vec<ListedRow>,
    /// Equal for pages of the same customers in the same order.
    pub fingerprint: u64,
}

/// A page that must not pass as an empty one.
#[derive(Debug)]
pub enum BadPage {
    /// What should be a list is neither one nor its only row.
    NoList,
    /// No row of [`MIN_UNREADABLE_PAGE`] rows or more could be read.
    NoneReadable,
}

impl BadPage {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoList => "its data is not of the documented form",
            Self::NoneReadable => "no row of the page can be read",
        }
    }
}

/// Decodes each row of a page, which has a number if the source numbers its pages. A row that is no object or has no id of any
/// kind is skipped with a warning.
pub fn decode<T: FromVendor + DeserializeOwned>(
    source: &SourceName,
    page: Option<u64>,
    rows: Rows<'_>,
    raw: bool,
    convert: impl Fn(T) -> SourcedCustomer,
) -> Result<Page, BadPage> {
    let (rows, is_list) = match rows {
        Rows::List(rows) => (rows, true),
        Rows::Single(row) => (vec![row], false),
        Rows::NoList => return Err(BadPage::NoList),
    };
    let mut hash = Sha256::new();
    let mut decoded = Vec::with_capacity(rows.len());
    for (index, mut row) in rows.into_iter().enumerate() {
        let customer = match row.read().map(&convert) {
            None => Err(false),
            Some(read) if !has_id(&read) => Err(true),
            Some(mut read) => {
                finish(source, &mut read, &mut row, raw);
                Ok(read)
            }
        };
        match &customer {
            Ok(read) => hash.update(identity(read)),
            Err(_) => hash.update(row.json.as_bytes()),
        }
        hash.update([0]);
        decoded.push(customer.map_err(|is_object| skipped(source, page, index, is_object)));
    }
    if decoded.iter().all(Result::is_err) && !decoded.is_empty() {
        if !is_list {
            return Err(BadPage::NoList);
        }
        if decoded.len() >= MIN_UNREADABLE_PAGE {
            return Err(BadPage::NoneReadable);
        }
    }
    let digest = hash.finalize();
    let fingerprint = digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    Ok(Page { rows: decoded, fingerprint })
}

/// Adds the row's raw form, if requested, and the warning about its text.
fn finish(source: &SourceName, read: &mut SourcedCustomer, row: &mut Row<'_>, raw: bool) {
    if raw {
        attach_raw(source, read, row.raw());
    }
    read.warnings.extend(row.repaired_text(source));
}

/// Puts the raw form into the record; one that cannot be given becomes a warning.
pub fn attach_raw(source: &SourceName, read: &mut SourcedCustomer, raw: Option<Value>) {
    if raw.is_none() {
        read.warnings.push(Warning {
            code: WarningCode::UnreadableValue,
            source: source.clone(),
            pointer: Some("/records/0/raw".to_owned()),
            detail: "the source's JSON is nested too deeply".to_owned(),
        });
    }
    if let Some(record) = read.customer.records.first_mut() {
        record.raw = raw;
    }
}

/// Whether a row has an id: either of the customer's, or the vendor's own id of the record.
fn has_id(read: &SourcedCustomer) -> bool {
    let customer = &read.customer;
    customer.external_user_id.is_some()
        || customer.union_id.is_some()
        || customer.records.iter().any(|record| record.id.is_some())
}

/// The id that identifies a row within a page.
fn identity(read: &SourcedCustomer) -> &[u8] {
    let customer = &read.customer;
    let record = customer.records.first().and_then(|record| record.id.as_ref());
    record.or(customer.external_user_id.as_ref()).or(customer.union_id.as_ref()).map_or(b"", |id| id.as_bytes())
}

/// The warning about a row that is no object, or has no id.
pub fn skipped(source: &SourceName, page: Option<u64>, index: usize, is_object: bool) -> Warning {
    let page = page.map_or_else(|| "the source's page".to_owned(), |number| format!("the source's page {number}"));
    let why = if is_object { "has no id" } else { "is no object that can be read" };
    Warning {
        code: WarningCode::SkippedRow,
        source: source.clone(),
        pointer: None,
        detail: format!("row {index} (counted from 0) of {page} {why}; it was skipped"),
    }
}
