//! From image to image, in the formats that kernels write, and to render targets.

use wgpu_batchnorm::check::{self, Finding, POISON, Report, TrainResult};
use wgpu_batchnorm::wgpu::{self, TextureFormat, TextureUsages};
use wgpu_batchnorm::{
    Config, Element, Gpu, ImageFromTensorBuffers, ImageInferenceBuffers, ImageLayout, ImagePlan,
    ImageRenderInputs, ImageStatisticsBuffers, ImageTexture, ImageToTensorBuffers,
    ImageTrainBuffers, LayerState, Parameters, RunningStatistics, StatisticsRows, Tensor, View,
};

use super::audit::{Canaries, Outcomes, upload};
use super::outcome::Outcome;
use crate::failure::Failure;
use testkit::layout::{running_of, running_rows, saved_of};
use testkit::texels::{self, ALL_USAGES, Expected};

/// What a texture holds before a run, byte by byte, and before the same run again: where every value is
/// possible, a texel that nobody wrote cannot be right both times.
const PATTERNS: [u8; 2] = [0x5a, 0xa5];
/// The same for render targets.
const CLEARS: [wgpu::Color; 2] = [wgpu::Color::TRANSPARENT, wgpu::Color::WHITE];

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

impl Bound<'_> {
    /// Fills what a step writes.
    fn poison(&self) -> Result<(), Failure> {
        for tensor in [&self.saved, &self.workspace] {
            tensor.write(&vec![POISON; tensor.len()])?;
        }
        Ok(())
    }
}

