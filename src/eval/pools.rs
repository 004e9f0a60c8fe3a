//! The candidates of each query (paper, test 12 and appendix D): the match, hard negatives of the same piece, semi-hard
//! negatives of the same composer, and random ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::data::segments::{Dataset, Segment};
use crate::error::{Error, Result};
use crate::random::{Philox, Stream, site};

/// What the protocol needs to know of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Which piece it is from; several performances may share one.
    pub piece: u32,
    /// Who wrote that piece.
    pub composer: u32,
    /// Which performance it is from.
    pub performance: u32,
}

impl Item {
    /// What `dataset` knows of `segment`.
    pub fn of(dataset: &Dataset, segment: &Segment) -> Self {
        let performance = &dataset.performances[segment.performance as usize];
        Self { piece: performance.piece, composer: performance.composer_id, performance: segment.performance }
    }
}

/// How queries and pools are drawn. [`Protocol::default`] is the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protocol {
    /// Segments used as queries.
    pub queries: usize,
    /// Candidates per query, the match included.
    pub pool: usize,
    /// Of these, other segments of the same piece.
    pub hard: usize,
    /// Of these, segments of other pieces by the same composer.
    pub semi_hard: usize,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for Protocol {
    fn default() -> Self {
        Self::structured(500, 256, 42)
    }
}

impl Protocol {
    /// A pool with the paper's shares of negatives: a quarter hard, an eighth semi-hard, the rest random.
    pub fn structured(queries: usize, pool: usize, seed: u64) -> Self {
        Self { queries, pool, hard: pool / 4, semi_hard: pool / 8, seed }
    }

    /// The same queries, each with a pool of purely random segments.
    pub fn random(self) -> Self {
        Self { hard: 0, semi_hard: 0, ..self }
    }
}

/// Why a candidate is in a pool. A random one may by chance be of the same piece or composer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The query's own segment in the other modality.
    Match,
    /// Another segment of the same piece: any other start, windows that overlap the query's included, and any
    /// performance of it.
    Hard,
    /// A segment of another piece by the same composer.
    SemiHard,
    /// Any other segment of the split.
    Random,
}

/// Negatives which the split could not provide, over all queries; random ones stand in for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// Hard negatives missing.
    pub hard: usize,
    /// Semi-hard negatives missing.
    pub semi_hard: usize,
}

/// Queries and their candidates, as indices of segments. One pool serves both directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pools {
    /// The segments that ask.
    pub queries: Vec<u32>,
    /// Candidates per query; fewer than the protocol's where the split has fewer segments.
    pub size: usize,
    /// [queries, size], each row without duplicates and with the match first.
    pub candidates: Vec<u32>,
    /// What each candidate is, [queries, size].
    pub kinds: Vec<Kind>,
    /// What was missing.
    pub shortage: Shortage,
}

impl Pools {
    /// Draws queries and pools from `items`, a pure function of both arguments. With fewer segments than
    /// `protocol.queries` all of them ask; with fewer than `protocol.pool` every pool holds all of them.
    ///
    /// # Errors
    /// Where there are fewer than two segments or more than `u32` can count, or the protocol asks for no query or for a
    /// pool without negatives.
    pub fn draw(items: &[Item], protocol: &Protocol) -> Result<Self> {
        const OP: &str = "retrieval pools";
        let n = items.len();
        if n < 2 || u32::try_from(n).is_err() {
            return Err(Error::op(OP, "segments", "2 to 4294967295 of them", n.to_string()));
        }
        if protocol.queries == 0 {
            return Err(Error::op(OP, "queries", "at least 1", "0"));
        }
        if protocol.pool < 2 {
            return Err(Error::op(OP, "pool", "at least 2 candidates", protocol.pool.to_string()));
        }
        let philox = Philox::new(protocol.seed, site("eval.pools"));
        let queries: Vec<u32> = philox.stream(0).choose(protocol.queries, n).into_iter().map(|i| i as u32).collect();
        let groups = Groups::new(items);
        let size = protocol.pool.min(n);
        let mut pools = Self {
            size,
            candidates: Vec::with_capacity(queries.len() * size),
            kinds: Vec::with_capacity(queries.len() * size),
            shortage: Shortage::default(),
            queries: Vec::new(),
        };
        let mut free = vec![true; n];
        for &query in &queries {
            pools.add(query, items, &groups, protocol, &mut philox.stream(1 + query as u64), &mut free);
        }
        pools.queries = queries;
        Ok(pools)
    }

