//! Which instruction set the kernels run on: found at run time, lowered by the environment or for one piece
//! of work.

use std::cell::Cell;
use std::sync::LazyLock;

/// An instruction set that code is compiled for besides what every processor of the target has.
///
/// A value is a proof: none can be made that the processor lacks the instructions of. The kernels' results at
/// one level differ from another level's in the last bits (fused multiply-add, width of the sums), never from
/// one run or number of threads to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Set {
    Portable,
    Avx2,
    Avx512,
}

/// The variable that lowers the level for the whole process: `portable`, `avx2` or `avx512`.
const VARIABLE: &str = "MIEN_KERNELS";

thread_local! { static LIMIT: Cell<Option<Level>> = const { Cell::new(None) }; }

impl Level {
    /// What this processor can do, from the least, which every processor of the target can, to the best.
    pub fn available() -> impl Iterator<Item = Self> {
        let best = Self::detect();
        [Set::Portable, Set::Avx2, Set::Avx512].into_iter().map(Self).filter(move |level| *level <= best)
    }

    /// The best that this processor can do, whatever the environment and [`with_level`] say.
    pub fn detect() -> Self {
        static BEST: LazyLock<Level> = LazyLock::new(|| Level(detect()));
        *BEST
    }

    /// The level that kernels called by this thread run at: the best, if neither the environment variable
    /// `MIEN_KERNELS` nor [`with_level`] lowers it.
    pub fn current() -> Self {
        static DEFAULT: LazyLock<Level> = LazyLock::new(|| {
            let wish = std::env::var(VARIABLE).ok();
            let wanted = Level::available().filter(|level| wish.as_deref() == Some(level.name())).last();
            wanted.unwrap_or_else(Level::detect)
        });
        LIMIT.get().map_or(*DEFAULT, |limit| limit.min(*DEFAULT))
    }

    /// The name that the environment variable knows it by: `portable`, `avx2` or `avx512`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Set::Portable => "portable",
            Set::Avx2 => "avx2",
            Set::Avx512 => "avx512",
        }
    }

    /// Whether AVX2 and FMA may be used (Intel from 2013, AMD from 2015), and BMI1, BMI2 and LZCNT with them.
    #[inline]
    pub fn avx2(self) -> bool {
        self.0 >= Set::Avx2
    }

    /// Whether AVX-512 F, BW, DQ and VL may be used (Intel servers from 2017, AMD from Zen 4), besides all of
    /// [`Level::avx2`].
    #[inline]
    pub fn avx512(self) -> bool {
        self.0 >= Set::Avx512
    }

    /// This level or, instead of one with longer vectors, the best with vectors of eight lanes.
    pub(crate) fn eight_lanes(self) -> Self {
        self.min(Self(Set::Avx2))
    }
}

/// What [`Level::detect`] finds.
impl Default for Level {
    fn default() -> Self {
        Self::detect()
    }
}

/// Runs `work`; kernels that this thread calls meanwhile use at most `level`.
pub fn with_level<R>(level: Level, work: impl FnOnce() -> R) -> R {
    /// Puts the limit back, also when `work` panics.
    struct Restore(Option<Level>);
    impl Drop for Restore {
        fn drop(&mut self) {
            LIMIT.set(self.0);
        }
    }
    let _restore = Restore(LIMIT.replace(Some(level)));
    work()
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Set {
    use std::arch::is_x86_feature_detected as has;
    let avx2 = has!("avx2") && has!("fma") && has!("bmi1") && has!("bmi2") && has!("lzcnt");
    let avx512 = avx2 && has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
    match (avx2, avx512) {
        (_, true) => Set::Avx512,
        (true, false) => Set::Avx2,
        (false, false) => Set::Portable,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Set {
    Set::Portable
}
