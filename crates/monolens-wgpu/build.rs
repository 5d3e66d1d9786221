//! Expands the shaders in `shaders/` into one plain WGSL text per permutation, embedded in the library.

use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{env, fs};
use wesl::{CompileOptions, ModulePath, Wesl};

#[allow(dead_code)]
mod list {
    include!("src/shaders/list.rs");
}

fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("set by cargo")).join("../../shaders");
    let out = PathBuf::from(env::var("OUT_DIR").expect("set by cargo"));
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/shaders/list.rs");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut table = String::new();
    let mut sources = Vec::new();
    // Browsers know no cooperative matrices, and a page need not carry what it cannot use.
    let in_browser = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32");
    for shader in list::SHADERS {
        for features in shader.permutations() {
            if in_browser && features.contains(&"matrix") {
                continue;
            }
            sources.push((list::name_of(shader.file, &features), expand(&root, shader.file, &features)));
        }
    }
    sources.sort();
    let mut hasher = DefaultHasher::new();
    sources.hash(&mut hasher);
    writeln!(table, "pub(super) const HASH: u64 = {};", hasher.finish()).expect("to a string");
    table.push_str("pub(super) static SOURCES: &[(&str, &str)] = &[\n");
    for (name, text) in sources {
        let file = out.join(format!("{name}.wgsl"));
        fs::write(&file, text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        writeln!(table, "    ({name:?}, include_str!({:?})),", file.display().to_string())
            .expect("to a string");
    }
    table.push_str("];\n");
    fs::write(out.join("sources.rs"), table).expect("OUT_DIR is writable");
}

fn expand(root: &Path, file: &str, features: &[&str]) -> String {
    let mut wesl = Wesl::new(root);
    // wesl takes cooperative matrices, which are not in WGSL's standard, for names that nobody declared; naga knows them.
    wesl.set_options(CompileOptions { validate: !features.contains(&"matrix"), ..CompileOptions::default() });
    wesl.set_feature(file, true);
    wesl.set_features(features.iter().map(|f| (f, true)));
    let module: ModulePath = format!("package::{file}").parse().expect("a module path");
    match wesl.compile(&module) {
        Ok(text) => text.to_string(),
        Err(e) => panic!("shaders/{file}.wgsl with {features:?}: {e}"),
    }
}
