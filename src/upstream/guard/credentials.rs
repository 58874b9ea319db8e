//! What comes of a refused secret: its file is read again, once for all who were refused, and not for every refusal.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout_at};

use crate::live::OnDemand;
use crate::upstream::{Deadline, SourceSecret};

/// Between two readings for refusals. A source that refuses whatever it is sent does not make us read with every call.
const COOL_DOWN: Duration = Duration::from_secs(10);

/// One source's secret, as its calls are refused with it.
pub(in crate::upstream) struct Credentials {
    secret: SourceSecret,
    file: OnDemand,
}

impl Credentials {
    pub(in crate::upstream) fn new(secret: SourceSecret) -> Self {
        Self { secret, file: OnDemand::new(COOL_DOWN) }
    }

    /// The secret that a call is sent with now.
    pub(super) fn now(&self) -> Arc<SecretString> {
        self.secret.get()
    }

    /// Whether there is another secret than the refused one, in time for the deadline and within a second. It may be there
    /// already; else the file is read again, unless that was done within the cool-down.
    pub(super) async fn renewed(&self, refused: &SecretString, deadline: Deadline) -> bool {
        if !self.is_another(refused) {
            let reading = self.file.reread(Arc::new(self.secret.clone()), || !self.is_another(refused));
            let _late = timeout_at(deadline.0, reading).await;
        }
        self.is_another(refused) && Instant::now() < deadline.0
    }

    fn is_another(&self, refused: &SecretString) -> bool {
        self.now().expose_secret() != refused.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use futures_util::future::join_all;
    use tempfile::TempDir;

    use crate::live::Reread;
    use crate::upstream::secret::Keys;

    use super::*;

    struct Stage {
        credentials: Credentials,
        file: PathBuf,
        _folder: TempDir,
    }

    impl Stage {
        /// A source whose file holds the secret `first`.
        fn set() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("token");
            std::fs::write(&file, "first").unwrap();
            let (name, keys) = ("juzibot".parse().unwrap(), Keys { inline: "token", file: "token_file" });
            let secret = SourceSecret::read(&name, keys, None, Some(file.clone()), |_| Ok(())).unwrap();
            Self { credentials: Credentials::new(secret), file, _folder: folder }
        }

        fn change(&self, to: &str) {
            std::fs::write(&self.file, to).unwrap();
        }

        async fn renewed(&self, refused: &str) -> bool {
            self.credentials.renewed(&refused.into(), Deadline(Instant::now() + Duration::from_secs(5))).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_refused_at_the_same_time_gets_what_one_reading_brought() {
        let stage = Stage::set();
        stage.change("second");
        let renewed = join_all((0..50).map(|_| stage.renewed("first"))).await;
        assert_eq!(renewed, [true; 50]);
        assert_eq!(stage.credentials.now().expose_secret(), "second");
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_goes_on_refusing_makes_nobody_read_again_before_the_cool_down_is_over() {
        let stage = Stage::set();
        assert!(!stage.renewed("first").await, "the file is as it was");
        stage.change("second");
        tokio::time::advance(COOL_DOWN.saturating_sub(Duration::from_millis(1))).await;
        assert!(!stage.renewed("first").await);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(stage.renewed("first").await);
        stage.change("third");
        assert!(!stage.renewed("second").await, "it has begun anew");
    }

    #[tokio::test(start_paused = true)]
    async fn a_secret_that_came_by_another_way_is_used_whatever_the_cool_down() {
        let stage = Stage::set();
        assert!(!stage.renewed("first").await);
        stage.change("second");
        stage.credentials.secret.reread();
        assert!(stage.renewed("first").await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_leaves_the_secret_as_it_is_is_none() {
        let stage = Stage::set();
        stage.change("first\n");
        assert!(!stage.renewed("first").await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_too_late_is_of_no_use_to_this_call_and_of_use_to_the_next() {
        let stage = Stage::set();
        stage.change("second");
        assert!(!stage.credentials.renewed(&"first".into(), Deadline(Instant::now())).await);
        assert!(stage.renewed("first").await);
    }
}
