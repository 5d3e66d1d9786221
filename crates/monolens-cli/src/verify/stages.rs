//! What the model computes, stage by stage, and its greedy answer.

use super::case::Prepared;
use super::golden::{Case, Numbers, Tensors};
use super::lab::Lab;
use super::report::Rows;
use anyhow::Result;
use monolens_engine::{Event, Inspect, Inspected, Prompt, Settings};
use monolens_graph::backend::HostTensor;
use std::collections::BTreeMap;

/// Golden tensors that are no stage: inputs and answers are compared elsewhere.
const NO_STAGE: [&str; 6] =
    ["input_ids", "visual_mask", "tiles_u8", "pixel_values", "generated", "attention_mask"];

/// Names of the attention maps that make up `attn_mean_heads`.
fn attention_taps(layers: usize) -> Vec<String> {
    (0..layers).map(|i| format!("attention_map.{i}")).collect()
}

/// The taps that a golden tensor needs.
fn taps_of(name: &str, layers: usize) -> Vec<String> {
    match name {
        "attn_mean_heads" => attention_taps(layers),
        other if other.starts_with("logits") => Vec::new(),
        other => vec![other.to_owned()],
    }
}

/// Compares every stage of a prompt that golden data hold under `name`.
///
/// # Errors
/// When golden data cannot be read.
pub fn verify(
    name: &str,
    case: &Prepared,
    tensors: &Tensors,
    lab: &mut Lab,
    rows: &mut Rows<'_>,
) -> Result<()> {
    let layers = lab.engine.model().config().decoder.num_layers;
    let mut stages = tensors.names_under(&format!("{name}."));
    stages.retain(|s| !NO_STAGE.contains(&s.as_str()) && !s.starts_with("step_logits"));
    stages.sort_by_key(|s| order(s));
    // Taps that the model does not have would fail the whole run: each is asked for by name only if it is known.
    let (mut known, mut wanted) = (Vec::new(), Vec::new());
    for stage in stages {
        let taps = taps_of(&stage, layers);
        match taps.iter().find(|tap| !has_tap(tap, lab)) {
            None => {
                wanted.extend(taps);
                known.push(stage);
            }
            Some(tap) => rows.skipped(&stage, &format!("this model's graph has no {tap}")),
        }
    }
    let logits = known.iter().any(|s| s.starts_with("logits"));
    if known.is_empty() {
        return Ok(());
    }
    let request = Inspect { prompt: case.prompt.clone(), taps: wanted, logits, ..Inspect::default() };
    let seen = match pollster::block_on(lab.engine.inspect(request)) {
        Ok(seen) => seen,
        Err(error) => {
            rows.failed("stages", &error.to_string());
            return Ok(());
        }
    };
    for stage in known {
        let expected = tensors.numbers(&format!("{name}.{stage}"));
        let Some(expected) = expected? else { continue };
        compare_stage(&stage, expected, &seen, layers, rows);
    }
    Ok(())
}

/// The order in which stages are computed.
fn order(stage: &str) -> (usize, usize) {
    const ORDER: [&str; 12] = [
        "conv_patches",
        "vision_embeddings",
        "vision_hidden",
        "vision_last_hidden",
        "pixel_shuffled",
        "vit_embeds",
        "hidden.",
        "layer",
        "attn_mean_heads",
        "hidden_final_norm",
        "logits",
        "",
    ];
    let number = stage.rsplit('.').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    (ORDER.iter().position(|start| stage.starts_with(start)).unwrap_or(ORDER.len()), number)
}

