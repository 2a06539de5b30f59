//! What the second pass over a tensor finds of it in the last cache, and in which order it should go.
//!
//! The first pass reads the tensor from its start to its end, and leaves the end in a cache that drops what was used
//! the longest ago. A second pass in the same order starts with what was dropped, and drops the rest before it gets
//! there. One from the end to the start finds what is left, until what it writes has taken its place. Both formulas
//! are exact for such a cache; a test holds them against a simulation of plans' addresses.

/// Bytes that a pass which reads `read` bytes again, and writes `written`, finds in a cache of `cache` bytes.
pub(super) fn found(read: u64, written: u64, reversed: bool, cache: u64) -> u64 {
    if read + written <= cache {
        return read;
    }
    let (read, written, cache) = (read as f64, written as f64, cache as f64);
    let share = match reversed {
        // After a share t of the pass the cache has room for cache - t·written of the first pass, of which
        // t·read were found: all of it at t = cache/(read + written).
        true => cache / (read + written),
        // What is written drops what comes next as soon as the cache is full.
        false => ((cache - read) / written).clamp(0.0, 1.0),
    };
    (read * share) as u64
}

/// Whether a second pass finds more from the end to the start. It never finds less, and equally much where
/// the cache holds all that is read and written.
pub(super) fn reverses(read: u64, written: u64, cache: u64) -> bool {
    cache > 0 && read + written > cache
}
