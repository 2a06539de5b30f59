//! Machine code as the figures need it: blocks of instructions, each known by its kind alone.

pub mod amd;
pub mod nvidia;

/// What an instruction does, as far as the figures tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Vector arithmetic.
    Vector(Arithmetic),
    /// Scalar arithmetic: once for all lanes of a wave.
    Scalar,
    /// Reads constants and uniforms for all lanes of a wave.
    ScalarLoad,
    /// Reads tensors and other storage: so many bytes a lane.
    Load(u32),
    /// Writes them.
    Store(u32),
    /// Changes a word of storage.
    Atomic,
    /// Reads or writes workgroup memory.
    Shared,
    /// Reads or writes what did not fit the registers.
    Private,
    /// A jump that depends on values.
    Branch,
    /// Jumps that are always taken, waiting, and whatever computes nothing.
    Other,
}

/// Kinds of vector arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    Float,
    Integer,
    /// Comparisons, and choices by their outcome.
    Compare,
    Move,
    Convert,
    /// Reciprocals, roots, exponentials: a quarter or less of the usual rate.
    Transcendental,
    /// Two operations in one instruction.
    Dual,
}

/// A run of instructions without a jump into or out of its middle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    pub kinds: Vec<Kind>,
    /// Numbers of the blocks that may run next.
    pub next: Vec<usize>,
}

/// The blocks of each loop in order. A loop is known by its backward jumps: to it belong the blocks from
/// which such a jump is reached without passing its first block.
pub fn loops(blocks: &[Block]) -> Vec<Vec<usize>> {
    let mut before = vec![Vec::new(); blocks.len()];
    for (from, block) in blocks.iter().enumerate() {
        for &to in &block.next {
            before[to].push(from);
        }
    }
    let mut found = Vec::new();
    for head in 0..blocks.len() {
        let mut todo: Vec<usize> = before[head]
            .iter()
            .copied()
            .filter(|&b| b >= head)
            .collect();
        if todo.is_empty() {
            continue;
        }
        let mut inside = vec![false; blocks.len()];
        inside[head] = true;
        while let Some(block) = todo.pop() {
            if !std::mem::replace(&mut inside[block], true) {
                todo.extend(&before[block]);
            }
        }
        found.push((0..blocks.len()).filter(|&block| inside[block]).collect());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(next: &[&[usize]]) -> Vec<Block> {
        let block = |next: &&[usize]| Block {
            kinds: vec![],
            next: next.to_vec(),
        };
        next.iter().map(block).collect()
    }

    #[test]
    fn loops_are_found_with_what_they_nest() {
        // 1 to 4 is a loop that 5 leaves; 2 and 3 are a loop within it.
        let nested = blocks(&[&[1], &[2], &[3], &[2, 4], &[1, 5], &[]]);
        assert_eq!(loops(&nested), [vec![1, 2, 3, 4], vec![2, 3]]);
    }

    #[test]
    fn what_leaves_a_loop_is_not_part_of_it_wherever_it_lies() {
        // Block 2 leaves the loop of 1 and 3 and lies between them.
        let around = blocks(&[&[1], &[2, 3], &[4], &[1], &[]]);
        assert_eq!(loops(&around), [vec![1, 3]]);
        assert!(loops(&blocks(&[&[1, 2], &[2], &[]])).is_empty());
    }
}
