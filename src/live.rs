//! Values that files hold and that may change while the process runs: secrets and keys. A leaf: imports nothing of the road.
//!
//! A file is read again from time to time, and where somebody has a reason to think that it has changed. What it held is
//! kept until it holds something that can be used.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use sha2::{Digest, Sha256};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use crate::shortage;

/// Makes a value of a file's bytes. An error says what was expected, never what is there.
type Parse<T> = Box<dyn Fn(&[u8]) -> Result<T, String> + Send + Sync>;

/// A value that is there once and for all, or that a file holds.
pub struct Live<T> {
    current: ArcSwap<T>,
    file: Option<File<T>>,
}

struct File<T> {
    /// The key of the configuration that names the file.
    key: String,
    path: PathBuf,
    parse: Parse<T>,
    /// A hash of what was last seen there: of the bytes, or of why there are none.
    seen: Mutex<Seen>,
    /// Whether that is the value in use.
    is_usable: AtomicBool,
}

type Seen = [u8; 32];

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system's reason.
    #[error("{} cannot be read: {reason}", shown(path))]
    Unreadable { path: PathBuf, reason: String },
    /// The form that its content should have.
    #[error("{0}")]
    Content(String),
}

impl FileError {
    /// Returns the message; where a value was probably given in place of the path, it names `inline`, the key for the value.
    pub fn with_inline(&self, inline: &str) -> String {
        match self {
            Self::Unreadable { path, .. } if !is_path(path) => format!("{self}; use {inline} to set the value itself"),
            _ => self.to_string(),
        }
    }
}

/// Whether this is certainly a path. A word may be a secret that was given in place of one.
fn is_path(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().contains(&b'/')
}

/// Formats the path of a file that cannot be read, unless it may be a secret.
pub fn shown(path: &Path) -> String {
    if is_path(path) { path.display().to_string() } else { "the file".to_owned() }
}

/// Something that can be read again.
pub trait Reread: Send + Sync {
    /// Reads it again; tells whether there is another value now.
    fn reread(&self) -> bool;

    /// Whether the file held a usable value when it was last read; `None` for a value that no file holds.
    fn is_usable(&self) -> Option<bool>;
}

impl<T> Live<T> {
    /// A value that stays.
    pub fn fixed(value: T) -> Self {
        Self { current: ArcSwap::from_pointee(value), file: None }
    }

    /// The value that a file holds now, and later. `key` is what the log calls the file.
    ///
    /// # Errors
    /// The file cannot be read, or what it holds cannot be used: what was expected.
    pub fn of_file(
        key: impl Into<String>,
        path: &Path,
        parse: impl Fn(&[u8]) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, FileError> {
        let (seen, bytes) = look(std::fs::read(path));
        let bytes = bytes.map_err(|reason| FileError::Unreadable { path: path.to_owned(), reason })?;
        let current = ArcSwap::from_pointee(parse(&bytes).map_err(FileError::Content)?);
        let file = File {
            key: key.into(),
            path: path.to_owned(),
            parse: Box::new(parse),
            seen: Mutex::new(seen),
            is_usable: AtomicBool::new(true),
        };
        Ok(Self { current, file: Some(file) })
    }

    /// Whether a file holds it.
    pub fn may_change(&self) -> bool {
        self.file.is_some()
    }

    /// The value of now. Two calls give the same `Arc` for as long as the value is the same.
    pub fn get(&self) -> Arc<T> {
        self.current.load_full()
    }
}

impl<T: Send + Sync> Reread for Live<T> {
    fn reread(&self) -> bool {
        let Some(File { key, path, parse, seen, is_usable }) = &self.file else { return false };
        // Held throughout: two who read again at once do not undo each other's.
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let read = std::fs::read(path);
        if let Some(resource) = read.as_ref().err().and_then(|error| shortage::of(error)) {
            // It tells nothing about the file, which is as usable as it was.
            let path = path.display();
            tracing::warn!(key, %path, "the file was not read again: the gateway has no {resource} left");
            return false;
        }
        let (now, bytes) = look(read);
        if std::mem::replace(&mut *seen, now) == now {
            return false;
        }
        match bytes.map_err(|reason| format!("cannot be read: {reason}")).and_then(|bytes| parse(&bytes)) {
            Ok(value) => {
                self.current.store(Arc::new(value));
                is_usable.store(true, Ordering::Relaxed);
                tracing::info!(key, path = %path.display(), "the file has changed and was read again");
                true
            }
            Err(why) => {
                is_usable.store(false, Ordering::Relaxed);
                tracing::error!(key, path = %path.display(), why, "the file has changed; what it held before is kept");
                false
            }
        }
    }

