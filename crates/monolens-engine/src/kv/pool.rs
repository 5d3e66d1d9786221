//! The page pool: reference counts, the prefix cache and eviction.

use super::{PageKey, Row};
use monolens_graph::batch::PAGE_SIZE;
use std::collections::{BTreeMap, HashMap};

/// Number of a page.
pub type PageId = u32;

/// Hands out pages and remembers what is in those that nobody uses just now.
///
/// A page is **free** (its content is worthless), **held** (referenced by one or more sequences) or **idle** (nobody
/// holds it, but its key is known, so a later prompt with the same beginning takes it again). When no page is free, the
/// idle page that was released first is evicted. A sequence releases its pages last page first, so that the ends of
/// conversations go before their beginnings.
///
/// The last page of a sequence is seldom full. It stays known too, as a **tail**, by the page before it and its rows:
/// whoever goes on from there takes it for itself, as far as its rows are the same, and writes its own behind them.
#[derive(Debug)]
pub struct PagePool {
    references: Vec<u32>,
    key_of: Vec<Option<PageKey>>,
    by_key: HashMap<PageKey, PageId>,
    tail_of: Vec<Option<Tail>>,
    /// Of tails with the same page before them the newest.
    by_before: HashMap<Option<PageKey>, PageId>,
    free: Vec<PageId>,
    idle: BTreeMap<u64, PageId>,
    idle_since: Vec<u64>,
    clock: u64,
    evictions: u64,
}

/// What is in a page that is not full.
#[derive(Debug)]
struct Tail {
    before: Option<PageKey>,
    rows: Vec<Row>,
}

impl PagePool {
    /// A pool of free pages.
    pub fn new(pages: usize) -> Self {
        Self {
            references: vec![0; pages],
            key_of: vec![None; pages],
            by_key: HashMap::new(),
            tail_of: (0..pages).map(|_| None).collect(),
            by_before: HashMap::new(),
            free: (0..pages as PageId).rev().collect(),
            idle: BTreeMap::new(),
            idle_since: vec![0; pages],
            clock: 0,
            evictions: 0,
        }
    }

    /// Number of pages.
    pub fn capacity(&self) -> usize {
        self.references.len()
    }

    /// Pages that [`PagePool::allocate`] can still give.
    pub fn available(&self) -> usize {
        self.free.len() + self.idle.len()
    }

    /// Tokens in pages that nobody holds but whose content can be reused.
    pub fn idle_tokens(&self) -> usize {
        let tokens =
            |&page: &PageId| self.tail_of[page as usize].as_ref().map_or(PAGE_SIZE, |tail| tail.rows.len());
        self.idle.values().map(tokens).sum()
    }

    /// Pages that lost their content to make room.
    pub fn evictions(&self) -> u64 {
        self.evictions
    }

    /// A page for new content, held once. An idle page is evicted if none is free.
    pub fn allocate(&mut self) -> Option<PageId> {
        let page = self.free.pop().or_else(|| self.evict())?;
        self.references[page as usize] = 1;
        Some(page)
    }

    fn evict(&mut self) -> Option<PageId> {
        let (_, page) = self.idle.pop_first()?;
        self.forget(page);
        self.evictions += 1;
        Some(page)
    }

    fn forget(&mut self, page: PageId) {
        if let Some(tail) = self.tail_of[page as usize].take() {
            self.by_before.remove(&tail.before);
        }
        if let Some(key) = self.key_of[page as usize].take() {
            self.by_key.remove(&key);
        }
    }

    /// The page with this content, held once more; `None` if there is none.
    pub fn find(&mut self, key: &PageKey) -> Option<PageId> {
        let page = *self.by_key.get(key)?;
        let references = &mut self.references[page as usize];
        if *references == 0 {
            self.idle.remove(&self.idle_since[page as usize]);
        }
        *references += 1;
        Some(page)
    }

    /// Whether a page with this content is held by someone: taking it costs no available page.
    pub fn is_held(&self, key: &PageKey) -> bool {
        self.by_key.get(key).is_some_and(|&page| self.references[page as usize] > 0)
    }

    /// Whether there is a page with this content.
    pub fn contains(&self, key: &PageKey) -> bool {
        self.by_key.contains_key(key)
    }

    /// Makes a held, full page known by its content. If another page has the same content, that one stays known.
    pub fn publish(&mut self, page: PageId, key: PageKey) {
        let at = page as usize;
        if self.references[at] > 0 && self.key_of[at].is_none() && !self.by_key.contains_key(&key) {
            self.key_of[at] = Some(key);
            self.by_key.insert(key, page);
        }
    }

