//! Work for the current rayon pool.

use rayon::prelude::*;

/// Operations below which another thread is not worth waking.
const WORTH_A_THREAD: f64 = 1e6;

/// Runs `task` for 0..tasks, in parallel if there are enough operations in all (`work`) to share.
pub(crate) fn for_each(tasks: usize, work: f64, task: impl Fn(usize) + Send + Sync) {
    let shares = (work / WORTH_A_THREAD) as usize;
    if tasks <= 1 || shares <= 1 || rayon::current_num_threads() == 1 {
        (0..tasks).for_each(task);
    } else {
        (0..tasks).into_par_iter().with_min_len(tasks / shares.min(tasks)).with_max_len(1).for_each(task);
    }
}
