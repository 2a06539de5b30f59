//! Shapes as triangles, of unit size about the origin.

use std::f32::consts::TAU;

use bytemuck::{Pod, Zeroable};
use glam::Vec3;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Vertex {
    position: [f32; 3],
    normal: [f32; 3],
}

/// Triangles in any winding: nothing is culled.
pub struct Mesh {
    pub vertices: Vec<Vertex>,
    pub indices: Vec<u32>,
}

impl Mesh {
    /// The surface that `point` gives over the unit square, with its normals.
    fn surface(columns: u32, rows: u32, point: impl Fn(f32, f32) -> (Vec3, Vec3)) -> Self {
        let mut vertices = Vec::new();
        let mut indices = Vec::new();
        for row in 0..=rows {
            for column in 0..=columns {
                let (position, normal) =
                    point(column as f32 / columns as f32, row as f32 / rows as f32);
                vertices.push(Vertex {
                    position: position.into(),
                    normal: normal.into(),
                });
                if row < rows && column < columns {
                    let a = row * (columns + 1) + column;
                    let b = a + columns + 1;
                    indices.extend([a, a + 1, b, b, a + 1, b + 1]);
                }
            }
        }
        Self { vertices, indices }
    }

    fn with(mut self, other: Self) -> Self {
        let base = self.vertices.len() as u32;
        self.indices.extend(other.indices.iter().map(|i| i + base));
        self.vertices.extend(other.vertices);
        self
    }

    /// From (−1, 0, −1) to (1, 0, 1).
    pub fn plane() -> Self {
        Self::surface(1, 1, |s, t| {
            (Vec3::new(2.0 * s - 1.0, 0.0, 2.0 * t - 1.0), Vec3::Y)
        })
    }

    /// Radius 1.
    pub fn sphere() -> Self {
        Self::surface(96, 48, |s, t| {
            let (sin, cos) = (TAU * s).sin_cos();
            let (ring, height) = (0.5 * TAU * t).sin_cos();
            let normal = Vec3::new(ring * cos, height, ring * sin);
            (normal, normal)
        })
    }

    /// About the z axis: radius 1, its tube `tube` thick.
    pub fn torus(tube: f32) -> Self {
        Self::surface(128, 48, |s, t| {
            let (sin, cos) = (TAU * s).sin_cos();
            let (up, out) = (TAU * t).sin_cos();
            let normal = Vec3::new(out * cos, out * sin, up);
            (Vec3::new(cos, sin, 0.0) + tube * normal, normal)
        })
    }

    /// A fluted column from y = 0 to 1, radius 1, closed above.
    pub fn column() -> Self {
        let radius = |s: f32| 1.0 - 0.06 * (12.0 * TAU * s).cos().abs();
        let at = move |s: f32| {
            let (sin, cos) = (TAU * s).sin_cos();
            radius(s) * Vec3::new(cos, 0.0, sin)
        };
        let side = Self::surface(288, 1, move |s, t| {
            let tangent = at(s + 1e-3) - at(s - 1e-3);
            (
                at(s) + t * Vec3::Y,
                tangent.cross(Vec3::Y).normalize() * -1.0,
            )
        });
        side.with(Self::surface(288, 1, move |s, t| {
            (t * at(s) + Vec3::Y, Vec3::Y)
        }))
    }

    /// From (−1, −1, −1) to (1, 1, 1).
    pub fn cube() -> Self {
        let side = |normal: Vec3| {
            let (u, v) = normal.any_orthonormal_pair();
            Self::surface(1, 1, move |s, t| {
                (normal + (2.0 * s - 1.0) * u + (2.0 * t - 1.0) * v, normal)
            })
        };
        let [first, rest @ ..] = [
            Vec3::X,
            Vec3::Y,
            Vec3::Z,
            Vec3::NEG_X,
            Vec3::NEG_Y,
            Vec3::NEG_Z,
        ];
        rest.into_iter()
            .fold(side(first), |mesh, normal| mesh.with(side(normal)))
    }
}