    fn is_usable(&self) -> Option<bool> {
        self.file.as_ref().map(|file| file.is_usable.load(Ordering::Relaxed))
    }
}

/// The value may be a secret.
impl<T> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("path", &self.file.as_ref().map(|file| &file.path)).finish_non_exhaustive()
    }
}

fn look(read: std::io::Result<Vec<u8>>) -> (Seen, Result<Vec<u8>, String>) {
    let read = read.map_err(|error| error.to_string());
    let (kind, bytes) = match &read {
        Ok(bytes) => (b"read", bytes.as_slice()),
        Err(error) => (b"fail", error.as_bytes()),
    };
    (Sha256::new().chain_update(kind).chain_update(bytes).finalize().into(), read)
}

/// Reads a file again for those who have a reason to think that it has changed: once for all who come meanwhile, and not for
/// every one of them.
pub struct OnDemand {
    cool_down: Duration,
    /// When it was last read so. Held during that: who comes meanwhile waits for what it brings.
    read_at: Arc<tokio::sync::Mutex<Option<Instant>>>,
    /// How many readings have begun.
    begun: AtomicU64,
}

/// The longest wait for a reading. A file that takes longer hangs, and what waits for it is not to hang with it.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

impl OnDemand {
    /// `cool_down` lies between two readings.
    pub fn new(cool_down: Duration) -> Self {
        Self { cool_down, read_at: Arc::default(), begun: AtomicU64::new(0) }
    }

    /// Has the file read, if that is still needed when it comes to it, and waits for that, a second at most. Reading goes on where
    /// the wait ends, and is of use to who comes next.
    pub async fn reread(&self, file: Arc<dyn Reread>, is_needed: impl Fn() -> bool) {
        let reading = async {
            let read_at = self.read_at.clone().lock_owned().await;
            if !is_needed() || read_at.is_some_and(|at| at.elapsed() < self.cool_down) {
                return;
            }
            self.read(file, read_at).await;
        };
        let _late = tokio::time::timeout(LONGEST_WAIT, reading).await;
    }

    /// Waits for the end of a reading that began after the call, a second at most; returns whether there was one. It begins
    /// when the cool-down is over, and callers that wait at the same time share it.
    pub async fn reread_now(&self, file: Arc<dyn Reread>) -> bool {
        let arrival = self.begun.load(Ordering::Acquire);
        let reading = async {
            let read_at = self.read_at.clone().lock_owned().await;
            if self.begun.load(Ordering::Acquire) > arrival {
                return;
            }
            if let Some(at) = *read_at {
                tokio::time::sleep_until(at + self.cool_down).await;
            }
            self.read(file, read_at).await;
        };
        tokio::time::timeout(LONGEST_WAIT, reading).await.is_ok()
    }

    async fn read(&self, file: Arc<dyn Reread>, mut read_at: OwnedMutexGuard<Option<Instant>>) {
        self.begun.fetch_add(1, Ordering::AcqRel);
        *read_at = Some(Instant::now());
        // A panic in it has been logged, and the value is what it was.
        let _read = tokio::task::spawn_blocking(move || {
            file.reread();
            drop(read_at);
        })
        .await;
    }
}