fn has_tap(tap: &str, lab: &Lab) -> bool {
    let model = lab.engine.model();
    let layers = model.config().decoder.num_layers;
    let layer = |text: &str| text.parse::<usize>().is_ok_and(|i| i < layers);
    if let Some(i) = tap.strip_prefix("attention_map.") {
        return layer(i);
    }
    if let Some(rest) = tap.strip_prefix("layer") {
        let cache = rest.strip_suffix(".k_cache").or_else(|| rest.strip_suffix(".v_cache"));
        return cache.is_some_and(layer);
    }
    let options = monolens_models::graphs::DecoderOptions { taps: true, ..Default::default() };
    let graphs = [model.vision_graph(true), model.decoder_graph(&options)];
    graphs.iter().flatten().any(|g| g.outputs.contains_key(tap))
}

fn compare_stage(stage: &str, expected: Numbers, seen: &Inspected, layers: usize, rows: &mut Rows<'_>) {
    let tensor = |name: &str| seen.tensors.get(name).map(HostTensor::f32s);
    let got = match stage {
        "attn_mean_heads" => {
            let maps: Option<Vec<Vec<f32>>> = attention_taps(layers).iter().map(|t| tensor(t)).collect();
            maps.map(|maps| maps.concat())
        }
        s if s.starts_with("logits") => seen.logits.as_ref().map(|logits| {
            // `logits_last8` are the last eight rows, `logits` all.
            let values = logits.f32s();
            let from = values.len().saturating_sub(expected.values.len());
            values[from..].to_vec()
        }),
        other => tensor(other),
    };
    let Some(got) = got else {
        return rows.failed(stage, "the engine gave no such tensor");
    };
    let (shape, expected) = aligned(stage, expected, got.len());
    rows.close(stage, &shape, &got, &expected);
}

/// Golden values in the order of this engine's tensor: patches before channels, no class row where it has none.
fn aligned(stage: &str, expected: Numbers, len: usize) -> (Vec<usize>, Vec<f32>) {
    let Numbers { shape, values } = expected;
    match (stage, shape.as_slice()) {
        ("conv_patches", &[tiles, channels, height, width]) => {
            let patches = height * width;
            let mut out = Vec::with_capacity(values.len());
            for tile in 0..tiles {
                for patch in 0..patches {
                    out.extend((0..channels).map(|c| values[(tile * channels + c) * patches + patch]));
                }
            }
            (shape, out)
        }
        ("vision_embeddings" | "vision_last_hidden", &[tiles, rows, channels])
            if rows > 1 && len == tiles * (rows - 1) * channels =>
        {
            let tile = rows * channels;
            let out = values.chunks_exact(tile.max(1)).flat_map(|t| t[channels..].iter().copied()).collect();
            (vec![tiles, rows - 1, channels], out)
        }
        _ => (shape, values),
    }
}

/// Compares the logits that chose each generated id, with the reference's ids fed back.
///
/// # Errors
/// When golden data cannot be read.
pub fn verify_steps(
    name: &str,
    generated: &[u32],
    case: &Prepared,
    tensors: &Tensors,
    lab: &mut Lab,
    rows: &mut Rows<'_>,
) -> Result<()> {
    let stages = tensors.names_under(&format!("{name}."));
    let Some(stage) = stages.into_iter().find(|s| s.starts_with("step_logits")) else { return Ok(()) };
    let Some(expected) = tensors.numbers(&format!("{name}.{stage}"))? else { return Ok(()) };
    let prompt = case.prompt.ids.len();
    let forced = generated.get(..generated.len().saturating_sub(1)).unwrap_or_default().to_vec();
    let steps: Vec<usize> = match stage.strip_prefix("step_logits_") {
        Some(list) => {
            let numbers = list.split('_').filter_map(|n| n.parse().ok());
            numbers.filter(|&step| step < generated.len()).collect()
        }
        None => (0..generated.len()).collect(),
    };
    let request = Inspect {
        prompt: case.prompt.clone(),
        rows: Some(prompt.saturating_sub(1)..prompt + forced.len()),
        forced,
        logits: true,
        ..Inspect::default()
    };
    let seen = match pollster::block_on(lab.engine.inspect(request)) {
        Ok(seen) => seen,
        Err(error) => {
            rows.failed(&stage, &error.to_string());
            return Ok(());
        }
    };
    let logits = seen.logits.map(|l| l.f32s()).unwrap_or_default();
    let vocab = lab.engine.model().config().decoder.vocab_size;
    let got: Vec<f32> = steps
        .iter()
        .flat_map(|&s| logits.get(s * vocab..(s + 1) * vocab).unwrap_or_default())
        .copied()
        .collect();
    rows.close(&stage, &expected.shape, &got, &expected.values);
    Ok(())
}

