//! NVIDIA's machine code, as NVK's compiler NAK prints it: blocks that say which come next, and
//! instructions in a spelling of its own.

use super::{Arithmetic, Block, Kind};

/// The blocks of a shader.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        if line.starts_with("block") && line.ends_with('{') {
            blocks.push(Block::default());
        } else if let Some(block) = blocks.last_mut() {
            match line.strip_prefix("} -> [") {
                Some(next) => {
                    let next = next.trim_end_matches(']').split(',');
                    block.next = next.filter_map(|n| n.trim().parse().ok()).collect();
                }
                None => block.kinds.extend(kind(line)),
            }
        }
    }
    blocks
}

/// The kind of an instruction: `[@[!]predicate] [results =] name.of.parts operands`.
fn kind(line: &str) -> Option<Kind> {
    let (predicated, line) = match line.strip_prefix('@') {
        Some(rest) => (true, rest.split_once(char::is_whitespace)?.1.trim()),
        None => (false, line),
    };
    let (results, line) = line.split_once(" = ").unwrap_or(("", line));
    let mut parts = line.split_whitespace().next()?.split('.');
    let name = parts.next()?;
    let parts: Vec<&str> = parts.collect();
    let uniform = results.starts_with('u');
    Some(match name {
        "ld" | "st" => {
            let bytes = parts.iter().find_map(|part| bytes(part)).unwrap_or(4);
            match (parts.first().copied(), name) {
                (Some("shared"), _) => Kind::Shared,
                (Some("local"), _) => Kind::Private,
                (_, "ld") => Kind::Load(bytes),
                _ => Kind::Store(bytes),
            }
        }
        "atom" | "red" | "suatom" => Kind::Atomic,
        "atoms" => Kind::Shared,
        "tld" | "suld" => Kind::Load(registers(results) * 4),
        // A texel of four channels, however wide the texture keeps it.
        "sust" => Kind::Store(16),
        "ldc" => Kind::ScalarLoad,
        "bra" if predicated => Kind::Branch,
        "bra" | "bssy" | "bsync" | "bclear" | "break" | "bmov" | "exit" | "nop" | "warpsync"
        | "bar" | "membar" | "depbar" | "ccctl" => Kind::Other,
        _ if uniform => Kind::Scalar,
        _ => Kind::Vector(arithmetic(name)),
    })
}

fn arithmetic(name: &str) -> Arithmetic {
    match name {
        "mufu" => Arithmetic::Transcendental,
        "f2f" | "f2i" | "i2f" | "i2i" | "f2fp" | "frnd" => Arithmetic::Convert,
        "isetp" | "fsetp" | "hsetp2" | "dsetp" | "psetp" | "plop3" | "sel" | "fset" | "iset" => {
            Arithmetic::Compare
        }
        "mov" | "s2r" | "cs2r" | "r2ur" | "shfl" | "vote" => Arithmetic::Move,
        _ if name.starts_with(['f', 'h', 'd']) && name != "flo" => Arithmetic::Float,
        _ => Arithmetic::Integer,
    }
}

fn bytes(part: &str) -> Option<u32> {
    match part {
        "u8" | "i8" | "b8" => Some(1),
        "u16" | "i16" | "b16" => Some(2),
        "b32" => Some(4),
        "b64" => Some(8),
        "b96" => Some(12),
        "b128" => Some(16),
        _ => None,
    }
}

/// How many registers hold a result: of `r4..8` there are four.
fn registers(results: &str) -> u32 {
    let one = |result: &str| {
        let (first, past) = result.strip_prefix('r')?.split_once("..")?;
        Some(past.parse::<u32>().ok()? - first.parse::<u32>().ok()?)
    };
    results
        .split_whitespace()
        .map(|r| one(r).unwrap_or(1))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_jumps_are_read() {
        // From inference_run4 on ampere, cut.
        let text = "block.u 0 L2 [] -> {\n\
            \x20     ur0     = ldc.b32 c[0x1][+0x0]                       // delay=1 wr:1\n\
            \x20     ur2     = imad ur4 ur2 rZ                            // delay=12 wt=000110\n\
            \x20     b0      = bssy b0 pT L0                              // delay=1\n\
            @!p0            bra L1                                     // delay=1 wt=000001\n\
            } -> [1, 198]\n\
            block 1 L5 [0] -> {\n\
            \x20     r17     = ld.global.a64.constant.b32 [r20..22]       // delay=5 wr:0\n\
            \x20               bra L18                                    // delay=1 wt=000001\n\
            } -> [13]\n\
            block 2 L1 [0] -> {\n\
            \x20               exit                                       // delay=1\n\
            } -> []\n";
        let blocks = blocks(text);
        let next: Vec<&[usize]> = blocks.iter().map(|b| &b.next[..]).collect();
        assert_eq!(next, [&[1, 198][..], &[13], &[]]);
        assert_eq!(
            blocks[0].kinds,
            [Kind::ScalarLoad, Kind::Scalar, Kind::Other, Kind::Branch]
        );
        assert_eq!(blocks[1].kinds, [Kind::Load(4), Kind::Other]);
    }

    #[test]
    fn instructions_are_told_apart() {
        let vector = |kind| Kind::Vector(kind);
        let lines = [
            ("r12 = mufu.rcp r12", vector(Arithmetic::Transcendental)),
            ("r12 = f2i.u32.f32.rz.ftz r12", vector(Arithmetic::Convert)),
            ("r14 = sel p0 r13 r15", vector(Arithmetic::Compare)),
            ("@p0 r10 = mov 0x1", vector(Arithmetic::Move)),
            ("r14..16 = imad64 r12 r13 rZ", vector(Arithmetic::Integer)),
            ("r12 = ffma.ftz r12 r1 r2", vector(Arithmetic::Float)),
            (
                "st.global.a64.strong.sys.b128 [r2..4] r8..12",
                Kind::Store(16),
            ),
            ("r0..4 = tld.b.2d.lz cb[0x0][0x0] r4..6", Kind::Load(16)),
            ("st.local.strong.cta.b32 [rZ] r4", Kind::Private),
            ("r5 = ld.shared.strong.cta.b64 [r1]", Kind::Shared),
            (
                "r9 = atom.xor.u32.global.a64.strong.sys [r2..4] r8",
                Kind::Atomic,
            ),
        ];
        for (line, expected) in lines {
            assert_eq!(kind(line), Some(expected), "{line}");
        }
    }
}