/// Reloads all files at once and logs the result. Returns after a second at most; a file that hangs is reloaded when it answers.
pub async fn reload(files: &[Arc<dyn Reread>]) {
    let files: Vec<_> = files.iter().filter(|file| file.is_usable().is_some()).collect();
    let reload = |file: &&Arc<dyn Reread>| {
        let file = (*file).clone();
        tokio::time::timeout(LONGEST_WAIT, tokio::task::spawn_blocking(move || file.reread()))
    };
    let results = join_all(files.iter().map(reload)).await;
    let pending = results.iter().filter(|result| result.is_err()).count();
    let changed = results.iter().filter(|result| matches!(result, Ok(Ok(true)))).count();
    let unusable = files.iter().filter(|file| file.is_usable() == Some(false)).count();
    let files = files.len();
    if pending + unusable > 0 {
        tracing::warn!(
            files,
            changed,
            unusable,
            pending,
            "reloaded secret and key files; some keep their former values"
        );
    } else {
        tracing::info!(files, changed, "reloaded secret and key files");
    }
}

/// Reads files again every so often, for ever, each on its own: one that lies on something that hangs holds up no other.
pub async fn follow(files: Vec<Arc<dyn Reread>>, every: Duration) {
    join_all(files.into_iter().map(|file| follow_one(file, every))).await;
}

