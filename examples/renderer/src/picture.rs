//! Pictures on the host: read back from textures, measured, and written as PNG.

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use wgpu_batchnorm::wgpu;

/// An RGBA picture, four f32 a pixel, row by row.
pub struct Picture {
    pub width: u32,
    pub height: u32,
    pub texels: Vec<[f32; 4]>,
}

/// A copy of an Rgba16Float texture that an encoder records and the host reads later.
pub struct Readback {
    buffer: wgpu::Buffer,
    width: u32,
    height: u32,
    bytes_per_row: u32,
}

impl Readback {
    /// Records the copy.
    pub fn encode(
        device: &wgpu::Device,
        encoder: &mut wgpu::CommandEncoder,
        texture: &wgpu::Texture,
    ) -> Self {
        assert_eq!(texture.format(), wgpu::TextureFormat::Rgba16Float);
        let size = texture.size();
        let bytes_per_row = (8 * size.width).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size: u64::from(bytes_per_row) * u64::from(size.height),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        encoder.copy_texture_to_buffer(
            texture.as_image_copy(),
            wgpu::TexelCopyBufferInfo {
                buffer: &buffer,
                layout: wgpu::TexelCopyBufferLayout {
                    offset: 0,
                    bytes_per_row: Some(bytes_per_row),
                    rows_per_image: None,
                },
            },
            size,
        );
        Self {
            buffer,
            width: size.width,
            height: size.height,
            bytes_per_row,
        }
    }

    /// Waits for the device, after the encoder was submitted.
    pub fn read(self, device: &wgpu::Device) -> Result<Picture, Box<dyn Error>> {
        self.buffer.slice(..).map_async(wgpu::MapMode::Read, |_| {});
        device.poll(wgpu::PollType::wait_indefinitely())?;
        let bytes = self.buffer.slice(..).get_mapped_range()?;
        let rows = bytes.chunks_exact(self.bytes_per_row as usize);
        let halves = rows.flat_map(|row| row[..8 * self.width as usize].chunks_exact(2));
        let values = halves.map(|h| half::f16::from_le_bytes([h[0], h[1]]).to_f32());
        let values: Vec<f32> = values.collect();
        Ok(Picture {
            width: self.width,
            height: self.height,
            texels: values
                .chunks_exact(4)
                .map(|t| [t[0], t[1], t[2], t[3]])
                .collect(),
        })
    }
}

impl Picture {
    /// Red, green and blue in eight bits. Alpha is left out: the files are to be looked at.
    pub fn rgb8(&self) -> Vec<[u8; 3]> {
        // `as` clamps.
        let byte = |value: f32| (255.0 * value).round() as u8;
        self.texels
            .iter()
            .map(|t| [byte(t[0]), byte(t[1]), byte(t[2])])
            .collect()
    }
}

/// Mean and standard deviation of a channel of an 8-bit picture, as fractions of 255, and the
/// fraction of pixels at either end.
pub struct Statistics {
    pub mean: f64,
    pub std: f64,
    pub clamped: f64,
}

impl Statistics {
    pub fn of(pixels: &[[u8; 3]], channel: usize) -> Self {
        let count = pixels.len() as f64;
        let values = || pixels.iter().map(|pixel| f64::from(pixel[channel]) / 255.0);
        let mean = values().sum::<f64>() / count;
        let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
        let ends = pixels.iter().filter(|p| matches!(p[channel], 0 | 255));
        Self {
            mean,
            std: variance.sqrt(),
            clamped: ends.count() as f64 / count,
        }
    }
}

/// Writes an RGB picture.
pub fn write_png(
    path: &Path,
    [width, height]: [u32; 2],
    pixels: &[[u8; 3]],
) -> Result<(), Box<dyn Error>> {
    let file = File::create(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels.as_flattened())?;
    Ok(writer.finish()?)
}
