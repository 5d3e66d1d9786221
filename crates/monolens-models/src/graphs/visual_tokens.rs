//! What both vision graphs share: patches with positions at the start, pixel shuffle and `mlp1` at
//! the end (spec §4).

use crate::config::{ModelConfig, PixelShuffle};
use crate::weights::position_weight;
use monolens_graph::batch;
use monolens_graph::ops::{self, TokenOrder};
use monolens_graph::{Axis, DType, GraphBuilder, GraphError, ValueId};

/// Epsilon of `mlp1`'s LayerNorm.
const MLP_EPS: f32 = 1e-5;

/// Pixels → patches with position embeddings, f32 [tiles, (1 +) h·w, Cv].
pub(super) fn patches(
    g: &mut GraphBuilder,
    config: &ModelConfig,
    class_token: bool,
    taps: bool,
) -> Result<ValueId, GraphError> {
    let (width, patch) = (config.vision.hidden_size, config.vision.patch_size);
    let side = config.tile_size.into();
    let pixels = g.input(batch::PIXELS, DType::F32, [Axis::Tiles.into(), 3.into(), side, side]);
    let name = |part: &str| format!("vision_model.embeddings.{part}");
    let op = ops::PatchEmbed {
        weight: g.weight(name("patch_embedding.weight"), [width, 3, patch, patch]),
        bias: g.weight(name("patch_embedding.bias"), [width]),
        width,
        patch,
    };
    let x = g.push("conv_patches", op, &[pixels])?;
    let (position, shape) = position_weight(config);
    let op = ops::PositionEmbed {
        table: g.weight(position, shape),
        class: class_token.then(|| g.weight(name("class_embedding"), [1, 1, width])),
    };
    let y = g.push("vision_embeddings", op, &[x])?;
    if taps {
        g.output("conv_patches", x)?;
        g.output("vision_embeddings", y)?;
    }
    Ok(y)
}

/// Patches → visual tokens, written into the visual state.
pub(super) fn tokens(
    g: &mut GraphBuilder,
    config: &ModelConfig,
    skip_class: bool,
    x: ValueId,
    taps: bool,
) -> Result<(), GraphError> {
    let (channels, width) = (config.shuffled_channels(), config.decoder.hidden_size);
    let shuffle = ops::PixelShuffle {
        side: config.patches_per_side(),
        scale: config.shuffle,
        order: match config.ps_version {
            PixelShuffle::V1 => TokenOrder::ColumnMajor,
            PixelShuffle::V2 => TokenOrder::RowMajor,
        },
        skip_class,
    };
    let shuffled = g.push("pixel_shuffled", shuffle, &[x])?;
    let norm = ops::LayerNorm {
        weight: g.weight("mlp1.0.weight", [channels]),
        bias: g.weight("mlp1.0.bias", [channels]),
        eps: MLP_EPS,
    };
    let y = g.push("mlp1.0", norm, &[shuffled])?;
    let weight = g.weight("mlp1.1.weight", [width, channels]);
    let bias = g.weight("mlp1.1.bias", [width]);
    let y = g.push("mlp1.1", ops::Linear::shared(weight, Some(bias)), &[y])?;
    let y = g.push("mlp1.2", ops::Gelu, &[y])?;
    let weight = g.weight("mlp1.3.weight", [width, width]);
    let bias = g.weight("mlp1.3.bias", [width]);
    let y = g.push("mlp1.3", ops::Linear::shared(weight, Some(bias)), &[y])?;
    if taps {
        g.output("vision_last_hidden", x)?;
        g.output("pixel_shuffled", shuffled)?;
        g.output("vit_embeds", y)?;
    }
    let slots = g.input(batch::VISUAL_SLOTS, DType::U32, [Axis::Tiles.into()]);
    let shape = [Axis::VisualSlots.into(), width.into()];
    let visual = g.state(batch::VISUAL, DType::F32, shape);
    g.push_effect("store", ops::StoreRows, &[y, slots, visual])
}
