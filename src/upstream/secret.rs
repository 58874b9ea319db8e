//! The secret that a source is called with: given in place, or held by a file and read again.

use std::path::PathBuf;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use crate::live::{Live, Reread};
use crate::model::SourceName;

use super::config::{ConfigError, HIDDEN, HIDDEN_GIVEN};
use super::redact::Redactor;

/// A source's secret of now. Clones are of the same secret.
#[derive(Debug, Clone)]
pub struct SourceSecret {
    live: Arc<Live<SecretString>>,
    redactor: Redactor,
}

/// What the configuration calls a secret, given in place or by a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys {
    pub(super) inline: &'static str,
    pub(super) file: &'static str,
}

/// What a kind demands of its secret: an error says what is wrong and nothing of the secret.
pub(super) type Demand = fn(&SecretString) -> Result<(), &'static str>;

impl SourceSecret {
    /// From one of the two keys. A file may end in a line break; what it holds later and cannot be used leaves the
    /// secret as it was.
    ///
    /// # Errors
    /// Both keys or none, a file that cannot be read, or a secret that cannot be used.
    pub(super) fn read(
        source: &SourceName,
        keys: Keys,
        inline: Option<SecretString>,
        file: Option<PathBuf>,
        demand: Demand,
    ) -> Result<Self, ConfigError> {
        let Keys { inline: inline_key, file: file_key } = keys;
        let fault = |key, expected: String| ConfigError::Setting { source_name: source.clone(), key, expected };
        let redactor = Redactor::default();
        let usable = {
            let redactor = redactor.clone();
            move |secret: SecretString| -> Result<SecretString, String> {
                sound(&secret).and_then(|()| demand(&secret))?;
                // Before anybody can send it.
                redactor.hide(&secret);
                Ok(secret)
            }
        };
        let live = match (inline, file) {
            (Some(secret), None) => Live::fixed(usable(secret).map_err(|why| fault(inline_key, why))?),
            (None, Some(path)) => {
                let parse = move |bytes: &[u8]| usable(text(bytes)?);
                Live::of_file(format!("sources.{source}.{file_key}"), &path, parse)
                    .map_err(|error| fault(file_key, error.with_inline(inline_key)))?
            }
            (Some(_), Some(_)) => {
                return Err(fault(inline_key, format!("expected either {inline_key} or {file_key}, not both")));
            }
            (None, None) => {
                let source_name = source.clone();
                return Err(ConfigError::MissingSecret { source_name, inline: inline_key, file: file_key });
            }
        };
        Ok(Self { live: Arc::new(live), redactor })
    }

    /// The secret of now.
    pub fn get(&self) -> Arc<SecretString> {
        self.live.get()
    }

    /// What hides this secret, and the former ones, in the source's own words.
    pub(super) fn redactor(&self) -> Redactor {
        self.redactor.clone()
    }
}

impl Reread for SourceSecret {
    fn reread(&self) -> bool {
        self.live.reread()
    }

    fn is_usable(&self) -> Option<bool> {
        self.live.is_usable()
    }
}

fn text(bytes: &[u8]) -> Result<SecretString, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "expected text in UTF-8")?;
    Ok(text.trim_end_matches(['\r', '\n']).into())
}

fn sound(secret: &SecretString) -> Result<(), &'static str> {
    let secret = secret.expose_secret();
    if secret.is_empty() {
        return Err("is empty");
    }
    if secret == HIDDEN {
        return Err(HIDDEN_GIVEN);
    }
    if secret.contains(char::is_control) { Err("expected one line without control characters") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: Keys = Keys { inline: "token", file: "token_file" };

    fn no_x(secret: &SecretString) -> Result<(), &'static str> {
        if secret.expose_secret().contains('x') { Err("expected no x") } else { Ok(()) }
    }

    fn of_file(path: PathBuf) -> Result<SourceSecret, String> {
        let name = "juzibot".parse().unwrap();
        SourceSecret::read(&name, KEYS, None, Some(path), no_x).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_that_changes_brings_another_secret_unless_that_cannot_be_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "first\r\n").unwrap();
        let secret = of_file(path.clone()).unwrap();
        assert_eq!(secret.get().expose_secret(), "first");
        for unusable in ["", "\n", "two\nlines", "x", "nul\0"] {
            std::fs::write(&path, unusable).unwrap();
            assert!(!secret.reread(), "{unusable:?}");
        }
        std::fs::write(&path, [0xFF]).unwrap();
        assert!(!secret.reread());
        assert_eq!(secret.get().expose_secret(), "first");
        std::fs::write(&path, "second\n").unwrap();
        assert!(secret.reread());
        assert_eq!(secret.get().expose_secret(), "second");
        assert_eq!(secret.redactor().clean("first, second"), "[redacted], [redacted]");
    }

    #[test]
    fn at_the_start_what_cannot_be_used_is_told_by_the_files_key_and_not_by_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for (text, told) in [("", "is empty"), ("a\nb", "one line"), ("x", "expected no x")] {
            std::fs::write(&path, text).unwrap();
            let fault = of_file(path.clone()).unwrap_err();
            assert!(fault.starts_with("sources.juzibot.token_file: ") && fault.contains(told), "{fault}");
        }
    }
}
