//! What a page holds, as a key: the tokens up to its end, with everything their keys and values depend on.

use monolens_models::image::ContentHash;
use sha2::{Digest, Sha256};
use std::fmt;

/// What one token is, as far as its keys and values go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKey {
    /// A text token.
    Text(u32),
    /// A visual token: of which image, and which of its tokens.
    Visual(ContentHash, u32),
}

/// A token as far as its keys and values go: what it is, and the base of its rotation (spec §6: with dynamic scaling the
/// base depends on the length of the call that wrote the token).
pub type Row = (TokenKey, u64);

/// Identifies a full page by its own tokens, the pages before it and the rotation of each token.
///
/// A cryptographic hash: on a server, nobody can make a prompt whose pages are taken for another's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PageKey([u8; 32]);

impl PageKey {
    /// The key of a page after `previous`, with these rows.
    pub fn chain(previous: Option<&PageKey>, rows: impl IntoIterator<Item = Row>) -> Self {
        let mut hash = Sha256::new();
        match previous {
            None => hash.update([0]),
            Some(key) => {
                hash.update([1]);
                hash.update(key.0);
            }
        }
        for (token, base) in rows {
            match token {
                TokenKey::Text(id) => {
                    hash.update([2]);
                    hash.update(id.to_le_bytes());
                }
                TokenKey::Visual(image, index) => {
                    hash.update([3]);
                    hash.update(image.0);
                    hash.update(index.to_le_bytes());
                }
            }
            hash.update(base.to_le_bytes());
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Debug for PageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: [Row; 2] = [(TokenKey::Text(7), 1), (TokenKey::Text(8), 1)];

    #[test]
    fn equal_content_gives_equal_keys() {
        let first = PageKey::chain(None, TEXT);
        assert_eq!(first, PageKey::chain(None, TEXT));
        assert_eq!(PageKey::chain(Some(&first), TEXT), PageKey::chain(Some(&first), TEXT));
    }

    #[test]
    fn whatever_changes_keys_and_values_changes_the_key() {
        let first = PageKey::chain(None, TEXT);
        let (a, b) = (ContentHash([1; 32]), ContentHash([2; 32]));
        let visual = |image, index| [(TokenKey::Text(7), 1), (TokenKey::Visual(image, index), 1)];
        let keys = [
            first,
            PageKey::chain(Some(&first), TEXT),
            PageKey::chain(None, [(TokenKey::Text(7), 1), (TokenKey::Text(9), 1)]),
            PageKey::chain(None, [(TokenKey::Text(7), 1), (TokenKey::Text(8), 2)]),
            PageKey::chain(None, visual(a, 0)),
            PageKey::chain(None, visual(a, 1)),
            PageKey::chain(None, visual(b, 0)),
        ];
        for (i, key) in keys.iter().enumerate() {
            assert!(keys[..i].iter().all(|other| other != key), "{i}");
        }
    }
}
