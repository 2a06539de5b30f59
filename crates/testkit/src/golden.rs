//! Results of other frameworks: `tests/goldens/README.md` says what a file holds.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use wgpu_batchnorm::{Affine, Config, Momentum, RunningStatistics, RunningVariance};

use crate::case::Case;

pub struct Golden {
    pub name: String,
    bytes: Vec<u8>,
    metadata: HashMap<String, String>,
}

impl Golden {
    /// Every file, in the order of their names.
    pub fn all() -> Vec<Self> {
        let folder = crate::repository("tests/goldens");
        let files = std::fs::read_dir(folder).unwrap();
        let mut goldens: Vec<Self> = files
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
            .map(|path| Self::read(&path))
            .collect();
        assert!(goldens.len() >= 45, "only {} goldens", goldens.len());
        goldens.sort_by(|a, b| a.name.cmp(&b.name));
        goldens
    }

    pub fn named(name: &str) -> Self {
        let file = format!("tests/goldens/{name}.safetensors");
        Self::read(&crate::repository(&file))
    }

    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        Self {
            name,
            bytes,
            metadata,
        }
    }

    /// A metadata entry that every file of this kind has.
    pub fn text(&self, key: &str) -> &str {
        let value = self.metadata.get(key);
        value.unwrap_or_else(|| panic!("{}: no {key}", self.name))
    }

    pub fn find(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// A number as the framework had it, in f64.
    pub fn number(&self, key: &str) -> f64 {
        self.text(key).parse().unwrap()
    }

    pub fn ill_conditioned(&self) -> bool {
        self.name.contains("mean1e4") || self.name.contains("mean1e3")
    }

    pub fn file(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).unwrap()
    }

    pub fn shape(&self, tensor: &str) -> Vec<usize> {
        self.file().tensor(tensor).unwrap().shape().to_vec()
    }

    /// A tensor of numbers, widened to f64.
    pub fn wide(&self, tensor: &str) -> Option<Vec<f64>> {
        let file = self.file();
        let view = file.tensor(tensor).ok()?;
        let wide = |size, number: fn(&[u8]) -> f64| view.data().chunks(size).map(number).collect();
        Some(match view.dtype() {
            Dtype::F32 => wide(4, |b| f32::from_le_bytes(b.try_into().unwrap()).into()),
            Dtype::F64 => wide(8, |b| f64::from_le_bytes(b.try_into().unwrap())),
            Dtype::I64 => wide(8, |b| i64::from_le_bytes(b.try_into().unwrap()) as f64),
            other => panic!("{}: {tensor} is {other:?}", self.name),
        })
    }

    /// An input, stored as f32.
    pub fn input(&self, tensor: &str) -> Option<Vec<f32>> {
        let wide = self.wide(tensor)?;
        Some(wide.into_iter().map(|v| v as f32).collect())
    }

    /// Tensors of one kind, `truth` or `out`, by their names without it.
    pub fn results(&self, kind: &str) -> Vec<(String, Vec<f64>)> {
        let file = self.file();
        let mut names = file.names();
        names.sort_unstable();
        let names = names
            .into_iter()
            .filter_map(|name| name.strip_prefix(kind)?.strip_prefix('.'));
        names
            .map(|name| {
                (
                    name.to_owned(),
                    self.wide(&format!("{kind}.{name}")).unwrap(),
                )
            })
            .collect()
    }

    /// The options of a `train` or `eval` file; `eval` files do not say how statistics moved.
    pub fn config(&self) -> Config {
        let mut config = Config::pytorch()
            .with_axis(self.text("axis").parse().unwrap())
            .with_eps(self.number("eps") as f32);
        if self.text("op") == "train" {
            config = config
                .with_momentum(match self.text("momentum") {
                    "cumulative" => Momentum::Cumulative,
                    _ => Momentum::new(self.number("momentum") as f32),
                })
                .with_running_variance(match self.text("running_var") {
                    "biased" => RunningVariance::Biased,
                    _ => RunningVariance::Unbiased,
                });
        }
        match self.file().tensor("weight") {
            Ok(_) => config,
            Err(_) => config.with_affine(Affine::None),
        }
    }

    /// A `train` or `eval` file as a case; without a `dy` it is zero.
    pub fn case(&self) -> Case {
        let (shape, config) = (self.shape("x"), self.config());
        let view = config.view(&shape).unwrap();
        let tracked = self.wide("num_batches_tracked").map_or(0.0, |v| v[0]);
        Case {
            name: self.name.clone(),
            view,
            x: self.input("x").unwrap(),
            dy: self.input("dy").unwrap_or_else(|| vec![0.0; view.len()]),
            weight: self.input("weight"),
            bias: self.input("bias"),
            residual: None,
            weights: None,
            running: Some(
                RunningStatistics::from_parts(
                    self.input("running_mean").unwrap(),
                    self.input("running_var").unwrap(),
                    vec![tracked as u32; view.channels()],
                )
                .unwrap(),
            ),
            shape,
            config,
        }
    }

    /// The layer's tensors as a checkpoint holds them, under `prefix` and between others.
    pub fn checkpoint(&self, prefix: &str) -> Vec<u8> {
        let file = self.file();
        let named = |name: &str| format!("{prefix}{name}");
        let mut tensors: Vec<(String, TensorView<'_>)> = Vec::new();
        for name in [
            "weight",
            "bias",
            "running_mean",
            "running_var",
            "num_batches_tracked",
        ] {
            if let Ok(view) = file.tensor(name) {
                tensors.push((named(name), view));
            }
        }
        // Another layer, of another size and without batch norm's tensors.
        tensors.push(("conv1.weight".to_owned(), file.tensor("x").unwrap()));
        tensors.push(("weight".to_owned(), file.tensor("x").unwrap()));
        serialize(tensors, None).unwrap()
    }
}
