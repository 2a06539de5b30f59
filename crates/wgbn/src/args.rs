//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use wgpu_batchnorm::internals::plan::DeviceClass;
use wgpu_batchnorm::internals::plan::hardware::{self, Hardware};
use wgpu_batchnorm::{
    Activation, Affine, Config, Element, Lookup, Momentum, Names, NonFinite, Outside,
    RunningVariance,
};

use crate::bench::op::Op;
use crate::bench::suite::Suite;

/// Batch normalization on any GPU that wgpu reaches, or on the CPU.
#[derive(Debug, Parser)]
#[command(name = "wgbn", version)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Normalize real data that ships with the project, and check every result.
    Demo(DemoArgs),
    /// Normalize the tensor x of a file.
    Forward(FileArgs),
    /// Gradients for the tensors x and dy of a file.
    Backward(FileArgs),
    /// Mean and biased variance of x over any axes.
    Moments(MomentsArgs),
    /// Fold the batch norms of a checkpoint into the layers before or behind them.
    Fold(FoldArgs),
    /// Adapters, their limits, and what they mean here.
    Info(InfoArgs),
    /// Sweep operations, layouts and data against the f64 reference.
    Verify(VerifyArgs),
    /// Measure adapters and the CPU path side by side, over the bandwidth of each.
    Bench(BenchArgs),
    /// Find the sizes that suit an adapter best, and write them to a file for --tuning.
    Tune(TuneArgs),
}

