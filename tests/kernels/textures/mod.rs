//! Images: textures in, textures and colour targets out.

mod accuracy;
mod recorded;
mod refused;
mod render;
mod setup;
