//! Files out: whole or not at all.

use std::io::{self, Write};
use std::path::Path;

use npyz::WriterBuilder;
use safetensors::tensor::{Dtype, TensorView};
use wgpu_batchnorm::Element;

use crate::failure::Failure;
use crate::stored::dtype;

/// The tensors of an output file, in order.
#[derive(Debug, Default)]
pub struct Outputs {
    tensors: Vec<(&'static str, Dtype, Vec<usize>, Vec<u8>)>,
}

impl Outputs {
    /// Adds an f32 tensor.
    pub fn add(&mut self, name: &'static str, shape: &[usize], values: &[f32]) {
        let bytes = bytemuck::cast_slice(values).to_vec();
        self.tensors.push((name, Dtype::F32, shape.to_vec(), bytes));
    }

    /// Adds a tensor of these bytes, little endian.
    pub fn add_stored(
        &mut self,
        name: &'static str,
        element: Element,
        shape: &[usize],
        bytes: Vec<u8>,
    ) -> Result<(), Failure> {
        let dtype = dtype(element)?;
        self.tensors.push((name, dtype, shape.to_vec(), bytes));
        Ok(())
    }

    /// Adds a 0-d int64, as PyTorch's counts are; from 2⁶³ on a uint64.
    pub fn add_count(&mut self, name: &'static str, count: u64) {
        let dtype = match i64::try_from(count) {
            Ok(_) => Dtype::I64,
            Err(_) => Dtype::U64,
        };
        let bytes = count.to_le_bytes().to_vec();
        self.tensors.push((name, dtype, vec![], bytes));
    }

    /// Writes all tensors as safetensors, or `y` alone where `path` ends in `.npy`.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let bytes = match is_npy(path) {
            true => self.npy(),
            false => self.safetensors(),
        };
        let bytes = bytes.map_err(|e| Failure::Machine(e.to_string()))?;
        write_whole(path, &bytes).map_err(|e| unwritten(path, &e))
    }

    fn safetensors(&self) -> io::Result<Vec<u8>> {
        let views = self.tensors.iter().map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(*dtype, shape.clone(), bytes);
            view.map(|view| (*name, view)).map_err(io::Error::other)
        });
        let views = views.collect::<io::Result<Vec<_>>>()?;
        safetensors::serialize(views, None).map_err(io::Error::other)
    }

    fn npy(&self) -> io::Result<Vec<u8>> {
        let y = self.tensors.iter().find(|(name, ..)| *name == "y");
        let (_, dtype, shape, data) = y.ok_or_else(|| io::Error::other("no y to write"))?;
        let shape: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
        let descr = match dtype {
            Dtype::F16 => "<f2",
            _ => "<f4",
        };
        let descr: npyz::TypeStr = descr.parse().map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        npyz::WriteOptions::new_header_only()
            .dtype(npyz::DType::Plain(descr))
            .shape(&shape)
            .writer(&mut bytes)
            .write_header_only()?;
        bytes.extend_from_slice(data);
        Ok(bytes)
    }
}

/// Whether the name says that this is a NumPy file.
pub fn is_npy(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("npy"))
}

/// Refuses an output that could not be written, before any work is done.
pub fn check_path(path: &Path, element: Element, npy_allowed: bool) -> Result<(), Failure> {
    check_place(path)?;
    let refused = |why: &str| Err(refused(path, why));
    if is_npy(path) && !npy_allowed {
        return refused("only forward writes .npy; give a .safetensors output");
    }
    if is_npy(path) && element == Element::Bf16 {
        return refused(".npy holds no bf16; give a .safetensors output");
    }
    Ok(())
}

/// Refuses a place where no file can be, before any work is done.
pub fn check_place(path: &Path) -> Result<(), Failure> {
    if path == Path::new("-") {
        return Err(refused(
            path,
            "standard output is no place for results, expected a file",
        ));
    }
    if path.is_dir() || path.file_name().is_none() {
        return Err(refused(path, "the output is a folder, expected a file"));
    }
    if !folder(path).is_dir() {
        return Err(refused(path, "there is no such output folder"));
    }
    Ok(())
}

fn refused(path: &Path, why: &str) -> Failure {
    Failure::Input(format!("{}: {why}", path.display()))
}

/// Refuses a place that cannot be written, before long work is done for it.
pub fn check_writable(path: &Path) -> Result<(), Failure> {
    check_place(path)?;
    let tried = match path.metadata() {
        // A device or a pipe is written as it is.
        Ok(existing) if !existing.is_file() => {
            let opened = std::fs::OpenOptions::new().write(true).open(path);
            opened.map(drop)
        }
        _ => tempfile::tempfile_in(folder(path)).map(drop),
    };
    tried.map_err(|e| unwritten(path, &e))
}

/// Writes a text file, whole or not at all.
pub fn write_text(path: &Path, text: &str) -> Result<(), Failure> {
    write_bytes(path, text.as_bytes())
}

/// Writes a file, whole or not at all.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_whole(path, bytes).map_err(|e| unwritten(path, &e))
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::Machine(format!("cannot write {}: {error}", path.display()))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Writes beside `path` and renames, so that nobody sees half a file.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A device or a pipe takes bytes as they come, and must not be replaced.
    if path.metadata().is_ok_and(|existing| !existing.is_file()) {
        let mut device = std::fs::OpenOptions::new().write(true).open(path)?;
        return device.write_all(bytes);
    }
    // A link stays a link.
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut builder = tempfile::Builder::new();
    // A temporary file is private; the result has what a new file would have.
    #[cfg(unix)]
    let builder = {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666))
    };
    let mut file = builder.prefix(".wgbn-").tempfile_in(folder(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
