//! Override constants.

/// The override constants of a pipeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Constants {
    /// Invocations of a workgroup.
    pub workgroup: u32,
    /// The code of the activation, 0 for none.
    pub activation: u32,
    /// Whether there is a residual.
    pub residual: bool,
    /// Whether its gradient is wanted.
    pub dresidual: bool,
    /// Whether `out` lies where `x` lay.
    pub in_place: bool,
    /// Loads that a lane holds in registers.
    pub held: u32,
    /// Whether halves are bf16.
    pub bfloat: bool,
}

impl Constants {
    /// Names and values of those that `source` declares.
    pub fn of(&self, source: &str) -> Vec<(&'static str, f64)> {
        let all = [
            ("WORKGROUP", f64::from(self.workgroup)),
            ("ACTIVATION", f64::from(self.activation)),
            ("RESIDUAL", f64::from(u8::from(self.residual))),
            ("DRESIDUAL", f64::from(u8::from(self.dresidual))),
            ("IN_PLACE", f64::from(u8::from(self.in_place))),
            ("HELD", f64::from(self.held)),
            ("BFLOAT", f64::from(u8::from(self.bfloat))),
        ];
        let declared = |(name, _): &(&str, f64)| source.contains(&format!("override {name}:"));
        all.into_iter().filter(declared).collect()
    }
}
