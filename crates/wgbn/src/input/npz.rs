//! NumPy's archives of arrays.

use std::io::Cursor;

use safetensors::tensor::TensorView;
use zip::ZipArchive;

use super::npy::{Array, Refused};
use crate::failure::Failure;

/// How an archive begins.
pub const MAGIC: &[u8] = b"PK\x03\x04";

/// An archive's arrays as a safetensors file, and what is to be said of its other members. An array that is alone is `x`.
pub fn as_safetensors(bytes: &[u8]) -> Result<(Vec<u8>, Vec<String>), Failure> {
    let invalid = |e: &dyn std::fmt::Display| Failure::Input(format!("not a valid .npz file: {e}"));
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| invalid(&e))?;
    let (mut arrays, mut notes) = (Vec::new(), Vec::new());
    for k in 0..archive.len() {
        let member = archive.by_index(k).map_err(|e| invalid(&e))?;
        let file = member.name().map_err(|e| invalid(&e))?.into_owned();
        let name = file.strip_suffix(".npy").unwrap_or(&file).to_owned();
        if !file.ends_with(".npy") {
            notes.push(format!("not an array: {file:?}"));
            continue;
        }
        match Array::read(member) {
            Ok(array) => arrays.push((name, array)),
            Err(Refused::NoNumbers(_)) if name != "x" => {
                notes.push(format!("not an array of numbers: {file:?}"));
            }
            Err(refused) => {
                return Err(Failure::from(refused).map(|text| format!("{file}: {text}")));
            }
        }
    }
    for (k, (name, _)) in arrays.iter().enumerate() {
        if arrays[..k].iter().any(|(other, _)| other == name) {
            return Err(invalid(&format!("two members are {name:?}")));
        }
    }
    if let [(name, _)] = &mut arrays[..] {
        "x".clone_into(name);
    }
    let views = arrays.iter().map(|(name, array)| {
        let view = TensorView::new(array.dtype, array.shape.clone(), &array.bytes);
        view.map(|view| (name, view)).map_err(|e| invalid(&e))
    });
    let views = views.collect::<Result<Vec<_>, _>>()?;
    let bytes = safetensors::serialize(views, None).map_err(|e| invalid(&e))?;
    Ok((bytes, notes))
}
