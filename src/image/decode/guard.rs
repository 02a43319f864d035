//! Decoders that panic.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use super::error::{DecodeError, corrupt};

/// Runs a decoder. All of the libraries' decoders but PNG's and BMP's are known to panic on some damaged
/// files; that is an error like any other here, and nothing is printed.
pub(super) fn without_panic<T>(decoder: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    thread_local! {
        static QUIET: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                usual(info)
            }
        }));
    });
    QUIET.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(decoder));
    QUIET.set(false);
    result.unwrap_or_else(|_| Err(corrupt("image", "the decoder gave up on it")))
}
