//! The same in a browser.

use wasm_bindgen::prelude::*;

/// Times blocks of a decoder layer; request and report are JSON.
///
/// # Errors
/// A request that cannot be met, saying why.
#[wasm_bindgen]
pub async fn blocks(request: String) -> Result<String, JsError> {
    let request = serde_json::from_str(&request)?;
    let report = crate::run(&request).await?;
    Ok(serde_json::to_string(&report)?)
}
