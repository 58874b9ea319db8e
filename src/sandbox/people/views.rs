//! What each source holds about a person: the contents of its rows, before they are written in its JSON.

use super::dice::Dice;
use super::words::{self, STAFF, Staff};
use super::{Person, RowKey, Told, met_at, row_key};

/// What `JuziBot` knows of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JuzibotView {
    /// Told for nine in ten; a customer without it cannot be written to.
    pub union_id: Told<String>,
    pub avatar: Told<String>,
    /// In the order of [`STAFF`]; never empty.
    pub relations: Vec<JuzibotRelation>,
}

/// One entry of `followUser`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JuzibotRelation {
    pub staff: &'static Staff,
    pub remark: String,
    pub avatar: Told<String>,
    /// Epoch milliseconds.
    pub created_ms: i64,
    pub tags: Vec<Tag>,
    /// In the Chinese documentation only.
    pub state: Told<String>,
    /// In the Chinese documentation only.
    pub mobiles: Told<Vec<String>>,
}

/// A tag as `JuziBot` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pub group: &'static str,
    pub name: &'static str,
    /// `WeCom`'s id of a corporate tag; a personal tag has none.
    pub id: Option<String>,
}

/// What Tanma knows of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TanmaView {
    /// Tanma's own id, near 4e14 as in the vendor's sample.
    pub customer_id: i64,
    /// 1 or 2. The vendor does not say what they mean.
    pub kind: u8,
    /// Whether list rows tell `externalUserId`; it may be null there.
    pub lists_external_user_id: bool,
    /// Mostly null; where told, the person's own.
    pub union_id: Option<String>,
    pub nickname: Option<String>,
    pub avatar: Option<String>,
    pub location: Option<String>,
    /// Epoch seconds.
    pub converted: Option<i64>,
    pub fields: Vec<Field>,
    /// In the order of [`STAFF`]; never empty.
    pub relations: Vec<TanmaRelation>,
}

/// One entry of `fields`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub key: &'static str,
    /// 1 text, 2 single choice, 3 date, 4 number, 5 multi-line, 6 multiple choice, 7 date-time, 8 phone.
    pub kind: u8,
    pub value: Option<String>,
}

/// One row of a staff member's list at Tanma.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TanmaRelation {
    pub staff: &'static Staff,
    /// When Tanma created the row, and its id: the order of the list.
    pub key: RowKey,
    /// Epoch seconds.
    pub updated: i64,
    /// Epoch seconds at which the staff member added the customer in `WeCom`.
    pub added: i64,
    pub remark: String,
    /// `WeCom`'s ids; some rows hold one twice, as the vendor's sample does.
    pub tag_ids: Vec<String>,
}

fn members(mask: u8) -> impl Iterator<Item = (usize, &'static Staff)> {
    STAFF.iter().enumerate().filter(move |(at, _)| mask & (1 << at) != 0)
}

fn told<T>(value: T, dice: &mut Dice, percent: u64) -> Told<T> {
    if dice.chance(percent) {
        Told::Value(value)
    } else if dice.chance(50) {
        Told::Null
    } else {
        Told::Absent
    }
}

fn avatar_url(dice: &mut Dice) -> String {
    format!("http://p.qlogo.cn/bizmail/{}/0", dice.letters(20))
}

/// The id of a corporate tag; the same in both sources and for every seed.
fn tag_id(at: usize) -> String {
    format!("etSandboxAA{}", Dice::new(0).of(at).letters(21))
}

fn corp_tag(at: usize) -> Tag {
    let (group, name) = words::CORP_TAGS[at];
    Tag { group, name, id: Some(tag_id(at)) }
}

fn tag_number(dice: &mut Dice) -> usize {
    usize::try_from(dice.below(words::CORP_TAGS.len() as u64)).unwrap_or(0)
}

fn remark(person: &Person, dice: &mut Dice) -> String {
    match dice.below(4) {
        0 => String::new(),
        1 => person.name.clone(),
        _ => format!("{}{}", person.name.chars().next().unwrap_or('客'), dice.pick(&words::SALUTATIONS)),
    }
}

/// `mask` has one bit per member of staff.
pub(super) fn juzibot(person: &Person, mask: u8, dice: &mut Dice) -> JuzibotView {
    let featured = person.index == 0;
    JuzibotView {
        union_id: told(person.union_id.clone(), dice, if featured { 100 } else { 90 }),
        avatar: told(avatar_url(dice), dice, 85),
        relations: members(mask)
            .map(|(at, staff)| {
                let mut tags: Vec<Tag> = Vec::new();
                for _ in 0..dice.below(3).max(u64::from(featured)) {
                    let tag = corp_tag(tag_number(dice));
                    if !tags.contains(&tag) {
                        tags.push(tag);
                    }
                }
                if featured || dice.chance(30) {
                    tags.push(Tag { group: "个人标签", name: dice.pick(&words::PERSONAL_TAGS), id: None });
                }
                JuzibotRelation {
                    staff,
                    remark: remark(person, dice),
                    avatar: told(avatar_url(dice), dice, 80),
                    created_ms: met_at(person.index, at) * 1_000,
                    tags,
                    state: told(channel_state(dice), dice, 30),
                    mobiles: told(person.mobiles.clone(), dice, if featured { 100 } else { 50 }),
                }
            })
            .collect(),
    }
}

