//! How the program allocates memory: pages are kept, and large blocks begin at a cache line.

use std::alloc::{GlobalAlloc, Layout, System};

/// Lets the allocator keep the pages of freed buffers: a training step frees and allocates gigabytes, and if
/// they went back to the kernel, each page would be faulted in and cleared again at every step.
///
/// # Safety
/// No other thread may be running: call it first in `main`.
pub unsafe fn keep_pages() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets parameters of the allocator; the caller promises that no other thread uses it
    // at the same time.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// The system's allocator, with blocks of a page (4 KiB) and more aligned to a cache line: a vector register
/// that straddles two lines takes two loads, and cannot be written past the cache.
///
/// It allocates one line more than requested and stores the block's true start before the returned pointer.
/// glibc's own aligned blocks are not reused for the same size after a free: a step's memory would grow by a
/// sixth.
pub struct LineAligned;

/// Bytes of a cache line.
const LINE: usize = 64;
/// Blocks of this many bytes and more are aligned.
const LARGE: usize = 4096;
/// The alignment that allocators give by default.
const USUAL: usize = 16;

/// What is requested from the system for a block that is to be aligned; `None` for any other.
fn widened(layout: Layout) -> Option<Layout> {
    let is_large = layout.size() >= LARGE && layout.align() <= USUAL;
    is_large.then(|| Layout::from_size_align(layout.size().saturating_add(LINE), USUAL).ok()).flatten()
}

/// The first cache line in a block from the system, with the block's start stored before it.
///
/// # Safety
/// `start` must be null or the start of a block of a [`widened`] layout.
unsafe fn line_in(start: *mut u8) -> *mut u8 {
    if start.is_null() {
        return start;
    }
    // SAFETY: the system's blocks are aligned to 16, so that the line begins 16 to 64 bytes into it, after
    // room for an address.
    unsafe {
        let line = start.add(LINE - start as usize % LINE);
        line.cast::<*mut u8>().sub(1).write(start);
        line
    }
}

// SAFETY: blocks come from the system and go back to it with the layout they were requested with; a large one
// has the requested size and a line, of which at most a line is before the returned pointer. No panics.
unsafe impl GlobalAlloc for LineAligned {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises for the layout; `line_in` gets the start of a widened block, or
        // null.
        unsafe {
            match widened(layout) {
                Some(wide) => line_in(System.alloc(wide)),
                None => System.alloc(layout),
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        unsafe {
            match widened(layout) {
                Some(wide) => line_in(System.alloc_zeroed(wide)),
                None => System.alloc_zeroed(layout),
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: a large block was given out by `line_in`, which stored the system's start before it.
        unsafe {
            match widened(layout) {
                Some(wide) => System.dealloc(block.cast::<*mut u8>().sub(1).read(), wide),
                None => System.dealloc(block, layout),
            }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the size is possible for this alignment.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if widened(layout).is_none() && widened(new).is_none() {
            // SAFETY: both the old and the new block are plain blocks of the system.
            return unsafe { System.realloc(block, layout, size) };
        }
        // SAFETY: both blocks hold what is copied; the old one is freed with its own layout.
        unsafe {
            let to = self.alloc(new);
            if !to.is_null() {
                to.copy_from_nonoverlapping(block, layout.size().min(size));
                self.dealloc(block, layout);
            }
            to
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_blocks_are_aligned_and_keep_their_contents_as_they_grow_and_shrink() {
        for align in [1, 4, 16, 128] {
            let mut layout = Layout::from_size_align(100, align).unwrap();
            // SAFETY: the block is used within its size and freed with its layout.
            unsafe {
                let mut block = LineAligned.alloc(layout);
                (0..100).for_each(|i| block.add(i).write(i as u8));
                for size in [4095, 4096, 5000, 1 << 20, 70_000, 4096, 4095, 200] {
                    block = LineAligned.realloc(block, layout, size);
                    layout = Layout::from_size_align(size, align).unwrap();
                    assert_eq!(block as usize % if size >= LARGE { LINE.max(align) } else { align }, 0);
                    assert!((0..100).all(|i| block.add(i).read() == i as u8));
                    block.add(size - 1).write(0);
                }
                LineAligned.dealloc(block, layout);
            }
        }
    }

    #[test]
    fn zeroed_blocks_are_zero_and_an_impossible_size_gives_null() {
        let layout = Layout::from_size_align(100_000, 4).unwrap();
        // SAFETY: as above.
        unsafe {
            let block = LineAligned.alloc_zeroed(layout);
            assert!(
                (block as usize).is_multiple_of(LINE) && (0..layout.size()).all(|i| block.add(i).read() == 0)
            );
            LineAligned.dealloc(block, layout);
            let largest = Layout::from_size_align(isize::MAX as usize - 15, 16).unwrap();
            // Without the black box the compiler leaves the allocation out.
            assert!(std::hint::black_box(LineAligned.alloc(largest)).is_null());
        }
    }
}
