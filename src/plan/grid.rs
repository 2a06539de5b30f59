//! How one dispatch divides the work, and how its workgroups fold into a grid of two dimensions.

/// How one dispatch divides the work; the fields mean what `Params` in the shaders says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "documented in `shaders/shared/params.wgsl`")]
pub struct Grid {
    pub workgroup: u32,
    pub team: u32,
    pub columns: u32,
    /// Channels that one lane walks, `columns` apart: a constant of the shader's variant.
    pub lane_columns: u32,
    pub rows: u32,
    pub slots: u32,
    /// Loads that a lane holds in registers: a constant of the pipeline; 0 where it keeps none.
    pub held: u32,
    pub adjacent: u32,
    pub groups: u32,
    pub splits: u32,
    pub span: u32,
    pub address_step: u32,
    pub inner_step: u32,
    pub wrap_step: u32,
    /// Workgroups along x and y, which a shader numbers `y·width + x`; the last few of the last row
    /// may have nothing to do.
    pub dispatch: [u32; 2],
}

/// A grid of `total` workgroups, folded into as few rows as dimensions of at most `most` allow, and
/// those as short as they can be. With `y = ⌈total/most⌉` rows of `x = ⌈total/y⌉`, fewer than `y` of the
/// `x·y` workgroups are left over, since `x·y < total + y`. As long as `total ≤ most²`, `x` is at least
/// `y`, so that all of these are in the last row.
pub(super) fn fold(total: u64, most: u32) -> [u32; 2] {
    let rows = total.div_ceil(u64::from(most));
    [total.div_ceil(rows) as u32, rows as u32]
}
