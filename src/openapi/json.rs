//! JSON whose objects keep the order of their members. `serde_json::Value` sorts them, and the examples of the document
//! show them in the order of real responses (ADR 0031).

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Json {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    String(String),
    Array(Vec<Self>),
    Object(IndexMap<String, Self>),
}

impl Json {
    /// Returns the JSON form of `value`, its members in the order in which `value` serializes them.
    pub fn of<T: Serialize>(value: &T) -> Self {
        let text = serde_json::to_string(value).expect("types of the document have a JSON form");
        Self::parse(&text).expect("serde_json reads what it writes")
    }

    /// Parses a JSON text.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Returns a member of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.get(name),
            _ => None,
        }
    }

    /// Returns the member at a path of member names.
    pub fn get_mut(&mut self, path: &[&str]) -> Option<&mut Self> {
        path.iter().try_fold(self, |value, name| match value {
            Self::Object(members) => members.get_mut(*name),
            _ => None,
        })
    }

    /// Sets a member of an object; ignores other values.
    pub fn set(&mut self, name: &str, member: Self) {
        if let Self::Object(members) = self {
            members.insert(name.to_owned(), member);
        }
    }

    /// Returns the values of an object's members; none for other values.
    pub fn members_mut(&mut self) -> impl Iterator<Item = (&str, &mut Self)> {
        let members = match self {
            Self::Object(members) => Some(members),
            _ => None,
        };
        members.into_iter().flatten().map(|(name, member)| (name.as_str(), member))
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order() {
        let text = r#"{"b":1,"a":{"z":null,"y":[1.5,"x",{"d":true,"c":-2}]}}"#;
        assert_eq!(serde_json::to_string(&Json::parse(text).unwrap()).unwrap(), text);
    }
}
