//! From image to image, in the formats that kernels write.

use wgpu_batchnorm::check::{self, FORWARD_BOUND, Finding, Report, TrainResult};
use wgpu_batchnorm::{
    Config, Element, Gpu, ImageInferenceBuffers, ImageTexture, ImageTrainBuffers, LayerState,
    Parameters, RunningStatistics, Tensor, View, reference, wgpu,
};

use super::parts::{running_of, saved_of, submit, upload_running};
use super::sweep::Outcome;
use crate::failure::Failure;

/// A row of so many pixels needs no padding when it is copied.
const WIDTH: u32 = 64;

const FORMATS: [(wgpu::TextureFormat, &str); 2] = [
    (wgpu::TextureFormat::Rgba8Unorm, "rgba8unorm"),
    (wgpu::TextureFormat::Rgba16Float, "rgba16float"),
];

/// Training forward and inference on an image of these values, four to a pixel.
pub fn sweep(
    gpu: &Gpu,
    config: &Config,
    values: &[f32],
    state: &LayerState,
) -> Result<Vec<Outcome>, Failure> {
    let mut outcomes = Vec::new();
    let (Some(before), Some(running)) = (&state.running, config.running) else {
        return Ok(outcomes);
    };
    for (format, variant) in FORMATS {
        let image = Image::new(gpu, config, format, values, state)?;
        let mut add = |operation, report| {
            outcomes.push(Outcome {
                operation,
                variant: variant.to_owned(),
                report,
            });
        };
        add("image, inference", image.inference(before)?);
        add("image, train forward", image.train(before, running)?);
    }
    Ok(outcomes)
}

struct Image<'a> {
    gpu: &'a Gpu,
    format: wgpu::TextureFormat,
    config: &'a Config,
    height: u32,
    /// What a shader loads from `from`.
    x: Vec<f32>,
    from: wgpu::Texture,
    to: wgpu::Texture,
    affine: Tensor,
    running: Tensor,
    parameters: Parameters<'a>,
}

impl<'a> Image<'a> {
    fn new(
        gpu: &'a Gpu,
        config: &'a Config,
        format: wgpu::TextureFormat,
        values: &[f32],
        state: &'a LayerState,
    ) -> Result<Self, Failure> {
        use wgpu::TextureUsages as Usages;
        let height = (values.len() / 4) as u32 / WIDTH;
        let values = &values[..(height * WIDTH * 4) as usize];
        let texels = match format {
            wgpu::TextureFormat::Rgba8Unorm => {
                let bytes: Vec<u8> = values.iter().map(|v| (v * 255.0).round() as u8).collect();
                let words = bytes.as_chunks::<4>().0.iter();
                let words: Vec<f32> = words
                    .map(|&b| f32::from_bits(u32::from_le_bytes(b)))
                    .collect();
                Tensor::upload(gpu, &[words.len()], &words)?
            }
            _ => Tensor::upload_as(gpu, &[values.len()], Element::F16, values)?,
        };
        let texture = |usage| {
            gpu.device().create_texture(&wgpu::TextureDescriptor {
                label: Some("verify"),
                size: extent(height),
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format,
                usage,
                view_formats: &[],
            })
        };
        let from = texture(Usages::TEXTURE_BINDING | Usages::COPY_DST);
        let to = texture(Usages::STORAGE_BINDING | Usages::COPY_SRC);
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        encoder.copy_buffer_to_texture(
            layout(format, &texels),
            from.as_image_copy(),
            extent(height),
        );
        gpu.queue().submit([encoder.finish()]);
        let parameters = Parameters {
            weight: state.weight.as_deref(),
            bias: state.bias.as_deref(),
        };
        let [weight, bias] = [0, 1].map(|row| -> Vec<f32> {
            let value = |c| [parameters.weight(c), parameters.bias(c)][row];
            (0..4).map(value).collect()
        });
        let before = state
            .running
            .clone()
            .unwrap_or_else(|| RunningStatistics::new(4));
        Ok(Self {
            gpu,
            format,
            config,
            height,
            x: floats(format, &texels)?,
            from,
            to,
            affine: Tensor::upload(gpu, &[2, 4], &[weight, bias].concat())?,
            running: upload_running(gpu, &before)?,
            parameters,
        })
    }

