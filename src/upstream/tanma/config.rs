//! Tanma's part of the configuration.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::model::SourceName;
use crate::upstream::config::{ConfigError, REQUIRED, hidden};
use crate::upstream::secret::{Demand, Keys, SourceSecret};

/// The settings of a Tanma source, validated.
#[derive(Debug, Clone)]
pub struct Config {
    pub app_id: String,
    /// The key that signs every call.
    pub app_key: SourceSecret,
    /// Whether the key itself is sent in the header `appKey`. The vendor's pages list the header, two public clients
    /// leave it out; it is the signing secret, so it stays at home unless asked for.
    pub send_app_key_header: bool,
    /// What `type` is sent as in the list; `None`: not sent. The vendor's page does not say what it means.
    pub list_type: Option<i64>,
    /// Rows of a page; the vendor's maximum is not known, its sample asks for 100.
    pub page_size: u32,
    /// Whether a detail must be asked with `qwUserId`; the vendor's page does not say whether it is optional.
    pub detail_requires_staff_id: bool,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Raw {
    #[serde(default)]
    app_id: String,
    #[serde(default, serialize_with = "hidden", skip_serializing_if = "Option::is_none")]
    app_key: Option<SecretString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_key_file: Option<PathBuf>,
    #[serde(default)]
    send_app_key_header: bool,
    list_type: Option<i64>,
    #[serde(default = "default_page_size")]
    page_size: u32,
    #[serde(default)]
    detail_requires_staff_id: bool,
}

fn default_page_size() -> u32 {
    100
}

impl Config {
    /// # Errors
    /// Every setting that cannot be used.
    pub fn validate(name: &SourceName, raw: Raw) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut reject = |key, expected: &str| {
            errors.push(ConfigError::Setting { source_name: name.clone(), key, expected: expected.to_owned() });
        };
        if raw.app_id.is_empty() {
            reject("app_id", REQUIRED);
        } else if !raw.app_id.bytes().all(|b| b.is_ascii_graphic()) {
            reject("app_id", "expected visible ASCII characters");
        }
        if raw.page_size == 0 || raw.page_size > 1_000 {
            reject("page_size", "expected a number from 1 to 1000");
        }
        let keys = Keys { inline: "app_key", file: "app_key_file" };
        let demand: Demand = if raw.send_app_key_header { fits_a_header } else { |_| Ok(()) };
        let app_key = SourceSecret::read(name, keys, raw.app_key, raw.app_key_file, demand);
        let app_key = app_key.map_err(|error| errors.push(error)).ok();
        let (Some(app_key), true) = (app_key, errors.is_empty()) else { return Err(errors) };
        Ok(Self {
            app_id: raw.app_id,
            app_key,
            send_app_key_header: raw.send_app_key_header,
            list_type: raw.list_type,
            page_size: raw.page_size,
            detail_requires_staff_id: raw.detail_requires_staff_id,
        })
    }
}

fn fits_a_header(key: &SecretString) -> Result<(), &'static str> {
    let fits = key.expose_secret().bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(()) } else { Err("cannot be sent as a header: expected visible ASCII characters") }
}
