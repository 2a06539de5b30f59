//! A safetensors file as it is, to be written again with some tensors changed.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde_json::json;

use crate::failure::Failure;
use crate::input::parse;

/// A tensor with its bytes as the file has them.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// The tensors of a file in their order, and its metadata.
#[derive(Debug)]
pub struct Checkpoint {
    pub tensors: Vec<Tensor>,
    metadata: Option<BTreeMap<String, String>>,
}

impl Checkpoint {
    /// The bytes of a file; one of several that make up a checkpoint is refused.
    pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
        let named = |text: String| Failure::Input(format!("{}: {text}", path.display()));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if is_shard(&name) {
            let why = "one of several files of a checkpoint; a layer and its norm may be in two of them: join them first";
            return Err(named(why.to_owned()));
        }
        std::fs::read(path)
            .map_err(|e| Failure::Input(format!("cannot read {}: {e}", path.display())))
    }

    pub fn of(bytes: &[u8]) -> Result<Self, Failure> {
        let file = parse(bytes)?;
        let invalid = |e| Failure::Input(format!("not a valid safetensors file: {e}"));
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(invalid)?;
        let tensors = header.offset_keys().into_iter().map(|name| {
            let view = file.tensor(&name).map_err(invalid)?;
            Ok::<_, Failure>(Tensor {
                dtype: view.dtype(),
                shape: view.shape().to_vec(),
                bytes: view.data().to_vec(),
                name,
            })
        });
        let metadata = header.metadata().as_ref();
        Ok(Self {
            tensors: tensors.collect::<Result<_, _>>()?,
            metadata: metadata.map(|m| m.clone().into_iter().collect()),
        })
    }

    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// Puts a tensor in the place of the one with its name. A new one goes to the end, where it moves no other off the
    /// multiple of its type's size that readers want.
    pub fn put(&mut self, tensor: Tensor) {
        let place = self
            .tensors
            .iter()
            .position(|other| other.name == tensor.name);
        match place {
            Some(at) => self.tensors[at] = tensor,
            None => self.tensors.push(tensor),
        }
    }

    /// The file's bytes: the tensors in their order, without a gap.
    pub fn bytes(&self) -> Vec<u8> {
        let mut entries = Vec::new();
        if let Some(metadata) = &self.metadata {
            entries.push(format!("\"__metadata__\":{}", json!(metadata)));
        }
        let mut end = 0;
        for tensor in &self.tensors {
            let start = end;
            end += tensor.bytes.len();
            let (dtype, shape) = (tensor.dtype, &tensor.shape);
            let entry = json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] });
            entries.push(format!("{}:{entry}", json!(tensor.name)));
        }
        let mut header = format!("{{{}}}", entries.join(",")).into_bytes();
        // The data then begin at a multiple of eight bytes, as readers that map files want it.
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        self.tensors.iter().for_each(|t| bytes.extend(&t.bytes));
        bytes
    }
}

/// `model-00001-of-00003.safetensors` and the like, or the index of such files.
fn is_shard(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let Some((before, behind)) = name.split_once("-of-") else {
        return name.ends_with(".index.json");
    };
    let last: String = behind.chars().take_while(char::is_ascii_digit).collect();
    let numbered = before.ends_with(|c: char| c.is_ascii_digit());
    numbered && last.parse::<u64>().is_ok_and(|last| last > 1)
}
