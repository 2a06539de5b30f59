//! The kernels against the reference: every case through every implementation, and what the
//! judge itself is worth.

mod accuracy;
mod bad_buffers;
mod bindings;
mod buffers;
mod cases;
mod determinism;
mod dispatches;
mod epilogue;
mod exact;
mod halves;
mod harness;
mod hazards;
mod in_place;
mod large;
mod outside;
mod pieces;
mod random;
mod recording;
mod shaders;
mod shards;
mod special;
mod strided;
mod textures;
mod variants;
mod weights;
