//! `WasmEngine` of `contract.ts`.

use crate::border::{self, ChatMessage, EngineStats, ImageInfo, Memory, ModelInfo, Segment, Submitted};
use crate::failure::Failure;
use crate::files::{FileReader, Files, ModelFiles};
use crate::load::{self, Listener, Loaded, MakeBackend, OnProgress, OpenDevice};
use crate::turns::Turns;
use crate::{panics, selftest};
use js_sys::{Array, Float32Array, Object, Promise, Reflect};
use monolens_engine::{
    BackendChoice, Chat, Engine, Image, Images, Message, Prompt, PromptShape, Role, SegmentKind, Settings,
    TileOptions,
};
use monolens_models::Model;
use monolens_models::image::DecodeOptions;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use wasm_bindgen::prelude::*;

/// Most pixels of an image: decoded it takes three bytes each of a memory that never shrinks again.
const MAX_PIXELS: u64 = 50_000_000;

/// A model on a device. Calls may overlap.
#[wasm_bindgen]
pub struct WasmEngine(Rc<Inner>);

struct Inner {
    turns: Turns,
    model: Arc<Model>,
    reader: Rc<FileReader>,
    choice: BackendChoice,
    shape: PromptShape,
    info: RefCell<ModelInfo>,
    stats: Cell<EngineStats>,
    destroy: RefCell<Option<Box<dyn Fn()>>>,
    sibling: RefCell<Option<MakeBackend>>,
    images: RefCell<BTreeMap<u32, Image>>,
    next_image: Cell<u32>,
}

impl WasmEngine {
    pub(crate) fn new(loaded: Loaded) -> Self {
        let Loaded { engine, model, reader, choice, device } = loaded;
        let info = RefCell::new(model_info(&engine, &device));
        Self(Rc::new(Inner {
            shape: engine.prompt_shape(),
            stats: Cell::new(stats(&engine)),
            turns: Turns::new(engine, model.clone()),
            model,
            reader,
            choice,
            info,
            destroy: RefCell::new(device.destroy),
            sibling: RefCell::new(device.sibling),
            images: RefCell::default(),
            next_image: Cell::new(1),
        }))
    }
}

#[wasm_bindgen]
impl WasmEngine {
    /// The model and its device.
    #[wasm_bindgen(unchecked_return_type = "ModelInfo")]
    pub fn info(&self) -> Result<JsValue, JsValue> {
        panics::check()?;
        Ok(border::to_js(&*self.0.info.borrow())?)
    }

    /// Memory in use; while a step runs, as it was before.
    #[wasm_bindgen(unchecked_return_type = "EngineStats")]
    pub fn stats(&self) -> Result<JsValue, JsValue> {
        panics::check()?;
        if let Some(engine) = self.0.turns.try_engine() {
            self.0.stats.set(stats(&engine));
        }
        Ok(border::to_js(&EngineStats { wasm_bytes: border::wasm_bytes(), ..self.0.stats.get() })?)
    }

    /// Decodes an image and cuts it into tiles.
    #[wasm_bindgen(js_name = addImage, unchecked_return_type = "ImageInfo")]
    pub fn add_image(&self, bytes: &[u8], max_tiles: Option<usize>) -> Result<JsValue, JsValue> {
        panics::check()?;
        Ok(border::to_js(&self.0.add_image(bytes, max_tiles)?)?)
    }

    /// Forgets an image.
    #[wasm_bindgen(js_name = removeImage)]
    pub fn remove_image(&self, image: u32) -> Result<(), JsValue> {
        panics::check()?;
        self.0.images.borrow_mut().remove(&image);
        Ok(())
    }

    /// Begins an answer to the last message.
    #[wasm_bindgen(unchecked_return_type = "Submitted")]
    pub fn submit(
        &self,
        #[wasm_bindgen(unchecked_param_type = "ChatMessage[]")] messages: JsValue,
        #[wasm_bindgen(unchecked_param_type = "Settings")] settings: JsValue,
    ) -> Result<JsValue, JsValue> {
        panics::check()?;
        let messages = border::from_js("messages", messages)?;
        Ok(border::to_js(&self.0.submit(messages, border::from_js("settings", settings)?)?)?)
    }

    /// The next event of an answer; undefined after its last one.
    #[wasm_bindgen(unchecked_return_type = "Promise<AnswerEvent | undefined>")]
    pub fn next(&self, request: u32) -> Promise {
        let inner = self.0.clone();
        panics::promise(async move { inner.turns.next(request).await })
    }

    /// Ends an answer; its `finished` event still comes.
    pub fn stop(&self, request: u32) -> Result<(), JsValue> {
        panics::check()?;
        self.0.turns.stop(request);
        Ok(())
    }

