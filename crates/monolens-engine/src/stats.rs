//! What an engine did and holds.

use crate::Engine;
use crate::runner::kv_bytes_per_token;
use monolens_graph::OpTime;
use monolens_graph::backend::{DeviceInfo, MemoryUse};
use monolens_graph::batch::PAGE_SIZE;

/// Sums since the engine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests that were submitted.
    pub requests: u64,
    /// Requests that run just now.
    pub running: usize,
    /// Requests that wait for room.
    pub waiting: usize,
    /// Runs of the decoder.
    pub steps: u64,
    /// Runs of the vision part.
    pub vision_runs: u64,
    /// Tiles that went through it.
    pub tiles_encoded: u64,
    /// Prompt tokens that were computed.
    pub tokens_prefilled: u64,
    /// Prompt tokens that were reused instead.
    pub tokens_reused: u64,
    /// Tokens that were generated.
    pub tokens_generated: u64,
    /// Times that a running request had to give its pages back and start over.
    pub preemptions: u64,
    /// Pages of the prefix cache that made room.
    pub evictions: u64,
}

/// Memory of an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// On the device, in bytes.
    pub device: MemoryUse,
    /// Bytes of keys and values that one token takes.
    pub kv_bytes_per_token: u64,
    /// Tokens that the KV pool holds.
    pub kv_tokens: usize,
    /// How many of them are in use by running requests.
    pub kv_tokens_used: usize,
    /// How many are kept for prompts that begin alike.
    pub kv_tokens_cached: usize,
}

impl Engine {
    /// What it did so far.
    pub fn stats(&self) -> Stats {
        let (running, waiting) = self.scheduler.counts();
        Stats {
            requests: self.totals.requests,
            running,
            waiting,
            steps: self.runner.counts.steps,
            vision_runs: self.runner.counts.vision_runs,
            tiles_encoded: self.runner.counts.tiles,
            tokens_prefilled: self.totals.prefilled,
            tokens_reused: self.totals.reused,
            tokens_generated: self.totals.generated,
            preemptions: self.scheduler.preemptions(),
            evictions: self.scheduler.pool().evictions(),
        }
    }

    /// Forgets the beginnings of earlier prompts, for measurements.
    pub fn clear_prefix_cache(&mut self) {
        self.scheduler.forget_prefixes();
    }

    /// Begins or ends measuring every operator by itself in the steps that follow, which makes them slower. Gives what was
    /// measured since it began, or none where the backend cannot.
    pub fn profile(&mut self, on: bool) -> Option<Vec<OpTime>> {
        self.runner.backend_mut().profile(on)
    }

    /// The kernel launches of each phase, by operator name and in order: one decoded token, a full chunk of text, a full
    /// chunk with images, one tile.
    pub fn dispatches(&self) -> Vec<(&'static str, Vec<&'static str>)> {
        self.runner.dispatches()
    }

    /// What it holds.
    pub fn memory(&self) -> Memory {
        let pool = self.scheduler.pool();
        Memory {
            device: self.runner.backend().memory(),
            kv_bytes_per_token: kv_bytes_per_token(&self.blueprint.decoder),
            kv_tokens: pool.capacity() * PAGE_SIZE,
            kv_tokens_used: (pool.capacity() - pool.available()) * PAGE_SIZE,
            kv_tokens_cached: pool.idle_tokens(),
        }
    }

    /// The device.
    pub fn device(&self) -> &DeviceInfo {
        self.runner.backend().device()
    }
}