    /// 16 digits that are the same for the same queries and candidates: ranks of two evaluations that share them are comparable one by
    /// one.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(bytemuck::cast_slice(&self.queries)).update(bytemuck::cast_slice(&self.candidates));
        hasher.update(&self.kinds.iter().map(|&kind| kind as u8).collect::<Vec<_>>());
        hasher.finalize().to_hex()[..16].to_owned()
    }

    /// Appends the pool of one query; `free` is all true before and after.
    fn add(
        &mut self,
        query: u32,
        items: &[Item],
        groups: &Groups,
        protocol: &Protocol,
        stream: &mut Stream,
        free: &mut [bool],
    ) {
        let start = self.candidates.len();
        let own = items[query as usize];
        self.put(query, Kind::Match, free);

        let same_piece = groups.piece(own.piece).iter().copied().filter(|&i| i != query).collect();
        let hard = self.take(protocol.hard, same_piece, Kind::Hard, start, stream, free);
        self.shortage.hard += protocol.hard - hard;

        let by_composer = groups.composer(own.composer).iter().copied();
        let other_pieces = by_composer.filter(|&i| items[i as usize].piece != own.piece).collect();
        let semi_hard = self.take(protocol.semi_hard, other_pieces, Kind::SemiHard, start, stream, free);
        self.shortage.semi_hard += protocol.semi_hard - semi_hard;

        // As many random ones as there is room for; drawn anew where one is already in the pool. Where that would happen
        // often, choose from the list of those left instead.
        let room = self.size - (self.candidates.len() - start);
        if items.len() > 2 * self.size {
            for _ in 0..room {
                let i = loop {
                    let i = stream.below(items.len() as u64) as u32;
                    if free[i as usize] {
                        break i;
                    }
                };
                self.put(i, Kind::Random, free);
            }
        } else {
            let left = (0..items.len() as u32).filter(|&i| free[i as usize]).collect();
            self.take(room, left, Kind::Random, start, stream, free);
        }
        self.candidates[start..].iter().for_each(|&i| free[i as usize] = true);
    }

    fn put(&mut self, item: u32, kind: Kind, free: &mut [bool]) {
        free[item as usize] = false;
        self.candidates.push(item);
        self.kinds.push(kind);
    }

    /// Puts up to `count` of `from` into the pool that begins at `start`, and says how many it were.
    fn take(
        &mut self,
        count: usize,
        from: Vec<u32>,
        kind: Kind,
        start: usize,
        stream: &mut Stream,
        free: &mut [bool],
    ) -> usize {
        let room = self.size - (self.candidates.len() - start);
        let chosen = stream.choose(count.min(room), from.len());
        chosen.iter().for_each(|&k| self.put(from[k], kind, free));
        chosen.len()
    }
}

/// Segments by piece and by composer, ascending.
struct Groups {
    pieces: BTreeMap<u32, Vec<u32>>,
    composers: BTreeMap<u32, Vec<u32>>,
}

impl Groups {
    fn new(items: &[Item]) -> Self {
        let mut groups = Self { pieces: BTreeMap::new(), composers: BTreeMap::new() };
        for (i, item) in items.iter().enumerate() {
            groups.pieces.entry(item.piece).or_default().push(i as u32);
            groups.composers.entry(item.composer).or_default().push(i as u32);
        }
        groups
    }

    fn piece(&self, piece: u32) -> &[u32] {
        self.pieces.get(&piece).map_or(&[], Vec::as_slice)
    }

