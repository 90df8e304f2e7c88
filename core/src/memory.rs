//! Large vectors on large pages.

/// Zeros, or `None` when the memory of the machine does not suffice.
///
/// A large vector comes from the system as fresh pages, so the zeros cost nothing until they are overwritten, and as large pages
/// where the system has them: filling it then costs few page faults.
pub fn try_zeros<T: bytemuck::Pod>(n: usize) -> Option<Vec<T>> {
    let zeros = try_small_pages(n)?;
    large_pages(zeros.as_ptr() as *mut u8, n * size_of::<T>());
    Some(zeros)
}

/// As [`try_zeros`], on pages as the system gives them: for what is filled once and from front to back, as a matrix that is read from a file. Large pages are
/// cleared whole, and found by moving others about; there that costs more than they save (1.3 GB: 1.9 s of the system's time against 0.9).
pub fn try_small_pages<T: bytemuck::Pod>(n: usize) -> Option<Vec<T>> {
    let layout = std::alloc::Layout::array::<T>(n).ok()?;
    if layout.size() == 0 {
        return Some(vec![T::zeroed(); n]);
    }
    // Zero bytes are a valid value of every `Pod` type, and the layout is that of a vector of capacity `n`.
    unsafe {
        let start = std::alloc::alloc_zeroed(layout);
        if start.is_null() {
            return None;
        }
        Some(Vec::from_raw_parts(start.cast::<T>(), n, n))
    }
}

/// As [`try_zeros`], for sizes that are known to be in reason: ends the process as a `Vec` does when memory does not suffice.
pub fn zeros<T: bytemuck::Pod>(n: usize) -> Vec<T> {
    try_zeros(n).unwrap_or_else(|| vec![T::zeroed(); n])
}

/// Asks for large pages under a fresh allocation.
#[cfg(target_os = "linux")]
fn large_pages(start: *mut u8, bytes: usize) {
    const PAGE: usize = 1 << 21;
    if bytes < 4 * PAGE {
        return;
    }
    let from = (start as usize).next_multiple_of(PAGE);
    let to = (start as usize + bytes) / PAGE * PAGE;
    if to > from {
        // Advice only: a refusal changes nothing.
        unsafe { libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn large_pages(_start: *mut u8, _bytes: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_of_any_length_and_none_beyond_memory() {
        for n in [0, 1, 1000, 3 << 20] {
            let mut all = zeros::<f32>(n);
            assert!(all.len() == n && all.iter().all(|&v| v == 0.0));
            all.push(1.0);
            assert_eq!(all[n], 1.0);
        }
        assert!(try_zeros::<u64>(usize::MAX / 8 + 1).is_none());
        assert!(try_zeros::<u64>(usize::MAX / 16).is_none());
    }
}
