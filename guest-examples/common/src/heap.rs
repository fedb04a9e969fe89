//! The allocator of the standard library, which here begins with memory that the component has from its start. An instance
//! that gets by with that never grows its memory, and so is made and thrown away in half the time.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::{Cell, UnsafeCell};
use std::ptr::null_mut;

use dlmalloc::{Allocator, Dlmalloc};

const PAGE: usize = 64 * 1024;

#[global_allocator]
static HEAP: Heap = Heap(UnsafeCell::new(Dlmalloc::new_with_allocator(Pages {
    first: Cell::new(true),
})));

#[repr(align(16))]
struct First(UnsafeCell<[u8; PAGE]>);

// SAFETY: a component has one thread.
unsafe impl Sync for First {}

static FIRST: First = First(UnsafeCell::new([0; PAGE]));

struct Heap(UnsafeCell<Dlmalloc<Pages>>);

// SAFETY: a component has one thread.
unsafe impl Sync for Heap {}

// SAFETY: `Dlmalloc` keeps the contract; nothing that it calls comes back here.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe { (*self.0.get()).malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        unsafe { (*self.0.get()).calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { (*self.0.get()).free(memory, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        unsafe { (*self.0.get()).realloc(memory, layout.size(), layout.align(), size) }
    }
}

/// Where the allocator gets memory from.
struct Pages {
    first: Cell<bool>,
}

// SAFETY: each page is handed out once, and is zero.
unsafe impl Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        if size <= PAGE && self.first.replace(false) {
            return (FIRST.0.get().cast(), PAGE, 0);
        }
        let pages = size.div_ceil(PAGE);
        match core::arch::wasm32::memory_grow(0, pages) {
            usize::MAX => (null_mut(), 0, 0),
            before => {
                let start = before * PAGE;
                // No address may be behind the last one.
                let size = (pages * PAGE).min(usize::MAX - 15 - start);
                (start as *mut u8, size, 0)
            }
        }
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE
    }
}