async fn follow_one(file: Arc<dyn Reread>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let file = file.clone();
        // A panic in it has been logged, and the next round comes.
        let _read = tokio::task::spawn_blocking(move || file.reread()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: &[u8]) -> Result<u32, String> {
        std::str::from_utf8(bytes).ok().and_then(|text| text.trim().parse().ok()).ok_or("expected a number".to_owned())
    }

    #[test]
    fn a_file_is_read_again_and_kept_as_it_was_while_it_cannot_be_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        std::fs::write(&path, "1").unwrap();
        let live = Live::of_file("a.number_file", &path, number).unwrap();
        let first = live.get();
        assert!(!live.reread() && Arc::ptr_eq(&first, &live.get()), "the same");
        std::fs::write(&path, "nonsense").unwrap();
        assert!(!live.reread());
        std::fs::remove_file(&path).unwrap();
        assert!(!live.reread());
        assert!(Arc::ptr_eq(&first, &live.get()));
        std::fs::write(&path, "2").unwrap();
        assert!(live.reread() && !live.reread());
        assert_eq!(*live.get(), 2);
    }

    #[test]
    fn what_cannot_be_used_at_the_start_is_said_without_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        let fault = |path: &Path| Live::of_file("a.number_file", path, number).unwrap_err().to_string();
        assert!(fault(&path).contains("cannot be read"));
        std::fs::write(&path, "a secret").unwrap();
        assert_eq!(fault(&path), "expected a number");
        assert!(!format!("{:?}", Live::fixed("a secret")).contains("secret"));
        assert!(!Live::fixed(1).reread());
    }

    struct Counts(tokio::sync::mpsc::UnboundedSender<()>);

    impl Reread for Counts {
        fn reread(&self) -> bool {
            self.0.send(()).is_ok()
        }

        fn is_usable(&self) -> Option<bool> {
            Some(true)
        }
    }

    /// Hangs until its other end is gone.
    struct Hangs(Mutex<std::sync::mpsc::Receiver<()>>);

    impl Reread for Hangs {
        fn reread(&self) -> bool {
            self.0.lock().unwrap().recv().is_ok()
        }

        fn is_usable(&self) -> Option<bool> {
            Some(true)
        }
    }

    #[tokio::test]
    async fn a_file_that_hangs_holds_up_no_other() {
        let (_hold, held) = std::sync::mpsc::channel();
        let (sender, mut read) = tokio::sync::mpsc::unbounded_channel();
        let files: Vec<Arc<dyn Reread>> = vec![Arc::new(Hangs(Mutex::new(held))), Arc::new(Counts(sender))];
        let following = tokio::spawn(follow(files, Duration::from_millis(1)));
        for _ in 0..10 {
            tokio::time::timeout(Duration::from_secs(30), read.recv()).await.expect("the other is read").unwrap();
        }
        following.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_that_hangs_is_waited_for_no_longer_than_a_second_and_is_one() {
        let on_demand = OnDemand::new(Duration::from_secs(10));
        let (sender, mut read) = tokio::sync::mpsc::unbounded_channel();
        let file: Arc<dyn Reread> = Arc::new(Counts(sender));
        let hangs = on_demand.read_at.clone().lock_owned().await;
        let begun = Instant::now();
        join_all((0..50).map(|_| on_demand.reread(file.clone(), || true))).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
        drop(hangs);
        join_all((0..50).map(|_| on_demand.reread(file.clone(), || true))).await;
        on_demand.reread(file.clone(), || false).await;
        assert!(read.try_recv().is_ok() && read.try_recv().is_err(), "once for all of them");
        tokio::time::advance(Duration::from_secs(10)).await;
        on_demand.reread(file.clone(), || false).await;
        assert!(read.try_recv().is_err(), "nobody needs it");
        on_demand.reread(file, || true).await;
        assert!(read.try_recv().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn reread_now_waits_for_reading_after_the_call() {
        let on_demand = OnDemand::new(Duration::from_millis(100));
        let (sender, mut read) = tokio::sync::mpsc::unbounded_channel();
        let file: Arc<dyn Reread> = Arc::new(Counts(sender));
        let begun = Instant::now();
        assert!(on_demand.reread_now(file.clone()).await && read.try_recv().is_ok());
        assert_eq!(begun.elapsed(), Duration::ZERO);
        // Within the cool-down they wait for its end, and share one reading.
        assert_eq!(join_all((0..50).map(|_| on_demand.reread_now(file.clone()))).await, [true; 50]);
        assert_eq!(begun.elapsed(), Duration::from_millis(100));
        assert!(read.try_recv().is_ok() && read.try_recv().is_err());
        // A reading that began before the call does not count.
        let hangs = on_demand.read_at.clone().lock_owned().await;
        on_demand.begun.fetch_add(1, Ordering::AcqRel);
        let waiting = tokio::spawn({
            let (file, on_demand) = (file.clone(), Arc::new(on_demand));
            async move { (on_demand.reread_now(file.clone()).await, on_demand.reread_now(file).await) }
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(read.try_recv().is_err());
        drop(hangs);
        assert_eq!(waiting.await.unwrap(), (true, true));
        assert!(read.try_recv().is_ok() && read.try_recv().is_ok());
    }

    #[tokio::test]
    async fn reload_reads_every_file_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        std::fs::write(&path, "1").unwrap();
        let live = Arc::new(Live::of_file("a.number_file", &path, number).unwrap());
        let files: Vec<Arc<dyn Reread>> = vec![live.clone(), Arc::new(Live::fixed(1))];
        std::fs::write(&path, "2").unwrap();
        reload(&files).await;
        assert_eq!((*live.get(), live.is_usable()), (2, Some(true)));
        std::fs::write(&path, "nonsense").unwrap();
        reload(&files).await;
        assert_eq!((*live.get(), live.is_usable()), (2, Some(false)));
    }

    #[tokio::test(start_paused = true)]
    async fn files_are_followed() {
        let (sender, mut read) = tokio::sync::mpsc::unbounded_channel();
        let following = tokio::spawn(follow(vec![Arc::new(Counts(sender))], Duration::from_secs(5)));
        let begun = tokio::time::Instant::now();
        for times in 1..=3 {
            read.recv().await.unwrap();
            assert_eq!(begun.elapsed().as_secs(), 5 * times);
        }
        following.abort();
    }
}
