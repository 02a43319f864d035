//! The choice of the vectors at run time: a level's sizes, and functions that are compiled for each of them.

use crate::level::Level;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Pair, Simd, Widths};

/// The sizes of this level's vectors.
pub(crate) fn widths(level: Level) -> Widths {
    #[cfg(target_arch = "x86_64")]
    {
        if level.avx512() {
            return Avx512::WIDTHS;
        }
        if level.avx2() {
            return Avx2::WIDTHS;
        }
    }
    _ = level;
    Pair::WIDTHS
}

/// Makes `fn name(level, arguments…)` out of the generic
/// `#[inline(always)] unsafe fn body::<S, …>(s, arguments…)`: the body is compiled for each [`Simd`] inside a
/// function that may use its instructions, and the level picks one.
///
/// The function made is as unsafe as the body.
macro_rules! vectorized {
    (fn $name:ident $(<$($type:ident: $bound:path),*>)? ($($arg:ident: $kind:ty),* $(,)?) = $body:ident) => {
        #[doc = concat!("[`", stringify!($body), "`] at a level.\n\n# Safety\nAs there.")]
        unsafe fn $name $(<$($type: $bound),*>)? (level: $crate::level::Level, $($arg: $kind),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,avx512f,avx512bw,avx512dq,avx512vl")]
                unsafe fn avx512 $(<$($type: $bound),*>)? ($($arg: $kind),*) {
                    // SAFETY: the level said that the processor has them; the rest is the caller's.
                    unsafe {
                        $body::<$crate::simd::Avx512 $($(, $type)*)?>($crate::simd::Avx512::new(), $($arg),*)
                    }
                }
                #[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt")]
                unsafe fn avx2 $(<$($type: $bound),*>)? ($($arg: $kind),*) {
                    // SAFETY: the level said that the processor has them; the rest is the caller's.
                    unsafe {
                        $body::<$crate::simd::Avx2 $($(, $type)*)?>($crate::simd::Avx2::new(), $($arg),*)
                    }
                }
                if level.avx512() {
                    // SAFETY: the level says that the processor has them; the rest is the caller's.
                    return unsafe { avx512 $(::<$($type),*>)? ($($arg),*) };
                }
                if level.avx2() {
                    // SAFETY: the level says that the processor has them; the rest is the caller's.
                    return unsafe { avx2 $(::<$($type),*>)? ($($arg),*) };
                }
            }
            _ = level;
            #[allow(unused_unsafe)] // a body may be safe
            // SAFETY: the caller's promise.
            unsafe { $body::<$crate::simd::Pair $($(, $type)*)?>($crate::simd::Pair, $($arg),*) }
        }
    };
}
pub(crate) use vectorized;