fn channel_state(dice: &mut Dice) -> String {
    format!("{:08x}-{:04x}", dice.below(1 << 32), dice.below(1 << 16))
}

/// `mask` has one bit per member of staff.
pub(super) fn tanma(person: &Person, mask: u8, dice: &mut Dice) -> TanmaView {
    let featured = person.index == 0;
    let number = i64::try_from(person.index).unwrap_or(0);
    let relations: Vec<TanmaRelation> = members(mask)
        .map(|(at, staff)| {
            let added = met_at(person.index, at);
            let key = row_key(person.index, at);
            let mut tag_ids: Vec<String> = (0..dice.below(3)).map(|_| tag_id(tag_number(dice))).collect();
            if let Some(first) = tag_ids.first().filter(|_| dice.chance(10)).cloned() {
                tag_ids.push(first);
            }
            TanmaRelation {
                staff,
                key,
                updated: i64::try_from(key.seconds).unwrap_or(0) + i64::try_from(dice.below(30 * 86_400)).unwrap_or(0),
                added,
                remark: remark(person, dice),
                tag_ids,
            }
        })
        .collect();
    let first_seen = relations[0].added;
    TanmaView {
        customer_id: 398_604_120_668_224 + number * 65_536 + i64::try_from(dice.below(65_536)).unwrap_or(0),
        kind: if dice.chance(90) { 1 } else { 2 },
        lists_external_user_id: featured || dice.chance(80),
        union_id: dice.chance(if featured { 100 } else { 30 }).then(|| person.union_id.clone()),
        nickname: dice.chance(80).then(|| dice.pick(&words::NICKNAMES).to_owned()),
        avatar: dice.chance(60).then(|| avatar_url(dice)),
        location: dice.chance(30).then(|| dice.pick(&words::LOCATIONS).to_owned()),
        converted: dice.chance(20).then(|| first_seen + 86_400),
        fields: fields(person, dice),
        relations,
    }
}

/// The ten system keys of the vendor's sample in its order, then custom ones. The vendor does not publish the keys of custom
/// fields nor the forms of types 3 to 7: those here are plausible, not known.
fn fields(person: &Person, dice: &mut Dice) -> Vec<Field> {
    let text = |key, kind, value| Field { key, kind, value };
    let mobiles = serde_json::to_string(&person.mobiles).ok();
    let mut fields = vec![
        text("customer_source", 2, Some(dice.below(8).to_string())),
        text("description", 1, dice.chance(20).then(|| dice.pick(&words::PERSONAL_TAGS).to_owned())),
        text("mobile", 8, if person.mobiles.is_empty() && dice.chance(50) { None } else { mobiles }),
        text("address", 1, dice.chance(20).then(|| dice.pick(&words::LOCATIONS).to_owned())),
        text("birthday", 3, dice.chance(20).then(|| format!("19{:02}-{:02}-15", dice.below(100), 1 + dice.below(12)))),
        text("corp_name", 1, dice.chance(30).then(|| dice.pick(&words::COMPANIES).to_owned())),
        text("name", 1, dice.chance(90).then(|| person.name.clone())),
        text("purchase_intention", 2, dice.chance(20).then(|| dice.below(4).to_string())),
        text("gender", 2, Some(person.gender.to_string())),
        text("customer_stage", 2, Some(dice.pick(&["396823724189760", "398792098304064"]).to_owned())),
    ];
    if person.index == 0 || dice.chance(40) {
        let signed = format!("2024-{:02}-01 10:30:00", 1 + dice.below(12));
        fields.extend([
            text("custom_area", 4, Some(format!("{}.5", dice.below(500)))),
            text("custom_notes", 5, Some("第一行\n第二行".to_owned())),
            text("custom_interests", 6, Some(format!("[\"{}\",\"7\"]", dice.below(6)))),
            text("custom_signed_at", 7, dice.chance(70).then_some(signed)),
            text("custom_second_phone", 8, dice.chance(50).then(|| format!("[\"021{:08}\"]", dice.below(100_000_000)))),
        ]);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_id_looks_like_wecoms_and_is_stable() {
        assert_eq!(tag_id(3), tag_id(3));
        assert_ne!(tag_id(3), tag_id(4));
        assert_eq!(tag_id(0).len(), 32);
        assert!(tag_id(0).bytes().all(|byte| super::super::dice::position(byte).is_some()));
    }
}
