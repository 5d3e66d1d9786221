//! The engine's thread: takes jobs between two steps, makes steps, tells the listeners.

use crate::api::ApiError;
use crate::state::{Job, Shared, Slot, Update};
use monolens_engine::{AnswerStats, Engine, EngineError, Event, FinishReason, RequestId, Stats};
use monolens_graph::{Backend, BackendError};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Opens a device again after the old one was lost.
pub type Reopen<'a> = dyn FnMut() -> Result<Box<dyn Backend>, BackendError> + 'a;

/// Pauses between tries to replace a lost device; a driver that was reset needs a moment.
const PAUSES: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// A request in the engine, and who waits for it.
struct Listener {
    id: String,
    updates: mpsc::UnboundedSender<Update>,
    arrived: Instant,
    first_token: Option<Duration>,
    tokens: usize,
    /// Given back when the listener is dropped.
    _slot: Slot,
}

/// See the module.
pub(crate) struct Worker<'a> {
    engine: Engine,
    reopen: Box<Reopen<'a>>,
    jobs: &'a mut mpsc::UnboundedReceiver<Job>,
    shared: &'a Shared,
    listeners: BTreeMap<RequestId, Listener>,
    told: Stats,
}

impl<'a> Worker<'a> {
    /// Nothing to do yet.
    pub fn new(
        engine: Engine,
        reopen: Box<Reopen<'a>>,
        jobs: &'a mut mpsc::UnboundedReceiver<Job>,
        shared: &'a Shared,
    ) -> Self {
        Self { engine, reopen, jobs, shared, listeners: BTreeMap::new(), told: Stats::default() }
    }

    /// Works until nobody can send jobs any more.
    pub fn run(mut self) {
        loop {
            self.tell_metrics();
            if self.listeners.is_empty() {
                match self.jobs.blocking_recv() {
                    Some(job) => self.accept(job),
                    None => return,
                }
            }
            while let Ok(job) = self.jobs.try_recv() {
                self.accept(job);
            }
            self.leave_the_gone();
            if !self.listeners.is_empty() {
                self.step();
            }
        }
    }

    fn accept(&mut self, job: Job) {
        let Job { id, prompt, settings, arrived, updates, slot } = job;
        if updates.is_closed() {
            self.gone(&id);
            return;
        }
        match self.engine.submit(prompt, settings) {
            Ok(request) => {
                // A listener that left is noticed before the next step.
                let _ = updates.send(Update::Accepted);
                let listener = Listener { id, updates, arrived, first_token: None, tokens: 0, _slot: slot };
                self.listeners.insert(request, listener);
            }
            Err(error) => {
                let _ = updates.send(Update::Failed(error.into()));
            }
        }
    }

    fn gone(&self, id: &str) {
        log::info!("{id}: the client went away");
        self.shared.metrics.disconnect();
    }

    /// Ends requests that nobody waits for, and those that took too long.
    fn leave_the_gone(&mut self) {
        let most = self.shared.request_time();
        let over = |l: &Listener| l.updates.is_closed() || l.arrived.elapsed() > most;
        for (request, listener) in self.listeners.extract_if(.., |_, listener| over(listener)) {
            self.engine.discard(request);
            if listener.updates.is_closed() {
                log::info!("{}: the client went away after {} tokens", listener.id, listener.tokens);
                self.shared.metrics.disconnect();
            } else {
                let error = ApiError::timeout(most.as_secs(), listener.tokens);
                log::warn!("{}: {}", listener.id, error.message);
                let _ = listener.updates.send(Update::Failed(error));
            }
        }
    }

    fn step(&mut self) {
        match pollster::block_on(self.engine.step()) {
            Ok(events) => events.into_iter().for_each(|(request, event)| self.tell(request, event)),
            Err(error) if error.is_device_lost() => self.recover(error),
            Err(error) => self.fail_all(&error.into()),
        }
    }

    fn tell(&mut self, request: RequestId, event: Result<Event, EngineError>) {
        let Some(listener) = self.listeners.get_mut(&request) else { return };
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                let error = ApiError::from(error);
                log::error!("{}: {}", listener.id, error.message);
                let _ = listener.updates.send(Update::Failed(error));
                self.listeners.remove(&request);
                return;
            }
        };
        match &event {
            Event::Token { .. } => {
                listener.tokens += 1;
                let first = *listener.first_token.get_or_insert_with(|| listener.arrived.elapsed());
                if listener.tokens == 1 {
                    self.shared.metrics.first_token(first);
                }
            }
            Event::Finished { reason, stats, .. } => {
                log::info!("{}: {}", listener.id, line(stats, listener.first_token, *reason));
                self.shared.metrics.answer(listener.arrived.elapsed());
            }
            _ => {}
        }
        let is_last = matches!(event, Event::Finished { .. });
        let _ = listener.updates.send(Update::Event(event));
        if is_last {
            self.listeners.remove(&request);
        }
    }

    /// Replaces a lost device; the requests go on where they were. If there is none, they fail, and the next request
    /// makes the next try.
    fn recover(&mut self, error: EngineError) {
        log::error!("{error}: opening it again");
        self.shared.set_recovering(true);
        let mut error = error;
        for pause in PAUSES {
            sleep(pause);
            match self.try_recover() {
                Ok(()) => {
                    log::warn!("the device is back; {} requests go on", self.listeners.len());
                    self.shared.set_recovering(false);
                    self.shared.metrics.recovery();
                    return;
                }
                Err(again) => {
                    log::error!("no device: {again}");
                    error = again;
                }
            }
        }
        self.fail_all(&ApiError::unavailable(format!("the device was lost: {error}")).code("device_lost"));
    }

    fn try_recover(&mut self) -> Result<(), EngineError> {
        let backend = (self.reopen)()?;
        pollster::block_on(self.engine.recover(backend, &mut |_| ControlFlow::Continue(())))
    }

    /// An error of the device that is nobody's in particular.
    fn fail_all(&mut self, error: &ApiError) {
        log::error!("{} requests fail: {}", self.listeners.len(), error.message);
        for (request, listener) in std::mem::take(&mut self.listeners) {
            self.engine.discard(request);
            let _ = listener.updates.send(Update::Failed(error.clone()));
        }
    }

    fn tell_metrics(&mut self) {
        let now = self.engine.stats();
        self.shared.metrics.engine(&self.told, &now, &self.engine.memory());
        self.told = now;
    }
}

/// One line about an answer.
fn line(stats: &AnswerStats, first_token: Option<Duration>, reason: FinishReason) -> String {
    format!(
        "{} prompt tokens ({} visual, {} reused), {} generated, first token {:.3} s, {:.1} tokens/s, {}",
        stats.prompt_tokens,
        stats.visual_tokens,
        stats.reused_tokens,
        stats.generated_tokens,
        first_token.unwrap_or_default().as_secs_f64(),
        stats.decode_rate(),
        reason.openai()
    )
}