#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// auto, gpu, cpu, or a part of an adapter's name.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Sizes from a file that `wgbn tune` wrote for this adapter.
    #[arg(long, value_name = "FILE")]
    pub tuning: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct FileArgs {
    /// A .safetensors or .npz file with x (and dy for backward), or an .npy file that is x.
    pub input: PathBuf,
    /// Where results go: .safetensors, or .npy for forward's y alone.
    #[arg(short, long)]
    pub output: PathBuf,
    /// Batch statistics, or running ones.
    #[arg(long, value_enum, default_value_t = Mode::Train)]
    pub mode: Mode,
    /// The channel axis; negative counts from the end.
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    pub axis: isize,
    /// Whose numbers for eps, momentum and the running variance.
    #[arg(long, value_enum, default_value_t = Preset::Pytorch)]
    pub preset: Preset,
    /// Added to the variance.
    #[arg(long, allow_hyphen_values = true)]
    pub eps: Option<f32>,
    /// The weight of the new batch in running statistics, or `cumulative`.
    #[arg(long, value_parser = momentum, allow_hyphen_values = true)]
    pub momentum: Option<Momentum>,
    /// The weight of the old value: Keras's and TensorFlow's momentum.
    #[arg(long, conflicts_with = "momentum", value_parser = decay, allow_hyphen_values = true)]
    pub decay: Option<f64>,
    /// Which variance goes into running_var.
    #[arg(long, value_enum)]
    pub running_var: Option<Variance>,
    /// What NaN and infinity do to running statistics.
    #[arg(long, value_enum)]
    pub non_finite: Option<NonFiniteArg>,
    /// What comes after the normalization, and after `residual` where the file has it: none, relu, relu6, leaky-relu:SLOPE,
    /// hard-tanh:LOW,HIGH, hard-sigmoid, hard-swish, elu:NUMBER, sigmoid, softplus, tanh, silu, gelu or gelu-tanh.
    #[arg(long, value_name = "NAME[:NUMBERS]", default_value = "none")]
    pub activation: Activation,
    /// The axis of x that `lengths` are of, where the file has them; found where there is only one beside the first and the
    /// channels'.
    #[arg(long, allow_negative_numbers = true, value_name = "AXIS")]
    pub length_axis: Option<isize>,
    /// What becomes of values of weight 0: normalized as the others, or 0; as a rule the first with `weights`, and the
    /// second with `lengths`.
    #[arg(long, value_enum)]
    pub outside: Option<OutsideArg>,
    /// Leave running statistics and counts as they are in training.
    #[arg(long)]
    pub keep_running: bool,
    /// Before the names of weight, bias and running statistics in the input; found where there is only one.
    #[arg(long)]
    pub prefix: Option<String>,
    /// Whose names weight, bias and running statistics have in the input.
    #[arg(long, value_enum, default_value_t = NamesArg::Auto)]
    pub names: NamesArg,
    /// Parameters that are not to be read.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub ignore: Vec<Parameter>,
    /// auto, gpu, cpu, or a part of an adapter's name.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Sizes from a file that `wgbn tune` wrote for this adapter.
    #[arg(long, value_name = "FILE")]
    pub tuning: Option<PathBuf>,
    /// Do not compare results with the reference.
    #[arg(long)]
    pub no_check: bool,
    /// Print a JSON object instead of a table. Its `element` is the storage that the kernels ran
    /// with: that of x on an adapter; f32 on the CPU path, which widens f16 and bf16 to compute.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub struct MomentsArgs {
    /// A .safetensors or .npz file with x, or an .npy file that is x.
    pub input: PathBuf,
    /// Where mean and variance go: .safetensors.
    #[arg(short, long)]
    pub output: PathBuf,
    /// Axes to reduce, such as 0,2,3; negative ones count from the end.
    #[arg(
        long,
        required = true,
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    pub axes: Vec<isize>,
    /// Keep reduced axes with length 1.
    #[arg(long)]
    pub keep_dims: bool,
    /// auto, gpu, cpu, or a part of an adapter's name.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Sizes from a file that `wgbn tune` wrote for this adapter.
    #[arg(long, value_name = "FILE")]
    pub tuning: Option<PathBuf>,
    /// Do not compare results with the reference.
    #[arg(long)]
    pub no_check: bool,
    /// Print a JSON object instead of a table. Its `element` is the storage that the kernels ran
    /// with: that of x on an adapter; f32 on the CPU path, which widens f16 and bf16 to compute.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub struct FoldArgs {
    /// A .safetensors checkpoint.
    pub input: PathBuf,
    /// Where the checkpoint without those batch norms goes: .safetensors.
    #[arg(short, long)]
    pub output: PathBuf,
    /// A layer and its batch norm, such as layer1.0.conv1=layer1.0.bn1; without any, they are found by PyTorch's names.
    #[arg(long, value_name = "LAYER=NORM")]
    pub pair: Vec<String>,
    /// The layers of these pairs are transposed convolutions.
    #[arg(long, requires = "pair")]
    pub transposed: bool,
    /// The groups of channels of these layers, where they are grouped convolutions.
    #[arg(long, default_value_t = 1)]
    pub groups: usize,
    /// The axis of the weights' outputs. With 0, inputs are on axis 1; with 1, on axis 0; with -1, on -2; with -2, on -1.
    #[arg(long, allow_negative_numbers = true, value_parser = out_axis)]
    pub out_axis: Option<isize>,
    /// Into the layers behind the batch norms.
    #[arg(long)]
    pub next: bool,
    /// Say that the layers do not pad their input; a convolution of more than 1×1 is taken to pad otherwise.
    #[arg(long, requires = "next")]
    pub unpadded: bool,
    /// Added to the variance.
    #[arg(long, allow_hyphen_values = true, default_value = "1e-5")]
    pub eps: f32,
    /// Print a JSON object instead of tables.
    #[arg(long)]
    pub json: bool,
}

impl FoldArgs {
    /// The axes of outputs and inputs.
    pub fn axes(&self) -> (isize, isize) {
        match self.out_axis {
            None if self.transposed => (1, 0),
            None | Some(0) => (0, 1),
            Some(1) => (1, 0),
            Some(-1) => (-1, -2),
            Some(_) => (-2, -1),
        }
    }
}