    /// Lets go of a page that is not full but holds these rows behind the page `before`.
    pub fn release_tail(&mut self, page: PageId, before: Option<PageKey>, rows: Vec<Row>) {
        let at = page as usize;
        if self.references[at] == 1 && self.key_of[at].is_none() {
            if let Some(older) = self.by_before.insert(before, page) {
                self.tail_of[older as usize] = None;
                self.idle.remove(&self.idle_since[older as usize]);
                self.free.push(older);
            }
            self.tail_of[at] = Some(Tail { before, rows });
        }
        self.release(page);
    }

    /// Takes the tail behind the page `before`, if it begins with some of these rows; with how many. The others of its
    /// rows are lost.
    pub fn take_tail(
        &mut self,
        before: Option<PageKey>,
        rows: impl Iterator<Item = Row>,
    ) -> Option<(PageId, usize)> {
        let page = *self.by_before.get(&before)?;
        let tail = self.tail_of[page as usize].as_ref()?;
        let same = tail.rows.iter().zip(rows).take_while(|(known, wanted)| *known == wanted).count();
        if same == 0 {
            return None;
        }
        self.forget(page);
        self.idle.remove(&self.idle_since[page as usize]);
        self.references[page as usize] = 1;
        Some((page, same))
    }

    /// Lets go of a page once.
    pub fn release(&mut self, page: PageId) {
        let at = page as usize;
        debug_assert!(self.references[at] > 0, "page {page} is not held");
        self.references[at] = self.references[at].saturating_sub(1);
        if self.references[at] > 0 {
            return;
        }
        if self.key_of[at].is_some() || self.tail_of[at].is_some() {
            self.clock += 1;
            self.idle_since[at] = self.clock;
            self.idle.insert(self.clock, page);
        } else {
            self.free.push(page);
        }
    }

    /// Lets go of a sequence's pages, the last one first.
    pub fn release_all(&mut self, pages: impl DoubleEndedIterator<Item = PageId>) {
        pages.rev().for_each(|page| self.release(page));
    }

    /// Forgets all content that nobody holds; what is held will be free when it is released.
    pub fn forget_all(&mut self) {
        self.free.extend(std::mem::take(&mut self.idle).into_values());
        self.by_key.clear();
        self.key_of.fill(None);
        self.by_before.clear();
        self.tail_of.fill_with(|| None);
    }
}

#[cfg(test)]
mod tests {
    use super::super::TokenKey;
    use super::*;
    use monolens_models::random::SplitMix;

    impl PagePool {
        fn check(&self, held: &[PageId]) {
            let mut references = vec![0; self.capacity()];
            held.iter().for_each(|&p| references[p as usize] += 1);
            assert_eq!(references, self.references, "reference counts");
            let mut state = vec![0; self.capacity()];
            self.free.iter().chain(self.idle.values()).for_each(|&p| state[p as usize] += 1);
            for (page, (state, references)) in state.into_iter().zip(references).enumerate() {
                assert_eq!(state, u32::from(references == 0), "page {page} is either held, free or idle");
            }
            assert!(self.free.iter().all(|&p| self.key_of[p as usize].is_none()));
            let is_tail = |page: PageId| self.tail_of[page as usize].is_some();
            assert!(self.idle.values().all(|&p| self.key_of[p as usize].is_some() != is_tail(p)));
            let tails: Vec<PageId> = (0..self.capacity() as PageId).filter(|&p| is_tail(p)).collect();
            assert!(tails.iter().all(|p| self.idle.values().any(|idle| idle == p)), "tails are idle");
            assert_eq!(tails.len(), self.by_before.len());
            for &tail in self.by_before.values() {
                assert!(is_tail(tail));
            }
            for (key, &page) in &self.by_key {
                assert_eq!(self.key_of[page as usize].as_ref(), Some(key));
            }
            assert_eq!(self.by_key.len(), self.key_of.iter().flatten().count());
        }
    }

    fn key(n: u32) -> PageKey {
        PageKey::chain(None, [(TokenKey::Text(n), 0)])
    }

    fn rows(count: usize, base: u64) -> Vec<Row> {
        (0..count).map(|n| (TokenKey::Text(n as u32), base)).collect()
    }

