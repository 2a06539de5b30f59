//! Tuning files, as `--tuning` names them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use wgpu_batchnorm::error::TuningError;
use wgpu_batchnorm::{Gpu, TuningFile};

use crate::failure::Failure;

/// No tuning file is longer.
const MOST_BYTES: u64 = 1 << 20;

/// The file of this path.
pub fn read(path: &Path) -> Result<TuningFile, Failure> {
    let failed = |why: &dyn std::fmt::Display| of(path, Failure::Input(why.to_string()));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| failed(&e))?;
    let read = file.take(MOST_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|e| failed(&e))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(failed(&"longer than any tuning file"));
    }
    let text = String::from_utf8(bytes);
    let text = text.map_err(|e| failed(&format_args!("the tuning file is damaged: {e}")))?;
    TuningFile::parse(&text).map_err(|e| of(path, e.into()))
}

/// The same adapter with the sizes of the file, where one is given.
pub fn apply(gpu: Gpu, path: Option<&Path>) -> Result<Gpu, Failure> {
    match path {
        None => Ok(gpu),
        Some(path) => {
            let tuned = gpu.with_tuning_file(&read(path)?);
            tuned.map_err(|e| of(path, e.into()))
        }
    }
}

/// Refuses a file where no adapter can take it.
pub fn without_adapter(path: Option<&Path>) -> Result<(), Failure> {
    match path {
        None => Ok(()),
        Some(path) => Err(of(
            path,
            Failure::Input("a tuning file is for an adapter, and none is used".to_owned()),
        )),
    }
}

fn of(path: &Path, failure: Failure) -> Failure {
    failure.map(|text| format!("{}: {text}", path.display()))
}

impl From<TuningError> for Failure {
    fn from(error: TuningError) -> Self {
        match error {
            TuningError::Device(error) => error.into(),
            error => Self::Input(error.to_string()),
        }
    }
}
