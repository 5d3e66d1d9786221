//! Finding NVIDIA's libraries: where the system looks, in the CUDA toolkit's usual places, in a Python environment that is
//! active.

use std::path::{Path, PathBuf};

/// A library that is loaded when it is asked for.
pub(super) struct Library {
    /// For people.
    pub what: &'static str,
    /// How its files begin.
    pub name: &'static str,
    /// The environment variable that may name its folder.
    pub variable: &'static str,
    /// Where Python packages have it, below their folder `nvidia`.
    pub packages: [&'static str; 2],
    /// Whether cudarc finds it, by its name alone.
    pub is_found: unsafe fn() -> bool,
}

impl Library {
    /// Loads it for good, first from the folder that its variable names.
    ///
    /// # Errors
    /// Where it was looked for.
    pub fn load(&self) -> Result<(), String> {
        let named = std::env::var_os(self.variable).map(PathBuf::from);
        let mut folders: Vec<PathBuf> = named.iter().cloned().collect();
        // SAFETY: loading the library runs its initialisers, which is what it is for.
        let is_found = || unsafe { (self.is_found)() };
        if named.is_none() && is_found() {
            return Ok(());
        }
        folders.extend(self.usual_folders());
        // A library of this name is loaded once: cudarc then finds the one that is loaded here.
        if !folders.iter().any(|folder| self.load_from(folder)) && (named.is_some() || !is_found()) {
            let looked: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
            return Err(format!("{} is not there, nor in {}", self.what, looked.join(", ")));
        }
        if !is_found() {
            return Err(format!("{} was found, but its name is not one that is known", self.what));
        }
        Ok(())
    }

    /// Where CUDA toolkits and Python packages put it.
    fn usual_folders(&self) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        for name in ["CUDA_PATH", "CUDA_HOME"] {
            folders.extend(std::env::var_os(name).map(|f| PathBuf::from(f).join("lib64")));
        }
        folders.push("/usr/local/cuda/lib64".into());
        let environments =
            ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(std::env::var_os).map(PathBuf::from);
        for environment in environments.chain(["/usr/local".into(), "/usr".into()]) {
            for python in entries(&environment.join("lib")) {
                for packages in ["site-packages", "dist-packages"] {
                    let nvidia = python.join(packages).join("nvidia");
                    folders.extend(self.packages.map(|f| nvidia.join(f)).into_iter().filter(|f| f.exists()));
                }
            }
        }
        folders
    }

    /// Loads it and what it needs from a folder, for good.
    fn load_from(&self, folder: &Path) -> bool {
        let mut files = entries(folder);
        let name = |p: &PathBuf| p.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        files.retain(|p| {
            name(p).starts_with(self.name) && name(p).contains(".so.") && !name(p).contains(".alt.")
        });
        // First what NVRTC itself loads by name.
        files.sort_by_key(|p| !name(p).contains("builtins"));
        let mut loaded = false;
        for file in files {
            // SAFETY: as in `load`.
            if let Ok(library) = unsafe { libloading::Library::new(&file) } {
                loaded |= !name(&file).contains("builtins");
                std::mem::forget(library);
            }
        }
        loaded
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().filter_map(|e| Some(e.ok()?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_nowhere_is_told_with_where_it_was_looked_for() {
        let library = Library {
            what: "the library of a test",
            name: "libmonolens-no-such",
            variable: "MONOLENS_NO_SUCH_LIBRARY",
            packages: ["a/lib", "b/lib"],
            is_found: || false,
        };
        let error = library.load().unwrap_err();
        assert!(error.starts_with("the library of a test is not there, nor in "), "{error}");
        assert!(error.contains("/usr/local/cuda/lib64"), "{error}");
    }
}
