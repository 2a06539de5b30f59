//! Images: textures in, textures and colour targets out.

mod accuracy;
mod driver;
mod frames;
mod recorded;
mod refused;
mod render;
mod setup;
