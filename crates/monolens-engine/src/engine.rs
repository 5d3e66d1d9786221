//! The engine: requests in, events out, one step at a time.

use crate::blueprint::Blueprint;
use crate::event::{Event, FinishReason, RequestId};
use crate::inspect::Inspectors;
use crate::loader::WeightReader;
use crate::prompt::{Prompt, PromptShape, Tiles};
use crate::request::{Outcome, Request};
use crate::runner::Runner;
use crate::scheduler::{Key, Scheduler, Work};
use crate::sequence::Sequence;
use crate::{EngineError, EngineOptions, Settings, pack};
use monolens_graph::batch::NO_TOKEN;
use monolens_models::Model;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

/// What happened to whom.
pub type Emitted = (RequestId, Result<Event, EngineError>);

/// A model on a device, and all conversations with it.
///
/// Made by [`Engine::load`]. Used from one thread; nothing happens between calls.
pub struct Engine {
    pub(crate) model: Arc<Model>,
    pub(crate) reader: Rc<dyn WeightReader>,
    pub(crate) blueprint: Blueprint,
    pub(crate) options: EngineOptions,
    pub(crate) runner: Runner,
    pub(crate) scheduler: Scheduler,
    pub(crate) requests: BTreeMap<Key, Request>,
    pub(crate) inspectors: Inspectors,
    events: VecDeque<Emitted>,
    next_id: u64,
    lost: bool,
    pub(crate) totals: Totals,
}

/// Sums over all answers so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub requests: u64,
    pub prefilled: u64,
    pub reused: u64,
    pub generated: u64,
}

