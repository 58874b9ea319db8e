//! Contract §7: secrets and keys that change while the gateway runs.

mod cursors;
mod issuers;
mod overlap;
mod refused;
mod unusable;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{APP_KEY, GatewayOptions, JUZIBOT_TOKEN, Vendor};

/// Far longer than a test: what is read again then is so for another reason than the time.
const NEVER: &str = "reread_files = \"1h\"";
/// So often that a test may wait for it.
const SOON: &str = "reread_files = \"20ms\"";

/// A secret in a file, as an operator changes it.
struct SecretFile {
    path: PathBuf,
    _folder: TempDir,
}

impl SecretFile {
    fn holding(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = Self { path: folder.path().join("secret"), _folder: folder };
        file.change(text);
        file
    }

    /// All at once, as a mounted secret changes: nobody sees half of it.
    fn change(&self, text: &str) {
        let new = self.path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &self.path).unwrap();
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// The secret that a vendor's source takes at the start.
fn first_secret(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::Juzibot => JUZIBOT_TOKEN,
        Vendor::Tanma => APP_KEY,
    }
}

/// A gateway whose secret of this vendor is in a file.
fn with_file(vendor: Vendor, file: &SecretFile, server: &str) -> GatewayOptions {
    let mut options = GatewayOptions { server: server.to_owned(), ..GatewayOptions::default() };
    let (key, section) = match vendor {
        Vendor::Juzibot => ("token_file", &mut options.juzibot_secret),
        Vendor::Tanma => ("app_key_file", &mut options.tanma_secret),
    };
    *section = format!("{key} = \"{}\"", file.path().display());
    options
}

/// Waits for what is bound to come. Whoever asks others in `what` gives them the processor.
async fn until(what: impl AsyncFn() -> bool) {
    let come = async {
        while !what().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), come).await.expect("it comes to pass");
}
