//! Shader modules, without the guards that were proved to be of no use: the one place beside the pipeline cache that is
//! unsafe.

/// A shader of the closed list. Accesses are always kept within bounds.
pub(crate) fn made(
    device: &wgpu::Device,
    shader: wgpu::ShaderModuleDescriptor<'_>,
    guarded: bool,
) -> wgpu::ShaderModule {
    if guarded {
        return device.create_shader_module(shader);
    }
    let checks = wgpu::ShaderRuntimeChecks {
        force_loop_bounding: false,
        int_div_checks: false,
        ..wgpu::ShaderRuntimeChecks::checked()
    };
    #[allow(
        unsafe_code,
        reason = "only these two guards are off, and the shaders do not need them"
    )]
    // SAFETY: no loop is infinite and no divisor is zero, whatever the buffers hold. `Params` alone decides both; the
    // library writes it, no kernel and no caller can, and `Params::new` refuses what follows not to hold.
    // `rounds` falls by `min(rounds, 16)` or `min(rounds, 8)` a round, which is at least 1 where it is above 0; `round` and
    // `left` fall by 1. `tile`, `two` and the `k` below COLUMNS count up to constants, or to 16, and `load` to less than 4. `first += slots` adds
    // at least 1, since `slots` and `partials` are at least 1; both are below 2³¹, so that no sum wraps.
    // `here.len` falls by what `alike` gives, which is at least 1 and no more than it; `left` is compared before it falls.
    // `reach` doubles until it is at least `slots`, which is below 2³¹, and is halved until it is 1.
    // Of weights, `k` counts up to `partials` less 1, and `left` falls by `min(left, 4)`.
    // Divisors are numbers, or `team`, `columns`, `rows`, `adjacent`, `splits`, `inner`, `period` or, of flat maps, `address_step`, which are at least 1, an image's width, or the stride of an axis of weights, which is a product of lengths.
    // All are unsigned, so that no quotient overflows. The test `what_is_not_guarded_was_proved` knows every loop and
    // divisor of these shaders and fails where there is another.
    unsafe {
        device.create_shader_module_trusted(shader, checks)
    }
}