/// The greedy answer of a case: ids, and their text.
pub fn verify_greedy(case: &Case, prepared: &Prepared, lab: &mut Lab, rows: &mut Rows<'_>) {
    if case.generated.is_empty() {
        return;
    }
    greedy_row("generated", &case.generated, prepared, lab, rows);
    let tokenizer = lab.engine.model().tokenizer();
    let texts = [
        ("generated_text", &case.generated_text, false),
        ("generated_text_skip_special", &case.generated_text_skip_special, true),
    ];
    for (what, expected, skip) in texts {
        if let Some(expected) = expected {
            let got = tokenizer.decode_official(&case.generated, skip);
            let shape = format!("{} characters", expected.chars().count());
            rows.exact(what, &shape, got == *expected, || format!("expected {expected:?}, got {got:?}"));
        }
    }
}

/// Compares greedy ids.
pub fn greedy_row(what: &str, expected: &[u32], prepared: &Prepared, lab: &mut Lab, rows: &mut Rows<'_>) {
    match greedy(lab, std::slice::from_ref(&prepared.prompt), expected.len()) {
        Ok(got) => rows.sequence(what, &[expected.len()], got.first().map_or(&[][..], |g| g), expected),
        Err(error) => rows.failed(what, &format!("{error:#}")),
    }
}

/// Greedy ids of prompts that run together, without stopping at stop ids.
///
/// # Errors
/// Those of the engine.
pub fn greedy(lab: &mut Lab, prompts: &[Prompt], count: usize) -> Result<Vec<Vec<u32>>> {
    let settings = Settings { use_model_stop_ids: false, ..Settings::greedy(count.max(1)) };
    let engine = &mut lab.engine;
    let mut answers = BTreeMap::new();
    let mut order = Vec::new();
    for prompt in prompts {
        let id = engine.submit(prompt.clone(), settings.clone())?;
        answers.insert(id, Vec::new());
        order.push(id);
    }
    while engine.is_busy() {
        for (id, event) in pollster::block_on(engine.step())? {
            if let (Event::Token { id: token, .. }, Some(ids)) = (event?, answers.get_mut(&id)) {
                ids.push(token);
            }
        }
    }
    Ok(order.iter().filter_map(|id| answers.remove(id)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_layouts_become_this_engines() {
        let numbers = |shape: &[usize]| Numbers {
            shape: shape.to_vec(),
            values: (0..shape.iter().product()).map(|i: usize| i as f32).collect(),
        };
        let (_, patches) = aligned("conv_patches", numbers(&[1, 2, 1, 3]), 6);
        assert_eq!(patches, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        let (shape, rows) = aligned("vision_embeddings", numbers(&[2, 3, 1]), 4);
        assert_eq!((shape, rows), (vec![2, 2, 1], vec![1.0, 2.0, 4.0, 5.0]));
        let (shape, _) = aligned("vision_embeddings", numbers(&[2, 3, 1]), 6);
        assert_eq!(shape, [2, 3, 1]);
    }

    #[test]
    fn stages_are_in_the_order_of_computation() {
        let mut stages =
            vec!["logits", "hidden.10", "hidden.2", "vit_embeds", "conv_patches", "layer0.k_cache"];
        stages.sort_by_key(|s| order(s));
        assert_eq!(
            stages,
            ["conv_patches", "vit_embeds", "hidden.2", "hidden.10", "layer0.k_cache", "logits"]
        );
    }
}
