//! An image with all that its operations bind, and the textures' bytes to the host and back.

use wgpu_batchnorm::check::{self, TrainResult};
use wgpu_batchnorm::wgpu::{
    self, BufferSlice, BufferUsages, CommandEncoder, TextureFormat, TextureUsages,
};
use wgpu_batchnorm::{
    Config, Context, Gpu, ImageInferenceBuffers, ImagePlan, ImageStatisticsBuffers, ImageTexture,
    ImageTrainBuffers,
};

use crate::buffers::Place;
use testkit::case::Case;
use testkit::data::{Kind, Random};
use testkit::gpu::{running_of, running_rows, saved_of};
use testkit::texels::{self, ALL_USAGES, Expected, texture, values, write};

/// Its bytes; what the device reported on the way is an error here.
pub fn read(gpu: &Gpu, image: ImageTexture<'_>) -> Vec<u8> {
    texels::read(gpu, image).unwrap()
}

/// The image's values as this device's shaders load them.
pub fn loaded(gpu: &Gpu, image: ImageTexture<'_>) -> Vec<f32> {
    texels::loaded(gpu, image).unwrap()
}

/// Pixels of a made-up photograph: four channels of different brightness and contrast.
pub fn pixels(format: TextureFormat, count: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let channels = [(0.55, 0.2), (0.3, 0.05), (0.9, 0.01), (0.5, 0.3)];
    let values = std::iter::repeat_n(channels, count).flatten();
    let values = values.map(|(mean, deviation)| mean + deviation * random.normal());
    let range = match format {
        TextureFormat::Rgba16Float
        | TextureFormat::Rgba32Float
        | TextureFormat::R16Float
        | TextureFormat::R32Float
        | TextureFormat::Rg16Float
        | TextureFormat::Rg11b10Ufloat => 8.0,
        _ => 1.0,
    };
    let values: Vec<f32> = values.map(|v| (range * v) as f32).collect();
    texels::bytes(format, &values)
}

/// A plan, the textures and the buffers of one image.
pub struct Setup {
    pub gpu: Gpu,
    pub plan: ImagePlan,
    /// The image as a tensor of the values that shaders load.
    pub case: Case,
    pub x: wgpu::Texture,
    pub x_format: TextureFormat,
    pub y: wgpu::Texture,
    pub affine: Option<Place>,
    pub running: Option<Place>,
    pub saved: Place,
    pub workspace: Place,
}

impl Setup {
    pub fn new(
        context: (&Gpu, &Context),
        config: &Config,
        size: [u32; 2],
        [x_format, y_format]: [TextureFormat; 2],
    ) -> Self {
        let pixels = pixels(x_format, (size[0] * size[1]) as usize, 7);
        Self::of(context, config, size, [x_format, y_format], &pixels)
    }

    /// With these bytes in `x`.
    pub fn of(
        (gpu, context): (&Gpu, &Context),
        config: &Config,
        size: [u32; 2],
        [x_format, y_format]: [TextureFormat; 2],
        pixels: &[u8],
    ) -> Self {
        let plan = context.plan_image(config, size[0], size[1]).unwrap();
        let x = texture(gpu, size, x_format, ALL_USAGES);
        let image = ImageTexture::new(&x).with_format(x_format);
        write(gpu, image, pixels);
        let y = texture(
            gpu,
            size,
            y_format,
            ALL_USAGES | TextureUsages::STORAGE_BINDING,
        );
        let [width, height] = size.map(|side| side as usize);
        let shape = [height, width, 4];
        let mut case = Case::new(&shape, config.with_axis(-1), Kind::ALL[0], 3);
        case.x = match x_format {
            // Exact, as a test of its own says.
            TextureFormat::Rgba16Float | TextureFormat::Rgba32Float => values(x_format, pixels),
            _ => loaded(gpu, image),
        };
        // Most of y lies between 0 and 1, and some of it does not.
        let mut random = Random::new(5);
        let mut near = |mean, deviation| random.normals(4, mean, deviation);
        case.weight = config.affine.has_weight().then(|| near(0.3, 0.1));
        case.bias = config.affine.has_bias().then(|| near(0.5, 0.1));
        if let Some(running) = &mut case.running {
            running.mean = case.x[..4]
                .iter()
                .map(|v| if v.is_finite() { *v } else { 0.5 })
                .collect();
            running.variance = near(0.1, 0.01);
        }
        let nan = vec![f32::NAN; 4];
        let rows = [&case.weight, &case.bias].map(|row| row.as_ref().unwrap_or(&nan).clone());
        let has_affine = case.weight.is_some() || case.bias.is_some();
        let place = |values: &[f32]| Place::new(gpu, values);
        Self {
            affine: has_affine.then(|| place(&rows.concat())),
            running: case.running.as_ref().map(|r| place(&running_rows(r))),
            saved: place(&[f32::NAN; 20]),
            workspace: place(&vec![f32::NAN; plan.workspace_bytes() as usize / 4]),
            gpu: gpu.clone(),
            plan,
            case,
            x,
            x_format,
            y,
        }
    }

