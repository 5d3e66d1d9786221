//! What the engine's tests share.
#![allow(dead_code)] // each test file uses its part

pub mod scripted;

use monolens_engine::{
    BackendChoice, Chat, Engine, EngineError, EngineOptions, Event, Image, Message, Prompt, Role, Settings,
    TileOptions, open_backend,
};
use monolens_graph::Backend;
use monolens_models::Model;
use monolens_models::config::ModelConfig;
use serde_json::Value;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

/// A file or folder of the golden data.
pub fn golden_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

/// `golden.json` of a model folder.
pub fn golden(folder: &str) -> Value {
    let bytes = std::fs::read(golden_path(folder).join("golden.json")).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// A golden model.
pub fn model(folder: &str) -> Arc<Model> {
    model_with(folder, |_| {})
}

/// A golden model with another configuration.
pub fn model_with(folder: &str, change: impl FnOnce(&mut ModelConfig)) -> Arc<Model> {
    Arc::new(Model::open_with(&golden_path(folder), change).unwrap())
}

/// The CPU with reference arithmetic.
pub fn cpu() -> Box<dyn Backend> {
    pollster::block_on(open_backend(&BackendChoice::exact_cpu())).unwrap().backend
}

/// An engine; small enough for a test.
pub fn engine_on(backend: Box<dyn Backend>, model: Arc<Model>, options: EngineOptions) -> Engine {
    pollster::block_on(Engine::load(model, backend, options, &mut |_| ControlFlow::Continue(()))).unwrap()
}

/// Options for short conversations.
pub fn small() -> EngineOptions {
    EngineOptions {
        context: Some(512),
        chunk: 64,
        sequences: 4,
        waiting_tiles: 4,
        ..EngineOptions::default()
    }
}

/// Greedy, 16 tokens, whatever they are: how the goldens were made.
pub fn golden_settings() -> Settings {
    Settings { use_model_stop_ids: false, ..Settings::greedy(16) }
}

/// The ids of a JSON list.
pub fn ids(list: &Value) -> Vec<u32> {
    list.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// A golden case as a prompt.
pub fn case_prompt(engine: &Engine, case: &Value) -> Prompt {
    engine.prompt(&case_chat(engine, case)).unwrap()
}

/// A golden case as a conversation.
pub fn case_chat(engine: &Engine, case: &Value) -> Chat {
    let images: Vec<Image> =
        case["images"].as_array().unwrap().iter().map(|i| case_image(engine, i)).collect();
    let mut images = images.into_iter();
    let mut chat = Chat::new();
    let mut say = |role: Role, text: &str| {
        let marks = text.matches("<image>").count();
        let images = images.by_ref().take(marks).collect();
        chat.messages.push(Message { images, ..Message::new(role, text) });
    };
    for turn in case["history"].as_array().unwrap() {
        say(Role::User, turn[0].as_str().unwrap());
        say(Role::Assistant, turn[1].as_str().unwrap());
    }
    say(Role::User, case["question"].as_str().unwrap());
    chat
}

fn case_image(engine: &Engine, image: &Value) -> Image {
    let bytes = std::fs::read(golden_path("images").join(image["file"].as_str().unwrap())).unwrap();
    let options = TileOptions { max_tiles: image["max_num"].as_u64().map(|n| n as usize), budget: None };
    let image_tiles = engine.images(&[&bytes], &options).unwrap().images.remove(0);
    assert_eq!(image_tiles.tiles().count() as u64, image["tiles"].as_u64().unwrap());
    image_tiles
}

/// What an answer told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    pub ids: Vec<u32>,
    pub text: String,
    pub events: Vec<Event>,
}

impl Told {
    pub fn add(&mut self, event: Event) {
        match &event {
            Event::Token { id, text } => {
                self.ids.push(*id);
                self.text.push_str(text);
            }
            Event::Finished { text, .. } => self.text.push_str(text),
            _ => {}
        }
        self.events.push(event);
    }

    /// The stats of the last event.
    pub fn stats(&self) -> monolens_engine::AnswerStats {
        match self.events.last() {
            Some(Event::Finished { stats, .. }) => *stats,
            other => panic!("not finished: {other:?}"),
        }
    }
}

/// Runs one prompt to its end.
pub fn run(engine: &mut Engine, prompt: Prompt, settings: Settings) -> Result<Told, EngineError> {
    let id = engine.submit(prompt, settings)?;
    let mut told = Told::default();
    pollster::block_on(async {
        while let Some(event) = engine.next_event(id).await? {
            told.add(event);
        }
        Ok(told)
    })
}

/// Runs several prompts at once to their ends.
pub fn run_together(engine: &mut Engine, requests: Vec<(Prompt, Settings)>) -> Vec<Told> {
    let ids: Vec<_> = requests.into_iter().map(|(p, s)| engine.submit(p, s).unwrap()).collect();
    let mut told = vec![Told::default(); ids.len()];
    while engine.is_busy() {
        for (id, event) in pollster::block_on(engine.step()).unwrap() {
            let at = ids.iter().position(|&known| known == id).unwrap();
            told[at].add(event.unwrap());
        }
    }
    told
}
