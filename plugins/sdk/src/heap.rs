//! The heap of a guest. An instance lives for one call, in which most of what is allocated is small
//! and lives to its end: to hand it out of an arena, and to take back only what came last, takes a
//! fraction of what bookkeeping does. What finds no room there comes from the usual heap.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, UnsafeCell};
use core::ptr::null_mut;
use std::alloc::System;

const SIZE: usize = 128 << 10;

#[repr(align(16))]
struct Heap {
    arena: UnsafeCell<[u8; SIZE]>,
    /// Offset of what is free.
    free: Cell<usize>,
}

// SAFETY: without the feature `atomics`, which `monprov` does not run, a module has one thread.
#[cfg(not(target_feature = "atomics"))]
unsafe impl Sync for Heap {}

#[global_allocator]
static HEAP: Heap = Heap { arena: UnsafeCell::new([0; SIZE]), free: Cell::new(0) };

impl Heap {
    /// The offset in the arena, of what lies there.
    fn offset(&self, block: *mut u8) -> Option<usize> {
        let offset = (block as usize).wrapping_sub(self.arena.get() as usize);
        (offset < SIZE).then_some(offset)
    }

    /// Takes room at an offset.
    fn take(&self, offset: usize, size: usize) -> Option<*mut u8> {
        let end = offset.checked_add(size).filter(|end| *end <= SIZE)?;
        self.free.set(end);
        Some((self.arena.get() as *mut u8).wrapping_add(offset))
    }

    /// Nothing was allocated after it.
    fn is_last(&self, offset: usize, size: usize) -> bool {
        offset + size == self.free.get()
    }
}

// SAFETY: blocks of the arena never overlap: `free` is the end of all that were given, and goes
// back only to the start of the last. The arena is aligned to 16; who wants more gets it from `System`.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let aligned = (self.free.get() + layout.align() - 1) & !(layout.align() - 1);
        let taken = if layout.align() <= 16 { self.take(aligned, layout.size()) } else { None };
        taken.unwrap_or_else(|| unsafe { System.alloc(layout) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match self.offset(block) {
            Some(offset) if self.is_last(offset, layout.size()) => self.free.set(offset),
            Some(_) => {}
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(offset) = self.offset(block) else {
            return unsafe { System.realloc(block, layout, size) };
        };
        if size <= layout.size() && !self.is_last(offset, layout.size()) {
            return block;
        }
        if self.is_last(offset, layout.size())
            && let Some(grown) = self.take(offset, size)
        {
            return grown;
        }
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else { return null_mut() };
        let new = unsafe { self.alloc(wanted) };
        if !new.is_null() {
            unsafe { core::ptr::copy_nonoverlapping(block, new, layout.size().min(size)) };
        }
        new
    }
}
