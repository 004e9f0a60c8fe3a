//! Counter-based randomness: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3",
//! SC 2011). A draw is a pure function of (seed, site, counter, sub), so nothing has to be stored to draw it again:
//! dropout is regenerated in the backward pass, a resumed run stores only its step, and a GPU kernel which evaluates the
//! same ten rounds gets the same bits.
//!
//! - **seed**: the run's;
//! - **site**: which use of randomness it is, by name (`site("dropout.audio.0")`): sites are independent of each other;
//! - **counter**, **sub**: where within the site, usually the step and the element.

use std::collections::BTreeMap;

const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// Golden ratio and sqrt(3) − 1, added to the key after each round.
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// The bare function: 128 bits of counter and 64 bits of key in (least significant word first), 128 random bits out.
#[inline]
pub fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let p0 = MULTIPLIER[0] as u64 * counter[0] as u64;
        let p1 = MULTIPLIER[1] as u64 * counter[2] as u64;
        counter =
            [(p1 >> 32) as u32 ^ counter[1] ^ key[0], p1 as u32, (p0 >> 32) as u32 ^ counter[3] ^ key[1], p0 as u32];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// The number of a named use of randomness: 64-bit FNV-1a of the name.
pub const fn site(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        i += 1;
    }
    hash
}

/// [0, 1) from the upper 24 bits: every f32 in it is a multiple of 2⁻²⁴.
#[inline]
pub fn uniform_f32(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / (1 << 24) as f32)
}

