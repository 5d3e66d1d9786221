//! What rounded weights cost: agreement with the weights as stored, and perplexity.

use anyhow::{Context, Result, bail};
use monolens_engine::{Engine, Event, Inspect, Prompt, Settings};

/// A prompt with what the weights as stored say after it.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The prompt.
    pub prompt: Prompt,
    /// Their most likely tokens, one after the other.
    pub greedy: Vec<u32>,
    /// Tokens drawn by their probabilities: a text for which they have the least perplexity there can be.
    pub drawn: Vec<u32>,
    /// Natural logarithms of their probabilities of all tokens, at each place of the drawn text.
    log_probabilities: Vec<Vec<f32>>,
}

/// How other weights do on a probe, summed over tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// Tokens of each text.
    pub tokens: usize,
    /// Places of the greedy text where the most likely token is the same.
    pub agreed: usize,
    /// Minus the logarithm of the probability of the drawn text.
    pub nats: f64,
    /// The same by the weights as stored.
    pub reference_nats: f64,
    /// Kullback-Leibler divergence of the distributions from those of the weights as stored, in nats.
    pub divergence: f64,
}

impl Quality {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            tokens: self.tokens + other.tokens,
            agreed: self.agreed + other.agreed,
            nats: self.nats + other.nats,
            reference_nats: self.reference_nats + other.reference_nats,
            divergence: self.divergence + other.divergence,
        }
    }

    fn a_token(self, sum: f64) -> f64 {
        sum / self.tokens.max(1) as f64
    }

    /// Share of tokens that agree.
    pub fn agreement(self) -> f64 {
        self.a_token(self.agreed as f64)
    }

    /// Perplexity of the drawn text.
    pub fn perplexity(self) -> f64 {
        self.a_token(self.nats).exp()
    }

    /// That of the weights as stored.
    pub fn reference_perplexity(self) -> f64 {
        self.a_token(self.reference_nats).exp()
    }

    /// Divergence a token, in nats.
    pub fn mean_divergence(self) -> f64 {
        self.a_token(self.divergence)
    }
}

/// Lets the engine, whose weights are as stored, answer a prompt twice.
///
/// # Errors
/// A prompt that does not fit; errors of the device.
pub fn probe(engine: &mut Engine, prompt: Prompt, tokens: usize, seed: u64) -> Result<Probe> {
    let settings = Settings { use_model_stop_ids: false, ..Settings::greedy(tokens) };
    let greedy = generate(engine, prompt.clone(), settings.clone())?;
    let warm = Settings { temperature: 1.0, seed: Some(seed), ..settings };
    let drawn = generate(engine, prompt.clone(), warm)?;
    let (_, log_probabilities) = forced(engine, &prompt, &drawn, true)?;
    Ok(Probe { prompt, greedy, drawn, log_probabilities })
}

/// Holds an engine with other weights to a probe.
///
/// # Errors
/// As [`probe`].
pub fn compare(engine: &mut Engine, probe: &Probe) -> Result<Quality> {
    let (next, _) = forced(engine, &probe.prompt, &probe.greedy, false)?;
    let agreed = next.iter().zip(&probe.greedy).filter(|(a, b)| a == b).count();
    let (_, mine) = forced(engine, &probe.prompt, &probe.drawn, true)?;
    let mut quality = Quality { tokens: probe.drawn.len(), agreed, ..Quality::default() };
    for ((&id, theirs), mine) in probe.drawn.iter().zip(&probe.log_probabilities).zip(&mine) {
        quality.nats -= f64::from(mine[id as usize]);
        quality.reference_nats -= f64::from(theirs[id as usize]);
        let terms = theirs.iter().zip(mine).map(|(&p, &q)| f64::from(p).exp() * f64::from(p - q));
        quality.divergence += terms.sum::<f64>();
    }
    Ok(quality)
}

/// The ids of an answer.
fn generate(engine: &mut Engine, prompt: Prompt, settings: Settings) -> Result<Vec<u32>> {
    let id = engine.submit(prompt, settings)?;
    let mut ids = Vec::new();
    while let Some(event) = pollster::block_on(engine.next_event(id))? {
        if let Event::Token { id, .. } = event {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// With these tokens after the prompt: the most likely token at the place of each, and if wanted the logarithms of all
/// probabilities there.
fn forced(
    engine: &mut Engine,
    prompt: &Prompt,
    tokens: &[u32],
    probabilities: bool,
) -> Result<(Vec<u32>, Vec<Vec<f32>>)> {
    let Some((_, before)) = tokens.split_last() else { bail!("expected an answer of some tokens, got none") };
    let first = prompt.ids.len() - 1;
    let request = Inspect {
        prompt: prompt.clone(),
        forced: before.to_vec(),
        logits: probabilities,
        rows: Some(first..first + tokens.len()),
        ..Inspect::default()
    };
    let seen = pollster::block_on(engine.inspect(request))?;
    if !probabilities {
        return Ok((seen.next_ids, Vec::new()));
    }
    let logits = seen.logits.context("the engine gave no logits")?.f32s();
    let rows = logits.chunks_exact(logits.len() / tokens.len()).map(log_softmax).collect();
    Ok((seen.next_ids, rows))
}

fn log_softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    let sum: f64 = logits.iter().map(|&v| f64::from(v - most).exp()).sum();
    let log = sum.ln() as f32;
    logits.iter().map(|&v| v - most - log).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_add_up_to_one_however_large_the_logits() {
        for shift in [0.0, 1e4] {
            let logs = log_softmax(&[1.0 + shift, 2.0 + shift, -3.0 + shift]);
            let sum: f32 = logs.iter().map(|l| l.exp()).sum();
            assert!((sum - 1.0).abs() < 1e-3, "{sum}");
        }
    }

    #[test]
    fn sums_become_means_a_token() {
        let one = Quality { tokens: 4, agreed: 3, nats: 8.0, reference_nats: 4.0, divergence: 1.0 };
        let both = one.and(one);
        assert_eq!((both.agreement(), both.mean_divergence()), (0.75, 0.25));
        assert!((both.perplexity() - 2f64.exp()).abs() < 1e-9);
        assert!((both.reference_perplexity() - 1f64.exp()).abs() < 1e-9);
    }
}
