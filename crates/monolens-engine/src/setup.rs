//! An engine's beginning, and its new beginning on another device.

use crate::blueprint::{Blueprint, default_context, default_kv_dtype};
use crate::kv::pages_for;
use crate::loader::{Loader, LocalWeights, OnProgress, Progress, Stage, WeightReader, used_weights};
use crate::memory::Needs;
use crate::runner::{Runner, Sizes, is_too_large};
use crate::scheduler::{Limits, Scheduler};
use crate::{Engine, EngineError, EngineOptions};
use monolens_graph::Backend;
use monolens_models::Model;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;

/// The smallest context that is tried when memory is short.
const LEAST_CONTEXT: usize = 1024;

impl Engine {
    /// Loads a model whose weights are at hand onto a device.
    ///
    /// # Errors
    /// Options out of range, weights that are missing, misshapen or not finite, a full device, or
    /// [`EngineError::Cancelled`] when `progress` breaks.
    pub async fn load(
        model: Arc<Model>,
        backend: Box<dyn Backend>,
        options: EngineOptions,
        progress: &mut OnProgress<'_>,
    ) -> Result<Self, EngineError> {
        let reader = Rc::new(LocalWeights(Arc::clone(&model)));
        Self::load_from(model, reader, backend, options, progress).await
    }

    /// As [`Engine::load`], with weights from elsewhere. The model may know its tensors' layout only.
    ///
    /// # Errors
    /// As [`Engine::load`], and those of the reader.
    pub async fn load_from(
        model: Arc<Model>,
        reader: Rc<dyn WeightReader>,
        backend: Box<dyn Backend>,
        options: EngineOptions,
        progress: &mut OnProgress<'_>,
    ) -> Result<Self, EngineError> {
        options.check()?;
        let prepared = Prepared::new(&model, &*reader, backend, &options, None, progress).await?;
        let Prepared { blueprint, runner } = prepared;
        let pages = pages_for(runner.sizes().kv_tokens);
        let scheduler = Scheduler::new(limits(runner.sizes(), &options), pages, model.rope().clone());
        Ok(Self::assemble(model, reader, blueprint, options, runner, scheduler))
    }

    /// Goes on with a new device after the old one was lost: loads the weights again and reads running conversations
    /// again when their turn comes, each answer continuing where it was.
    ///
    /// # Errors
    /// As [`Engine::load`]; the engine then still needs a device, and this can be called again.
    pub async fn recover(
        &mut self,
        backend: Box<dyn Backend>,
        progress: &mut OnProgress<'_>,
    ) -> Result<(), EngineError> {
        let context = Some(self.context());
        let prepared =
            Prepared::new(&self.model, &*self.reader, backend, &self.options, context, progress).await?;
        let Prepared { blueprint, mut runner } = prepared;
        runner.counts = self.runner.counts;
        self.blueprint = blueprint;
        self.runner = runner;
        let sizes = self.runner.sizes();
        self.scheduler.start_over(pages_for(sizes.kv_tokens), limits(sizes, &self.options));
        self.forget_inspectors();
        self.set_alive();
        Ok(())
    }
}

fn limits(sizes: &Sizes, options: &EngineOptions) -> Limits {
    Limits { sequences: sizes.sequences, places: sizes.places, prefix_cache: options.prefix_cache }
}

/// A device with weights, states and programs.
struct Prepared {
    blueprint: Blueprint,
    runner: Runner,
}

impl Prepared {
    /// `context` is that of an engine which recovers: it stays.
    async fn new(
        model: &Model,
        reader: &dyn WeightReader,
        mut backend: Box<dyn Backend>,
        options: &EngineOptions,
        context: Option<usize>,
        progress: &mut OnProgress<'_>,
    ) -> Result<Self, EngineError> {
        let kv_dtype = match options.kv_dtype {
            Some(dtype) => dtype,
            None => default_kv_dtype(model, options.weights, backend.capabilities())?,
        };
        let blueprint = Blueprint::new(model, kv_dtype)?;
        let specs = used_weights([&blueprint.vision, &blueprint.decoder]);
        let (config, wish, check_finite) = (model.config(), options.weights, options.check_finite);
        let loader = Loader { reader, config, wish, check_finite, progress: &mut *progress, in_flight: 0 };
        let needs = Needs::new(loader.bytes(&specs)?, &blueprint);
        loader.load(&mut *backend, &specs).await.map_err(|error| needs.of_weights(error))?;
        let wished = context.or(options.context);
        let mut sizes = sizes(model, options, wished);
        // A pool that nobody asked for may be smaller than the default.
        loop {
            match Runner::allocate(&mut *backend, &blueprint, &sizes).await {
                Err(error)
                    if is_too_large(&error)
                        && wished.is_none()
                        && options.kv_tokens.is_none()
                        && sizes.context > LEAST_CONTEXT =>
                {
                    log::warn!("{error}: trying a context of {} tokens", sizes.context / 2);
                    sizes.context /= 2;
                    sizes.kv_tokens = sizes.context;
                }
                other => break other.map_err(|error| needs.of_context(error, sizes.context, options))?,
            }
        }
        let mut tell = |done: u64, name: &str| {
            let at = Progress { stage: Stage::Programs, done, total: Runner::PROGRAMS, name };
            match progress(at) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(EngineError::Cancelled),
            }
        };
        let mut count = 0;
        let mut note = |name: &'static str| {
            count += 1;
            tell(count - 1, name)
        };
        let runner = Runner::new(backend, &blueprint, sizes, &mut note).await;
        let runner = runner.map_err(|error| needs.of_context(error, sizes.context, options))?;
        tell(Runner::PROGRAMS, "")?;
        Ok(Self { blueprint, runner })
    }
}

fn sizes(model: &Model, options: &EngineOptions, context: Option<usize>) -> Sizes {
    let context = context.unwrap_or_else(|| {
        let most = options.kv_tokens.unwrap_or(EngineOptions::DEFAULT_CONTEXT);
        default_context(model, most.min(EngineOptions::DEFAULT_CONTEXT))
    });
    Sizes {
        context,
        // One conversation of full length always fits.
        kv_tokens: options.kv_tokens.unwrap_or(context).max(context),
        chunk: options.chunk.min(context),
        launch_seconds: options.launch_seconds,
        sequences: options.sequences,
        tiles_per_run: options.tiles_per_run,
        places: options.waiting_tiles.max(options.tiles_per_run),
        tokens_per_tile: model.config().num_image_token(),
        tile_size: model.config().tile_size,
    }
}
