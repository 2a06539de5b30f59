//! From image to image, in the formats that kernels write, and to render targets.

use wgpu_batchnorm::check::{self, Report, TrainResult};
use wgpu_batchnorm::wgpu::{self, TextureFormat, TextureUsages};
use wgpu_batchnorm::{
    Config, Gpu, ImageInferenceBuffers, ImageRenderInputs, ImageStatistics, ImageStatisticsBuffers,
    ImageTexture, ImageTrainBuffers, LayerState, Parameters, RunningStatistics, Tensor, View,
};

use super::sweep::{Outcome, submit};
use crate::failure::Failure;
use crate::layout::{running_of, running_rows, saved_of};
use crate::texels::{self, ALL_USAGES, Expected};

const WRITTEN: [TextureFormat; 2] = [TextureFormat::Rgba8Unorm, TextureFormat::Rgba16Float];

const DRAWN: [TextureFormat; 5] = [
    TextureFormat::Rgba8Unorm,
    TextureFormat::Rgba8UnormSrgb,
    TextureFormat::Bgra8Unorm,
    TextureFormat::Rgba16Float,
    TextureFormat::Rgba32Float,
];

/// An image's options.
pub struct Image<'a> {
    pub gpu: &'a Gpu,
    pub config: Config,
    /// Width and height.
    pub size: [u32; 2],
    pub format: TextureFormat,
    pub keep_alpha: bool,
    pub state: &'a LayerState,
}

/// What its operations bind.
struct Bound<'a> {
    x: ImageTexture<'a>,
    affine: Option<Tensor>,
    saved: Tensor,
    workspace: Tensor,
}

