//! Word tables of the generator: staff, names, tags and places. Pure data; the choice among them is made in the parent module.

/// One member of the corporation's staff, named alike in both sources (`userId` at `JuziBot`, `qwUserId` at Tanma).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Staff {
    /// The `WeCom` user id. Case matters.
    pub id: &'static str,
    /// The display name `JuziBot` gives in `followUser[].name`.
    pub name: &'static str,
}

/// The whole staff, the same for every seed. The ids are those of the vendors' own samples.
pub const STAFF: [Staff; 8] = [
    Staff { id: "rocky", name: "张三" },
    Staff { id: "zhangsan", name: "张珊" },
    Staff { id: "dowen", name: "杜文" },
    Staff { id: "lisi", name: "李思" },
    Staff { id: "wangwu", name: "王武" },
    Staff { id: "ZhuShanPeng", name: "朱山鹏" },
    Staff { id: "LiuFuLai", name: "刘福来" },
    Staff { id: "JuXiaoMi", name: "桔小秘" },
];

pub(super) const SURNAMES: [&str; 24] = [
    "李", "王", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴", "徐", "孙", "胡", "朱", "高", "林", "何", "郭", "马",
    "罗", "欧阳", "上官", "司马", "诸葛",
];

pub(super) const GIVEN_NAMES: [&str; 28] = [
    "伟", "芳", "娜", "敏", "静", "强", "磊", "洋", "艳", "勇", "军", "杰", "娟", "涛", "明", "超", "秀兰", "霞", "平",
    "桂英", "子涵", "梓萱", "浩然", "雨桐", "思远", "一诺", "建国", "小红",
];

pub(super) const NICKNAMES: [&str; 12] = [
    "jack",
    "小确幸",
    "星辰大海",
    "Lily🌸",
    "夏天的风",
    "老王",
    "momo",
    "追风少年",
    "Allen",
    "南山南",
    "阿May",
    "一叶知秋",
];

pub(super) const LOCATIONS: [&str; 8] =
    ["上海 浦东", "北京 朝阳", "广东 深圳", "浙江 杭州", "四川 成都", "湖北 武汉", "江苏 苏州", "福建 厦门"];

pub(super) const COMPANIES: [&str; 6] =
    ["杭州云帆科技有限公司", "上海启明贸易有限公司", "深圳星海电子", "北京远望咨询", "成都锦里餐饮", "武汉光谷医疗"];

pub(super) const SALUTATIONS: [&str; 5] = ["总", "老师", "先生", "女士", "经理"];

/// Corporate tags as (group, name). A tag's `WeCom` id follows from its place in this table.
pub(super) const CORP_TAGS: [(&str, &str); 10] = [
    ("客户等级", "重要"),
    ("客户等级", "普通"),
    ("客户等级", "潜在"),
    ("客户来源", "抖音"),
    ("客户来源", "公众号"),
    ("客户来源", "门店"),
    ("客户来源", "转介绍"),
    ("企业类型", "央企"),
    ("企业类型", "民企"),
    ("企业类型", "外企"),
];

pub(super) const PERSONAL_TAGS: [&str; 6] = ["爱喝茶", "周末联系", "老客户", "价格敏感", "已加群", "待回访"];