    /// Where in the images tokens of an answer looked.
    #[wasm_bindgen(unchecked_return_type = "Promise<Attention>")]
    pub fn attention(
        &self,
        #[wasm_bindgen(unchecked_param_type = "ChatMessage[]")] messages: JsValue,
        #[wasm_bindgen(js_name = answerIds)] answer_ids: Vec<u32>,
        from: usize,
        to: usize,
    ) -> Promise {
        let inner = self.0.clone();
        panics::promise(async move {
            let messages = border::from_js("messages", messages)?;
            inner.attention(messages, answer_ids, from, to).await
        })
    }

    /// Runs a small model whose answer is known on this very device.
    #[wasm_bindgen(js_name = selfTest, unchecked_return_type = "Promise<SelfTest>")]
    pub fn self_test(&self, files: ModelFiles) -> Promise {
        let inner = self.0.clone();
        panics::promise(async move { inner.self_test(Files(Rc::new(files))).await })
    }

    /// Opens the device anew after it was lost.
    #[wasm_bindgen(unchecked_return_type = "Promise<void>")]
    pub fn recover(&self, #[wasm_bindgen(js_name = onProgress)] on_progress: OnProgress) -> Promise {
        let inner = self.0.clone();
        panics::promise(async move { inner.recover(Listener(on_progress)).await })
    }

    /// Destroys the device, as a driver reset would.
    #[wasm_bindgen(js_name = loseDevice)]
    pub fn lose_device(&self) -> Result<(), JsValue> {
        panics::check()?;
        let no_device = || Failure::new("bad-request", "the CPU cannot be lost");
        self.0.destroy.borrow().as_ref().ok_or_else(no_device)?();
        Ok(())
    }
}

impl Inner {
    fn add_image(&self, bytes: &[u8], max_tiles: Option<usize>) -> Result<ImageInfo, Failure> {
        let options = TileOptions { max_tiles, ..TileOptions::default() };
        let decode =
            DecodeOptions { max_pixels: MAX_PIXELS, max_bytes: 4 * MAX_PIXELS, ..DecodeOptions::default() };
        let Images { images, warning } = Images::new(&self.model, &[bytes], &options, &decode)?;
        let none = || Failure::new("internal", "one image became none");
        let image = images.into_iter().next().ok_or_else(none)?;
        let tiles = image.tiles();
        let (width, height) = tiles.original_size();
        let id = self.next_image.replace(self.next_image.get() + 1);
        let info = ImageInfo {
            id,
            width,
            height,
            columns: tiles.grid().columns,
            rows: tiles.grid().rows,
            thumbnail: tiles.has_thumbnail(),
            visual_tokens: tiles.count() * self.model.config().num_image_token(),
            warning,
        };
        self.images.borrow_mut().insert(id, image);
        Ok(info)
    }

    /// The prompt of messages, and the ids of its images in order.
    fn prompt(&self, messages: Vec<ChatMessage>) -> Result<(Prompt, Vec<u32>), Failure> {
        let images = self.images.borrow();
        let ids = messages.iter().flat_map(|message| message.images.iter().copied()).collect();
        let message = |message: ChatMessage| {
            let image = |id: &u32| {
                let unknown = || Failure::new("bad-request", format!("there is no image {id}"));
                images.get(id).cloned().ok_or_else(unknown)
            };
            let role = match message.role {
                border::Role::System => Role::System,
                border::Role::User => Role::User,
                border::Role::Assistant => Role::Assistant,
            };
            let images = message.images.iter().map(image).collect::<Result<_, _>>()?;
            Ok(Message { role, text: message.text, images, ids: message.ids })
        };
        let messages = messages.into_iter().map(message).collect::<Result<_, Failure>>()?;
        let prompt = Chat { messages }.prompt(&self.model)?;
        prompt.check(&self.shape)?;
        Ok((prompt, ids))
    }

    fn submit(&self, messages: Vec<ChatMessage>, settings: border::Settings) -> Result<Submitted, Failure> {
        let (prompt, images) = self.prompt(messages)?;
        let settings = self.settings(settings)?;
        let per_tile = self.model.config().num_image_token();
        let segments = prompt.segments(self.model.tokenizer().special(), per_tile);
        let segment = |segment: &monolens_engine::Segment| {
            let (kind, image) = match segment.kind {
                SegmentKind::System => ("system", None),
                SegmentKind::User => ("user", None),
                SegmentKind::Assistant => ("assistant", None),
                SegmentKind::Image(number) => ("image", images.get(number).copied()),
            };
            Segment { kind, image, tokens: segment.tokens }
        };
        let segments = segments.iter().map(segment).collect();
        Ok(Submitted { request: self.turns.submit(prompt, settings), segments })
    }

