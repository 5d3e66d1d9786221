//! Files that may be lost, in the user's cache folder: compiled kernels, what a tuner found. Each is named by the hash of all
//! that it depends on, written whole or not at all, and read only if it is undamaged.

use sha2::{Digest, Sha256};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A folder of such files; none where there is no home for it.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// The folder of this name in `MONOLENS_CACHE`, or in `monolens` in the user's cache folder.
    pub fn of_user(name: &str) -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let folder = variable("MONOLENS_CACHE")
            .or_else(|| variable("XDG_CACHE_HOME").map(|f| f.join("monolens")))
            .or_else(|| variable("LOCALAPPDATA").map(|f| f.join("monolens")))
            .or_else(|| variable("HOME").map(|f| f.join(".cache/monolens")));
        Self { folder: folder.map(|f| f.join(name)) }
    }

    /// This folder.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder: Some(folder) }
    }

    /// Where what depends on these parts is kept; none without a folder.
    pub fn path(&self, name: &str, parts: &[&[u8]]) -> Option<PathBuf> {
        let file = || format!("{name}-{}.bin", &hash(parts)[..32]);
        self.folder.as_ref().map(|folder| folder.join(file()))
    }

    /// What is kept under these parts; none if there is nothing or it is damaged.
    pub fn read(&self, name: &str, parts: &[&[u8]]) -> Option<Vec<u8>> {
        // A file ends with the hash of what is before.
        let mut bytes = fs::read(self.path(name, parts)?).ok()?;
        let end = bytes.len().checked_sub(64)?;
        let stored = bytes.split_off(end);
        (hash(&[&bytes]).as_bytes() == stored).then_some(bytes)
    }

    /// Keeps something under these parts, in place of what is there, and says where.
    ///
    /// # Errors
    /// Without a folder, or one that cannot be written to.
    pub fn write(&self, name: &str, parts: &[&[u8]], bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.path(name, parts);
        let path =
            path.ok_or_else(|| io::Error::other("there is no cache folder (MONOLENS_CACHE names one)"))?;
        fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        // Whole or not at all, also when several processes write the same.
        let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut file = fs::File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.write_all(hash(&[bytes]).as_bytes())?;
        drop(file);
        fs::rename(unfinished, &path)?;
        Ok(path)
    }

    /// What is kept under these parts, or what `make` makes of them. A folder that cannot be written to, or a file that was
    /// damaged, only costs time.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn get(
        &self,
        name: &str,
        parts: &[&[u8]],
        make: impl FnOnce() -> Result<Vec<u8>, String>,
    ) -> Result<Vec<u8>, String> {
        if let Some(found) = self.read(name, parts) {
            return Ok(found);
        }
        let made = make()?;
        if self.folder.is_some()
            && let Err(error) = self.write(name, parts, &made)
        {
            log::warn!("{name} cannot be kept in the cache folder: {error}");
        }
        Ok(made)
    }
}

/// The SHA-256 of a list of parts, in hexadecimal.
pub fn hash(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        // With their lengths, so that no two lists of parts are the same bytes.
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_found_again_and_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("made when it is needed"));
        let never = || Err("made again".to_owned());
        assert_eq!(cache.get("k", &[b"a", b"b"], || Ok(vec![1, 2])), Ok(vec![1, 2]));
        assert_eq!(cache.get("k", &[b"a", b"b"], never), Ok(vec![1, 2]));
        assert!(cache.get("k", &[b"ab", b""], never).is_err(), "another list of parts");
        let file = cache.path("k", &[b"a", b"b"]).unwrap();
        let mut bytes = fs::read(&file).unwrap();
        bytes[0] ^= 1;
        fs::write(&file, &bytes).unwrap();
        assert!(cache.get("k", &[b"a", b"b"], never).is_err());
        fs::write(&file, b"short").unwrap();
        assert_eq!(cache.read("k", &[b"a", b"b"]), None);
    }

    #[test]
    fn what_is_written_takes_the_place_of_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        cache.write("k", &[b"a"], b"first").unwrap();
        let path = cache.write("k", &[b"a"], b"second").unwrap();
        assert_eq!(cache.read("k", &[b"a"]).as_deref(), Some(&b"second"[..]));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn without_a_folder_everything_is_made() {
        let cache = Cache { folder: None };
        assert_eq!(cache.get("k", &[], || Ok(vec![3])), Ok(vec![3]));
        assert_eq!(cache.get("k", &[], || Err("no".into())), Err("no".into()));
        assert!(cache.write("k", &[], b"").unwrap_err().to_string().contains("MONOLENS_CACHE"));
    }
}
