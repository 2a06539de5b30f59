//! Loops compiled once more for AVX2, which twice the lanes of plain x86-64 make twice as fast.

/// Defines a function whose body is compiled for AVX2 as well, and run so where the processor
/// has it. The body knows which of the two it is by the constant `AVX2`. What it calls must be inlined into it. Neither reorders nor fuses arithmetic,
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
            fn portable<$op: Operation, const AVX2: bool>($($arg: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                #[target_feature(enable = "avx2")]
                fn avx2<$op: Operation>($($arg: $type),*) {
                    portable::<$op, true>($($arg),*);
                }
                // SAFETY: the processor has AVX2.
                #[allow(unsafe_code)]
                return unsafe { avx2::<$op>($($arg),*) };
            }
            portable::<$op, false>($($arg),*);
        }
    };
}

pub(super) use wide;
