// Every shader and its permutations: the file in `shaders/`, then groups of features of which each permutation takes one.
// Shared with the build script. An empty name is the absence of a feature; each file also has a feature of its own name.

const MATRIX: &[&str] = &["f32", "bf16", "f16", "q8", "q4"];
const KV: &[&str] = &["f32", "bf16", "i8"];
const ROUTED: &[&str] = &["", "routed"];
const NORM: &[&str] = &["", "norm"];
const FEW: &[&str] = &["single", "several"];
// Of matrix units: what they multiply. f16 has no room for all of an f32 weight.
const F32_UNIT: &[&str] = &["f32x8"];
const F16_UNITS: &[&str] = &["f16x8", "f16x16"];
const MATRIX_F16: &[&str] = &["bf16", "f16", "q8", "q4"];

/// A shader file and the groups of features that it is built with.
pub struct Shader {
    /// File name without its ending.
    pub file: &'static str,
    /// Groups of features; a permutation takes one of each.
    pub groups: &'static [&'static [&'static str]],
}

/// All of them.
pub const SHADERS: &[Shader] = &[
    Shader { file: "add", groups: &[] },
    Shader { file: "attention", groups: &[KV] },
    Shader { file: "attention_combine", groups: &[] },
    Shader { file: "attention_map", groups: &[KV] },
    Shader { file: "attention_split", groups: &[KV] },
    Shader { file: "embed", groups: &[] },
    Shader { file: "gate_up", groups: &[&["few"], FEW, NORM, MATRIX] },
    Shader { file: "gate_up", groups: &[&["many"], ROUTED, MATRIX] },
    Shader { file: "gate_up", groups: &[&["lanes"], ROUTED, MATRIX] },
    Shader { file: "gate_up", groups: &[&["matrix"], F32_UNIT, ROUTED, MATRIX] },
    Shader { file: "gate_up", groups: &[&["matrix"], F16_UNITS, ROUTED, MATRIX_F16] },
    Shader { file: "gather_rows", groups: &[] },
    Shader { file: "gelu", groups: &[] },
    Shader { file: "layer_norm", groups: &[] },
    Shader { file: "linear", groups: &[&["few"], FEW, NORM, MATRIX] },
    Shader { file: "linear", groups: &[&["many"], ROUTED, MATRIX] },
    Shader { file: "linear", groups: &[&["lanes"], ROUTED, MATRIX] },
    Shader { file: "linear", groups: &[&["matrix"], F32_UNIT, ROUTED, MATRIX] },
    Shader { file: "linear", groups: &[&["matrix"], F16_UNITS, ROUTED, MATRIX_F16] },
    Shader { file: "patch_embed", groups: &[] },
    Shader { file: "pixel_shuffle", groups: &[] },
    Shader { file: "position_embed", groups: &[] },
    Shader { file: "qk_norm", groups: &[] },
    Shader { file: "qkv_rope", groups: &[&["few"], FEW, NORM, MATRIX] },
    Shader { file: "qkv_rope", groups: &[&["many"], ROUTED, MATRIX] },
    Shader { file: "qkv_rope", groups: &[&["lanes"], ROUTED, MATRIX] },
    Shader { file: "qkv_rope", groups: &[&["matrix"], F32_UNIT, ROUTED, MATRIX] },
    Shader { file: "qkv_rope", groups: &[&["matrix"], F16_UNITS, ROUTED, MATRIX_F16] },
    Shader { file: "rms_norm", groups: &[] },
    Shader { file: "rope", groups: &[&["", "i8"]] },
    Shader { file: "sample", groups: &[] },
    Shader { file: "scaled_add", groups: &[] },
    Shader { file: "store_rows", groups: &[] },
    Shader { file: "swiglu", groups: &[] },
    Shader { file: "tile_attention", groups: &[] },
];

impl Shader {
    /// The features of each permutation, in the order of the groups.
    pub fn permutations(&self) -> Vec<Vec<&'static str>> {
        let mut all: Vec<Vec<&'static str>> = vec![Vec::new()];
        for group in self.groups {
            let with = |features: &Vec<&'static str>| {
                let features = features.clone();
                group.iter().map(move |feature| {
                    let mut more = features.clone();
                    more.extend(Some(*feature).filter(|f| !f.is_empty()));
                    more
                })
            };
            all = all.iter().flat_map(with).collect();
        }
        all
    }
}

/// The name of a permutation: the file, then its features.
pub fn name_of(file: &str, features: &[&str]) -> String {
    std::iter::once(file)
        .chain(features.iter().copied().filter(|f| !f.is_empty()))
        .collect::<Vec<_>>()
        .join("+")
}
