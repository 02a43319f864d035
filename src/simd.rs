//! Functions that are compiled three times from one source, for any processor of the target, for AVX2 and for
//! AVX-512, and chosen at run time.
//!
//! **Invariant:** all versions give the same bits. Rust neither fuses nor reorders floating-point operations,
//! and no version asks for fused multiply-add.

/// The instruction set to use. A value exists only where the processor has what it says, as only
/// [`Level::available`] makes any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// This processor's instruction sets, from the one that every processor of the target has to the best.
    pub(crate) fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let better = {
            use std::arch::is_x86_feature_detected as has;
            let avx2 = has!("avx2") && has!("bmi1") && has!("bmi2") && has!("lzcnt");
            let avx512 = avx2 && has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
            [avx2.then_some(Self(Set::Avx2)), avx512.then_some(Self(Set::Avx512))]
        };
        #[cfg(not(target_arch = "x86_64"))]
        let better = [None; 2];
        [Some(Self(Set::Portable))].into_iter().chain(better).flatten()
    }

    /// The best instruction set of this processor.
    pub(crate) fn detect() -> Self {
        Self::available().last().unwrap_or(Self(Set::Portable))
    }

    /// Whether AVX2 may be used, and with it BMI1, BMI2 and LZCNT, which came with it.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn avx2(self) -> bool {
        self.0 != Set::Portable
    }

    /// Whether AVX-512 F, BW, DQ and VL may be used.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn avx512(self) -> bool {
        self.0 == Set::Avx512
    }
}

impl Default for Level {
    fn default() -> Self {
        Self::detect()
    }
}

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