    fn input(&self) -> Result<check::Input<'_>, Failure> {
        Ok(check::Input {
            view: View::new(&[self.x.len() / 4, 4], 1)?,
            x: &self.x,
            parameters: self.parameters,
            eps: self.config.eps,
            epilogue: check::Epilogue {
                element: Element::F16,
                ..Default::default()
            },
        })
    }

    fn inference(&self, frozen: &RunningStatistics) -> Result<Report, Failure> {
        let plan = self.plan()?;
        submit(
            self.gpu,
            &[plan.bind_inference(&ImageInferenceBuffers {
                x: ImageTexture::new(&self.from),
                y: ImageTexture::new(&self.to),
                keep_alpha: false,
                affine: Some(self.affine.buffer().slice(..)),
                running: self.running.buffer().slice(..),
            })?],
        );
        let (input, y) = (self.input()?, self.y()?);
        if self.format == wgpu::TextureFormat::Rgba16Float {
            return Ok(check::inference(&input, &frozen.mean, &frozen.variance, &y));
        }
        let widen = |row: &[f32]| row.iter().map(|&v| f64::from(v)).collect();
        let frozen = reference::Moments {
            mean: widen(&frozen.mean),
            variance: widen(&frozen.variance),
        };
        let z = reference::normalize(&input.view, &self.x, &frozen, self.parameters, input.eps);
        Ok(Report {
            findings: vec![judge_unorm(&y, &z)],
        })
    }

    fn train(
        &self,
        before: &RunningStatistics,
        running: wgpu_batchnorm::Running,
    ) -> Result<Report, Failure> {
        let plan = self.plan()?;
        let saved = Tensor::empty(self.gpu, &[5, 4])?;
        let workspace = Tensor::empty(self.gpu, &[plan.workspace_bytes() as usize / 4])?;
        submit(
            self.gpu,
            &[plan.bind_train(&ImageTrainBuffers {
                x: ImageTexture::new(&self.from),
                y: ImageTexture::new(&self.to),
                keep_alpha: false,
                affine: Some(self.affine.buffer().slice(..)),
                running: Some(self.running.buffer().slice(..)),
                saved: saved.buffer().slice(..),
                workspace: workspace.buffer().slice(..),
            })?],
        );
        let (input, y) = (self.input()?, self.y()?);
        let after = running_of(&self.running)?;
        let result = TrainResult {
            y: &y,
            saved: &saved_of(&saved)?,
            running: Some((before, &after, running)),
        };
        let mut report = check::train_forward(&input, &result);
        if self.format == wgpu::TextureFormat::Rgba8Unorm {
            let (z, _) = reference::train_forward(&input.view, &self.x, self.parameters, input.eps);
            report.findings.retain(|finding| finding.tensor != "y");
            report.findings.push(judge_unorm(&y, &z));
        }
        Ok(report)
    }

    fn plan(&self) -> Result<wgpu_batchnorm::ImagePlan, Failure> {
        let context = self.gpu.context();
        Ok(context.plan_image(self.config, WIDTH, self.height)?)
    }

    /// The image written, as numbers.
    fn y(&self) -> Result<Vec<f32>, Failure> {
        let texels = match self.format {
            wgpu::TextureFormat::Rgba8Unorm => Tensor::empty(self.gpu, &[self.x.len() / 4])?,
            _ => Tensor::empty_as(self.gpu, &[self.x.len()], Element::F16)?,
        };
        let mut encoder = self
            .gpu
            .device()
            .create_command_encoder(&Default::default());
        encoder.copy_texture_to_buffer(
            self.to.as_image_copy(),
            layout(self.format, &texels),
            extent(self.height),
        );
        self.gpu.queue().submit([encoder.finish()]);
        floats(self.format, &texels)
    }
}

fn extent(height: u32) -> wgpu::Extent3d {
    wgpu::Extent3d {
        width: WIDTH,
        height,
        depth_or_array_layers: 1,
    }
}

fn layout(format: wgpu::TextureFormat, texels: &Tensor) -> wgpu::TexelCopyBufferInfo<'_> {
    let texel = match format {
        wgpu::TextureFormat::Rgba8Unorm => 4,
        _ => 8,
    };
    wgpu::TexelCopyBufferInfo {
        buffer: texels.buffer(),
        layout: wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(WIDTH * texel),
            rows_per_image: None,
        },
    }
}

/// What texels of this format stand for.
fn floats(format: wgpu::TextureFormat, texels: &Tensor) -> Result<Vec<f32>, Failure> {
    let values = texels.read_blocking()?;
    Ok(match format {
        wgpu::TextureFormat::Rgba8Unorm => {
            let bytes = values.iter().flat_map(|v| v.to_bits().to_le_bytes());
            bytes.map(|b| f32::from(b) / 255.0).collect()
        }
        _ => values,
    })
}

/// Steps of 1/255 from 0 to 1: half a step is free, as half a unit in the last place is to halves.
fn judge_unorm(y: &[f32], z: &[f64]) -> Finding {
    let largest = z.iter().fold(1.0, |max: f64, z| max.max(z.abs()));
    let error = |(y, z): (&f32, &f64)| {
        let beyond = (f64::from(*y) - z.clamp(0.0, 1.0)).abs() - 0.5 / 255.0;
        // The step of y is not quite k/255 either: it is that in f32.
        beyond.max(0.0) / largest
    };
    let errors = y.iter().zip(z).map(error).enumerate();
    let worst = errors.max_by(|a, b| a.1.total_cmp(&b.1));
    let (index, error) = worst.unwrap_or((0, f64::INFINITY));
    Finding {
        tensor: "y",
        error,
        bound: FORWARD_BOUND,
        index,
        got: y.get(index).copied().unwrap_or(f32::NAN),
        expected: z.get(index).copied().unwrap_or(f64::NAN),
    }
}
