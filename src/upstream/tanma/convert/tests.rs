use std::collections::BTreeSet;

use proptest::array::{uniform2, uniform3, uniform4};
use proptest::prelude::*;

use crate::upstream::filled::{assert_well_made, filled, lenient, list};
use crate::upstream::identity::join;
use crate::upstream::lenient::Id;

use super::*;

fn source() -> SourceName {
    "tanma".parse().unwrap()
}

fn sent(value: &str) -> Lenient<String> {
    Lenient::Value(value.to_owned())
}

fn id(id: &str) -> Lenient<Id> {
    Lenient::Value(Id(id.to_owned()))
}

fn items<T>(items: Vec<T>) -> Items<T> {
    Items { items, unreadable: false }
}

fn field(key: &str, kind: i64, value: &str) -> wire::Field {
    let value_as_text = sent(value).map(wire::FieldValue::Text);
    wire::Field { field: sent(key), kind: Lenient::Value(kind), value_as_text }
}

#[test]
fn list_fields_are_what_the_mapper_fills() {
    let wire = wire::Customer {
        customer_id: id("1"),
        qw_user_id: id("dowen"),
        kind: Lenient::Value(1),
        fields: items(vec![field("name", 1, "name"), field("gender", 2, "1"), field("mobile", 8, "[\"1\"]")]),
        tag_ids: items(vec!["et".into()]),
        create_time: sent("2021-03-06 16:22:17"),
        last_update_time: sent("2021-03-31 14:59:21"),
        convert_customer_time: sent("2021-03-31 14:59:21"),
        wechat_nickname: sent("nick"),
        wechat_avatar: sent("https://a.test/1"),
        wechat_location: sent("Hangzhou"),
        qw_remark: sent("remark"),
        external_user_id: id("wm"),
    };
    let told = list_row(&source(), wire);
    assert_eq!(filled(&told.customer), LIST_FIELDS.iter().map(|field| (*field).to_owned()).collect());
    assert_eq!(told.warnings, []);
}

#[test]
fn detail_fields_are_what_the_mapper_fills() {
    let row = wire::DetailRow {
        qw_user_id: id("dowen"),
        external_user_id: id("wm"),
        union_id: id("o"),
        qw_customer_time: sent("2020-11-08 16:38:07"),
        mobiles: items(vec!["1".into()]),
        wechat_nickname: sent("nick"),
        wechat_avatar: sent("https://a.test/1"),
    };
    let told = detail_row(&source(), row);
    assert_eq!(filled(&told.customer), DETAIL_FIELDS.iter().map(|field| (*field).to_owned()).collect());
    assert_eq!(told.warnings, []);
}

/// Mostly few and short, so that some are the same.
fn text() -> impl Strategy<Value = Lenient<String>> {
    lenient(prop_oneof![9 => "[ab]", 1 => any::<String>()])
}

fn any_id() -> impl Strategy<Value = Lenient<Id>> {
    text().prop_map(|text| text.map(Id))
}

fn time_text() -> impl Strategy<Value = Lenient<String>> {
    let of_the_form = "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}";
    lenient(prop_oneof![
        of_the_form,
        "(0000|2021|9999)-(00|02|12)-(00|29|31) (00|23|24):(00|59|60):(00|59|60)",
        any::<String>()
    ])
}

fn value() -> impl Strategy<Value = Lenient<wire::FieldValue>> {
    let text = prop_oneof!["\\[(\"[12]?\",?|[0-9],?|null)*\\]?", "[0-3]", any::<String>()];
    let texts = proptest::collection::vec("[12]?", 0..4);
    lenient(prop_oneof![3 => text.prop_map(wire::FieldValue::Text), 1 => texts.prop_map(wire::FieldValue::List)])
}

prop_compose! {
    fn any_field()(
        field in lenient(prop_oneof!["(name|gender|mobile)", "[a/~]{0,2}", any::<String>()]),
        kind in lenient(prop_oneof![0_i64..10, any::<i64>()]),
        value_as_text in value(),
    ) -> wire::Field {
        wire::Field { field, kind, value_as_text }
    }
}

prop_compose! {
    fn any_row()(
        [customer_id, qw_user_id, external_user_id] in uniform3(any_id()),
        [nickname, avatar, location, remark] in uniform4(text()),
        [created, updated, converted] in uniform3(time_text()),
        kind in lenient(any::<i64>()),
        fields in list(any_field()),
        tag_ids in list("[ab]?"),
    ) -> wire::Customer {
        wire::Customer {
            customer_id,
            qw_user_id,
            kind,
            fields,
            tag_ids,
            create_time: created,
            last_update_time: updated,
            convert_customer_time: converted,
            wechat_nickname: nickname,
            wechat_avatar: avatar,
            wechat_location: location,
            qw_remark: remark,
            external_user_id,
        }
    }
}

prop_compose! {
    fn any_detail_row()(
        [qw_user_id, external_user_id, union_id] in uniform3(any_id()),
        [wechat_nickname, wechat_avatar] in uniform2(text()),
        qw_customer_time in time_text(),
        mobiles in list("[ab]?"),
    ) -> wire::DetailRow {
        wire::DetailRow {
            qw_user_id, external_user_id, union_id, qw_customer_time, mobiles, wechat_nickname, wechat_avatar,
        }
    }
}

proptest! {
    #[test]
    fn any_row_becomes_a_customer(wire in any_row()) {
        let keys: BTreeSet<_> = wire.fields.items.iter().filter_map(|field| field.field.clone().value()).collect();
        let told = list_row(&source(), wire);
        assert_well_made(&told);
        prop_assert_eq!(told.customer.records[0].attributes.keys().cloned().collect::<BTreeSet<_>>(), keys);
    }

    #[test]
    fn any_rows_of_a_detail_become_a_customer(rows in proptest::collection::vec(any_detail_row(), 1..6)) {
        let staff: Vec<_> = rows.iter().map(|row| row.qw_user_id.clone().value().map(|id| id.0)).collect();
        let told = join(rows.into_iter().map(|row| detail_row(&source(), row))).unwrap();
        assert_well_made(&told);
        prop_assert!(told.customer.relations.iter().all(|relation| staff.contains(&relation.staff_id)));
        prop_assert_eq!(told.customer.records.len(), 1);
    }
}
