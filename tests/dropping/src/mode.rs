//! What is dropped.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: every command is passed on.
    Nothing,
    /// Copies from buffers that can be nothing but the source of one. What they would have written is zero
    /// instead, as in fresh memory: allocators hand out the same memory again, and the same data may be there.
    Uploads,
    /// Every dispatch and every draw.
    Dispatches,
    /// The last workgroup of every dispatch that is a line of them; the last row of one that has several, because
    /// the last workgroup that works is somewhere in it.
    LastWorkgroup,
    /// The second dispatch of every command buffer. wgpu records each pass into one of its own.
    SecondDispatch,
}

impl Mode {
    pub const ALL: [Self; 5] = [
        Self::Nothing,
        Self::Uploads,
        Self::Dispatches,
        Self::LastWorkgroup,
        Self::SecondDispatch,
    ];

    /// As the environment variable has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Uploads => "uploads",
            Self::Dispatches => "dispatches",
            Self::LastWorkgroup => "last-workgroup",
            Self::SecondDispatch => "second-dispatch",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// The grid that is left of `grid`, at the `index`-th dispatch of its command buffer; `None` if nothing is.
    pub fn grid(self, grid: [u32; 3], index: u32) -> Option<[u32; 3]> {
        let [x, y, z] = grid;
        let left = match self {
            Self::Nothing | Self::Uploads => grid,
            Self::Dispatches => return None,
            Self::SecondDispatch if index == 1 => return None,
            Self::SecondDispatch => grid,
            Self::LastWorkgroup if z > 1 => [x, y, z - 1],
            Self::LastWorkgroup if y > 1 => [x, y - 1, 1],
            Self::LastWorkgroup => [x.saturating_sub(1), 1, 1],
        };
        (!left.contains(&0)).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for mode in Mode::ALL {
            assert_eq!(Mode::from_name(mode.name()), Some(mode));
        }
        assert_eq!(Mode::from_name("everything"), None);
    }

    #[test]
    fn what_is_left_of_a_grid() {
        for index in 0..4 {
            let left = |mode: Mode, grid| mode.grid(grid, index);
            for grid in [[1, 1, 1], [7, 1, 1], [7, 3, 1]] {
                assert_eq!(left(Mode::Nothing, grid), Some(grid));
                assert_eq!(left(Mode::Uploads, grid), Some(grid));
                assert_eq!(left(Mode::Dispatches, grid), None);
                let second = (index != 1).then_some(grid);
                assert_eq!(left(Mode::SecondDispatch, grid), second);
            }
            assert_eq!(left(Mode::LastWorkgroup, [1, 1, 1]), None);
            assert_eq!(left(Mode::LastWorkgroup, [7, 1, 1]), Some([6, 1, 1]));
            assert_eq!(left(Mode::LastWorkgroup, [7, 3, 1]), Some([7, 2, 1]));
            assert_eq!(left(Mode::LastWorkgroup, [7, 3, 2]), Some([7, 3, 1]));
        }
    }
}
