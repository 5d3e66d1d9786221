//! The content of a message: a text, or a list of texts and images.

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Text alone.
    Text(String),
    /// Texts and images.
    Parts(Vec<Part>),
}

/// A part of a content; which field is there depends on `type`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Part {
    /// `text` or `image_url`.
    pub r#type: String,
    /// The text of a `text`.
    pub text: Option<String>,
    /// The image of an `image_url`.
    pub image_url: Option<ImageUrl>,
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ImageUrl {
    /// A `data:` URL.
    pub url: String,
    /// `low` is one tile, `high` and `auto` as many as the model wants.
    pub detail: Option<String>,
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ContentVisitor)
    }
}

/// By hand, because an untagged enum's errors do not say which field is wrong.
struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of parts")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Content, E> {
        Ok(Content::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Content, E> {
        Ok(Content::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
        let mut parts = Vec::new();
        while let Some(part) = list.next_element()? {
            parts.push(part);
        }
        Ok(Content::Parts(parts))
    }
}
