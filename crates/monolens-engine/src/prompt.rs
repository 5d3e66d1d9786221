//! What a request asks: token ids, and the images behind the placeholders among them.

use crate::kv::TokenKey;
use crate::visual::TileKey;
use crate::{EngineError, Image};
use monolens_graph::batch::NO_VISUAL;
use monolens_models::Model;
use monolens_models::prompt::Part;

/// A prompt. Visual tokens are placeholder ids (`<IMG_CONTEXT>`), filled in order with the tokens of the images' tiles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompt {
    /// Token ids, begin-of-sequence first.
    pub ids: Vec<u32>,
    /// The images, in the order of their placeholders.
    pub images: Vec<Image>,
}

/// What a model's prompts must fit: see [`crate::Engine::prompt_shape`].
#[derive(Clone, Copy, Debug)]
pub struct PromptShape {
    /// Ids are below this.
    pub vocab: usize,
    /// The placeholder id.
    pub placeholder: u32,
    /// Visual tokens of a tile.
    pub tokens_per_tile: usize,
    /// Side of a tile in pixels.
    pub tile_size: usize,
    /// Tokens a conversation may have.
    pub context: usize,
}

impl Prompt {
    /// The prompt of this text, whatever its template, with `<image>` for each image.
    ///
    /// # Errors
    /// `<image>` marks and images that differ in number.
    pub fn of_text(model: &Model, text: String, images: Vec<Image>) -> Result<Self, EngineError> {
        Self::of_parts(model, vec![Part::Text(text)], images)
    }

    /// The prompt of these parts in order.
    pub(crate) fn of_parts(model: &Model, parts: Vec<Part>, images: Vec<Image>) -> Result<Self, EngineError> {
        let tiles: Vec<usize> = images.iter().map(|image| image.tiles().count()).collect();
        let per_tile = model.config().num_image_token();
        let prompt = monolens_models::prompt::Prompt::from_parts(model.tokenizer(), parts, &tiles, per_tile)?;
        Ok(Self { ids: prompt.ids, images })
    }

    /// Checks ids, placeholders, tiles and length.
    ///
    /// # Errors
    /// The first that does not fit.
    pub fn check(&self, shape: &PromptShape) -> Result<(), EngineError> {
        if self.ids.is_empty() {
            return Err(EngineError::EmptyPrompt);
        }
        if let Some(position) = self.ids.iter().position(|&id| id as usize >= shape.vocab) {
            return Err(EngineError::BadToken { id: self.ids[position], position, vocab: shape.vocab });
        }
        let side = |bytes: usize| bytes * bytes * 3;
        if let Some(image) = self.images.iter().find(|image| image.tiles().tile_size() != shape.tile_size) {
            let got = side(image.tiles().tile_size());
            return Err(EngineError::TileSize { expected: side(shape.tile_size), got });
        }
        let placeholders = self.ids.iter().filter(|&&id| id == shape.placeholder).count();
        let tiles: usize = self.images.iter().map(|image| image.tiles().count()).sum();
        let visual = tiles * shape.tokens_per_tile;
        if placeholders != visual {
            return Err(EngineError::VisualMismatch { placeholders, visual });
        }
        if self.ids.len() >= shape.context {
            let (needed, available) = (self.ids.len(), shape.context);
            return Err(EngineError::ContextOverflow { needed, visual, available });
        }
        Ok(())
    }

    /// For each token its visual token number, counted over all images, or [`NO_VISUAL`].
    pub(crate) fn visual_tokens(&self, placeholder: u32) -> Vec<u32> {
        let mut next = 0..;
        let number = |&id: &u32| if id == placeholder { next.next().unwrap_or(NO_VISUAL) } else { NO_VISUAL };
        self.ids.iter().map(number).collect()
    }
}

/// The tiles of a prompt's images, numbered through.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tiles {
    images: Vec<Image>,
    /// Of each tile its image and its number there.
    places: Vec<(usize, usize)>,
    tokens_per_tile: usize,
}

impl Tiles {
    /// The tiles of these images.
    pub fn new(images: Vec<Image>, tokens_per_tile: usize) -> Self {
        let of_image = |(i, image): (usize, &Image)| (0..image.tiles().count()).map(move |t| (i, t));
        let places = images.iter().enumerate().flat_map(of_image).collect();
        Self { images, places, tokens_per_tile }
    }

    /// Number of tiles.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Visual tokens of a tile.
    pub fn tokens_per_tile(&self) -> usize {
        self.tokens_per_tile
    }

    /// The pixels of a tile, u8 [S, S, 3].
    pub fn pixels(&self, tile: usize) -> Option<&[u8]> {
        let &(image, at) = self.places.get(tile)?;
        self.images.get(image)?.tile(at)
    }

    /// A tile's content.
    pub fn content(&self, tile: usize) -> Option<TileKey> {
        let &(image, at) = self.places.get(tile)?;
        Some((self.images[image].hash(), at))
    }

    /// The tile of a visual token, and its number there.
    pub fn place(&self, visual: u32) -> (usize, usize) {
        let visual = visual as usize;
        (visual / self.tokens_per_tile, visual % self.tokens_per_tile)
    }

    /// What a visual token is, for the prefix cache.
    pub fn key(&self, visual: u32) -> Option<TokenKey> {
        let (tile, token) = self.place(visual);
        let &(image, at) = self.places.get(tile)?;
        let index = at * self.tokens_per_tile + token;
        Some(TokenKey::Visual(self.images[image].hash(), index as u32))
    }
}