/// [0, 1) from the upper 53 bits of two words.
#[inline]
pub fn uniform_f64(low: u32, high: u32) -> f64 {
    let word = (high as u64) << 32 | low as u64;
    (word >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// Random access to the draws of one site of one seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Philox {
    key: [u32; 2],
}

impl Philox {
    /// The generator of `site` under `seed`. Its 64-bit key is itself a Philox draw (key = seed, counter = site), which
    /// leaves the whole 128-bit counter to the user.
    pub fn new(seed: u64, site: u64) -> Self {
        let block = philox4x32([site as u32, (site >> 32) as u32, 0, 0], [seed as u32, (seed >> 32) as u32]);
        Self { key: [block[0], block[1]] }
    }

    /// The key to hand to a kernel which calls [`philox4x32`] itself.
    pub fn key(&self) -> [u32; 2] {
        self.key
    }

    /// The four words at (`counter`, `sub`): words of the Philox counter are sub low, sub high, counter low, counter high.
    #[inline]
    pub fn u32x4(&self, counter: u64, sub: u64) -> [u32; 4] {
        philox4x32([sub as u32, (sub >> 32) as u32, counter as u32, (counter >> 32) as u32], self.key)
    }

    /// The draws at `counter` one after the other, `sub` counting up from 0.
    pub fn stream(&self, counter: u64) -> Stream {
        Stream { source: *self, counter, sub: 0, block: [0; 4], used: 4 }
    }
}

/// Sequential draws from one counter of a [`Philox`].
#[derive(Debug, Clone)]
pub struct Stream {
    source: Philox,
    counter: u64,
    sub: u64,
    block: [u32; 4],
    used: usize,
}

impl Stream {
    /// The next 32 random bits.
    pub fn u32(&mut self) -> u32 {
        if self.used == 4 {
            self.block = self.source.u32x4(self.counter, self.sub);
            self.sub += 1;
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// The next 64 random bits, low word first.
    pub fn u64(&mut self) -> u64 {
        let low = self.u32() as u64;
        low | (self.u32() as u64) << 32
    }

    /// Uniform in [0, 1), 24 bits.
    pub fn uniform_f32(&mut self) -> f32 {
        uniform_f32(self.u32())
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn uniform_f64(&mut self) -> f64 {
        let low = self.u32();
        uniform_f64(low, self.u32())
    }

    /// Standard normal (Box–Muller, over `libm` rather than the platform's own functions, so every machine gets the same bits).
    pub fn normal(&mut self) -> f64 {
        let radius = 1.0 - self.uniform_f64(); // (0, 1]: its logarithm is finite
        let angle = std::f64::consts::TAU * self.uniform_f64();
        libm::sqrt(-2.0 * libm::log(radius)) * libm::cos(angle)
    }

    /// Uniform in 0..n without bias (Lemire 2019: multiply, reject the short rest); 0 for n = 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        let rest = n.wrapping_neg() % n; // 2⁶⁴ mod n
        loop {
            let product = self.u64() as u128 * n as u128;
            if product as u64 >= rest {
                return (product >> 64) as u64;
            }
        }
    }

    /// Puts `items` in random order (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    /// 0..n in random order.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        self.shuffle(&mut order);
        order
    }

    /// `k` distinct members of 0..n in random order, or all n where k > n. O(k log k), whatever n is: a Fisher–Yates
    /// shuffle of which only the moved places are kept.
    pub fn choose(&mut self, k: usize, n: usize) -> Vec<usize> {
        let mut moved = BTreeMap::new();
        (0..k.min(n))
            .map(|i| {
                let j = i + self.below((n - i) as u64) as usize;
                let at_i = moved.get(&i).copied().unwrap_or(i);
                moved.insert(j, at_i).unwrap_or(j)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors published with the reference implementation (Random123, `kat_vectors`).
    #[test]
    fn equals_the_published_vectors() {
        let cases = [
            ([0; 4], [0; 2], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]),
            (
                [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
                [0xa4093822, 0x299f31d0],
                [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
            ),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(philox4x32(counter, key), expected);
        }
    }

    #[test]
    fn a_stream_is_random_access_in_order() {
        let philox = Philox::new(42, site("test"));
        let mut stream = philox.stream(7);
        let drawn: Vec<u32> = (0..8).map(|_| stream.u32()).collect();
        assert_eq!(drawn, [philox.u32x4(7, 0), philox.u32x4(7, 1)].concat());
        assert_ne!(Philox::new(42, site("other")).u32x4(7, 0), philox.u32x4(7, 0));
        assert_ne!(Philox::new(43, site("test")).u32x4(7, 0), philox.u32x4(7, 0));
    }

    #[test]
    fn moments_of_uniform_and_normal() {
        let mut stream = Philox::new(1, 2).stream(3);
        let n = 100_000;
        let (mut mean, mut square, mut normal, mut normal_square, mut inside) = (0.0, 0.0, 0.0, 0.0, 0);
        for _ in 0..n {
            let (u, v, x) = (stream.uniform_f64(), stream.uniform_f32(), stream.normal());
            assert!((0.0..1.0).contains(&u) && (0.0..1.0).contains(&v) && x.is_finite());
            mean += u / n as f64;
            square += v as f64 * v as f64 / n as f64;
            normal += x / n as f64;
            normal_square += x * x / n as f64;
            inside += (x.abs() < 1.0) as usize;
        }
        // Five standard errors each.
        assert!((mean - 0.5).abs() < 5.0 * 0.289 / (n as f64).sqrt(), "{mean}");
        assert!((square - 1.0 / 3.0).abs() < 5.0 * 0.298 / (n as f64).sqrt(), "{square}");
        assert!(normal.abs() < 5.0 / (n as f64).sqrt(), "{normal}");
        assert!((normal_square - 1.0).abs() < 5.0 * (2.0 / n as f64).sqrt(), "{normal_square}");
        assert!((inside as f64 / n as f64 - 0.6827).abs() < 5.0 * 0.4654 / (n as f64).sqrt(), "{inside}");
    }

    #[test]
    fn below_is_unbiased_where_the_word_does_not_divide() {
        let mut stream = Philox::new(5, 6).stream(0);
        let n = 3u64 << 62; // a plain multiply would give the first third 1.5 times its share
        let low = (0..10_000).filter(|_| stream.below(n) < n / 3).count();
        assert!((low as f64 - 3333.0).abs() < 5.0 * 47.2, "{low}");
        assert_eq!((stream.below(0), stream.below(1)), (0, 0));
    }

    #[test]
    fn permutations_and_choices_are_distinct_and_even() {
        let philox = Philox::new(9, 9);
        let mut sorted = philox.stream(0).permutation(1000);
        assert_ne!(sorted, (0..1000).collect::<Vec<_>>());
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());

        let mut first = [0; 10];
        let mut any = [0; 10];
        for trial in 0..10_000 {
            let chosen = philox.stream(trial).choose(3, 10);
            let mut unique = chosen.clone();
            unique.sort_unstable();
            unique.dedup();
            assert_eq!(unique.len(), 3);
            first[chosen[0]] += 1;
            chosen.iter().for_each(|&i| any[i] += 1);
        }
        assert!(first.iter().all(|&count: &i32| (count - 1000).abs() < 150), "{first:?}");
        assert!(any.iter().all(|&count: &i32| (count - 3000).abs() < 230), "{any:?}");
        let mut all = philox.stream(0).choose(20, 10);
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert_eq!(philox.stream(0).choose(2, usize::MAX).len(), 2);
    }
}
