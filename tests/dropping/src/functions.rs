//! Vulkan gives and takes functions without their types; who asks for one knows its type by its name.

/// A function of this type, from what was found by its name. Unsafe: the name must be that type's.
macro_rules! typed {
    ($function:expr => $type:ident) => {
        std::mem::transmute::<unsafe extern "system" fn(), ash::vk::$type>($function)
    };
}

/// A function of this type, as it is given to whoever asked for its name. Unsafe: the name must be that type's.
macro_rules! untyped {
    ($function:expr => $type:ident) => {
        std::mem::transmute::<ash::vk::$type, ash::vk::PFN_vkVoidFunction>($function)
    };
}

pub(crate) use {typed, untyped};