    pub fn x(&self) -> ImageTexture<'_> {
        ImageTexture::new(&self.x).with_format(self.x_format)
    }

    pub fn train(&self) -> ImageTrainBuffers<'_> {
        self.train_between(self.x(), (&self.y).into())
    }

    pub fn train_between<'a>(
        &'a self,
        x: ImageTexture<'a>,
        y: ImageTexture<'a>,
    ) -> ImageTrainBuffers<'a> {
        self.optional(ImageTrainBuffers::new(
            x,
            y,
            self.saved.slice(),
            self.workspace.slice(),
        ))
    }

    /// The training of this image into other buffers.
    pub fn train_into<'a>(
        &'a self,
        saved: BufferSlice<'a>,
        workspace: BufferSlice<'a>,
    ) -> ImageTrainBuffers<'a> {
        self.optional(ImageTrainBuffers::new(self.x(), &self.y, saved, workspace))
    }

    fn optional<'a>(&'a self, buffers: ImageTrainBuffers<'a>) -> ImageTrainBuffers<'a> {
        buffers
            .with_affine(self.affine.as_ref().map(Place::slice))
            .with_running(self.running.as_ref().map(Place::slice))
    }

    pub fn inference(&self) -> ImageInferenceBuffers<'_> {
        self.inference_between(self.x(), (&self.y).into())
    }

    pub fn inference_between<'a>(
        &'a self,
        x: ImageTexture<'a>,
        y: ImageTexture<'a>,
    ) -> ImageInferenceBuffers<'a> {
        let running = self.running.as_ref().unwrap().slice();
        ImageInferenceBuffers::new(x, y, running)
            .with_affine(self.affine.as_ref().map(Place::slice))
    }

    pub fn statistics(&self) -> ImageStatisticsBuffers<'_> {
        self.statistics_of(self.x())
    }

    pub fn statistics_of<'a>(&'a self, x: ImageTexture<'a>) -> ImageStatisticsBuffers<'a> {
        ImageStatisticsBuffers::new(x, self.saved.slice(), self.workspace.slice())
            .with_running(self.running.as_ref().map(Place::slice))
    }

    /// `y` as stored.
    pub fn y(&self) -> Vec<f32> {
        values(
            self.y.format(),
            &read(&self.gpu, ImageTexture::new(&self.y)),
        )
    }

    /// Asserts what training leaves in `saved` and `running`.
    pub fn assert_trained(&self, what: &str) {
        let saved = saved_of(&self.saved.read());
        let after = self.running.as_ref().map(|r| running_of(&r.read()));
        let running = self.case.running.as_ref().zip(after.as_ref());
        let result = TrainResult::new(&self.case.x, &saved).with_running(
            running
                .zip(self.case.config.running)
                .map(|((b, a), r)| (b, a, r)),
        );
        let mut report = check::train_forward(&self.case.input(), &result).unwrap();
        report.findings.retain(|finding| finding.tensor != "y");
        report.enforce().unwrap_or_else(|e| panic!("{what}: {e}"));
    }

    /// y by the batch's statistics or by frozen ones.
    pub fn expected(&self, frozen: bool) -> Expected {
        let frozen = self.case.running.as_ref().filter(|_| frozen);
        Expected::of(&self.case.input(), frozen).unwrap()
    }

    /// Asserts what an image of this format holds of y.
    pub fn assert_y(&self, format: TextureFormat, got: &[f32], frozen: bool, what: &str) {
        let finding = self.expected(frozen).judge(format, got, None);
        assert!(finding.passed(), "{what}, {format:?}: {finding}");
    }
}

/// A storage buffer that is too short, or none at all, of the given usage.
pub fn raw_buffer(gpu: &Gpu, size: u64, usage: BufferUsages) -> wgpu::Buffer {
    gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size,
        usage,
        mapped_at_creation: false,
    })
}

/// Submits what `record` puts into an encoder.
pub fn submit(gpu: &Gpu, record: impl FnOnce(&mut CommandEncoder)) {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    record(&mut encoder);
    gpu.queue().submit([encoder.finish()]);
}
