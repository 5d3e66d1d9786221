//! Compiling without holding up the browser.
//!
//! `createComputePipeline`, which is all that wgpu knows, compiles in the GPU process on the thread that draws every page.
//! `createComputePipelineAsync` compiles beside it, and several at once. So in a browser pipelines are made in two passes:
//! the first begins them, the second, when they are there, gets them from where `begun.js` kept them.

/// What `create`, which creates compute pipelines and nothing else, gives once they are compiled. It may be called twice.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) async fn create_all<T>(create: impl Fn() -> Vec<T>) -> Vec<T> {
    create()
}

/// What `create`, which creates compute pipelines and nothing else, gives once they are compiled. It may be called twice.
#[cfg(target_arch = "wasm32")]
pub(crate) async fn create_all<T>(create: impl Fn() -> Vec<T>) -> Vec<T> {
    js::begin();
    // These are empty.
    drop(create());
    // It never rejects: what cannot be compiled is tried the usual way, which reports why.
    let _ = wasm_bindgen_futures::JsFuture::from(js::begun()).await;
    create()
}

#[cfg(target_arch = "wasm32")]
mod js {
    use wasm_bindgen::prelude::wasm_bindgen;

    #[wasm_bindgen(module = "/src/begun.js")]
    extern "C" {
        /// From now on pipelines are begun only.
        pub fn begin();

        /// Pipelines are made the usual way again; those that were begun are there when this resolves.
        pub fn begun() -> js_sys::Promise;
    }
}
