//! A place for each bug that was found, under its name.
//!
//! A bug becomes a test here before it is mended, named after what went wrong, with the smallest input that
//! shows it and the right answer, derived by hand or in f64.

mod checks;
mod functional;
mod images;
mod layer;
mod lengths;
mod planning;
mod recording;
mod state;
