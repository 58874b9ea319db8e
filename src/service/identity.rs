//! Whose records may be merged (contract §3.3, Identity): records that disagree on the union id are of different people.

use crate::model::{CustomerId, SourceName};

/// The union id that a merge is about, as the records accepted so far have it.
#[derive(Default)]
pub(super) struct Identity<'a> {
    union_ids: Vec<&'a str>,
    /// The first source that showed one; `None` while only the query did.
    shown_by: Option<&'a SourceName>,
}

impl<'a> Identity<'a> {
    /// The identity that a query names.
    pub(super) fn of_query(id: &'a CustomerId) -> Self {
        let union_ids = match id {
            CustomerId::UnionId(id) => vec![id.as_str()],
            CustomerId::ExternalUserId(_) => Vec::new(),
        };
        Self { union_ids, shown_by: None }
    }

    /// Accepts a source's record, in source order. `queried` is the id by which that source was asked: one that answers with another
    /// union id than the queried one says that both are of one person (`accept_translated_ids`).
    ///
    /// # Errors
    /// The record shows a union id that contradicts what was accepted before. The text names sources, never an id.
    pub(super) fn accept(
        &mut self,
        source: &'a SourceName,
        queried: &'a CustomerId,
        union_id: Option<&'a str>,
    ) -> Result<(), String> {
        let Some(union_id) = union_id else { return Ok(()) };
        let queried = match queried {
            CustomerId::UnionId(id) => Some(id.as_str()),
            CustomerId::ExternalUserId(_) => None,
        };
        let agrees = |id: &str| self.union_ids.contains(&id);
        if !self.union_ids.is_empty() && !agrees(union_id) && !queried.is_some_and(agrees) {
            return Err(match self.shown_by {
                Some(first) => format!("its union_id differs from that of source {first}"),
                None => "its union_id differs from the queried one".to_owned(),
            });
        }
        self.shown_by.get_or_insert(source);
        self.union_ids.extend(queried.into_iter().chain([union_id]));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn external() -> CustomerId {
        CustomerId::ExternalUserId("wm1".into())
    }

    fn union(id: &str) -> CustomerId {
        CustomerId::UnionId(id.into())
    }

    /// The sources that are accepted, each with the union id that its record shows.
    fn accepted(query: &CustomerId, records: &[(&str, CustomerId, Option<&str>)]) -> Vec<bool> {
        let names: Vec<SourceName> = records.iter().map(|(name, ..)| name.parse().unwrap()).collect();
        let mut identity = Identity::of_query(query);
        let accepted =
            names.iter().zip(records).map(|(name, (_, queried, shown))| identity.accept(name, queried, *shown));
        accepted.map(|result| result.is_ok()).collect()
    }

    #[test]
    fn first_union_id_in_source_order_wins() {
        let records = |ids: [Option<&'static str>; 3]| {
            let [a, b, c] = ids;
            [("a", external(), a), ("b", external(), b), ("c", external(), c)]
        };
        for (shown, expected) in [
            ([None, Some("o1"), Some("o2")], [true, true, false]),
            ([Some("o1"), None, Some("o1")], [true, true, true]),
            ([Some("o1"), Some("o2"), Some("o2")], [true, false, false]),
            ([Some("o1"), Some("o2"), Some("o1")], [true, false, true]),
            ([None, None, None], [true, true, true]),
        ] {
            assert_eq!(accepted(&external(), &records(shown)), expected, "{shown:?}");
        }
    }

    #[test]
    fn queried_union_id_comes_before_all_records() {
        let records = [("a", union("o1"), None), ("b", external(), Some("o2")), ("c", external(), Some("o1"))];
        assert_eq!(accepted(&union("o1"), &records), [true, false, true]);
    }

    #[test]
    fn translated_union_id_agrees_with_the_queried_one() {
        let records = [("a", union("o1"), Some("t1")), ("b", union("o1"), Some("o1")), ("c", external(), Some("t1"))];
        assert_eq!(accepted(&union("o1"), &records), [true, true, true]);
    }

    #[test]
    fn error_names_the_source_and_no_id() {
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        let (query, by_union) = (external(), union("o1"));
        let mut identity = Identity::of_query(&query);
        identity.accept(&a, &query, Some("o1")).unwrap();
        assert_eq!(identity.accept(&b, &query, Some("o2")).unwrap_err(), "its union_id differs from that of source a");
        let mut identity = Identity::of_query(&by_union);
        assert_eq!(identity.accept(&a, &query, Some("o2")).unwrap_err(), "its union_id differs from the queried one");
    }
}
