//! Which code of a source means what: a table with defaults in code and additions in the configuration.

use std::collections::{BTreeMap, HashMap};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::model::Operation;

use super::reading::elements;

/// What a source's code, or its HTTP status, means to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CodeClass {
    NotFound,
    /// The token, signature or clock was refused.
    Credentials,
    RateLimited,
    /// The source says that it cannot serve now.
    Retryable,
    /// The values were refused.
    Invalid,
    /// No table knows the code.
    Rejected,
}

impl CodeClass {
    /// The class of an HTTP status that is no success (contract §4).
    pub fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Credentials,
            429 => Self::RateLimited,
            500..=599 => Self::Retryable,
            _ => Self::Rejected,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Credentials => "credentials",
            Self::RateLimited => "rate_limited",
            Self::Retryable => "retryable",
            Self::Invalid => "invalid",
            Self::Rejected => "rejected",
        }
    }
}

/// Declares a table of codes by class, with further tables.
macro_rules! class_codes {
    ($(#[$doc:meta])* $name:ident { $($operation:ident),* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            #[serde(deserialize_with = "codes")]
            pub not_found: Vec<String>,
            #[serde(deserialize_with = "codes")]
            pub credentials: Vec<String>,
            #[serde(deserialize_with = "codes")]
            pub rate_limited: Vec<String>,
            #[serde(deserialize_with = "codes")]
            pub retryable: Vec<String>,
            #[serde(deserialize_with = "codes")]
            pub invalid: Vec<String>,
            $(#[serde(skip_serializing_if = "OperationCodes::is_empty")] pub $operation: OperationCodes,)*
        }

        impl $name {
            fn classes(&self) -> impl Iterator<Item = (CodeClass, &String)> {
                let classes = [
                    (CodeClass::NotFound, &self.not_found),
                    (CodeClass::Credentials, &self.credentials),
                    (CodeClass::RateLimited, &self.rate_limited),
                    (CodeClass::Retryable, &self.retryable),
                    (CodeClass::Invalid, &self.invalid),
                ];
                classes.into_iter().flat_map(|(class, codes)| codes.iter().map(move |code| (class, code)))
            }
        }
    };
}

class_codes! {
    /// Additions for one operation, as `[sources.NAME.codes.OPERATION]` gives them.
    OperationCodes {}
}

class_codes! {
    /// Additions to a kind's table, as `[sources.NAME.codes]` gives them: numbers or strings.
    CodeAdditions { list_customers, get_by_external_user_id, get_by_union_id, set_remarks, add_follow_ups }
}

impl OperationCodes {
    fn is_empty(&self) -> bool {
        self.classes().next().is_none()
    }
}

impl CodeAdditions {
    fn of(&self, operation: Operation) -> &OperationCodes {
        match operation {
            Operation::ListCustomers => &self.list_customers,
            Operation::GetByExternalUserId => &self.get_by_external_user_id,
            Operation::GetByUnionId => &self.get_by_union_id,
            Operation::SetRemarks => &self.set_remarks,
            Operation::AddFollowUps => &self.add_follow_ups,
        }
    }
}

/// A list of codes, numbers or strings; in the environment its elements with commas between.
fn codes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Code {
        Number(i64),
        Text(String),
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        List(Vec<Code>),
        One(Code),
    }
    let form = Form::deserialize(deserializer);
    Ok(match form.map_err(|_| D::Error::custom("expected a list of codes, such as [40001, \"E7\"]"))? {
        Form::One(Code::Number(number)) => vec![number.to_string()],
        Form::One(Code::Text(text)) => elements(&text),
        Form::List(codes) => codes
            .into_iter()
            .map(|code| match code {
                Code::Number(number) => number.to_string(),
                Code::Text(text) => text,
            })
            .collect(),
    })
}

/// A code that a kind's documentation names: for one operation, or for all.
pub type KnownCode = (Option<Operation>, &'static str, CodeClass);

/// One source's codes and their classes. A code of one operation overrides the same code of all.
#[derive(Debug, Clone, Default)]
pub struct CodeTable {
    all: HashMap<String, CodeClass>,
    of_operation: HashMap<Operation, HashMap<String, CodeClass>>,
}

impl CodeTable {
    /// A kind's defaults with a source's additions over them.
    pub fn new(defaults: &[KnownCode], additions: &CodeAdditions) -> Self {
        let mut table = Self::default();
        for (operation, code, class) in defaults {
            table.scope(*operation).insert((*code).to_owned(), *class);
        }
        table.all.extend(additions.classes().map(|(class, code)| (code.clone(), class)));
        for operation in Operation::ALL {
            for (class, code) in additions.of(operation).classes() {
                table.scope(Some(operation)).insert(code.clone(), class);
            }
        }
        table
    }

    fn scope(&mut self, operation: Option<Operation>) -> &mut HashMap<String, CodeClass> {
        match operation {
            Some(operation) => self.of_operation.entry(operation).or_default(),
            None => &mut self.all,
        }
    }

    pub fn class(&self, operation: Operation, code: &str) -> CodeClass {
        let of_operation = self.of_operation.get(&operation).and_then(|codes| codes.get(code));
        of_operation.or_else(|| self.all.get(code)).copied().unwrap_or(CodeClass::Rejected)
    }

    /// The codes of each class that hold for every operation, sorted; every class is there.
    pub fn by_class(&self) -> BTreeMap<String, Vec<String>> {
        use CodeClass::{Credentials, Invalid, NotFound, RateLimited, Retryable};
        let mut classes = by_class(&self.all);
        for class in [NotFound, Credentials, RateLimited, Retryable, Invalid] {
            classes.entry(class.as_str().to_owned()).or_default();
        }
        classes
    }

    /// The codes of each class that hold for one operation only, sorted; only classes that have any.
    pub fn of_operation(&self, operation: Operation) -> BTreeMap<String, Vec<String>> {
        self.of_operation.get(&operation).map(by_class).unwrap_or_default()
    }
}

fn by_class(codes: &HashMap<String, CodeClass>) -> BTreeMap<String, Vec<String>> {
    let mut classes = BTreeMap::<String, Vec<String>>::new();
    for (code, class) in codes {
        classes.entry(class.as_str().to_owned()).or_default().push(code.clone());
    }
    for codes in classes.values_mut() {
        codes.sort();
    }
    classes
}
