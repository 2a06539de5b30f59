//! What the targets share: files made of fuzzed parts, and how much memory reading one may take.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
#[allow(unsafe_code, reason = "an allocator is nothing else")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(live, Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that a reader may hold for each byte of the file. The most is what a list of one-digit axes
/// becomes, while it grows, and what an empty tensor's entry does.
const PER_BYTE: usize = 32;
/// What npyz's parser takes beyond that for a byte of a header, and the longest that is parsed.
const PER_HEADER_BYTE: usize = 256;
const LONGEST_NPY_HEADER: usize = 1024;
/// For the file as such.
const PER_FILE: usize = 16 << 10;

/// Runs `read` on a file of `len` bytes; panics where it held more memory than the file justifies.
pub fn bounded<T>(len: usize, read: impl FnOnce() -> T) -> T {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = read();
    let held = PEAK.load(Relaxed) - before;
    let header = PER_HEADER_BYTE * len.min(LONGEST_NPY_HEADER);
    assert!(
        held <= PER_BYTE * len + header + PER_FILE,
        "{held} bytes held for a file of {len}"
    );
    result
}

/// A safetensors file whose header is the text up to the first NUL, and whose data is the rest:
/// changes to the header keep the length before it right.
pub fn safetensors(body: &[u8]) -> Vec<u8> {
    let (header, data) = split(body);
    [&(header.len() as u64).to_le_bytes()[..], header, data].concat()
}

/// A NumPy file likewise.
pub fn npy(body: &[u8]) -> Vec<u8> {
    let (header, data) = split(body);
    let len = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\0", &len[..], header, data].concat()
}

fn split(body: &[u8]) -> (&[u8], &[u8]) {
    match body.iter().position(|&b| b == 0) {
        Some(end) => (&body[..end], &body[end + 1..]),
        None => (body, &[]),
    }
}