#[derive(Debug, clap::Args)]
pub struct InfoArgs {
    /// Show how a tensor of this shape, such as 32,64,56,56, is planned on every adapter.
    #[arg(long, value_delimiter = ',')]
    pub shape: Option<Vec<usize>>,
    /// The channel axis of that shape; negative counts from the end.
    #[arg(
        long,
        default_value_t = 1,
        allow_negative_numbers = true,
        requires = "shape"
    )]
    pub axis: isize,
    /// How values of that shape are stored.
    #[arg(long, value_enum, default_value_t = ElementArg::F32, requires = "shape")]
    pub element: ElementArg,
    /// Plan for a class of devices instead of the adapters here, and say what is expected of each dispatch.
    #[arg(long = "as", value_enum, value_name = "CLASS", requires = "shape")]
    pub class: Option<Class>,
    /// The same for a machine of the model's table: h100, rx-7900-xtx, m2, iris-xe or lavapipe.
    #[arg(long, value_parser = machine, conflicts_with = "class", requires = "shape")]
    pub machine: Option<&'static Hardware>,
    /// Sizes from a file that `wgbn tune` wrote for one of the adapters.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["class", "machine"])]
    pub tuning: Option<PathBuf>,
    /// Exit with status 3 where there is no adapter.
    #[arg(long, conflicts_with_all = ["class", "machine"])]
    pub require_adapter: bool,
    /// Print a JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// Fewer shapes: ends within a minute on a software adapter.
    #[arg(long)]
    pub quick: bool,
    /// gpu, cpu, auto, or a part of an adapter's name.
    #[arg(long, default_value = "gpu")]
    pub device: String,
    /// Sizes from a file that `wgbn tune` wrote for this adapter.
    #[arg(long, value_name = "FILE")]
    pub tuning: Option<PathBuf>,
    /// A single case, by its number or its name, such as 8x3x28x28-axis-1-mean-3e-1-std-1.5e0.
    #[arg(long, conflicts_with = "quick")]
    pub case: Option<String>,
    /// Write the results there.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// Which shapes.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "small")]
    pub suite: Vec<Suite>,
    /// Which operations, instead of the suite's usual ones; sum is one of reductions only.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub ops: Option<Vec<Op>>,
    /// How tensors are stored; halves on adapters alone, since the CPU path computes in f32.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "f32")]
    pub element: Vec<ElementArg>,
    /// auto, gpu, cpu, a part of an adapter's name, or both: the best adapter and the CPU path.
    #[arg(long, value_delimiter = ',', default_value = "both")]
    pub device: Vec<String>,
    /// Sizes from a file that `wgbn tune` wrote for this adapter.
    #[arg(long, value_name = "FILE")]
    pub tuning: Option<PathBuf>,
    /// Time to spend on measuring; preparing and checking come on top.
    #[arg(long, value_parser = seconds, allow_hyphen_values = true, default_value = "40")]
    pub seconds: f64,
    /// Only tensors of up to 2^18 elements, and bandwidth within the caches: to see that all works.
    #[arg(long)]
    pub quick: bool,
    /// What times an adapter.
    #[arg(long, value_enum, default_value_t = ClockArg::Auto)]
    pub clock: ClockArg,
    /// Write the results there.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Write a page with plots there.
    #[arg(long)]
    pub html: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct TuneArgs {
    /// gpu, or a part of an adapter's name.
    #[arg(long, default_value = "gpu")]
    pub device: String,
    /// Time to spend on bandwidth and on single changes. Trying the classes' sizes, preparing and checking come on top: some
    /// ten seconds, half a minute on a software adapter.
    #[arg(long, value_parser = seconds, allow_hyphen_values = true, default_value = "20")]
    pub seconds: f64,
    /// Whose sizes to begin with, instead of those of the adapter's own class.
    #[arg(long, value_enum, value_name = "CLASS")]
    pub from: Option<Class>,
    /// Where the file goes.
    #[arg(short, long)]
    pub output: PathBuf,
}

