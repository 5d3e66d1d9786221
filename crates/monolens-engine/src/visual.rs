//! The places of the visual state: which tile's embeddings lie where.

use monolens_models::image::ContentHash;
use std::collections::{BTreeMap, HashMap};

/// Number of a place.
pub(crate) type PlaceId = usize;

/// A tile by its content: of which image, and its number there.
pub(crate) type TileKey = (ContentHash, usize);

/// Hands out places for tiles. A place is held while tokens of its tile wait for their prefill; afterwards its
/// embeddings stay until the place is needed, so that the last tile of an image need not be encoded again when another
/// question about the image shares all but the last, partly filled KV page with the one before.
#[derive(Debug)]
pub(crate) struct Places {
    places: Vec<Place>,
    by_key: HashMap<TileKey, PlaceId>,
    idle: BTreeMap<u64, PlaceId>,
    clock: u64,
    keep: bool,
}

#[derive(Clone, Debug, Default)]
struct Place {
    key: Option<TileKey>,
    holders: usize,
    encoded: bool,
    idle_since: u64,
}

impl Places {
    /// That many empty places. With `keep`, embeddings stay until their place is needed.
    pub fn new(count: usize, keep: bool) -> Self {
        let (by_key, idle) = (HashMap::new(), BTreeMap::new());
        let mut places = Self { places: vec![Place::default(); count], by_key, idle, clock: 0, keep };
        (0..count).for_each(|place| places.make_idle(place));
        places
    }

    fn make_idle(&mut self, id: PlaceId) {
        self.clock += 1;
        self.places[id].idle_since = self.clock;
        self.idle.insert(self.clock, id);
    }

    /// The place of a tile: the one where it is, or else the one that was idle longest. None if all are held.
    pub fn take(&mut self, key: TileKey) -> Option<PlaceId> {
        let id = match self.by_key.get(&key) {
            Some(&id) => id,
            None => {
                let (_, &id) = self.idle.first_key_value()?;
                self.forget(id);
                self.places[id].key = Some(key);
                self.places[id].encoded = false;
                self.by_key.insert(key, id);
                id
            }
        };
        let place = &mut self.places[id];
        if place.holders == 0 {
            self.idle.remove(&place.idle_since);
        }
        place.holders += 1;
        Some(id)
    }

    /// Lets go of a place once.
    pub fn release(&mut self, id: PlaceId) {
        let place = &mut self.places[id];
        debug_assert!(place.holders > 0, "place {id} is not held");
        place.holders = place.holders.saturating_sub(1);
        if place.holders == 0 {
            if !self.keep {
                self.forget(id);
            }
            self.make_idle(id);
        }
    }

    fn forget(&mut self, id: PlaceId) {
        if let Some(key) = self.places[id].key.take() {
            self.by_key.remove(&key);
        }
    }

    /// Forgets the embeddings that nobody waits for.
    pub fn forget_idle(&mut self) {
        let idle: Vec<PlaceId> = self.idle.values().copied().collect();
        idle.into_iter().for_each(|id| self.forget(id));
    }

    /// Whether the tile's embeddings are there.
    pub fn is_encoded(&self, id: PlaceId) -> bool {
        self.places[id].encoded
    }

    /// Notes that the tile's embeddings are there.
    pub fn set_encoded(&mut self, id: PlaceId) {
        self.places[id].encoded = true;
    }

    /// Whether a tile's embeddings are there.
    pub fn has(&self, key: &TileKey) -> bool {
        self.by_key.get(key).is_some_and(|&id| self.places[id].encoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use monolens_models::random::SplitMix;

    fn key(n: usize) -> TileKey {
        (ContentHash([n as u8; 32]), n)
    }

    #[test]
    fn a_tile_is_found_again_until_its_place_is_needed() {
        let mut places = Places::new(2, true);
        let a = places.take(key(1)).unwrap();
        places.set_encoded(a);
        places.release(a);
        assert_eq!(places.take(key(1)), Some(a));
        assert!(places.is_encoded(a));
        places.release(a);
        let b = places.take(key(2)).unwrap();
        assert!(a != b && places.has(&key(1)), "the empty place is taken first");
        assert_eq!(places.take(key(3)), Some(a));
        assert!(!places.has(&key(1)) && !places.is_encoded(a));
        assert_eq!(places.take(key(4)), None);
    }

    #[test]
    fn a_tile_that_several_wait_for_has_one_place() {
        let mut places = Places::new(2, true);
        let a = places.take(key(1)).unwrap();
        assert_eq!(places.take(key(1)), Some(a));
        places.release(a);
        let b = places.take(key(2)).unwrap();
        assert_eq!(places.take(key(3)), None, "the first is still held once");
        places.release(a);
        places.release(b);
        assert!(places.take(key(3)).is_some() && places.take(key(4)).is_some());
    }

    #[test]
    fn what_shall_not_be_kept_is_forgotten() {
        let mut places = Places::new(2, false);
        let a = places.take(key(1)).unwrap();
        places.set_encoded(a);
        places.release(a);
        assert!(!places.has(&key(1)));
        let mut places = Places::new(2, true);
        let (a, b) = (places.take(key(1)).unwrap(), places.take(key(2)).unwrap());
        [a, b].into_iter().for_each(|id| places.set_encoded(id));
        places.release(a);
        places.forget_idle();
        assert!(!places.has(&key(1)) && places.has(&key(2)));
    }

    #[test]
    fn random_operations_never_lose_a_place() {
        let mut random = SplitMix::new(2);
        for count in 1..8 {
            let mut places = Places::new(count, count % 2 == 0);
            let mut held = Vec::new();
            for _ in 0..500 {
                if random.below(2) == 0 && !held.is_empty() {
                    places.release(held.swap_remove(random.below(held.len())));
                } else if let Some(id) = places.take(key(random.below(12))) {
                    places.set_encoded(id);
                    held.push(id);
                }
                let mut distinct = held.clone();
                distinct.sort_unstable();
                distinct.dedup();
                assert_eq!(distinct.len() + places.idle.len(), count);
                for (key, &id) in &places.by_key {
                    assert_eq!(places.places[id].key, Some(*key));
                }
            }
        }
    }
}
