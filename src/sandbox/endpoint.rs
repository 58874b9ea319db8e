//! The simulated endpoints and their addresses.

use axum::http::Method;
use serde::{Deserialize, Serialize};

/// One of the two simulated vendors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Juzibot,
    Tanma,
}

/// One operation of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Endpoint {
    JuzibotList,
    JuzibotDetail,
    JuzibotSetRemark,
    JuzibotAddFollow,
    TanmaList,
    TanmaDetails,
}

impl Endpoint {
    pub const ALL: [Self; 6] = [
        Self::JuzibotList,
        Self::JuzibotDetail,
        Self::JuzibotSetRemark,
        Self::JuzibotAddFollow,
        Self::TanmaList,
        Self::TanmaDetails,
    ];

    /// The name by which counts and faults call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::JuzibotList => "juzibot.list",
            Self::JuzibotDetail => "juzibot.detail",
            Self::JuzibotSetRemark => "juzibot.set_remark",
            Self::JuzibotAddFollow => "juzibot.add_follow",
            Self::TanmaList => "tanma.list_by_qw_user_id",
            Self::TanmaDetails => "tanma.qw_details",
        }
    }

    pub fn source(self) -> Source {
        match self {
            Self::JuzibotList | Self::JuzibotDetail | Self::JuzibotSetRemark | Self::JuzibotAddFollow => {
                Source::Juzibot
            }
            Self::TanmaList | Self::TanmaDetails => Source::Tanma,
        }
    }

    pub fn method(self) -> Method {
        match self {
            Self::JuzibotList | Self::JuzibotDetail => Method::GET,
            Self::JuzibotSetRemark | Self::JuzibotAddFollow | Self::TanmaList | Self::TanmaDetails => Method::POST,
        }
    }

    pub fn path(self) -> &'static str {
        match self {
            Self::JuzibotList => "/api/v1/customer/list",
            Self::JuzibotDetail => "/api/v1/customer/detail",
            Self::JuzibotSetRemark => "/api/v1/customer/set_remark",
            Self::JuzibotAddFollow => "/api/v1/customer/add_follow",
            Self::TanmaList => "/api/v3/customer-relation/list-by-qw-user-id",
            Self::TanmaDetails => "/api/v2/customer/qw-details",
        }
    }
}

impl From<Endpoint> for &'static str {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.name()
    }
}

impl TryFrom<String> for Endpoint {
    type Error = String;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let known = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|endpoint| endpoint.name() == name);
        found.ok_or_else(|| format!("{name:?} is no endpoint; there are {}", known()))
    }
}
