//! What costs time to find out, on disk: compiled kernels, and that they are right. By the hash of all that it depends on.

use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A folder of files; none where there is no home for it.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// `MONOLENS_CACHE`, or `monolens` in the user's cache folder.
    pub fn of_user() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let folder = variable("MONOLENS_CACHE")
            .or_else(|| variable("XDG_CACHE_HOME").map(|f| f.join("monolens")))
            .or_else(|| variable("LOCALAPPDATA").map(|f| f.join("monolens")))
            .or_else(|| variable("HOME").map(|f| f.join(".cache/monolens")));
        Self { folder: folder.map(|f| f.join("cuda")) }
    }

    /// A folder that is named.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder: Some(folder) }
    }

    fn path(&self, name: &str, parts: &[&[u8]]) -> Option<PathBuf> {
        self.folder.as_ref().map(|f| f.join(format!("{name}-{}.bin", &hash(parts)[..32])))
    }

    /// What is kept under these parts; none where there is nothing or it was damaged.
    pub fn find(&self, name: &str, parts: &[&[u8]]) -> Option<Vec<u8>> {
        read(&self.path(name, parts)?)
    }

    /// Keeps bytes under these parts. A folder that cannot be written to only costs time, later.
    pub fn keep(&self, name: &str, parts: &[&[u8]], bytes: &[u8]) {
        if let Some(path) = self.path(name, parts)
            && let Err(error) = write(&path, bytes)
        {
            log::warn!("nothing can be kept in {}: {error}", path.display());
        }
    }

    /// What is kept under these parts, or what `make` makes of them.
    pub(crate) fn get(
        &self,
        name: &str,
        parts: &[&[u8]],
        make: impl FnOnce() -> Result<Vec<u8>, String>,
    ) -> Result<Vec<u8>, String> {
        if let Some(found) = self.find(name, parts) {
            return Ok(found);
        }
        let made = make()?;
        self.keep(name, parts, &made);
        Ok(made)
    }
}

/// The SHA-256 of a list of parts, in hexadecimal.
pub(crate) fn hash(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        // With their lengths, so that no two lists of parts are the same bytes.
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// A file ends with the hash of what is before.
fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = fs::read(path).ok()?;
    let end = bytes.len().checked_sub(64)?;
    let stored = bytes.split_off(end);
    (hash(&[&bytes]).as_bytes() == stored).then_some(bytes)
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // Whole or not at all, also when several processes compile the same.
    let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = fs::File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.write_all(hash(&[bytes]).as_bytes())?;
    drop(file);
    fs::rename(unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("monolens-cache-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn what_was_made_is_found_again_and_damage_is_noticed() {
        let folder = folder("damage");
        let cache = Cache::at(folder.clone());
        let never = || Err("made again".to_owned());
        assert_eq!(cache.get("k", &[b"a", b"b"], || Ok(vec![1, 2])), Ok(vec![1, 2]));
        assert_eq!(cache.get("k", &[b"a", b"b"], never), Ok(vec![1, 2]));
        assert!(cache.get("k", &[b"ab", b""], never).is_err(), "another list of parts");
        let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
        fs::write(&file, b"damaged").unwrap();
        assert!(cache.get("k", &[b"a", b"b"], never).is_err());
        let _ = fs::remove_dir_all(folder);
    }

    #[test]
    fn without_a_folder_everything_is_made() {
        let cache = Cache { folder: None };
        assert_eq!(cache.get("k", &[], || Ok(vec![3])), Ok(vec![3]));
        assert_eq!(cache.get("k", &[], || Err("no".into())), Err("no".into()));
    }
}