impl Engine {
    pub(crate) fn assemble(
        model: Arc<Model>,
        reader: Rc<dyn WeightReader>,
        blueprint: Blueprint,
        options: EngineOptions,
        runner: Runner,
        scheduler: Scheduler,
    ) -> Self {
        Self {
            model,
            reader,
            blueprint,
            options,
            runner,
            scheduler,
            requests: BTreeMap::new(),
            inspectors: Inspectors::default(),
            events: VecDeque::new(),
            next_id: 0,
            lost: false,
            totals: Totals::default(),
        }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The options it was made with.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Tokens that a conversation may have, prompt and answer.
    pub fn context(&self) -> usize {
        self.runner.sizes().context
    }

    /// What prompts must fit.
    pub fn prompt_shape(&self) -> PromptShape {
        self.blueprint.prompt_shape(self.context())
    }

    /// Whether some request still has steps to do.
    pub fn is_busy(&self) -> bool {
        !self.requests.is_empty() || !self.events.is_empty()
    }

    /// Adds a request; its answer is made by [`Engine::step`] or [`Engine::next_event`].
    ///
    /// # Errors
    /// A setting out of range; a prompt that is empty, too long or contradicts its images.
    pub fn submit(&mut self, prompt: Prompt, settings: Settings) -> Result<RequestId, EngineError> {
        settings.check()?;
        let sequence = self.sequence(prompt)?;
        let id = RequestId(self.next_id);
        self.next_id += 1;
        let stop_ids = self.blueprint.stop_ids;
        let request = Request::new(settings, &stop_ids, sequence.prompt_len(), sequence.visual_tokens());
        self.requests.insert(id.0, request);
        self.scheduler.add(id.0, sequence);
        self.totals.requests += 1;
        Ok(id)
    }

    /// A checked prompt as a sequence.
    pub(crate) fn sequence(&self, prompt: Prompt) -> Result<Sequence, EngineError> {
        let shape = self.prompt_shape();
        prompt.check(&shape)?;
        let visual = prompt.visual_tokens(shape.placeholder);
        Ok(Sequence::new(prompt.ids, visual, Tiles::new(prompt.images, shape.tokens_per_tile)))
    }

    /// Ends a request; its [`Event::Finished`] is the next and last event. What was computed stays in the prefix cache.
    pub fn stop(&mut self, id: RequestId) {
        self.finish(id.0, FinishReason::Stopped);
    }

    /// Ends a request that nobody listens to any more: it has no further events.
    pub fn discard(&mut self, id: RequestId) {
        self.scheduler.remove(id.0);
        if let Some(request) = self.requests.remove(&id.0) {
            self.totals.reused += request.stats.reused_tokens as u64;
        }
        self.events.retain(|(of, _)| *of != id);
    }

    /// Does one step for all requests and gives what happened. Returns at once when there is nothing to do.
    ///
    /// # Errors
    /// Of the device: all requests stay as they are, so that the step can be tried again, or, when the device was lost,
    /// be continued after [`Engine::recover`]. What concerns one request only is an error among the events.
    pub async fn step(&mut self) -> Result<Vec<Emitted>, EngineError> {
        if self.events.is_empty() {
            self.advance().await?;
        }
        Ok(self.events.drain(..).collect())
    }

    /// Does steps until this request has an event, and gives it; `None` after its last one. Events of other requests
    /// wait for their own calls.
    ///
    /// # Errors
    /// As [`Engine::step`], or what ended this request.
    pub async fn next_event(&mut self, id: RequestId) -> Result<Option<Event>, EngineError> {
        loop {
            if let Some(at) = self.events.iter().position(|(of, _)| *of == id) {
                return self.events.remove(at).map(|(_, event)| event).transpose();
            }
            if !self.requests.contains_key(&id.0) {
                return Ok(None);
            }
            self.advance().await?;
        }
    }

    async fn advance(&mut self) -> Result<(), EngineError> {
        if self.lost {
            return Err(EngineError::NeedsRecovery);
        }
        let result = self.advance_alive().await;
        self.note_loss(result)
    }

    /// Remembers that the device is gone if this result says so.
    pub(crate) fn note_loss<T>(&mut self, result: Result<T, EngineError>) -> Result<T, EngineError> {
        self.lost |= result.as_ref().is_err_and(EngineError::is_device_lost);
        result
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    pub(crate) fn set_alive(&mut self) {
        self.lost = false;
    }

    async fn advance_alive(&mut self) -> Result<(), EngineError> {
        for admitted in self.scheduler.admit() {
            self.started(admitted.key, admitted.reused, admitted.tiles);
        }
        let work = self.scheduler.plan(self.runner.chunk());
        if work.is_empty() {
            return match self.scheduler.counts() {
                (0, 0) => Ok(()),
                _ => Err(EngineError::Internal("no sequence can go on")),
            };
        }
        self.encode(&work).await?;
        let batch = pack::pack(&self.scheduler, &work, self.blueprint.vocab, |key| {
            self.requests.get(&key).map(|request| (request.sampling(), request.seen()))
        })?;
        let ids = self.runner.run(&batch).await?;
        self.apply(&work, &ids);
        Ok(())
    }

    fn started(&mut self, key: Key, reused: usize, tiles: usize) {
        let Some(request) = self.requests.get_mut(&key) else { return };
        if std::mem::replace(&mut request.started, true) {
            return;
        }
        request.stats.reused_tokens = reused;
        let event = Event::Started {
            prompt_tokens: request.stats.prompt_tokens,
            visual_tokens: request.stats.visual_tokens,
            reused_tokens: reused,
            tiles_to_encode: tiles,
        };
        self.emit(key, Ok(event));
    }

    /// Runs the tiles whose tokens come in this step through the vision part.
    async fn encode(&mut self, work: &[Work]) -> Result<(), EngineError> {
        let sequences = work.iter().filter_map(|w| Some((w.key, self.scheduler.get(w.key)?)));
        let missing = self.scheduler.tiles_to_encode(sequences);
        for group in missing.chunks(self.runner.sizes().tiles_per_run) {
            let mut tiles = Vec::with_capacity(group.len());
            for &m in group {
                let sequence = self.scheduler.get(m.key).ok_or(EngineError::Internal("a tile of nobody"))?;
                tiles.push(pack::tile(sequence, m)?);
            }
            self.runner.encode(&tiles).await?;
            for m in group {
                self.scheduler.places_mut().set_encoded(m.place);
                if let Some(request) = self.requests.get_mut(&m.key) {
                    request.stats.tiles_encoded += 1;
                }
            }
        }
        Ok(())
    }

    /// Takes the results of a step.
    fn apply(&mut self, work: &[Work], ids: &[u32]) {
        self.scheduler.done(work);
        let mut ids = ids.iter().copied();
        for w in work {
            let Some(sequence) = self.scheduler.get(w.key) else { continue };
            let (computed, total, prompt) =
                (sequence.computed, sequence.tokens().len(), sequence.prompt_len());
            let samples = computed == total;
            if computed - w.rows < prompt {
                self.prefilled(w, computed, prompt);
            }
            if samples && let Some(id) = ids.next() {
                self.sampled(w.key, id, total);
            }
        }
    }

    fn prefilled(&mut self, work: &Work, computed: usize, prompt: usize) {
        self.totals.prefilled += work.rows as u64;
        let Some(request) = self.requests.get_mut(&work.key) else { return };
        request.stats.prefilled_tokens += work.rows;
        request.stats.reused_tokens += work.reused;
        self.emit(work.key, Ok(Event::Prefill { done: computed.min(prompt), total: prompt }));
    }

    fn sampled(&mut self, key: Key, id: u32, tokens: usize) {
        if id == NO_TOKEN || id as usize >= self.blueprint.vocab {
            self.scheduler.remove(key);
            self.requests.remove(&key);
            self.emit(key, Err(EngineError::NoFiniteLogits));
            return;
        }
        let room = tokens + 1 < self.context();
        let (vocab, tokenizer) = (self.blueprint.vocab, self.model.tokenizer());
        let Some(request) = self.requests.get_mut(&key) else { return };
        self.totals.generated += 1;
        match request.take(id, tokenizer, vocab, room) {
            Outcome::Token(event) => {
                if let Some(sequence) = self.scheduler.running_mut(key) {
                    sequence.push(id);
                }
                self.emit(key, Ok(event));
            }
            Outcome::Last(event, reason) => {
                self.emit(key, Ok(event));
                self.finish(key, reason);
            }
            Outcome::End(reason) => self.finish(key, reason),
        }
    }

    fn finish(&mut self, key: Key, reason: FinishReason) {
        self.scheduler.remove(key);
        if let Some(request) = self.requests.remove(&key) {
            self.totals.reused += request.stats.reused_tokens as u64;
            self.emit(key, Ok(request.finish(reason)));
        }
    }

    fn emit(&mut self, key: Key, event: Result<Event, EngineError>) {
        self.events.push_back((RequestId(key), event));
    }
}
