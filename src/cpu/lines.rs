//! Outputs, written by whole cache lines.
//!
//! A plain store to a line that no cache holds reads that line from memory first. A line that is streamed is not read, and
//! takes no other line's place in the caches. Large outputs, which no cache would hold to the end, are streamed.

use std::ops::Range;

/// Values of a cache line.
pub(super) const LINE: usize = 16;

pub(super) type Line = [f32; LINE];

/// Bytes of an output from which on it is streamed: with its input, more than the caches of a core hold.
const LARGE: usize = 1 << 20;

/// Whether an output of so many values is streamed.
pub(super) fn streams(len: usize) -> bool {
    len * size_of::<f32>() >= LARGE
}

/// What a thread writes to `out`: the values before its first whole line, whole lines, and the values behind them.
pub(super) fn parts(out: &mut [f32]) -> (&mut [f32], &mut [Line], &mut [f32]) {
    let past = out.as_ptr().addr() / size_of::<f32>() % LINE;
    let head = (LINE - past) % LINE;
    let (head, rest) = out.split_at_mut(head.min(out.len()));
    let (lines, tail) = rest.as_chunks_mut();
    (head, lines, tail)
}

/// Inputs of what [`parts`] gives, where `head` values come before the first line.
pub(super) fn like(head: usize, input: &[f32]) -> (&[f32], &[Line], &[f32]) {
    let (head, rest) = input.split_at(head);
    let (lines, tail) = rest.as_chunks();
    (head, lines, tail)
}

/// Writes a line that begins where a cache line does, past the caches if `STREAMS`.
///
/// # Safety
/// With `AVX2`, the processor has AVX2. With `STREAMS`, the thread calls [`finish`] before another may read the line.
#[inline(always)]
#[allow(unsafe_code)]
pub(super) unsafe fn write<const AVX2: bool, const STREAMS: bool>(values: Line, line: &mut Line) {
    #[cfg(target_arch = "x86_64")]
    if STREAMS {
        use std::arch::x86_64::{_mm_loadu_ps, _mm_stream_ps, _mm256_loadu_ps, _mm256_stream_ps};
        let (from, to) = (values.as_ptr(), line.as_mut_ptr());
        assert!(to.addr().is_multiple_of(size_of::<Line>()));
        // SAFETY: both have the 16 values that are read and written, to places aligned to 64 bytes. SSE is part of
        // x86-64, and the caller promises the rest.
        unsafe {
            if AVX2 {
                for k in [0, 8] {
                    _mm256_stream_ps(to.add(k), _mm256_loadu_ps(from.add(k)));
                }
            } else {
                for k in [0, 4, 8, 12] {
                    _mm_stream_ps(to.add(k), _mm_loadu_ps(from.add(k)));
                }
            }
        }
        return;
    }
    *line = values;
}

/// Asks memory for this range of `values`, if it is not empty: into the nearest cache, or into the next where it is `far`
/// ahead of what is read now, since lines so many pages apart would push each other out of the nearest.
#[inline(always)]
pub(super) fn prefetch(values: &[f32], range: Range<usize>, far: bool) {
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, range, far);
    #[cfg(target_arch = "x86_64")]
    for k in range.step_by(LINE) {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        let at = values.as_ptr().wrapping_add(k).cast();
        // SAFETY: SSE is part of x86-64, and no address is wrong for a hint.
        #[allow(unsafe_code)]
        unsafe {
            match far {
                true => _mm_prefetch::<_MM_HINT_T1>(at),
                false => _mm_prefetch::<_MM_HINT_T0>(at),
            }
        }
    }
}

/// Ends a task: others see what its thread has streamed. Where it did not stream, there is nothing to do.
pub(super) fn finish(streams: bool) {
    #[cfg(not(target_arch = "x86_64"))]
    let _ = streams;
    #[cfg(target_arch = "x86_64")]
    if streams {
        // SAFETY: every x86-64 processor has the instruction, and it does nothing but wait.
        #[allow(unsafe_code)]
        unsafe {
            std::arch::x86_64::_mm_sfence();
        }
    }
}
