//! Prefetches memory into the processor's cache.
#![expect(
    unsafe_code,
    reason = "prefetch instructions are intrinsics or assembly"
)]

/// Bytes of a cache line, the unit of a prefetch.
const CACHE_LINE: usize = 64;

/// Starts to load all cache lines of the bytes; returns at once.
#[inline]
pub fn prefetch(bytes: &[u8]) {
    prefetch_at(bytes.as_ptr(), bytes.len());
}

/// Starts to load the cache lines from an address on. Any address is safe: prefetching an unmapped one has no effect and
/// costs little.
#[inline]
pub fn prefetch_at(start: *const u8, len: usize) {
    let first = start.wrapping_sub(start.addr() % CACHE_LINE);
    let lines = (start.addr() % CACHE_LINE + len).div_ceil(CACHE_LINE);
    for line in 0..lines {
        prefetch_line(first.wrapping_add(line * CACHE_LINE));
    }
}

#[inline(always)]
fn prefetch_line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults and changes nothing that a program can see; SSE is part of x86-64.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above; the intrinsic is not stable yet.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}
