//! Which instruction set the kernels run on: found at run time, lowered by the environment or for one piece of work.

use std::cell::Cell;
use std::sync::LazyLock;

/// An instruction set that the kernels are compiled for. Each level's results differ from the others' in the last bits (fused
/// multiply-add, width of the sums), never from one run or number of threads to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What every processor of the target has: SSE2 on x86-64, plain Rust elsewhere.
    Portable,
    /// AVX2 and FMA (Intel from 2013, AMD from 2015).
    Avx2,
    /// AVX-512 F, BW, DQ and VL (Intel servers from 2017, AMD from Zen 4).
    Avx512,
}

/// The variable that lowers the level for the whole process: `portable`, `avx2` or `avx512`.
const VARIABLE: &str = "MIEN_KERNELS";

thread_local! { static LIMIT: Cell<Level> = const { Cell::new(Level::Avx512) }; }

impl Level {
    /// What this processor can do, from the least to the best.
    pub fn available() -> impl Iterator<Item = Self> {
        static BEST: LazyLock<Level> = LazyLock::new(detect);
        [Self::Portable, Self::Avx2, Self::Avx512].into_iter().filter(|level| *level <= *BEST)
    }

    /// The level that calls made by this thread use: the best available, if neither the environment variable `MIEN_KERNELS` nor
    /// [`with_level`] lowers it. No other function of this crate makes the level that it runs on, so that it never exceeds the processor.
    pub fn current() -> Self {
        static DEFAULT: LazyLock<Level> = LazyLock::new(|| {
            let wish = std::env::var(VARIABLE).ok();
            let wanted = Level::available().filter(|level| wish.as_deref() == Some(level.name())).last();
            wanted.or(Level::available().last()).unwrap_or(Level::Portable)
        });
        LIMIT.get().min(*DEFAULT)
    }

    /// The name that the environment variable knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

/// Runs `work`; kernels that this thread calls meanwhile use at most `level`.
pub fn with_level<R>(level: Level, work: impl FnOnce() -> R) -> R {
    /// Puts the limit back, also when `work` panics.
    struct Restore(Level);
    impl Drop for Restore {
        fn drop(&mut self) {
            LIMIT.set(self.0);
        }
    }
    let _restore = Restore(LIMIT.replace(level));
    work()
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Level {
    use std::arch::is_x86_feature_detected as has;
    let avx2 = has!("avx2") && has!("fma") && has!("bmi1") && has!("bmi2") && has!("lzcnt");
    let avx512 = avx2 && has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
    match (avx2, avx512) {
        (_, true) => Level::Avx512,
        (true, false) => Level::Avx2,
        (false, false) => Level::Portable,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Level {
    Level::Portable
}

/// Makes `fn name(level, arguments…)` out of the generic `#[inline(always)] unsafe fn body::<S, …>(arguments…)`: the body is compiled for
/// each level's [`Simd`](crate::simd::Simd) inside a function that may use its instructions, and the level picks one at run time.
///
/// The function made is as unsafe as the body. `level` must come from [`Level::current`].
macro_rules! vectorized {
    ($(#[$meta:meta])* $vis:vis fn $name:ident $(<$($type:ident: $bound:path),*>)? ($($arg:ident: $kind:ty),* $(,)?) = $body:ident) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis unsafe fn $name $(<$($type: $bound),*>)? (level: $crate::Level, $($arg: $kind),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,avx512f,avx512bw,avx512dq,avx512vl")]
                unsafe fn avx512 $(<$($type: $bound),*>)? ($($arg: $kind),*) {
                    unsafe { $body::<$crate::simd::Avx512 $($(, $type)*)?>($($arg),*) }
                }
                #[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt")]
                unsafe fn avx2 $(<$($type: $bound),*>)? ($($arg: $kind),*) {
                    unsafe { $body::<$crate::simd::Avx2 $($(, $type)*)?>($($arg),*) }
                }
                // SAFETY: the level is at most what the processor reported; the rest is the caller's.
                match level {
                    $crate::Level::Avx512 => return unsafe { avx512 $(::<$($type),*>)? ($($arg),*) },
                    $crate::Level::Avx2 => return unsafe { avx2 $(::<$($type),*>)? ($($arg),*) },
                    $crate::Level::Portable => {}
                }
            }
            let _ = level;
            unsafe { $body::<$crate::simd::Pair $($(, $type)*)?>($($arg),*) }
        }
    };
}
