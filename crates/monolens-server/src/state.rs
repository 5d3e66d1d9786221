//! What all threads of a server share.

use crate::api::{ApiError, now};
use crate::metrics::Metrics;
use crate::options::Options;
use axum::http::StatusCode;
use monolens_engine::{Event, Prompt, Settings};
use monolens_models::Model;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

/// Leave to be answered or to wait for it; given back when it is dropped.
pub(crate) type Slot = OwnedSemaphorePermit;

/// A request for the engine.
#[derive(Debug)]
pub(crate) struct Job {
    /// Its name.
    pub id: String,
    /// What the model reads.
    pub prompt: Prompt,
    /// How it answers.
    pub settings: Settings,
    /// When it came.
    pub arrived: Instant,
    /// Who waits for the answer.
    pub updates: mpsc::UnboundedSender<Update>,
    /// Held until the engine is through with it.
    pub slot: Slot,
}

/// What the engine's thread tells about a job.
#[derive(Debug)]
pub(crate) enum Update {
    /// The engine has taken it.
    Accepted,
    /// Something happened.
    Event(Event),
    /// It cannot be answered, or not to the end.
    Failed(ApiError),
}

/// The model that is served.
#[derive(Debug)]
pub(crate) struct Hosted {
    /// Its name for clients.
    pub name: String,
    /// The model.
    pub model: Arc<Model>,
    /// Tokens of a conversation.
    pub context: usize,
    /// Requests that are answered at once.
    pub sequences: usize,
    /// When it was ready, in seconds since 1970.
    pub created: u64,
}

impl Hosted {
    /// A model that is ready now.
    pub fn new(name: String, model: Arc<Model>, context: usize, sequences: usize) -> Self {
        Self { name, model, context, sequences, created: now() }
    }
}

/// How the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The model is not there yet.
    Loading,
    /// Requests are answered.
    Ready,
    /// The device was lost; requests wait for another one.
    Recovering,
    /// Running answers are finished, new requests refused.
    Stopping,
}

impl Phase {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Ready => "ok",
            Self::Recovering => "recovering",
            Self::Stopping => "stopping",
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    /// What was asked for.
    pub options: Options,
    /// What was done.
    pub metrics: Metrics,
    /// Images are decoded by so many requests at once: each may take a lot of memory for a moment.
    pub decoders: Arc<Semaphore>,
    hosted: OnceLock<Hosted>,
    slots: Arc<Semaphore>,
    recovering: AtomicBool,
    stop: watch::Sender<bool>,
}

impl Shared {
    /// A server without a model.
    ///
    /// # Errors
    /// As [`Metrics::new`].
    pub fn new(options: Options) -> Result<Self, prometheus::Error> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            slots: Arc::new(Semaphore::new(options.limits.queue)),
            options,
            metrics: Metrics::new()?,
            decoders: Arc::new(Semaphore::new(cores.min(4))),
            hosted: OnceLock::new(),
            recovering: AtomicBool::new(false),
            stop: watch::Sender::new(false),
        })
    }

    /// The model, once it is there.
    pub fn hosted(&self) -> Option<&Hosted> {
        self.hosted.get()
    }

    /// From now on requests are answered. Only the first model counts.
    pub fn host(&self, hosted: Hosted) {
        let sequences = hosted.sequences;
        if self.hosted.set(hosted).is_ok() {
            self.slots.add_permits(sequences);
        }
    }

    /// How the server is.
    pub fn phase(&self) -> Phase {
        if *self.stop.borrow() {
            Phase::Stopping
        } else if self.hosted.get().is_none() {
            Phase::Loading
        } else if self.recovering.load(Ordering::Relaxed) {
            Phase::Recovering
        } else {
            Phase::Ready
        }
    }

    /// Whether the device is being replaced.
    pub fn set_recovering(&self, recovering: bool) {
        self.recovering.store(recovering, Ordering::Relaxed);
    }

    /// Finishes running answers and refuses new requests.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for [`Shared::stop`].
    pub async fn stopping(&self) {
        // The sender is in `self`, so it is there.
        let _ = self.stop.subscribe().wait_for(|&stop| stop).await;
    }

    /// Waits until nobody is answered or waits for it.
    pub async fn drained(&self) {
        if let Ok(all) = u32::try_from(self.most()) {
            let _ = self.slots.acquire_many(all).await;
        }
    }

    /// Requests that are answered or wait at most.
    fn most(&self) -> usize {
        self.options.limits.queue + self.hosted.get().map_or(0, |hosted| hosted.sequences)
    }

    /// Takes a request in, or refuses it at once.
    pub fn admit(&self) -> Result<(Slot, &Hosted), ApiError> {
        match (self.phase(), self.hosted.get()) {
            (Phase::Stopping, _) => Err(Self::stopped()),
            (_, None) => Err(ApiError::unavailable("the model is being loaded").code("loading")),
            (_, Some(hosted)) => match Arc::clone(&self.slots).try_acquire_owned() {
                Ok(slot) => Ok((slot, hosted)),
                Err(_) => Err(ApiError::busy(self.most(), self.wait(hosted.sequences))),
            },
        }
    }

    /// The server goes down.
    pub fn stopped() -> ApiError {
        ApiError::unavailable("the server is shutting down").code("stopping")
    }

    /// Seconds until an answer ends and another begins, on average.
    fn wait(&self, sequences: usize) -> u64 {
        let mean = self.metrics.mean_answer().unwrap_or(1.0);
        (mean / sequences.max(1) as f64).ceil().clamp(1.0, 60.0) as u64
    }

    /// How long a request may take.
    pub fn request_time(&self) -> Duration {
        self.options.limits.request_time
    }
}

/// The state of HTTP handlers. While one is alive, the engine's thread waits for jobs.
#[derive(Clone, Debug)]
pub(crate) struct App {
    /// What all share.
    pub shared: Arc<Shared>,
    /// The way to the engine.
    pub jobs: mpsc::UnboundedSender<Job>,
}

impl App {
    /// Hands a job to the engine.
    pub fn send(&self, job: Job) -> Result<(), ApiError> {
        let gone = |_| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "the engine is gone");
        self.jobs.send(job).map_err(gone)
    }
}
