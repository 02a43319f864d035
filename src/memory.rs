//! How the program takes memory: pages are kept, and large blocks begin at a line of the cache.

use std::alloc::{GlobalAlloc, Layout, System};

/// Lets the allocator keep the pages of freed buffers: a training step frees and takes gigabytes, and giving
/// them back to the kernel means that each page is faulted in and cleared again at every step.
///
/// # Safety
/// No other thread may be running: it belongs first in `main`.
pub unsafe fn keep_pages() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets parameters of the allocator; the caller promises that no other thread uses it
    // meanwhile.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// The system's allocator, with blocks of a page (4 KiB) and more at the start of a line of the cache: a
/// vector that straddles two lines takes two loads, and cannot be written past the cache.
///
/// It asks for a line more than is wanted and keeps the block's true start before what it gives out. glibc's
/// own aligned blocks do not fit where one of the same size was freed: a step's memory would grow by a sixth.
pub struct LineAligned;

/// Bytes of a line.
const LINE: usize = 64;
/// From how many bytes on blocks are aligned.
const LARGE: usize = 4096;
/// The alignment that allocators give without asking.
const USUAL: usize = 16;

/// What is asked of the system for a block that is to be aligned; `None` for any other.
fn widened(layout: Layout) -> Option<Layout> {
    let is_large = layout.size() >= LARGE && layout.align() <= USUAL;
    is_large.then(|| Layout::from_size_align(layout.size().saturating_add(LINE), USUAL).ok()).flatten()
}

/// The first line in a block from the system, with the block's start noted before it.
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

// SAFETY: blocks come from the system and go back to it with the layout they were asked for with; a large one
// is the wanted size and a line, of which at most a line lies before what is given out. No part panics.
unsafe impl GlobalAlloc for LineAligned {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match widened(layout) {
            Some(wide) => unsafe { line_in(System.alloc(wide)) },
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match widened(layout) {
            Some(wide) => unsafe { line_in(System.alloc_zeroed(wide)) },
            None => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match widened(layout) {
            Some(wide) => unsafe { System.dealloc(block.cast::<*mut u8>().sub(1).read(), wide) },
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the size is possible for this alignment.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if widened(layout).is_none() && widened(new).is_none() {
            return unsafe { System.realloc(block, layout, size) };
        }
        // SAFETY: both blocks hold what is copied; the old one is given back as it was taken.
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
    fn large_blocks_begin_at_a_line_and_keep_their_contents_as_they_grow_and_shrink() {
        for align in [1, 4, 16, 128] {
            let mut layout = Layout::from_size_align(100, align).unwrap();
            // SAFETY: the block is used within its size and given back with its layout.
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
    fn zeroed_blocks_are_zero_and_what_is_impossible_is_null() {
        let layout = Layout::from_size_align(100_000, 4).unwrap();
        // SAFETY: as above.
        unsafe {
            let block = LineAligned.alloc_zeroed(layout);
            assert!(
                (block as usize).is_multiple_of(LINE) && (0..layout.size()).all(|i| block.add(i).read() == 0)
            );
            LineAligned.dealloc(block, layout);
            let largest = Layout::from_size_align(isize::MAX as usize - 15, 16).unwrap();
            assert!(std::hint::black_box(LineAligned.alloc(largest)).is_null()); // else the compiler leaves it out
        }
    }
}
