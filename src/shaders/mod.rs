//! The closed list of shader variants and how each is composed from `shaders/`.
//!
//! A kernel file holds the mathematics of one dispatch; what it shares stands in
//! `shaders/shared`. What differs between a lane that walks one channel, which needs no array, and
//! one that walks several stands in `shaders/columns`. Each file says on its first lines which others
//! it needs. Only what changes types or directives is an axis here, spelt out as text: the element's
//! width, the walk, the width of loads and the channels a lane. All else is an override constant, see
//! [`Constants`], or a field of `Params` in `shaders/shared/params.wgsl`.

mod compose;
mod constants;
mod kernel;
mod role;
mod storage;
mod variant;

pub use crate::plan::{COLUMNS, Load};
pub use constants::Constants;
pub use kernel::Kernel;
pub use role::Role;
pub(crate) use role::roles_of;
pub use storage::{Conversion, Storage, TexelFormat};
pub use variant::{Variant, Walk, proof_source, render_source};

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a kernel agrees with what its file needs.
    #[test]
    fn kernels_are_what_they_need() {
        for kernel in Kernel::ALL {
            let variant = Variant::new(kernel, Storage::Single, Walk::Dense, Load::Scalar, 1);
            let source = variant.source();
            assert_eq!(kernel.walks(), source.contains("fn walk("), "{kernel:?}");
            assert_eq!(kernel.maps(), source.contains("IN_PLACE"), "{kernel:?}");
            let activates = source.contains("override ACTIVATION");
            assert_eq!(kernel.activates(), activates, "{kernel:?}");
        }
    }
}
