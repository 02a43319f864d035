//! Functions that are compiled three times from one source, for any processor of the target, for AVX2 and for
//! AVX-512, and chosen at run time.
//!
//! **Invariant:** all versions give the same bits. Rust neither fuses nor reorders floating-point operations,
//! and no version asks for fused multiply-add.

pub(crate) use mien_kernels::Level;

/// Compiles a function for each level and puts a `level: Level` before its arguments to choose.
macro_rules! vectorized {
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident($($arg:ident: $kind:ty),* $(,)?) $(-> $result:ty)? $body:block
    ) => {
        $(#[$meta])*
        $vis fn $name(level: $crate::simd::Level, $($arg: $kind),*) $(-> $result)? {
            #[inline(always)]
            fn body($($arg: $kind),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            if level.avx512() {
                #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512($($arg: $kind),*) $(-> $result)? {
                    body($($arg),*)
                }
                // SAFETY: `Level` says AVX-512 only where the processor reported it.
                return unsafe { avx512($($arg),*) };
            }
            #[cfg(target_arch = "x86_64")]
            if level.avx2() {
                #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
                fn avx2($($arg: $kind),*) $(-> $result)? {
                    body($($arg),*)
                }
                // SAFETY: `Level` says AVX2 only where the processor reported it.
                return unsafe { avx2($($arg),*) };
            }
            let _ = level;
            body($($arg),*)
        }
    };
}
