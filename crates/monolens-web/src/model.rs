//! A model from its files: everything but the weights, whose places alone are read.

use crate::failure::Failure;
use crate::files::Files;
use monolens_models::checkpoint::{
    CheckpointError, Header, Layout, MAX_INDEX_BYTES, PREFIX_BYTES, ShardIndex,
};
use monolens_models::config::{GenerationConfig, MAX_CONFIG_BYTES, ModelConfig};
use monolens_models::tokenizer::{MAX_TOKENIZER_BYTES, Tokenizer, TokenizerError, TokenizerJson};
use monolens_models::{Model, ModelError, ModelParts};
use std::sync::Arc;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Bytes that are read of a file's beginning: most headers are shorter, so that one read is enough.
const HEAD: u64 = 64 << 10;

/// Told the file at hand, its number and how many there are; an error ends reading.
pub(crate) type OnFile<'a> = dyn FnMut(&str, u64, u64) -> Result<(), Failure> + 'a;

/// Reads configuration, tokenizer and headers.
pub(crate) async fn open(
    files: &Files,
    on_file: &mut OnFile<'_>,
) -> Result<(Arc<Model>, Arc<Layout>), Failure> {
    let small = ["config.json", "generation_config.json", "tokenizer.model"];
    let total = small.len() as u64 + 1;
    on_file(small[0], 0, total)?;
    let config = files.whole(small[0], MAX_CONFIG_BYTES as u64).await?;
    let config = config.ok_or_else(|| Failure::new("bad-model", "there is no config.json"))?;
    let config = ModelConfig::from_json(&config).map_err(ModelError::from)?;
    on_file(small[1], 1, total)?;
    let generation = match files.whole(small[1], MAX_CONFIG_BYTES as u64).await? {
        Some(json) => GenerationConfig::from_json(&json).map_err(ModelError::from)?,
        None => GenerationConfig::default(),
    };
    on_file(small[2], 2, total)?;
    let tokenizer = tokenizer(files).await?;
    let layout = Arc::new(layout(files, 3, total, on_file).await?);
    let parts = ModelParts { config, generation, tokenizer, tensors: layout.clone() };
    Ok((Arc::new(Model::from_parts(parts)?), layout))
}

async fn tokenizer(files: &Files) -> Result<Tokenizer, Failure> {
    let most = MAX_TOKENIZER_BYTES as u64;
    let added_tokens = files.whole("added_tokens.json", most).await?;
    let tokenizer_config = files.whole("tokenizer_config.json", most).await?;
    let special_tokens_map = files.whole("special_tokens_map.json", most).await?;
    let json = TokenizerJson {
        added_tokens: added_tokens.as_deref(),
        tokenizer_config: tokenizer_config.as_deref(),
        special_tokens_map: special_tokens_map.as_deref(),
    };
    let model = files.whole("tokenizer.model", most).await?;
    let missing = || Failure::new("bad-model", "there is no tokenizer.model");
    Tokenizer::from_model(&model.ok_or_else(missing)?, &json)
        .map_err(|error: TokenizerError| Failure::new("bad-model", error))
}

/// Where every tensor lies.
async fn layout(files: &Files, done: u64, total: u64, on_file: &mut OnFile<'_>) -> Result<Layout, Failure> {
    on_file(SINGLE, done, total)?;
    if files.size(SINGLE).await?.is_some() {
        let header = header(files, SINGLE).await?;
        on_file(SINGLE, total, total)?;
        return Layout::new([(SINGLE.to_owned(), header)]).map_err(bad);
    }
    let index = files.whole(INDEX, MAX_INDEX_BYTES as u64).await?;
    let index =
        index.ok_or_else(|| bad(CheckpointError::NoWeights { folder: "the model's folder".into() }))?;
    let index = ShardIndex::parse(INDEX, &index).map_err(bad)?;
    let shards = index.shards();
    let total = total - 1 + shards.len() as u64;
    let mut headers = Vec::with_capacity(shards.len());
    for (shard, at) in shards.into_iter().zip(done..) {
        on_file(shard, at, total)?;
        headers.push((shard.to_owned(), header(files, shard).await?));
    }
    on_file(INDEX, total, total)?;
    let layout = Layout::new(headers).map_err(bad)?;
    layout.check_index(&index).map_err(bad)?;
    Ok(layout)
}

async fn header(files: &Files, name: &str) -> Result<Header, Failure> {
    let size = files.size(name).await?;
    let size = size.ok_or_else(|| Failure::new("bad-model", format!("there is no {name}")))?;
    let mut head = files.read(name, 0, size.min(HEAD)).await?;
    let end = PREFIX_BYTES as u64 + Header::json_length(name, &head, size).map_err(bad)?;
    if end > head.len() as u64 {
        head.extend(files.read(name, head.len() as u64, end).await?);
    }
    Header::parse(name, &head[PREFIX_BYTES..end as usize], size).map_err(bad)
}

fn bad(error: CheckpointError) -> Failure {
    Failure::new("bad-model", error)
}
