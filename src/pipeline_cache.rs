//! Compiled pipelines as bytes, which a program can keep between its runs.
//!
//! The driver trusts its own bytes, so they are wrapped here: in front of them stand the format's name,
//! a checksum, and the adapter and driver that they are of. Nothing is handed to the driver before all of
//! that was compared.

use crate::error::CacheError;
use crate::faults::watched;

/// The name and version of the format.
const FORMAT: [u8; 8] = *b"wgbnpc\x00\x01";
/// Format, checksum, bytes of the key, bytes of the driver's data; then the key and the data. The
/// checksum is of all that follows it. Numbers are little-endian.
const HEADER: usize = 8 + 8 + 4 + 8;

/// What `cache` holds, sealed. `None` where the driver gives nothing.
pub(crate) fn data(device: &wgpu::Device, cache: &wgpu::PipelineCache) -> Option<Vec<u8>> {
    Some(sealed(&key(device)?, &cache.get_data()?))
}

/// A cache with what `bytes` hold.
///
/// # Safety
/// As [`Context::load_pipeline_cache`](crate::Context::load_pipeline_cache).
#[allow(
    unsafe_code,
    reason = "only the caller knows where the bytes come from"
)]
pub(crate) unsafe fn load(
    device: &wgpu::Device,
    bytes: &[u8],
) -> Result<wgpu::PipelineCache, CacheError> {
    let key = key(device).ok_or(CacheError::Unsupported)?;
    let descriptor = wgpu::PipelineCacheDescriptor {
        label: Some(LABEL),
        data: Some(opened(&key, bytes)?),
        fallback: false,
    };
    let (cache, refused) = watched(device, || {
        // SAFETY: the data came from `PipelineCache::get_data` of this adapter and driver, as the
        // key says, and is as it was then, as the checksum says and the caller promised.
        unsafe { device.create_pipeline_cache(&descriptor) }
    });
    match refused {
        None => Ok(cache),
        Some(error) => Err(CacheError::Refused {
            reason: error.to_string(),
        }),
    }
}

/// A cache with nothing in it, where the device can have one.
pub(crate) fn empty(device: &wgpu::Device) -> Option<wgpu::PipelineCache> {
    key(device)?;
    let descriptor = wgpu::PipelineCacheDescriptor {
        label: Some(LABEL),
        data: None,
        fallback: false,
    };
    let (cache, refused) = watched(device, || {
        // SAFETY: no data is given.
        #[allow(unsafe_code, reason = "the call is unsafe for its data's sake")]
        unsafe {
            device.create_pipeline_cache(&descriptor)
        }
    });
    refused.is_none().then_some(cache)
}

const LABEL: &str = "wgpu-batchnorm";

/// Adapter and driver, where the device keeps pipelines.
fn key(device: &wgpu::Device) -> Option<String> {
    if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
        return None;
    }
    let info = device.adapter_info();
    let adapter = wgpu::util::pipeline_cache_key(&info)?;
    Some(format!("{adapter} {} {}", info.driver, info.driver_info))
}

fn sealed(key: &str, data: &[u8]) -> Vec<u8> {
    let mut rest = Vec::with_capacity(HEADER + key.len() + data.len());
    rest.extend((key.len() as u32).to_le_bytes());
    rest.extend((data.len() as u64).to_le_bytes());
    rest.extend(key.as_bytes());
    rest.extend(data);
    [&FORMAT[..], &checksum(&rest).to_le_bytes(), &rest].concat()
}

fn opened<'a>(key: &str, bytes: &'a [u8]) -> Result<&'a [u8], CacheError> {
    let Some((header, body)) = bytes.split_at_checked(HEADER) else {
        return Err(CacheError::NoCache);
    };
    if header[..8] != FORMAT {
        return Err(CacheError::NoCache);
    }
    let number = |from: usize, len: usize| {
        let mut word = [0; 8];
        word[..len].copy_from_slice(&header[from..][..len]);
        u64::from_le_bytes(word)
    };
    let (sum, key_len, data_len) = (number(8, 8), number(16, 4), number(20, 8));
    let expected = key_len.saturating_add(data_len);
    if body.len() as u64 != expected {
        return Err(CacheError::Length {
            got: bytes.len() as u64,
            expected: expected.saturating_add(HEADER as u64),
        });
    }
    if checksum(&bytes[16..]) != sum {
        return Err(CacheError::Damaged);
    }
    let (own, data) = body.split_at(key_len as usize);
    if own != key.as_bytes() {
        return Err(CacheError::OtherDriver {
            got: String::from_utf8_lossy(own).into_owned(),
            expected: key.to_owned(),
        });
    }
    Ok(data)
}

/// FNV-1a, 64 bits: every change of one byte changes it.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_fnv_1a() {
        // The first is the offset basis; the others are of the algorithm's published test vectors.
        assert_eq!(checksum(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(checksum(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(checksum(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn what_was_sealed_opens_for_the_same_driver_alone() {
        for data in [&[][..], &[1, 2, 3]] {
            let bytes = sealed("adapter driver 1", data);
            assert_eq!(opened("adapter driver 1", &bytes), Ok(data));
            let expected = CacheError::OtherDriver {
                got: "adapter driver 1".to_owned(),
                expected: "adapter driver 2".to_owned(),
            };
            assert_eq!(opened("adapter driver 2", &bytes), Err(expected));
        }
    }

    #[test]
    fn every_damage_is_found() {
        let bytes = sealed("key", &[7; 40]);
        for k in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[k] ^= 1 << bit;
                assert!(opened("key", &damaged).is_err(), "byte {k}, bit {bit}");
            }
            assert!(opened("key", &bytes[..k]).is_err(), "{k} bytes");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(matches!(
            opened("key", &longer),
            Err(CacheError::Length { .. })
        ));
        assert_eq!(
            opened("key", b"a file of something else, long enough"),
            Err(CacheError::NoCache)
        );
    }
}
