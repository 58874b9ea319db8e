use std::collections::BTreeSet;

use proptest::array::{uniform3, uniform5, uniform7};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::upstream::filled::{assert_well_made, filled};
use crate::upstream::lenient::Code;

use super::*;

fn source() -> SourceName {
    "tanma".parse().unwrap()
}

fn field(key: &str, kind: i64, value: &str) -> wire::Field {
    wire::Field { field: Some(key.into()), kind: Some(kind), value_as_text: Some(value.into()) }
}

#[test]
fn the_table_of_the_lists_fields_is_what_the_mapper_fills() {
    let wire = wire::Customer {
        customer_id: Some(Code("1".to_owned())),
        qw_user_id: Some("dowen".into()),
        kind: Some(1),
        fields: vec![field("name", 1, "name"), field("gender", 2, "1"), field("mobile", 8, "[\"1\"]")],
        tag_ids: vec![Some("et".into())],
        create_time: Some("2021-03-06 16:22:17".into()),
        last_update_time: Some("2021-03-31 14:59:21".into()),
        convert_customer_time: Some("2021-03-31 14:59:21".into()),
        wechat_nickname: Some("nick".into()),
        wechat_avatar: Some("https://a.test/1".into()),
        wechat_location: Some("Hangzhou".into()),
        qw_remark: Some("remark".into()),
        external_user_id: Some("wm".into()),
    };
    let told = list_row(&source(), wire, None);
    assert_eq!(filled(&told.customer), LIST_FIELDS.iter().map(|field| (*field).to_owned()).collect());
    assert_eq!(told.warnings, []);
}

#[test]
fn the_table_of_the_details_fields_is_what_the_mapper_fills() {
    let row = wire::DetailRow {
        qw_user_id: Some("dowen".into()),
        external_user_id: Some("wm".into()),
        union_id: Some("o".into()),
        qw_customer_time: Some("2020-11-08 16:38:07".into()),
        mobiles: vec![Some("1".into())],
        wechat_nickname: Some("nick".into()),
        wechat_avatar: Some("https://a.test/1".into()),
    };
    let told = detail(&source(), vec![row], None).unwrap();
    assert_eq!(filled(&told.customer), DETAIL_FIELDS.iter().map(|field| (*field).to_owned()).collect());
    assert_eq!(told.warnings, []);
}

/// Mostly few and short, so that some are the same.
fn text() -> impl Strategy<Value = Option<String>> {
    option::of(prop_oneof![9 => "[ab]?", 1 => any::<String>()])
}

fn time_text() -> impl Strategy<Value = Option<String>> {
    let of_the_form = "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}";
    option::of(prop_oneof![
        of_the_form,
        "(0000|2021|9999)-(00|02|12)-(00|29|31) (00|23|24):(00|59|60):(00|59|60)",
        any::<String>()
    ])
}

prop_compose! {
    fn any_field()(
        key in option::of(prop_oneof!["(name|gender|mobile)", "[a/~]{0,2}", any::<String>()]),
        kind in option::of(prop_oneof![0_i64..10, any::<i64>()]),
        value in option::of(prop_oneof!["\\[(\"[12]?\",?|[0-9],?|null)*\\]?", "[0-3]", any::<String>()]),
    ) -> wire::Field {
        wire::Field { field: key, kind, value_as_text: value }
    }
}

prop_compose! {
    fn any_row()(
        [id, qw_user_id, nickname, avatar, location, remark, external_user_id] in uniform7(text()),
        [created, updated, converted] in uniform3(time_text()),
        kind in option::of(any::<i64>()),
        fields in vec(any_field(), 0..8),
        tag_ids in vec(text(), 0..5),
    ) -> wire::Customer {
        wire::Customer {
            customer_id: id.map(Code),
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
        [qw_user_id, external_user_id, union_id, wechat_nickname, wechat_avatar] in uniform5(text()),
        qw_customer_time in time_text(),
        mobiles in vec(text(), 0..4),
    ) -> wire::DetailRow {
        wire::DetailRow {
            qw_user_id, external_user_id, union_id, qw_customer_time, mobiles, wechat_nickname, wechat_avatar,
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_sent_as_a_row_becomes_a_customer(wire in any_row()) {
        let keys: BTreeSet<_> = wire.fields.iter().filter_map(|field| field.field.clone()).collect();
        let told = list_row(&source(), wire, None);
        assert_well_made(&told);
        prop_assert_eq!(told.customer.records[0].attributes.keys().cloned().collect::<BTreeSet<_>>(), keys);
    }

    #[test]
    fn whatever_is_sent_as_a_detail_becomes_a_customer(rows in vec(any_detail_row(), 1..6)) {
        let staff: Vec<_> = rows.iter().map(|row| row.qw_user_id.clone()).collect();
        let told = detail(&source(), rows, None).unwrap();
        assert_well_made(&told);
        prop_assert!(told.customer.relations.iter().all(|relation| staff.contains(&relation.staff_id)));
        prop_assert_eq!(told.customer.records.len(), 1);
    }
}
