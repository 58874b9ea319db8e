//! Warnings of a whole answer, bounded: a source decides how many there are.

use crate::model::{SourceName, Warning, WarningCode};

/// Warnings in the order in which they came, up to a limit, skipped rows before others; those beyond it are counted.
pub(super) struct WarningList {
    limit: usize,
    list: Vec<Warning>,
    omitted: usize,
}

impl WarningList {
    /// `limit` is at least 1.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, list: Vec::new(), omitted: 0 }
    }

    pub(super) fn add(&mut self, warning: Warning) {
        if self.list.len() < self.limit {
            self.list.push(warning);
            return;
        }
        self.omitted += 1;
        // A row that is missing matters more than a field of one that is there.
        if warning.code == WarningCode::SkippedRow
            && let Some(other) = self.list.iter().rposition(|listed| listed.code != WarningCode::SkippedRow)
        {
            self.list.remove(other);
            self.list.push(warning);
        }
    }

    /// The warnings, at most `limit`. If some are not listed, the last one has their number.
    pub(super) fn take(&mut self, source: &SourceName) -> Vec<Warning> {
        let mut list = std::mem::take(&mut self.list);
        let omitted = std::mem::take(&mut self.omitted);
        if omitted > 0 {
            let least = list.iter().rposition(|listed| listed.code != WarningCode::SkippedRow);
            list.remove(least.unwrap_or(list.len() - 1));
            list.push(Warning {
                code: WarningCode::Omitted,
                source: source.clone(),
                pointer: None,
                detail: format!("{} more warnings are not listed", omitted + 1),
            });
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn omitted_warnings_are_counted_within_limit() {
        let source: SourceName = "juzibot".parse().unwrap();
        for (added, listed, last) in [(2, 2, "1"), (3, 3, "2"), (5, 3, "3 more warnings are not listed")] {
            let mut warnings = WarningList::new(3);
            for index in 0..added {
                let detail = index.to_string();
                warnings.add(Warning { code: WarningCode::Drift, source: source.clone(), pointer: None, detail });
            }
            let list = warnings.take(&source);
            assert_eq!((list.len(), list.last().unwrap().detail.as_str()), (listed, last));
        }
    }
}
