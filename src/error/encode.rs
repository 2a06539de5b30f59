//! Recording.

/// Timestamps that an operation cannot write around itself. Nothing was recorded.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The device was made without `Features::TIMESTAMP_QUERY_INSIDE_PASSES`.
    #[error("the device was made without Features::TIMESTAMP_QUERY_INSIDE_PASSES")]
    NoTimestamps,
    /// A query set for something else.
    #[error("the query set holds {got}, expected timestamps")]
    QueryType {
        /// The type of its queries.
        got: String,
    },
    /// A query set that ends before the second of the two timestamps.
    #[error(
        "the query set holds {count} queries, and timestamps {first} and {first} + 1 were asked for"
    )]
    QueryRange {
        /// Where the first timestamp was to go.
        first: u32,
        /// Queries that there are.
        count: u32,
    },
}
