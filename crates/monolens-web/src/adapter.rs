//! The GPU's name. Browsers tell little of it, and wgpu passes on less.

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

/// What the browser tells of its best adapter: `apple metal-3`; none where it tells nothing.
pub(crate) async fn name() -> Option<String> {
    let get = |of: &JsValue, key: &str| Reflect::get(of, &key.into()).ok().filter(JsValue::is_truthy);
    let gpu = get(&get(&js_sys::global(), "navigator")?, "gpu")?;
    let request: Function = get(&gpu, "requestAdapter")?.dyn_into().ok()?;
    let options = js_sys::Object::new();
    Reflect::set(&options, &"powerPreference".into(), &"high-performance".into()).ok()?;
    let promise: Promise = request.call1(&gpu, &options).ok()?.dyn_into().ok()?;
    let adapter = JsFuture::from(promise).await.ok()?;
    let info = get(&adapter, "info")?;
    let words = ["description", "vendor", "architecture", "device"];
    let words: Vec<String> = words.iter().filter_map(|key| get(&info, key)?.as_string()).collect();
    let name = match &words[..] {
        // The description says it all, where there is one.
        [description, ..] if get(&info, "description").is_some() => description.clone(),
        words => words.join(" "),
    };
    (!name.is_empty()).then_some(name)
}