    /// The model's own settings, but for those that are given.
    fn settings(&self, given: border::Settings) -> Result<Settings, Failure> {
        let own = Settings::from_config(self.model.generation());
        let settings = Settings {
            temperature: given.temperature.map_or(own.temperature, |t| t as f32),
            top_k: given.top_k.unwrap_or(own.top_k),
            top_p: given.top_p.map_or(own.top_p, |p| p as f32),
            repetition_penalty: given.repetition_penalty.map_or(own.repetition_penalty, |p| p as f32),
            seed: given.seed.map(|seed| seed as u64),
            max_new_tokens: given.max_new_tokens.unwrap_or(own.max_new_tokens),
            stop_strings: given.stop.unwrap_or_default(),
            keep_tags: given.keep_tags.unwrap_or(own.keep_tags),
            ..own
        };
        settings.check()?;
        Ok(settings)
    }

    async fn attention(
        &self,
        messages: Vec<ChatMessage>,
        answer: Vec<u32>,
        from: usize,
        to: usize,
    ) -> Result<JsValue, Failure> {
        let (prompt, ids) = self.prompt(messages)?;
        let seen = self.turns.engine().await.image_attention(prompt, answer, from..to).await?;
        let set = |object: &Object, key: &str, value: JsValue| {
            Reflect::set(object, &key.into(), &value).map_err(|e| Failure::new("internal", format!("{e:?}")))
        };
        let images = Array::new();
        for (map, id) in seen.images.iter().zip(ids) {
            let image = Object::new();
            set(&image, "image", id.into())?;
            set(&image, "columns", map.columns.into())?;
            set(&image, "rows", map.rows.into())?;
            set(&image, "values", Float32Array::from(map.values.as_slice()).into())?;
            images.push(&image);
        }
        let all = Object::new();
        set(&all, "layers", seen.layers.into())?;
        set(&all, "images", images.into())?;
        Ok(all.into())
    }

    async fn self_test(&self, files: Files) -> Result<JsValue, Failure> {
        let sibling = self.sibling.borrow().as_ref().map(|make| make());
        let backend = match sibling {
            Some(backend) => backend,
            None => load::open(&self.choice).await?.0.backend,
        };
        let device = self.info.borrow().device.name.clone();
        border::to_js(&selftest::run(files, backend, device).await?)
    }

    async fn recover(&self, listener: Listener) -> Result<JsValue, Failure> {
        let mut engine = self.turns.engine().await;
        let (opened, device) = load::open(&self.choice).await?;
        let recovered = engine.recover(opened.backend, &mut listener.on_engine()).await;
        recovered.map_err(|error| self.reader.explain(error))?;
        self.turns.note_device(engine.device());
        self.info.replace(model_info(&engine, &device));
        self.stats.set(stats(&engine));
        self.destroy.replace(device.destroy);
        self.sibling.replace(device.sibling);
        Ok(JsValue::UNDEFINED)
    }
}

fn model_info(engine: &Engine, device: &OpenDevice) -> ModelInfo {
    let (model, info) = (engine.model(), engine.device());
    let (config, defaults) = (model.config(), Settings::from_config(model.generation()));
    let tensors = model.tensors();
    let parameters =
        tensors.names().into_iter().filter_map(|name| Some(tensors.info(name)?.elements())).sum();
    ModelInfo {
        name: model.name(),
        parameters,
        layers: config.decoder.num_layers,
        context: engine.context(),
        tile_size: config.tile_size,
        tokens_per_tile: config.num_image_token(),
        max_tiles: config.max_dynamic_patch,
        use_thumbnail: config.use_thumbnail,
        device: border::Device {
            kind: info.kind.to_string(),
            name: device.name.clone(),
            tier: info.tier.clone(),
            detail: info.detail.clone(),
            is_gpu: info.is_gpu,
            reason: device.reason.clone(),
        },
        dispatches: engine.dispatches().into_iter().map(|(phase, names)| (phase, names.len())).collect(),
        defaults: border::Settings {
            temperature: Some(defaults.temperature.into()),
            top_k: Some(defaults.top_k),
            top_p: Some(defaults.top_p.into()),
            repetition_penalty: Some(defaults.repetition_penalty.into()),
            max_new_tokens: Some(defaults.max_new_tokens),
            ..border::Settings::default()
        },
    }
}

fn stats(engine: &Engine) -> EngineStats {
    let memory = engine.memory();
    EngineStats {
        memory: Memory {
            weights: memory.device.weights,
            states: memory.device.states,
            activations: memory.device.activations,
        },
        kv_tokens: memory.kv_tokens,
        kv_tokens_cached: memory.kv_tokens_cached,
        wasm_bytes: border::wasm_bytes(),
    }
}
