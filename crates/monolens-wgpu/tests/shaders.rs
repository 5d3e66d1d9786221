//! Every permutation of every shader is valid WGSL, checked without a GPU.

use monolens_wgpu::shaders;
use naga::valid::{Capabilities, ValidationFlags, Validator};

#[test]
fn every_shader_permutation_is_valid_wgsl() {
    let all = shaders::all();
    assert!(all.len() > 50, "only {} permutations", all.len());
    let mut wrong = Vec::new();
    for (name, source) in all {
        let module = match naga::front::wgsl::parse_str(source) {
            Ok(module) => module,
            Err(e) => {
                wrong.push(format!("{name}: {}", e.emit_to_string(source)));
                continue;
            }
        };
        // Only kernels of the tiers subgroups and matrix may use more than every WebGPU device has.
        let of = |feature: &str| name.split('+').any(|f| f == feature);
        let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
        capabilities.set(Capabilities::SUBGROUP, of("lanes") || of("matrix"));
        capabilities.set(Capabilities::COOPERATIVE_MATRIX | Capabilities::SHADER_FLOAT16, of("matrix"));
        if let Err(e) = Validator::new(ValidationFlags::all(), capabilities).validate(&module) {
            wrong.push(format!("{name}: {}", e.emit_to_string(source)));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}
