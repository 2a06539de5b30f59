//! Pipelines that a device does not make: its limits are below what wgpu needs for their bindings.

use wgpu_batchnorm::error::{BindError, PlanError};
use wgpu_batchnorm::functional::moments;
use wgpu_batchnorm::{
    BatchNorm, Config, Error, Gpu, ImageStatisticsBuffers, ImageTexture, Mode, Tensor, wgpu,
};

use crate::support::{SHAPE, assert_works, upload};
use testkit::gpu::{limited, own_gpu};

/// No uniform buffers: no kernel compiles.
fn without_uniforms() -> Gpu {
    limited(|_| wgpu::Limits {
        max_uniform_buffers_per_shader_stage: 0,
        ..wgpu::Limits::default()
    })
}

/// No sampled textures: no kernel of an image compiles.
fn without_textures() -> Gpu {
    limited(|_| wgpu::Limits {
        max_sampled_textures_per_shader_stage: 0,
        ..wgpu::Limits::default()
    })
}

fn assert_not_made(error: &BindError, kernel: &str, limit: &str) {
    let BindError::Pipeline { kernel: got, .. } = error else {
        panic!("expected a pipeline that was not made, got {error:?}");
    };
    assert!(got.starts_with(kernel), "{got}");
    assert!(error.to_string().contains(limit), "{error}");
}

#[test]
fn a_kernel_that_does_not_compile() {
    const LIMIT: &str = "max_uniform_buffers_per_shader_stage";
    let gpu = without_uniforms();
    let mut layer = BatchNorm::new(&gpu, 3, Config::pytorch()).unwrap();
    let x = upload(&gpu, &SHAPE, 1);
    let before = layer.state_blocking().unwrap();
    // A pipeline that failed is not kept: the second call says the same, of its own trying.
    for _ in 0..2 {
        for (mode, kernel) in [(Mode::Train, "train_resident"), (Mode::Eval, "inference")] {
            match layer.forward(&x, mode) {
                Err(Error::Bind(error)) => assert_not_made(&error, kernel, LIMIT),
                other => panic!("{other:?}"),
            }
        }
        match moments(&x, &[0, 2], false) {
            Err(Error::Bind(error)) => assert_not_made(&error, "moments", LIMIT),
            other => panic!("{other:?}"),
        }
    }
    // Nothing has moved, and what needs no kernel works.
    assert_eq!(layer.state_blocking().unwrap(), before);
    assert_eq!(
        x.read_blocking().unwrap(),
        crate::support::normals(&SHAPE, 1)
    );
}

#[test]
fn an_image_kernel_that_does_not_compile() {
    const LIMIT: &str = "max_sampled_textures_per_shader_stage";
    let gpu = without_textures();
    let config = Config::pytorch().without_running();
    let plan = gpu.context().plan_image(&config, 8, 8).unwrap();
    let format = wgpu::TextureFormat::Rgba8Unorm;
    let x = gpu.device().create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d {
            width: 8,
            height: 8,
            depth_or_array_layers: 1,
        },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::TEXTURE_BINDING,
        view_formats: &[],
    });
    let saved = Tensor::empty(&gpu, &[5, 4]).unwrap();
    let workspace = Tensor::empty(&gpu, &[plan.workspace_bytes() as usize / 4]).unwrap();
    for _ in 0..2 {
        let refused = plan.bind_statistics(&ImageStatisticsBuffers::new(
            ImageTexture::new(&x),
            saved.slice(),
            workspace.slice(),
        ));
        assert_not_made(&refused.unwrap_err(), "moments", LIMIT);
        let refused = gpu.context().image_render(&config, format);
        let Err(error @ PlanError::Pipeline { .. }) = refused else {
            panic!("{refused:?}");
        };
        assert!(error.to_string().contains(LIMIT), "{error}");
    }
    // Tensors need no textures.
    assert_works(&gpu);
}

/// Buffers of another device, which only wgpu can tell apart.
#[test]
fn buffers_that_wgpu_does_not_bind() {
    let (here, there) = (own_gpu(), own_gpu());
    let plan = here.context().plan(&Config::pytorch(), &SHAPE).unwrap();
    let x = upload(&there, &SHAPE, 1);
    let empty = |shape: &[usize]| Tensor::empty(&here, shape).unwrap();
    let (y, affine, running) = (empty(&SHAPE), empty(&[2, 3]), empty(&[3, 3]));
    let refused = plan.bind_inference(
        &wgpu_batchnorm::InferenceBuffers::new(x.slice(), running.slice())
            .with_y(y.slice())
            .with_affine(affine.slice()),
    );
    assert!(
        matches!(refused, Err(BindError::Unusable { name: "x", .. })),
        "{refused:?}"
    );
    assert_works(&here);
}
