//! Loops compiled once more for AVX2, which twice the lanes of plain x86-64 make twice as fast.

/// Defines a function whose body is compiled for AVX2 as well, and run so where the processor
/// has it. What the body calls must be inlined into it. Neither reorders nor fuses arithmetic,
/// so the bits are the same.
///
/// Slices are best arguments of their own: inside an array or a closure the compiler no longer
/// knows that they do not overlap.
macro_rules! wide {
    (
        $(#[$doc:meta])*
        $visibility:vis fn $name:ident<$op:ident: Operation>($($arg:ident: $type:ty),* $(,)?) $body:block
    ) => {
        $(#[$doc])*
        $visibility fn $name<$op: Operation>($($arg: $type),*) {
            #[inline(always)]
            fn portable<$op: Operation>($($arg: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                #[target_feature(enable = "avx2")]
                fn avx2<$op: Operation>($($arg: $type),*) {
                    portable::<$op>($($arg),*);
                }
                // SAFETY: the processor has AVX2.
                #[allow(unsafe_code)]
                return unsafe { avx2::<$op>($($arg),*) };
            }
            portable::<$op>($($arg),*);
        }
    };
}

pub(super) use wide;