impl Image<'_> {
    /// Inference, training forward and drawing of the texels in `bytes`.
    pub fn sweep(&self, bytes: &[u8]) -> Result<Vec<Outcome>, Failure> {
        let Self { gpu, config, .. } = self;
        let x = texels::texture(gpu, self.size, self.format, ALL_USAGES);
        let x = ImageTexture::new(&x).with_format(self.format);
        texels::write(gpu, x, bytes);
        let mut findings = Vec::new();
        findings.extend(bytes_held("x on the device", &texels::read(gpu, x)?, bytes));
        // sRGB is linear where it is loaded.
        let loaded = texels::loaded(gpu, x)?;
        findings.extend(texels::judge_loaded(self.format, bytes, &loaded));
        let input = check::Input::new(
            View::new(&[loaded.len() / 4, 4], 1)?,
            &loaded,
            self.parameters(),
            config.eps,
        )
        .with_epilogue(check::Epilogue::default().with_activation(config.activation));
        let [width, height] = self.size;
        let plan = gpu.context().plan_image(config, width, height)?;
        let before = self.state.running.clone();
        let before = before.map_or_else(|| RunningStatistics::new(4), Ok)?;
        let bound = Bound {
            x,
            affine: self.affine(&mut findings)?,
            saved: Tensor::empty(gpu, &[5, 4])?,
            workspace: Tensor::empty(gpu, &[plan.workspace_bytes() as usize / 4])?,
        };
        let rows = running_rows(&before);
        let of_batch = Expected::of(&input, None)?;
        let frozen = Expected::of(&input, Some(&before))?;
        let kept = self.keep_alpha.then_some(&loaded[..]);
        let canaries = Canaries::default();
        let affine = bound.affine.as_ref().map(|t| t.slice());

        let mut outcomes = Outcomes::new(str::to_owned, findings);
        for (format, pattern) in WRITTEN.into_iter().flat_map(|f| PATTERNS.map(|p| (f, p))) {
            let usage = ALL_USAGES | TextureUsages::STORAGE_BINDING;
            let y = texels::texture(gpu, self.size, format, usage);
            let y = ImageTexture::new(&y);
            let variant = format!("{format:?}").to_lowercase();
            let blank = |own: &mut Vec<Finding>| -> Result<(), Failure> {
                let bytes = vec![pattern; texels::len(y)];
                texels::write(gpu, y, &bytes);
                own.extend(bytes_held(
                    "y before the run",
                    &texels::read(gpu, y)?,
                    &bytes,
                ));
                Ok(())
            };
            let read = || -> Result<Vec<f32>, Failure> {
                Ok(texels::values(format, &texels::read(gpu, y)?))
            };
            let mut own = Vec::new();
            blank(&mut own)?;
            let running = self.running(&rows, &mut own)?;
            let inference = plan.bind_inference(
                &ImageInferenceBuffers::new(x, y, running.slice())
                    .with_keep_alpha(self.keep_alpha)
                    .with_affine(affine),
            )?;
            canaries.submit(gpu, &[&inference]);
            let got = read()?;
            let findings = vec![frozen.judge(format, &got, kept)];
            own.extend(canaries.findings()?);
            outcomes.add_as(
                "image, inference",
                variant.clone(),
                Report::from(findings),
                own.clone(),
                &[("y", got)],
            );

            blank(&mut own)?;
            bound.poison()?;
            let train = plan.bind_train(
                &ImageTrainBuffers::new(x, y, bound.saved.slice(), bound.workspace.slice())
                    .with_keep_alpha(self.keep_alpha)
                    .with_affine(affine)
                    .with_running(config.running.map(|_| running.slice())),
            )?;
            canaries.submit(gpu, &[&train]);
            let (mut report, mut results) =
                self.judge_statistics(&input, &bound, &before, &running)?;
            let got = read()?;
            report.findings.push(of_batch.judge(format, &got, kept));
            results.push(("y", got));
            own.extend(canaries.findings()?);
            outcomes.add_as("image, train forward", variant, report, own, &results);
        }
        let variant = format!("{:?}", self.format).to_lowercase();
        let mut own = Vec::new();
        let moved = self.running(&rows, &mut own)?;
        bound.poison()?;
        let statistics = plan.bind_statistics(
            &ImageStatisticsBuffers::new(x, bound.saved.slice(), bound.workspace.slice())
                .with_running(config.running.map(|_| moved.slice())),
        )?;
        canaries.submit(gpu, &[&statistics]);
        let (report, results) = self.judge_statistics(&input, &bound, &before, &moved)?;
        own.extend(canaries.findings()?);
        outcomes.add_as("image, statistics alone", variant, report, own, &results);
        let mut own = Vec::new();
        let unmoved = self.running(&rows, &mut own)?;
        for (name, statistics, expected) in [
            (
                "by running statistics",
                StatisticsRows::Running(unmoved.slice()),
                &frozen,
            ),
            (
                "by its own",
                StatisticsRows::Saved(bound.saved.slice()),
                &of_batch,
            ),
        ] {
            // Running statistics are those of a configuration that has some.
            if config.running.is_none() && name == "by running statistics" {
                continue;
            }
            for layout in [ImageLayout::Planar, ImageLayout::Interleaved] {
                let tensors = Tensors {
                    plan: &plan,
                    bound: &bound,
                    statistics,
                    layout,
                    canaries: &canaries,
                };
                let got = self.to_tensor(&tensors)?;
                let mut findings = vec![expected.judge(TextureFormat::Rgba32Float, &got, None)];
                let mut results = vec![("y", got)];
                for format in WRITTEN {
                    let got = self.of_tensor(&tensors, &loaded, format)?;
                    findings.push(expected.judge(format, &got, None));
                    results.push(("image", got));
                }
                let mut own = own.clone();
                own.extend(canaries.findings()?);
                let variant = format!("{layout:?}, {name}").to_lowercase();
                outcomes.add_as("image, tensor", variant, findings.into(), own, &results);
            }
        }
        for (format, clear) in DRAWN.into_iter().flat_map(|f| CLEARS.map(|c| (f, c))) {
            let by_batch = StatisticsRows::Saved(bound.saved.slice());
            let by_running = StatisticsRows::Running(unmoved.slice());
            let draw = |statistics| self.drawn(&bound, statistics, (format, clear), &canaries);
            let (batch, running) = (draw(by_batch)?, draw(by_running)?);
            let findings = vec![
                of_batch.judge(format, &batch, kept),
                frozen.judge(format, &running, kept),
            ];
            let mut own = own.clone();
            own.extend(canaries.findings()?);
            let variant = format!("{format:?}").to_lowercase();
            let results = [("y", batch), ("y by running statistics", running)];
            let report = Report::from(findings);
            outcomes.add_as("image, render pass", variant, report, own, &results);
        }
        Ok(outcomes.into_inner())
    }

    /// What was saved, and what running statistics became.
    fn judge_statistics(
        &self,
        input: &check::Input<'_>,
        bound: &Bound<'_>,
        before: &RunningStatistics,
        after: &Tensor,
    ) -> Result<(Report, Results), Failure> {
        let rows = after.read_blocking()?;
        let after = running_of(&rows);
        let running = self.config.running;
        let saved = bound.saved.read_blocking()?;
        let statistics = saved_of(&saved);
        let result = TrainResult::new(input.x, &statistics)
            .with_running(running.map(|running| (before, &after, running)));
        let mut report = check::train_forward(input, &result)?;
        report.findings.retain(|finding| finding.tensor != "y");
        Ok((report, vec![("saved", saved), ("running", rows)]))
    }

    /// The image as a tensor of four channels, texel by texel.
    fn to_tensor(&self, tensors: &Tensors<'_>) -> Result<Vec<f32>, Failure> {
        let len = tensors.plan.view().len();
        let y = Tensor::upload(self.gpu, &[len], &vec![POISON; len])?;
        let buffers = ImageToTensorBuffers::new(tensors.bound.x, y.slice(), tensors.statistics)
            .with_layout(tensors.layout)
            .with_alpha(true)
            .with_affine(tensors.bound.affine.as_ref().map(|t| t.slice()));
        let binding = tensors.plan.bind_to_tensor(&buffers)?;
        tensors.canaries.submit(self.gpu, &[&binding]);
        let got = y.read_blocking()?;
        let places = tensors.places(len);
        Ok(places.map(|at| got[at]).collect())
    }

    /// An image of a tensor that holds these texels.
    fn of_tensor(
        &self,
        tensors: &Tensors<'_>,
        texels: &[f32],
        format: TextureFormat,
    ) -> Result<Vec<f32>, Failure> {
        let mut laid_out = vec![0.0; texels.len()];
        let places = tensors.places(texels.len());
        places.zip(texels).for_each(|(at, v)| laid_out[at] = *v);
        let x = Tensor::upload(self.gpu, &[texels.len()], &laid_out)?;
        let usage = ALL_USAGES | TextureUsages::STORAGE_BINDING;
        let y = texels::texture(self.gpu, self.size, format, usage);
        texels::write(
            self.gpu,
            (&y).into(),
            &vec![PATTERNS[0]; texels::len((&y).into())],
        );
        let buffers = ImageFromTensorBuffers::new(x.slice(), &y, tensors.statistics)
            .with_layout(tensors.layout)
            .with_alpha(true)
            .with_affine(tensors.bound.affine.as_ref().map(|t| t.slice()));
        let binding = tensors.plan.bind_from_tensor(&buffers)?;
        tensors.canaries.submit(self.gpu, &[&binding]);
        let bytes = texels::read(self.gpu, (&y).into())?;
        Ok(texels::values(format, &bytes))
    }

    /// A target's values after a draw, red first; sRGB ones as stored.
    fn drawn(
        &self,
        bound: &Bound<'_>,
        statistics: StatisticsRows<'_>,
        (format, clear): (TextureFormat, wgpu::Color),
        canaries: &Canaries,
    ) -> Result<Vec<f32>, Failure> {
        let gpu = self.gpu;
        let render = gpu.context().image_render(&self.config, format)?;
        let draw = render.bind(
            &ImageRenderInputs::new(bound.x, statistics)
                .with_keep_alpha(self.keep_alpha)
                .with_affine(bound.affine.as_ref().map(|t| t.slice())),
        )?;
        let usage = ALL_USAGES | TextureUsages::RENDER_ATTACHMENT;
        let target = texels::texture(gpu, self.size, format, usage);
        let view = target.create_view(&Default::default());
        canaries.submit_encoded(gpu, |encoder| {
            let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                    view: &view,
                    depth_slice: None,
                    resolve_target: None,
                    ops: wgpu::Operations {
                        load: wgpu::LoadOp::Clear(clear),
                        store: wgpu::StoreOp::Store,
                    },
                })],
                ..Default::default()
            });
            draw.draw(&mut pass);
        });
        let bytes = texels::read(gpu, ImageTexture::new(&target))?;
        Ok(texels::values(format.remove_srgb_suffix(), &bytes))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters::default()
            .with_weight(self.state.weight.as_deref())
            .with_bias(self.state.bias.as_deref())
    }

    /// Running statistics on the device, as they are before a step.
    fn running(&self, rows: &[f32], findings: &mut Vec<Finding>) -> Result<Tensor, Failure> {
        let place = (
            "running statistics on the device",
            &[3, 4][..],
            Element::F32,
        );
        upload(self.gpu, place, rows, findings)
    }

    fn affine(&self, findings: &mut Vec<Finding>) -> Result<Option<Tensor>, Failure> {
        let parameters = self.parameters();
        if parameters.weight.is_none() && parameters.bias.is_none() {
            return Ok(None);
        }
        let rows = parameters.to_rows(4)?;
        let place = ("affine on the device", &[2, 4][..], Element::F32);
        upload(self.gpu, place, &rows, findings).map(Some)
    }
}

/// How an image becomes a tensor, or the reverse.
struct Tensors<'a> {
    plan: &'a ImagePlan,
    bound: &'a Bound<'a>,
    statistics: StatisticsRows<'a>,
    layout: ImageLayout,
    canaries: &'a Canaries,
}

impl Tensors<'_> {
    /// Where each value of the texels lies in the tensor.
    fn places(&self, len: usize) -> impl Iterator<Item = usize> + use<> {
        let planar = self.layout == ImageLayout::Planar;
        (0..len).map(move |i| match planar {
            true => i % 4 * (len / 4) + i / 4,
            false => i,
        })
    }
}

type Results = Vec<(&'static str, Vec<f32>)>;

/// Whether a texture holds the bytes it was given.
fn bytes_held(name: &'static str, held: &[u8], given: &[u8]) -> Option<Finding> {
    let [held, given] = [held, given].map(|b| b.iter().map(|&b| f32::from(b)).collect::<Vec<_>>());
    Finding::held(name, &held, &given)
}
