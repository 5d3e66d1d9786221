//! Runs inside the browser for `tests/browser/*.spec.ts`: the operator cases of the native parity test on WebGPU against
//! the CPU reference in WebAssembly, the texts of all shaders, and the header of a large made-up checkpoint.

mod checkpoint;
mod parity;

pub use checkpoint::{header, large_config, tiny_tokenizer};
pub use parity::parity;

use serde::Serialize;
use wasm_bindgen::prelude::*;

#[derive(Serialize)]
struct Shader {
    name: &'static str,
    code: &'static str,
}

/// Every shader permutation as the page compiles it.
///
/// # Errors
/// None but JavaScript's own.
#[wasm_bindgen(unchecked_return_type = "{ name: string; code: string }[]")]
pub fn shaders() -> Result<JsValue, JsValue> {
    let all = monolens_wgpu::shaders::all();
    let all: Vec<Shader> = all.iter().map(|&(name, code)| Shader { name, code }).collect();
    Ok(serde_wasm_bindgen::to_value(&all)?)
}
