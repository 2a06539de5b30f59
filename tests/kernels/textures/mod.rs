//! Images: textures in, textures and colour targets out.

mod accuracy;
mod driver;
mod recorded;
mod refused;
mod render;
mod setup;
