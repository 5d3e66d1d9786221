//! The kernels' sources, in the binary.
//!
//! A *unit* is what is compiled at once: a file of `kernels/` for one stored type. Its entries are the kernels.

/// A source file and its name, as `#include` or the compiler's messages name it.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// `linear.cu`, `shared/base.cuh`.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(File { name: $name, text: include_str!(concat!("../kernels/", $name)) }),*]
    };
}

/// Files that others include.
pub const HEADERS: &[File] = files![
    "shared/base.cuh",
    "shared/eight.cuh",
    "shared/element.cuh",
    "shared/few.cuh",
    "shared/flash.cuh",
    "shared/grouped.cuh",
    "shared/heads.cuh",
    "shared/many.cuh",
    "shared/math.cuh",
    "shared/paged.cuh",
    "shared/project.cuh",
    "shared/projection.cuh",
    "shared/reduce.cuh",
    "shared/rotate.cuh",
    "shared/tensor.cuh",
    "shared/weight.cuh",
    "shared/weight_tiles.cuh",
];

/// One file an operator.
pub const FILES: &[File] = files![
    "add.cu",
    "attention.cu",
    "attention_combine.cu",
    "attention_map.cu",
    "attention_split.cu",
    "embed.cu",
    "gate_up.cu",
    "gather_rows.cu",
    "gelu.cu",
    "layer_norm.cu",
    "linear.cu",
    "pack_rows.cu",
    "patch_embed.cu",
    "pixel_shuffle.cu",
    "position_embed.cu",
    "qk_norm.cu",
    "qkv_rope.cu",
    "rms_norm.cu",
    "rope.cu",
    "sample.cu",
    "scaled_add.cu",
    "store_rows.cu",
    "swiglu.cu",
    "tile_attention.cu",
];

const WEIGHTS: &[&str] = &["WEIGHT_BF16", "WEIGHT_F16", "WEIGHT_F32", "WEIGHT_Q8", "WEIGHT_Q4"];
const KV: &[&str] = &["KV_BF16", "KV_F32", "KV_I8"];

/// The hash of all sources.
pub fn hash() -> String {
    let texts: Vec<&[u8]> =
        HEADERS.iter().chain(FILES).flat_map(|f| [f.name.as_bytes(), f.text.as_bytes()]).collect();
    monolens_cache::hash(&texts)
}

/// A file, and the stored type that it is compiled for where it is compiled for several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unit {
    /// The file's name without its ending.
    pub file: &'static str,
    /// The macro that says the type; empty if there is none.
    pub define: &'static str,
}

impl Unit {
    /// Every unit.
    pub fn all() -> Vec<Unit> {
        let mut all = Vec::new();
        for file in FILES {
            let name = file.name.trim_end_matches(".cu");
            let defines = match name {
                "linear" | "gate_up" | "qkv_rope" => WEIGHTS,
                "attention" | "attention_split" | "attention_map" => KV,
                _ => &[""],
            };
            all.extend(defines.iter().map(|&define| Unit { file: name, define }));
        }
        all
    }

    /// A name for messages and cached files.
    pub fn name(&self) -> String {
        match self.define {
            "" => self.file.into(),
            define => format!("{}.{}", self.file, define.to_lowercase()),
        }
    }

    /// The source text; empty for a file that there is none of.
    pub fn text(&self) -> &'static str {
        let named = |f: &&File| f.name.strip_suffix(".cu") == Some(self.file);
        FILES.iter().find(named).map_or("", |f| f.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn every_file_of_the_folder_is_in_the_binary() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
        for (folder, prefix, known) in [("", "", FILES), ("shared", "shared/", HEADERS)] {
            let entries = fs::read_dir(root.join(folder)).unwrap().map(|e| e.unwrap().path());
            let mut names: Vec<String> = entries
                .filter(|path| path.is_file())
                .map(|path| format!("{prefix}{}", path.file_name().unwrap().to_string_lossy()))
                .collect();
            names.sort();
            let known: Vec<&str> = known.iter().map(|f| f.name).collect();
            assert_eq!(names, known);
        }
    }

    #[test]
    fn every_operator_has_a_file() {
        for name in monolens_graph::Op::NAMES {
            assert!(!Unit { file: name, define: "" }.text().is_empty(), "{name}");
        }
    }
}
