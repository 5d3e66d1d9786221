//! Images of a request: from `data:` URLs to tiles.
//!
//! Nothing is ever fetched from the network: a server that fetches what a client names can be made to ask the machines
//! behind it. Pixels are counted over the whole request before they are allocated.

use crate::api::{ApiError, ImageUrl};
use crate::options::Limits;
use data_url::DataUrl;
use monolens_engine::{Image, TileOptions};
use monolens_models::Model;
use monolens_models::image::{DecodeOptions, ImageTiles, MAX_TILES, RgbImage, decode};

/// How finely an image is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    /// One tile.
    Low,
    /// As many tiles as the model and the server's limit allow.
    High,
}

/// An image of a message and its place in the request, for errors.
pub(crate) struct Wanted<'a> {
    /// Such as `messages[0].content[1].image_url`.
    pub field: String,
    /// The image.
    pub image: &'a ImageUrl,
}

/// Makes images ready, within what is left of the request's pixels.
pub(crate) struct Eye<'a> {
    model: &'a Model,
    limits: &'a Limits,
    pixels_left: u64,
}

impl<'a> Eye<'a> {
    /// For one request.
    pub fn new(model: &'a Model, limits: &'a Limits) -> Self {
        Self { model, limits, pixels_left: limits.pixels }
    }

    /// The images of one message, in order. They share a message's budget of tiles, so that a follow-up does not change
    /// the tiles of earlier messages.
    pub fn look(&mut self, wanted: &[Wanted<'_>]) -> Result<Vec<Image>, ApiError> {
        let mut details = Vec::with_capacity(wanted.len());
        let (mut low, mut high) = (Vec::new(), Vec::new());
        for w in wanted {
            let detail = detail(w)?;
            let group = if detail == Detail::Low { &mut low } else { &mut high };
            group.push(self.decode(w)?);
            details.push(detail);
        }
        let budget = MAX_TILES.checked_sub(low.len());
        let Some(budget) = budget.filter(|&budget| budget >= high.len()) else {
            let message = format!("images: expected at most {MAX_TILES} in a message, got {}", wanted.len());
            return Err(ApiError::field("messages", message));
        };
        let high_options = TileOptions { max_tiles: self.limits.tiles, budget: Some(budget) };
        let mut low = self.tile(&low, &TileOptions::FRAME)?.into_iter();
        let mut high = self.tile(&high, &high_options)?.into_iter();
        let next = |detail| if detail == Detail::Low { low.next() } else { high.next() };
        Ok(details.into_iter().filter_map(next).map(Image::new).collect())
    }

    fn decode(&mut self, wanted: &Wanted<'_>) -> Result<RgbImage, ApiError> {
        let field = &wanted.field;
        let bytes = data(&wanted.image.url).map_err(|error| error.at(&format!("{field}.url")))?;
        let options = DecodeOptions { max_pixels: self.pixels_left, ..DecodeOptions::default() };
        let image = decode(&bytes, &options).map_err(|error| {
            let limit = self.limits.pixels;
            let note = match self.pixels_left < limit {
                true => format!(" (a request may have {limit} pixels; earlier images took the others)"),
                false => String::new(),
            };
            ApiError::field(field.as_str(), format!("{error}{note}")).code("invalid_image")
        })?;
        let pixels = u64::from(image.width()) * u64::from(image.height());
        self.pixels_left = self.pixels_left.saturating_sub(pixels);
        Ok(image)
    }

    fn tile(&self, images: &[RgbImage], options: &TileOptions) -> Result<Vec<ImageTiles>, ApiError> {
        let tiled = self.model.preprocess(images, options);
        let tiled = tiled.map_err(|error| ApiError::field("messages", error).code("invalid_image"))?;
        if let Some(warning) = tiled.warning {
            log::debug!("{warning}");
        }
        Ok(tiled.images)
    }
}

fn detail(wanted: &Wanted<'_>) -> Result<Detail, ApiError> {
    match wanted.image.detail.as_deref() {
        Some("low") => Ok(Detail::Low),
        None | Some("auto" | "high") => Ok(Detail::High),
        Some(other) => {
            let field = format!("{}.detail", wanted.field);
            Err(ApiError::field(field, format!("expected low, high or auto, got {:?}", shortened(other))))
        }
    }
}

/// The bytes of a `data:` URL.
fn data(url: &str) -> Result<Vec<u8>, ApiError> {
    let bad = |message: String| ApiError { code: Some("invalid_image_url"), ..bad_request(message) };
    let form = "expected a URL such as data:image/png;base64,iVBORw0KGgo..";
    let is_data = url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    if !is_data {
        let got = shortened(url);
        return Err(bad(format!("{form}; this server fetches no images from the network, got {got:?}")));
    }
    let url = DataUrl::process(url).map_err(|error| bad(format!("{form}, got {error:?}")))?;
    let (bytes, _) = url.decode_to_vec().map_err(|error| bad(format!("expected base64, got {error:?}")))?;
    Ok(bytes)
}

fn bad_request(message: String) -> ApiError {
    ApiError::new(axum::http::StatusCode::BAD_REQUEST, message)
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push_str("..");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_urls_are_read_as_browsers_read_them() {
        for url in
            ["data:image/png;base64,aGk=", "DATA:;base64,aGk", "data:,hi", "data:image/png;base64,aG\n k%3D"]
        {
            assert_eq!(data(url).unwrap(), b"hi", "{url}");
        }
    }

    #[test]
    fn nothing_is_fetched() {
        for url in
            ["http://example.com/a.png", "https://example.com", "file:///etc/passwd", "/etc/passwd", ""]
        {
            let error = data(url).unwrap_err();
            assert!(error.message.contains("fetches no images"), "{url}: {error:?}");
        }
        assert!(data("data:image/png;base64,!!").unwrap_err().message.contains("base64"));
        assert!(data("data:image/png").is_err());
        assert!(data("dätaä").unwrap_err().message.len() < 200);
    }
}