    fn composer(&self, composer: u32) -> &[u32] {
        self.composers.get(&composer).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `pieces` pieces of `length` segments, three pieces a composer.
    fn corpus(pieces: u32, length: u32) -> Vec<Item> {
        (0..pieces * length)
            .map(|i| Item { piece: i / length, composer: i / length / 3, performance: i / length })
            .collect()
    }

    fn check(items: &[Item], pools: &Pools) {
        assert_eq!(pools.candidates.len(), pools.queries.len() * pools.size);
        let rows = pools.candidates.chunks(pools.size).zip(pools.kinds.chunks(pools.size));
        for (&query, (candidates, kinds)) in pools.queries.iter().zip(rows) {
            let own = items[query as usize];
            assert_eq!((candidates[0], kinds[0]), (query, Kind::Match));
            for (&candidate, kind) in candidates.iter().zip(kinds) {
                let other = items[candidate as usize];
                match kind {
                    Kind::Match => assert_eq!(candidate, query),
                    Kind::Hard => assert_eq!(own.piece, other.piece),
                    Kind::SemiHard => assert!(own.composer == other.composer && own.piece != other.piece),
                    Kind::Random => {}
                }
            }
            let mut unique = candidates.to_vec();
            unique.sort_unstable();
            unique.dedup();
            assert_eq!(unique.len(), pools.size, "duplicates in the pool of {query}");
        }
    }

    fn count(pools: &Pools, kind: Kind) -> usize {
        pools.kinds.iter().filter(|&&k| k == kind).count()
    }

    #[test]
    fn the_paper_s_pools_hold_what_it_says() {
        let items = corpus(12, 100);
        let pools = Pools::draw(&items, &Protocol::default()).unwrap();
        check(&items, &pools);
        assert_eq!((pools.queries.len(), pools.size, pools.shortage), (500, 256, Shortage::default()));
        let per_query = [Kind::Match, Kind::Hard, Kind::SemiHard, Kind::Random].map(|kind| count(&pools, kind) / 500);
        assert_eq!(per_query, [1, 64, 32, 159]);
        assert_eq!(pools, Pools::draw(&items, &Protocol::default()).unwrap());
        let random = Pools::draw(&items, &Protocol::default().random()).unwrap();
        check(&items, &random);
        assert_eq!((&random.queries, count(&random, Kind::Random)), (&pools.queries, 500 * 255));
        let reseeded = Pools::draw(&items, &Protocol { seed: 43, ..Protocol::default() }).unwrap();
        assert_ne!(pools.queries, reseeded.queries);
    }

    #[test]
    fn shortages_are_filled_and_counted() {
        // 40 segments a piece: 39 of 64 hard ones. The last composer has only one piece: no semi-hard ones.
        let items = corpus(10, 40);
        let pools = Pools::draw(&items, &Protocol::default()).unwrap();
        check(&items, &pools);
        assert_eq!((pools.queries.len(), pools.size), (400, 256));
        assert_eq!(pools.shortage, Shortage { hard: 400 * 25, semi_hard: 40 * 32 });
        assert_eq!(count(&pools, Kind::Random), 400 * 159 + 400 * 25 + 40 * 32);
    }

    #[test]
    fn a_small_split_shrinks_the_pools_and_a_tiny_one_is_an_error() {
        for n in [2, 3, 70, 255] {
            let items = &corpus(10, 40)[..n];
            let pools = Pools::draw(items, &Protocol::default()).unwrap();
            check(items, &pools);
            assert_eq!((pools.queries.len(), pools.size), (n, n));
        }
        assert!(Pools::draw(&corpus(1, 1), &Protocol::default()).is_err());
        assert!(Pools::draw(&[], &Protocol::default()).is_err());
        assert!(Pools::draw(&corpus(10, 40), &Protocol::structured(500, 1, 42)).is_err());
        assert!(Pools::draw(&corpus(10, 40), &Protocol::structured(0, 256, 42)).is_err());
    }
}
