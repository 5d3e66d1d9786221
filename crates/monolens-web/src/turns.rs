//! Who may use the engine when. Steps take turns by a lock whose waiters are futures; what must not wait (submitting,
//! stopping) is noted and done before the next step.

use crate::event_loop;
use crate::events::{Answer, js_event};
use crate::failure::Failure;
use futures_util::lock::Mutex;
use monolens_engine::{Engine, Event, Prompt, RequestId, Settings};
use monolens_graph::backend::{BackendKind, DeviceInfo};
use monolens_models::Model;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use wasm_bindgen::JsValue;

/// Something to be done before the next step.
enum Task {
    Submit { request: u32, prompt: Prompt, settings: Settings },
    Stop { request: u32 },
}

/// An engine whose calls may overlap.
pub(crate) struct Turns {
    engine: Mutex<Engine>,
    model: Arc<Model>,
    tasks: RefCell<Vec<Task>>,
    answers: RefCell<BTreeMap<u32, Answer>>,
    next: Cell<u32>,
    /// Whether steps block this thread, so that other events need a turn between them.
    blocks: Cell<bool>,
}

impl Turns {
    pub fn new(engine: Engine, model: Arc<Model>) -> Self {
        let blocks = Cell::new(engine.device().kind == BackendKind::Cpu);
        let (tasks, answers) = (RefCell::default(), RefCell::default());
        Self { engine: Mutex::new(engine), model, tasks, answers, next: Cell::new(1), blocks }
    }

    /// Notes that the engine has this device now.
    pub fn note_device(&self, device: &DeviceInfo) {
        self.blocks.set(device.kind == BackendKind::Cpu);
    }

    /// The engine, when it is one's turn.
    pub async fn engine(&self) -> futures_util::lock::MutexGuard<'_, Engine> {
        self.engine.lock().await
    }

    /// The engine, if nobody has it.
    pub fn try_engine(&self) -> Option<futures_util::lock::MutexGuard<'_, Engine>> {
        self.engine.try_lock()
    }

    /// Notes a request, checked already.
    pub fn submit(&self, prompt: Prompt, settings: Settings) -> u32 {
        let request = self.next.replace(self.next.get() + 1);
        self.answers.borrow_mut().insert(request, Answer::default());
        self.tasks.borrow_mut().push(Task::Submit { request, prompt, settings });
        request
    }

    /// Notes that an answer is to end.
    pub fn stop(&self, request: u32) {
        self.tasks.borrow_mut().push(Task::Stop { request });
    }

    /// The next event of an answer; undefined after its last one.
    pub async fn next(&self, request: u32) -> Result<JsValue, Failure> {
        loop {
            if let Some(event) = self.take(request) {
                return event;
            }
            if self.blocks.get() {
                event_loop::turn().await;
            }
            let mut engine = self.engine.lock().await;
            if self.is_waiting(request) {
                self.do_tasks(&mut engine);
                let emitted = engine.step().await?;
                self.hand_out(emitted);
            }
        }
    }

    fn is_waiting(&self, request: u32) -> bool {
        self.answers.borrow().get(&request).is_some_and(Answer::is_waiting)
    }

    /// An event that is there; `Some(undefined)` for answers that are over.
    fn take(&self, request: u32) -> Option<Result<JsValue, Failure>> {
        let mut answers = self.answers.borrow_mut();
        let Some(answer) = answers.get_mut(&request) else { return Some(Ok(JsValue::UNDEFINED)) };
        let event = answer.take()?;
        let ended = !matches!(event, Ok(Event::Started { .. } | Event::Prefill { .. } | Event::Token { .. }));
        let ids = if ended { answers.remove(&request).map(|answer| answer.ids) } else { None };
        Some(event.and_then(|event| js_event(event, &ids.unwrap_or_default(), self.model.tokenizer())))
    }

    fn do_tasks(&self, engine: &mut Engine) {
        for task in self.tasks.take() {
            let mut answers = self.answers.borrow_mut();
            match task {
                Task::Submit { request, prompt, settings } => {
                    let Some(answer) = answers.get_mut(&request) else { continue };
                    match engine.submit(prompt, settings) {
                        Ok(id) => answer.id = Some(id),
                        Err(error) => answer.push(Err(error.into())),
                    }
                }
                Task::Stop { request } => {
                    if let Some(id) = answers.get(&request).and_then(|answer| answer.id) {
                        engine.stop(id);
                    }
                }
            }
        }
    }

    fn hand_out(&self, emitted: Vec<(RequestId, Result<Event, monolens_engine::EngineError>)>) {
        let mut answers = self.answers.borrow_mut();
        for (id, event) in emitted {
            if let Some(answer) = answers.values_mut().find(|answer| answer.id == Some(id)) {
                answer.push(event.map_err(Failure::from));
            }
        }
    }
}