    #[test]
    fn random_operations_never_leak_a_page() {
        let mut random = SplitMix::new(1);
        for round in 0..200 {
            let mut pool = PagePool::new(1 + round % 13);
            let mut held = Vec::new();
            for _ in 0..300 {
                match random.below(7) {
                    0 | 1 => match pool.allocate() {
                        Some(page) => held.push(page),
                        None => assert_eq!(pool.available(), 0),
                    },
                    2 if !held.is_empty() => {
                        let page = held[random.below(held.len())];
                        pool.publish(page, key(random.below(20) as u32));
                    }
                    3 if !held.is_empty() => pool.release(held.swap_remove(random.below(held.len()))),
                    4 if !held.is_empty() => {
                        let page = held.swap_remove(random.below(held.len()));
                        let before = (random.below(3) > 0).then(|| key(random.below(5) as u32));
                        pool.release_tail(page, before, rows(1 + random.below(15), 0));
                    }
                    5 => {
                        let before = (random.below(3) > 0).then(|| key(random.below(5) as u32));
                        let wanted = rows(random.below(16), random.below(2) as u64);
                        held.extend(pool.take_tail(before, wanted.into_iter()).map(|(page, _)| page));
                    }
                    _ => {
                        let key = key(random.below(20) as u32);
                        let known = pool.contains(&key);
                        let found = pool.find(&key);
                        assert_eq!(known, found.is_some());
                        held.extend(found);
                    }
                }
                pool.check(&held);
            }
            held.into_iter().for_each(|page| pool.release(page));
            pool.check(&[]);
            assert_eq!(pool.available(), pool.capacity());
            pool.forget_all();
            pool.check(&[]);
        }
    }

    #[test]
    fn released_content_is_found_again_until_it_is_evicted() {
        let mut pool = PagePool::new(2);
        let (a, b) = (pool.allocate().unwrap(), pool.allocate().unwrap());
        pool.publish(a, key(1));
        pool.publish(b, key(2));
        pool.release_all([a, b].into_iter());
        assert_eq!(pool.find(&key(1)), Some(a));
        pool.release(a);
        // b was released before a, and a has been used since: b goes first.
        assert_eq!(pool.allocate(), Some(b));
        assert_eq!(pool.find(&key(2)), None);
        assert_eq!(pool.find(&key(1)), Some(a));
        assert_eq!(pool.allocate(), None, "both are held");
        assert_eq!(pool.evictions(), 1);
    }

    #[test]
    fn the_end_of_a_conversation_is_evicted_before_its_beginning() {
        let mut pool = PagePool::new(3);
        let pages: Vec<_> = (0..3).map(|_| pool.allocate().unwrap()).collect();
        pages.iter().zip(0..).for_each(|(&page, n)| pool.publish(page, key(n)));
        pool.release_all(pages.into_iter());
        pool.allocate().unwrap();
        assert!(pool.contains(&key(0)) && pool.contains(&key(1)) && !pool.contains(&key(2)));
    }

    #[test]
    fn a_page_that_is_not_full_is_gone_on_with_by_the_first_who_begins_alike() {
        let mut pool = PagePool::new(3);
        let (a, b) = (pool.allocate().unwrap(), pool.allocate().unwrap());
        pool.publish(a, key(1));
        pool.release_tail(b, Some(key(1)), rows(9, 0));
        pool.release(a);
        pool.check(&[]);
        assert_eq!(pool.idle_tokens(), PAGE_SIZE + 9);
        // Another beginning, another rotation: not the same rows.
        assert_eq!(pool.take_tail(None, rows(9, 0).into_iter()), None);
        assert_eq!(pool.take_tail(Some(key(1)), rows(9, 7).into_iter()), None);
        // As far as it is the same, and for one only.
        let wanted = rows(5, 0).into_iter().chain(rows(9, 7));
        assert_eq!(pool.take_tail(Some(key(1)), wanted), Some((b, 5)));
        assert_eq!(pool.take_tail(Some(key(1)), rows(9, 0).into_iter()), None);
        pool.check(&[b]);
        // A newer one takes the place of an older one.
        let c = pool.allocate().unwrap();
        pool.release_tail(b, Some(key(1)), rows(9, 0));
        pool.release_tail(c, Some(key(1)), rows(4, 0));
        pool.check(&[]);
        assert_eq!(pool.take_tail(Some(key(1)), rows(9, 0).into_iter()), Some((c, 4)));
    }

    #[test]
    fn of_two_pages_with_the_same_content_one_is_known() {
        let mut pool = PagePool::new(2);
        let (a, b) = (pool.allocate().unwrap(), pool.allocate().unwrap());
        pool.publish(a, key(1));
        pool.publish(b, key(1));
        pool.release(b);
        pool.release(a);
        pool.check(&[]);
        assert_eq!((pool.idle_tokens(), pool.available()), (PAGE_SIZE, 2));
    }

    #[test]
    fn forgetting_all_frees_what_is_idle_and_later_what_is_held() {
        let mut pool = PagePool::new(2);
        let (a, b) = (pool.allocate().unwrap(), pool.allocate().unwrap());
        pool.publish(a, key(1));
        pool.publish(b, key(2));
        pool.release(a);
        pool.forget_all();
        pool.check(&[b]);
        assert!(!pool.contains(&key(1)) && !pool.contains(&key(2)));
        pool.release(b);
        assert_eq!((pool.idle_tokens(), pool.available()), (0, 2));
    }
}