impl Image<'_> {
    /// Inference, training forward and drawing of the texels in `bytes`.
    pub fn sweep(&self, bytes: &[u8]) -> Result<Vec<Outcome>, Failure> {
        let Self { gpu, config, .. } = self;
        let x = texels::texture(gpu, self.size, self.format, ALL_USAGES);
        let x = ImageTexture::new(&x).with_format(self.format);
        texels::write(gpu, x, bytes);
        // sRGB is linear where it is loaded.
        let loaded = texels::loaded(gpu, x)?;
        let input = check::Input {
            view: View::new(&[loaded.len() / 4, 4], 1)?,
            x: &loaded,
            parameters: self.parameters(),
            eps: config.eps,
            epilogue: check::Epilogue {
                activation: config.activation,
                ..Default::default()
            },
        };
        let [width, height] = self.size;
        let plan = gpu.context().plan_image(config, width, height)?;
        let bound = Bound {
            x,
            affine: self.affine()?,
            saved: Tensor::upload(gpu, &[5, 4], &[f32::NAN; 20])?,
            workspace: Tensor::empty(gpu, &[plan.workspace_bytes() as usize / 4])?,
        };
        let before = self.state.running.clone();
        let before = before.unwrap_or_else(|| RunningStatistics::new(4));
        let of_batch = Expected::of(&input, None);
        let frozen = Expected::of(&input, Some(&before));
        let kept = self.keep_alpha.then_some(&loaded[..]);

        let mut outcomes = Vec::new();
        let mut add = |operation, format: TextureFormat, report| {
            outcomes.push(Outcome {
                operation,
                variant: format!("{format:?}").to_lowercase(),
                report,
            });
        };
        for format in WRITTEN {
            let usage = ALL_USAGES | TextureUsages::STORAGE_BINDING;
            let y = texels::texture(gpu, self.size, format, usage);
            let y = ImageTexture::new(&y);
            let read = || -> Result<Vec<f32>, Failure> {
                Ok(texels::values(format, &texels::read(gpu, y)?))
            };
            let running = Tensor::upload(gpu, &[3, 4], &running_rows(&before))?;
            let affine = bound.affine.as_ref().map(|t| t.buffer().slice(..));
            let inference = plan.bind_inference(&ImageInferenceBuffers {
                x,
                y,
                keep_alpha: self.keep_alpha,
                affine,
                running: running.buffer().slice(..),
            })?;
            submit(gpu, &[&inference]);
            let findings = vec![frozen.judge(format, &read()?, kept)];
            add("image, inference", format, Report { findings });

            let train = plan.bind_train(&ImageTrainBuffers {
                x,
                y,
                keep_alpha: self.keep_alpha,
                affine,
                running: config.running.map(|_| running.buffer().slice(..)),
                saved: bound.saved.buffer().slice(..),
                workspace: bound.workspace.buffer().slice(..),
            })?;
            submit(gpu, &[&train]);
            let mut report = self.judge_statistics(&input, &bound, &before, &running)?;
            report.findings.push(of_batch.judge(format, &read()?, kept));
            add("image, train forward", format, report);
        }
        let moved = Tensor::upload(gpu, &[3, 4], &running_rows(&before))?;
        let statistics = plan.bind_statistics(&ImageStatisticsBuffers {
            x,
            running: config.running.map(|_| moved.buffer().slice(..)),
            saved: bound.saved.buffer().slice(..),
            workspace: bound.workspace.buffer().slice(..),
        })?;
        submit(gpu, &[&statistics]);
        let report = self.judge_statistics(&input, &bound, &before, &moved)?;
        add("image, statistics alone", self.format, report);
        let unmoved = Tensor::upload(gpu, &[3, 4], &running_rows(&before))?;
        for format in DRAWN {
            let by_batch = ImageStatistics::Saved(bound.saved.buffer().slice(..));
            let by_running = ImageStatistics::Running(unmoved.buffer().slice(..));
            let findings = vec![
                of_batch.judge(format, &self.drawn(&bound, by_batch, format)?, kept),
                frozen.judge(format, &self.drawn(&bound, by_running, format)?, kept),
            ];
            add("image, render pass", format, Report { findings });
        }
        Ok(outcomes)
    }

    /// What was saved, and what running statistics became.
    fn judge_statistics(
        &self,
        input: &check::Input<'_>,
        bound: &Bound<'_>,
        before: &RunningStatistics,
        after: &Tensor,
    ) -> Result<Report, Failure> {
        let after = running_of(&after.read_blocking()?);
        let running = self.config.running;
        let result = TrainResult {
            y: input.x,
            saved: &saved_of(&bound.saved.read_blocking()?),
            running: running.map(|running| (before, &after, running)),
        };
        let mut report = check::train_forward(input, &result);
        report.findings.retain(|finding| finding.tensor != "y");
        Ok(report)
    }

    /// A target's values after a draw, red first; sRGB ones as stored.
    fn drawn(
        &self,
        bound: &Bound<'_>,
        statistics: ImageStatistics<'_>,
        format: TextureFormat,
    ) -> Result<Vec<f32>, Failure> {
        let gpu = self.gpu;
        let render = gpu.context().image_render(&self.config, format)?;
        let draw = render.bind(&ImageRenderInputs {
            x: bound.x,
            keep_alpha: self.keep_alpha,
            affine: bound.affine.as_ref().map(|t| t.buffer().slice(..)),
            statistics,
        })?;
        let usage = ALL_USAGES | TextureUsages::RENDER_ATTACHMENT;
        let target = texels::texture(gpu, self.size, format, usage);
        let view = target.create_view(&Default::default());
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                    view: &view,
                    depth_slice: None,
                    resolve_target: None,
                    ops: wgpu::Operations {
                        load: wgpu::LoadOp::Clear(wgpu::Color::TRANSPARENT),
                        store: wgpu::StoreOp::Store,
                    },
                })],
                ..Default::default()
            });
            draw.draw(&mut pass);
        }
        gpu.queue().submit([encoder.finish()]);
        let bytes = texels::read(gpu, ImageTexture::new(&target))?;
        Ok(texels::values(format.remove_srgb_suffix(), &bytes))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            weight: self.state.weight.as_deref(),
            bias: self.state.bias.as_deref(),
        }
    }

    fn affine(&self) -> Result<Option<Tensor>, Failure> {
        let parameters = self.parameters();
        if parameters.weight.is_none() && parameters.bias.is_none() {
            return Ok(None);
        }
        let weight = (0..4).map(|c| parameters.weight(c));
        let bias = (0..4).map(|c| parameters.bias(c));
        let rows: Vec<f32> = weight.chain(bias).collect();
        Ok(Some(Tensor::upload(self.gpu, &[2, 4], &rows)?))
    }
}
