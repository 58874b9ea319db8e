//! Warnings about values of a record that could not be read; they point at our fields.

use indexmap::IndexSet;

use crate::model::{SourceName, Warning, WarningCode};

use super::lenient::{Items, Lenient};

/// The most warnings of one record: a vendor decides how much is wrong with it.
const MAX_WARNINGS: usize = 20;

/// The most warnings of a record that is joined from several rows.
const MAX_JOINED: usize = 100;

/// Truncates the warnings of a joined record. The last one then contains the number of those that are not listed.
pub fn truncate(source: &SourceName, warnings: &mut Vec<Warning>) {
    if warnings.len() > MAX_JOINED {
        let omitted = warnings.len() - MAX_JOINED + 1;
        warnings.truncate(MAX_JOINED - 1);
        warnings.push(omission(source, omitted));
    }
}

fn omission(source: &SourceName, omitted: usize) -> Warning {
    let detail = format!("{omitted} more warnings of this record are not listed");
    Warning { code: WarningCode::Omitted, source: source.clone(), pointer: Some(String::new()), detail }
}

/// The part of a customer that a field belongs to.
#[derive(Debug, Clone, Copy)]
pub enum Part {
    Customer,
    Relation(usize),
    Record,
}

impl Part {
    fn pointer(self, field: &str) -> String {
        match self {
            Self::Customer => format!("/{field}"),
            Self::Relation(index) => format!("/relations/{index}/{field}"),
            Self::Record => format!("/records/0/{field}"),
        }
    }
}

/// Collects the warnings of one record, each once.
pub struct Warnings<'a> {
    source: &'a SourceName,
    list: IndexSet<Warning>,
    omitted: usize,
}

/// A state of [`Warnings`] to return to.
pub struct Mark {
    length: usize,
    omitted: usize,
}

impl<'a> Warnings<'a> {
    pub fn new(source: &'a SourceName) -> Self {
        Self { source, list: IndexSet::new(), omitted: 0 }
    }

    /// The value of a vendor's field, called `sent` there; one that cannot be read is `None` with a warning at our `field`.
    pub fn take<T>(&mut self, sent: &str, value: Lenient<T>, part: Part, field: &str) -> Option<T> {
        if matches!(value, Lenient::Unreadable) {
            self.add(WarningCode::UnreadableValue, part, field, format!("{sent} cannot be read"));
        }
        value.value()
    }

    /// The elements of a vendor's list, likewise; what could not be read is left out.
    pub fn take_all<T>(&mut self, sent: &str, list: Items<T>, part: Part, field: &str) -> Vec<T> {
        if list.unreadable {
            self.add(WarningCode::UnreadableValue, part, field, format!("{sent} cannot be read whole"));
        }
        list.items
    }

    pub fn add(&mut self, code: WarningCode, part: Part, field: &str, detail: impl Into<String>) {
        let (source, pointer) = (self.source.clone(), Some(part.pointer(field)));
        let warning = Warning { code, source, pointer, detail: detail.into() };
        if self.list.len() < MAX_WARNINGS || self.list.contains(&warning) {
            self.list.insert(warning);
        } else {
            self.omitted += 1;
        }
    }

    pub fn mark(&self) -> Mark {
        Mark { length: self.list.len(), omitted: self.omitted }
    }

    /// Forgets what was added since the mark.
    pub fn rewind(&mut self, mark: &Mark) {
        self.list.truncate(mark.length);
        self.omitted = mark.omitted;
    }

    pub fn into_list(mut self) -> Vec<Warning> {
        if self.omitted > 0 {
            self.list.insert(omission(self.source, self.omitted));
        }
        self.list.into_iter().collect()
    }
}