/// What the command line says of weights.
#[derive(Clone, Copy, Debug)]
pub struct WeightOptions {
    /// The axis that lengths are of, where it was given.
    pub length_axis: Option<isize>,
    /// What becomes of values without weight, where it was given.
    pub outside: Option<Outside>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutsideArg {
    Normalize,
    Zero,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClockArg {
    /// Timestamps on GPUs that have them, else the host's clock.
    Auto,
    /// Timestamps where the adapter has them.
    Timestamps,
    /// The host's clock.
    Wall,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Class {
    /// GPUs with memory of their own.
    Discrete,
    /// GPUs that share the host's memory.
    Integrated,
    /// Adapters that run on the CPU.
    Software,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ElementArg {
    F32,
    F16,
    Bf16,
}

impl ElementArg {
    pub fn element(self) -> Element {
        match self {
            Self::F32 => Element::F32,
            Self::F16 => Element::F16,
            Self::Bf16 => Element::Bf16,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    Train,
    Eval,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Preset {
    Pytorch,
    Keras,
    Onnx,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NamesArg {
    /// Those that fit.
    Auto,
    /// weight, bias, running_mean, running_var.
    Pytorch,
    /// gamma, beta, moving_mean, moving_variance.
    Keras,
    /// scale, bias, mean, var.
    Flax,
    /// scale, B, input_mean, input_var.
    Onnx,
    /// Blobs named 0, 1 and 2: mean and variance times a factor, and the factor.
    Caffe,
}

impl NamesArg {
    fn names(self) -> Names {
        match self {
            Self::Auto => Names::Auto,
            Self::Pytorch => Names::Pytorch,
            Self::Keras => Names::Keras,
            Self::Flax => Names::Flax,
            Self::Onnx => Names::Onnx,
            Self::Caffe => Names::Caffe,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Parameter {
    Weight,
    Bias,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Variance {
    Biased,
    Unbiased,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum NonFiniteArg {
    Skip,
    Propagate,
}

impl Class {
    /// What the planner calls it.
    pub fn planned(self) -> DeviceClass {
        match self {
            Self::Discrete => DeviceClass::Discrete,
            Self::Integrated => DeviceClass::Integrated,
            Self::Software => DeviceClass::Cpu,
        }
    }
}

fn machine(text: &str) -> Result<&'static Hardware, String> {
    Hardware::named(text).ok_or_else(|| {
        let names = hardware::ALL.each_ref().map(|hardware| hardware.name);
        format!("expected one of {}", names.join(", "))
    })
}

fn momentum(text: &str) -> Result<Momentum, String> {
    match text {
        "cumulative" => Ok(Momentum::Cumulative),
        _ => match text.parse() {
            Ok(momentum) => Ok(Momentum::new(momentum)),
            Err(_) => Err("expected a number or `cumulative`".to_owned()),
        },
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected a number of seconds from 0 to 86400".to_owned()),
    }
}

fn out_axis(text: &str) -> Result<isize, String> {
    match text.parse() {
        Ok(axis @ (-2..=1)) => Ok(axis),
        _ => Err("expected 0, 1, -1 or -2".to_owned()),
    }
}

fn decay(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(decay) if (0.0..=1.0).contains(&decay) => Ok(decay),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

impl FileArgs {
    /// What is said of weights.
    pub fn weights(&self) -> WeightOptions {
        WeightOptions {
            length_axis: self.length_axis,
            outside: self.outside.map(|outside| match outside {
                OutsideArg::Normalize => Outside::Normalize,
                OutsideArg::Zero => Outside::Zero,
            }),
        }
    }

    /// Where the layer is in the file.
    pub fn lookup(&self) -> Lookup {
        let read = |parameter| !self.ignore.contains(&parameter);
        let affine = match (read(Parameter::Weight), read(Parameter::Bias)) {
            (true, true) => Affine::Both,
            (true, false) => Affine::Weight,
            (false, true) => Affine::Bias,
            (false, false) => Affine::None,
        };
        Lookup::default()
            .with_names(self.names.names())
            .with_prefix(self.prefix.clone())
            .with_affine(affine)
    }

    /// The options given, on top of the preset; the axis is always this command's own.
    pub fn config(&self) -> Config {
        let preset = match self.preset {
            Preset::Pytorch => Config::pytorch(),
            Preset::Keras => Config::keras(),
            Preset::Onnx => Config::onnx(),
        };
        let mut config = preset.with_axis(self.axis).with_activation(self.activation);
        if let Some(eps) = self.eps {
            config = config.with_eps(eps);
        }
        let decay = self.decay.map(Momentum::from_decay);
        if let Some(momentum) = self.momentum.or(decay) {
            config = config.with_momentum(momentum);
        }
        if let Some(variance) = self.running_var {
            config = config.with_running_variance(match variance {
                Variance::Biased => RunningVariance::Biased,
                Variance::Unbiased => RunningVariance::Unbiased,
            });
        }
        if let Some(non_finite) = self.non_finite {
            config = config.with_non_finite(match non_finite {
                NonFiniteArg::Skip => NonFinite::Skip,
                NonFiniteArg::Propagate => NonFinite::Propagate,
            });
        }
        config
    }
}
