//! What a device is opened with.

use wgpu_batchnorm::wgpu::{Features, Limits};
use wgpu_batchnorm::{Gpu, adapters_blocking};

/// What is useful and offered is asked for; the rest is WebGPU's default.
#[test]
fn a_device_gets_what_is_useful_and_offered() {
    let useful = Features::SUBGROUP
        | Features::SHADER_F16
        | Features::TIMESTAMP_QUERY
        | Features::PIPELINE_CACHE;
    let adapters = adapters_blocking();
    assert!(!adapters.is_empty(), "these tests need an adapter");
    for adapter in adapters {
        let gpu = Gpu::open_blocking(&adapter).unwrap();
        let (offered, got) = (adapter.limits(), gpu.device().limits());
        let features = gpu.device().features();
        assert_eq!(features & useful, adapter.features() & useful);
        assert_eq!(
            features & Features::TIMESTAMP_QUERY_INSIDE_PASSES,
            Features::empty()
        );
        let workgroups = |limits: &Limits| {
            [
                limits.max_compute_invocations_per_workgroup,
                limits.max_compute_workgroup_size_x,
                limits.max_compute_workgroup_storage_size,
            ]
        };
        assert_eq!(workgroups(&got), workgroups(&offered));
        assert_eq!(got.max_buffer_size, offered.max_buffer_size);
        let default = Limits::default();
        assert_eq!(got.max_bind_groups, default.max_bind_groups);
        let has_cache = features.contains(Features::PIPELINE_CACHE);
        assert_eq!(gpu.context().pipeline_cache_data().is_some(), has_cache);
    }
}
