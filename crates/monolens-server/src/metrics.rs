//! What the server did, for Prometheus.

use monolens_engine::{Memory, Stats};
use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};
use std::time::Duration;

/// Bounds of histograms, in seconds: from a small model on a fast GPU to a large one on a busy CPU.
const SECONDS: [f64; 13] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// All metrics. Recording needs no lock.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    disconnects: IntCounter,
    running: IntGauge,
    waiting: IntGauge,
    prompt_tokens: IntCounter,
    reused_tokens: IntCounter,
    generated_tokens: IntCounter,
    tiles: IntCounter,
    preemptions: IntCounter,
    kv_tokens: IntGauge,
    kv_tokens_used: IntGauge,
    kv_tokens_cached: IntGauge,
    recoveries: IntCounter,
    first_token: Histogram,
    answer: Histogram,
}

impl Metrics {
    /// Nothing happened yet.
    ///
    /// # Errors
    /// Two metrics of one name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("monolens".into()), None)?;
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let histogram = |name: &str, help: &str| {
            let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        let by_status = Opts::new("requests_total", "Chat completions by HTTP status.");
        let requests = IntCounterVec::new(by_status, &["status"])?;
        registry.register(Box::new(requests.clone()))?;
        Ok(Self {
            requests,
            disconnects: counter("disconnects_total", "Requests whose client went away before the end.")?,
            running: gauge("requests_running", "Requests that are being answered.")?,
            waiting: gauge("requests_waiting", "Requests that wait for room in the engine.")?,
            prompt_tokens: counter("prompt_tokens_computed_total", "Prompt tokens that were computed.")?,
            reused_tokens: counter(
                "prompt_tokens_reused_total",
                "Prompt tokens whose keys and values were there from earlier prompts.",
            )?,
            generated_tokens: counter("generated_tokens_total", "Tokens of answers.")?,
            tiles: counter("image_tiles_encoded_total", "Image tiles that went through the vision part.")?,
            preemptions: counter("preemptions_total", "Times that a request gave its memory back.")?,
            kv_tokens: gauge("kv_tokens", "Tokens that the KV pool holds.")?,
            kv_tokens_used: gauge("kv_tokens_used", "Tokens of the KV pool in use by running requests.")?,
            kv_tokens_cached: gauge("kv_tokens_cached", "Tokens of the KV pool kept for reuse.")?,
            recoveries: counter("device_recoveries_total", "Times that a lost device was replaced.")?,
            first_token: histogram(
                "time_to_first_token_seconds",
                "From a request's arrival to its first token, waiting included.",
            )?,
            answer: histogram("request_seconds", "From a request's arrival to the end of its answer.")?,
            registry,
        })
    }

    /// A request was answered with this status.
    pub fn request(&self, status: u16) {
        self.requests.with_label_values(&[status.to_string()]).inc();
    }

    /// A client went away.
    pub fn disconnect(&self) {
        self.disconnects.inc();
    }

    /// A first token came.
    pub fn first_token(&self, after: Duration) {
        self.first_token.observe(after.as_secs_f64());
    }

    /// An answer ended.
    pub fn answer(&self, after: Duration) {
        self.answer.observe(after.as_secs_f64());
    }

    /// A device was replaced.
    pub fn recovery(&self) {
        self.recoveries.inc();
    }

    /// Seconds that an answer takes on average, if any was given.
    pub fn mean_answer(&self) -> Option<f64> {
        let count = self.answer.get_sample_count();
        (count > 0).then(|| self.answer.get_sample_sum() / count as f64)
    }

    /// What the engine did between two looks at its sums.
    pub fn engine(&self, before: &Stats, now: &Stats, memory: &Memory) {
        let gauge = |gauge: &IntGauge, value: usize| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        gauge(&self.running, now.running);
        gauge(&self.waiting, now.waiting);
        gauge(&self.kv_tokens, memory.kv_tokens);
        gauge(&self.kv_tokens_used, memory.kv_tokens_used);
        gauge(&self.kv_tokens_cached, memory.kv_tokens_cached);
        let add = |counter: &IntCounter, before: u64, now: u64| counter.inc_by(now.saturating_sub(before));
        add(&self.prompt_tokens, before.tokens_prefilled, now.tokens_prefilled);
        add(&self.reused_tokens, before.tokens_reused, now.tokens_reused);
        add(&self.generated_tokens, before.tokens_generated, now.tokens_generated);
        add(&self.tiles, before.tiles_encoded, now.tiles_encoded);
        add(&self.preemptions, before.preemptions, now.preemptions);
    }

    /// Prometheus' text format, and its media type.
    pub fn text(&self) -> Result<(Vec<u8>, String), prometheus::Error> {
        let encoder = TextEncoder::new();
        let mut text = Vec::new();
        encoder.encode(&self.registry.gather(), &mut text)?;
        Ok((text, encoder.format_type().to_owned()))
    }
}
