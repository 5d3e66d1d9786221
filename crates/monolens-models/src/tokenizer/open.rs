//! A tokenizer from a folder.

use super::{MAX_TOKENIZER_BYTES, Tokenizer, TokenizerError, TokenizerJson};
use std::io;
use std::path::Path;

impl Tokenizer {
    /// Reads `tokenizer.model`, or else `tokenizer.json`, and the JSON files beside it.
    ///
    /// # Errors
    /// [`TokenizerError`]: neither is there, or a file is unreadable or malformed.
    pub fn open(folder: &Path) -> Result<Self, TokenizerError> {
        let read = |name: &str| read_optional(&folder.join(name));
        let added_tokens = read("added_tokens.json")?;
        let tokenizer_config = read("tokenizer_config.json")?;
        let special_tokens_map = read("special_tokens_map.json")?;
        let files = TokenizerJson {
            added_tokens: added_tokens.as_deref(),
            tokenizer_config: tokenizer_config.as_deref(),
            special_tokens_map: special_tokens_map.as_deref(),
        };
        if let Some(model) = read("tokenizer.model")? {
            return Tokenizer::from_model(&model, &files);
        }
        #[cfg(feature = "tokenizer-json")]
        if let Some(json) = read("tokenizer.json")? {
            return Tokenizer::from_json(&json, &files);
        }
        Err(TokenizerError::Missing { folder: folder.display().to_string() })
    }
}

fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, TokenizerError> {
    match crate::files::read_limited(path, MAX_TOKENIZER_BYTES) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TokenizerError::Io { file: path.display().to_string(), source }),
    }
}
