//! Scratch memory, kept between calls: a step needs the same sizes again and again, and fresh pages cost a
//! fault each.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

/// Idle bytes that the shared buffers may hold; what exceeds it is freed when it is handed back.
const IDLE_LIMIT: usize = 128 << 20;
/// The alignment of large buffers: that of a large page.
const LARGE: usize = 2 << 20;

/// Uninitialised floats.
struct Buffer {
    start: NonNull<f32>,
    layout: Layout,
}

// SAFETY: it owns its memory, and gives out no more than its address.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    fn new(len: usize) -> Self {
        let bytes = (len * size_of::<f32>()).max(64);
        let align = if bytes >= LARGE { LARGE } else { 64 };
        let layout = Layout::from_size_align(bytes.next_multiple_of(align), align)
            .expect("scratch is smaller than the address space");
        // SAFETY: the layout is not empty.
        let Some(start) = NonNull::new(unsafe { alloc(layout) }.cast()) else { handle_alloc_error(layout) };
        advise_large_pages(start.as_ptr(), &layout);
        Self { start, layout }
    }

    fn len(&self) -> usize {
        self.layout.size() / size_of::<f32>()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: `start` came from `alloc` with this layout.
        unsafe { dealloc(self.start.as_ptr().cast(), self.layout) }
    }
}

/// Winograd's products lie many pages apart, one step of each after another: with pages of 4 KiB the address
/// translation is slower than the arithmetic.
fn advise_large_pages(start: *mut f32, layout: &Layout) {
    #[cfg(target_os = "linux")]
    if layout.align() == LARGE {
        unsafe extern "C" {
            fn madvise(
                address: *mut std::ffi::c_void,
                length: usize,
                advice: std::ffi::c_int,
            ) -> std::ffi::c_int;
        }
        const MADV_HUGEPAGE: std::ffi::c_int = 14;
        // SAFETY: whole pages that the buffer owns; the advice changes no contents, and it may be refused.
        unsafe { madvise(start.cast(), layout.size(), MADV_HUGEPAGE) };
    }
    _ = (start, layout);
}

static IDLE: Mutex<Vec<Buffer>> = Mutex::new(Vec::new());

/// A shared buffer, handed back when it is dropped.
pub(crate) struct Shared(Option<Buffer>);

impl Shared {
    /// At least `len` floats, uninitialised: an idle buffer if one is large enough and not more than twice
    /// so.
    pub(crate) fn take(len: usize) -> Self {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        let fit = (0..idle.len())
            .filter(|&i| idle[i].len() >= len && idle[i].len() / 2 <= len.max(1 << 14))
            .min_by_key(|&i| idle[i].len());
        let found = fit.map(|i| idle.swap_remove(i));
        drop(idle);
        Self(Some(found.unwrap_or_else(|| Buffer::new(len))))
    }

    pub(crate) fn pointer(&self) -> Pointer {
        Pointer(self.0.as_ref().map_or(std::ptr::null_mut(), |buffer| buffer.start.as_ptr()))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(self.0.take());
        let mut held: usize = idle.iter().map(|buffer| buffer.layout.size()).sum();
        while held > IDLE_LIMIT {
            held -= idle.remove(0).layout.size(); // the one that has been idle longest, or nearly
        }
    }
}

thread_local! { static LOCAL: RefCell<Option<Buffer>> = const { RefCell::new(None) }; }

/// Lends this thread's own scratch of at least `len` floats, uninitialised. `work` must not call rayon, which
/// might run another task that wants it.
pub(crate) fn with_local<R>(len: usize, work: impl FnOnce(*mut f32) -> R) -> R {
    LOCAL.with(|local| {
        let mut local = local.borrow_mut();
        if local.as_ref().is_none_or(|buffer| buffer.len() < len) {
            *local = None;
            *local = Some(Buffer::new(len));
        }
        work(local.as_ref().map_or(std::ptr::null_mut(), |buffer| buffer.start.as_ptr()))
    })
}

/// Frees the shared buffers that wait for the next call. The threads' own scratch (some megabytes each) stays
/// until they end.
pub fn release_scratch() {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// A pointer that tasks share; each writes a part of its own.
#[derive(Clone, Copy)]
pub(crate) struct Pointer<T = f32>(*mut T);

// SAFETY: every task writes places that no other task reads or writes meanwhile; the kernels say which.
unsafe impl<T: Send> Send for Pointer<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Pointer<T> {}

impl<T> Pointer<T> {
    pub(crate) fn to(slice: &mut [T]) -> Self {
        Self(slice.as_mut_ptr())
    }

    pub(crate) fn new(start: *mut T) -> Self {
        Self(start)
    }

    pub(crate) fn get(self) -> *mut T {
        self.0
    }
}
