//! AMD's GCN and RDNA, as RADV prints them: LLVM's syntax, a label `BB<number>:` before each block.

use super::{Arithmetic, Block, Kind};

/// The blocks of a shader.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut labels = Vec::new();
    let mut blocks: Vec<Block> = Vec::new();
    // Where each block jumps to, and whether it may run on into the next.
    let mut jumps: Vec<(Vec<&str>, bool)> = Vec::new();
    for line in text.lines() {
        let line = line.split(';').next().unwrap_or_default().trim();
        if let Some(label) = line.strip_suffix(':').filter(|l| l.starts_with("BB")) {
            labels.push(label);
            blocks.push(Block::default());
            jumps.push((vec![], true));
            continue;
        }
        let mut words = line.split_whitespace();
        let (Some(name), Some(block), Some(jump)) =
            (words.next(), blocks.last_mut(), jumps.last_mut())
        else {
            continue;
        };
        if name == "s_endpgm" || name == "s_branch" {
            jump.1 = false;
        }
        if name == "s_branch" || name.starts_with("s_cbranch") {
            jump.0.extend(words.next());
        }
        block.kinds.extend(kind(name, line));
    }
    let last = blocks.len();
    for (at, (targets, runs_on)) in jumps.into_iter().enumerate() {
        let targets = targets.into_iter();
        let mut next: Vec<usize> = targets
            .filter_map(|target| labels.iter().position(|label| *label == target))
            .collect();
        if runs_on && at + 1 < last {
            next.push(at + 1);
        }
        blocks[at].next = next;
    }
    blocks
}

/// The kind of an instruction; nothing for what is none.
fn kind(name: &str, line: &str) -> Option<Kind> {
    if let Some(name) = name.strip_prefix("v_") {
        return Some(Kind::Vector(arithmetic(name)));
    }
    if let Some(name) = name.strip_prefix("s_") {
        return Some(scalar(name));
    }
    let (unit, name) = name.split_once('_')?;
    match unit {
        "ds" => Some(Kind::Shared),
        "scratch" => Some(Kind::Private),
        // GCN reaches what is a lane's own through a buffer, without an address of the lane's.
        "buffer" if line.contains(", off, ") => Some(Kind::Private),
        "buffer" | "global" | "flat" | "image" | "tbuffer" => Some(memory(name, line)),
        _ => None,
    }
}

fn arithmetic(name: &str) -> Arithmetic {
    let is = |names: &[&str]| names.iter().any(|n| name.starts_with(n));
    if is(&["dual_"]) {
        Arithmetic::Dual
    } else if is(&["rcp_", "rsq_", "sqrt_", "exp_", "log_", "sin_", "cos_"]) {
        Arithmetic::Transcendental
    } else if is(&["cvt_"]) {
        Arithmetic::Convert
    } else if is(&["cmp_", "cmpx_", "cndmask_"]) {
        Arithmetic::Compare
    } else if is(&["mov_", "readfirstlane_", "readlane_", "writelane_", "swap_"]) {
        Arithmetic::Move
    } else if ["_f32", "_f16", "_f64"].iter().any(|ty| name.contains(ty)) {
        Arithmetic::Float
    } else {
        Arithmetic::Integer
    }
}

fn scalar(name: &str) -> Kind {
    let is = |names: &[&str]| names.iter().any(|n| name.starts_with(n));
    if is(&["load_", "buffer_load_"]) {
        Kind::ScalarLoad
    } else if is(&["cbranch_"]) {
        Kind::Branch
    } else if is(&[
        "wait",
        "delay_alu",
        "clause",
        "nop",
        "barrier",
        "branch",
        "endpgm",
        "inst_prefetch",
        "set_inst_prefetch",
        "sendmsg",
        "code_end",
        "dcache",
        "gl1_inv",
        "sleep",
    ]) {
        Kind::Other
    } else {
        Kind::Scalar
    }
}

fn memory(name: &str, line: &str) -> Kind {
    if name.starts_with("atomic") {
        Kind::Atomic
    } else if let Some(width) = name.strip_prefix("load") {
        Kind::Load(bytes(width, line))
    } else if let Some(width) = name.strip_prefix("store") {
        Kind::Store(bytes(width, line))
    } else {
        // Caches are emptied and filled by instructions of these units too.
        Kind::Other
    }
}

/// Bytes a lane, by the name's last part (old and new spelling), or by the registers of an image.
fn bytes(width: &str, line: &str) -> u32 {
    let width = width.trim_start_matches("_d16").trim_start_matches("_hi");
    match width.trim_start_matches('_') {
        "ubyte" | "sbyte" | "byte" | "u8" | "i8" | "b8" => 1,
        "ushort" | "sshort" | "short" | "u16" | "i16" | "b16" => 2,
        "dwordx2" | "b64" => 8,
        "dwordx3" | "b96" => 12,
        "dwordx4" | "b128" => 16,
        "dword" | "b32" => 4,
        _ => registers(line) * 4,
    }
}

/// How many registers the first operand names: `v[4:7]` are four.
fn registers(line: &str) -> u32 {
    let range = || {
        let (_, range) = line.split_once("v[")?;
        let (first, last) = range.split(']').next()?.split_once(':')?;
        Some(last.parse::<u32>().ok()? - first.parse::<u32>().ok()? + 1)
    };
    // A single register has no brackets; those of addresses may.
    let first = line.split_whitespace().nth(1).unwrap_or_default();
    match first.starts_with("v[") {
        true => range().unwrap_or(1),
        false => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rdna3_is_read() {
        // From inference_run4 on navi31, cut.
        let text = "BB17:\n\
            \ts_cmp_lt_u32 s14, 4                                         ; bf0a840e\n\
            \ts_cbranch_scc0 BB50                                         ; bfa100ce\n\
            BB25:\n\
            \tbuffer_load_b128 v[12:15], v3, s[16:19], 0 offen            ; e05c0000 80440c03\n\
            \ts_waitcnt vmcnt(0)                                          ; bf8903f7\n\
            \ts_delay_alu instid0(VALU_DEP_1) | instskip(SKIP_2)          ; bf8700b1\n\
            \tv_sub_f32_e32 v12, v12, v4                                  ; 0818090c\n\
            \tv_rcp_f32_e32 v1, v1                                        ; 7e025501\n\
            \tv_cndmask_b32_e32 v3, v3, v5, vcc                           ; 02060b03\n\
            \tv_dual_mul_f32 v1, v2, v3 :: v_dual_mov_b32 v4, v5          ; c8c60502 01040105\n\
            \tbuffer_store_b128 v[28:31], v3, s[20:23], 0 offen           ; e0740000 80451c03\n\
            \ts_branch BB17                                               ; bfa0ff26\n\
            BB50:\n\
            \ts_endpgm                                                    ; bfb00000\n";
        let blocks = blocks(text);
        let next: Vec<&[usize]> = blocks.iter().map(|b| &b.next[..]).collect();
        assert_eq!(next, [&[2, 1][..], &[0], &[]]);
        assert_eq!(blocks[0].kinds, [Kind::Scalar, Kind::Branch]);
        assert_eq!(
            blocks[1].kinds,
            [
                Kind::Load(16),
                Kind::Other,
                Kind::Other,
                Kind::Vector(Arithmetic::Float),
                Kind::Vector(Arithmetic::Transcendental),
                Kind::Vector(Arithmetic::Compare),
                Kind::Vector(Arithmetic::Dual),
                Kind::Store(16),
                Kind::Other,
            ]
        );
    }

    #[test]
    fn gcn_is_read() {
        let lines = [
            (
                "buffer_load_dwordx2 v[4:5], v3, s[16:19], 0 offen",
                Kind::Load(8),
            ),
            (
                "buffer_store_dword v4, v3, s[16:19], 0 offen",
                Kind::Store(4),
            ),
            (
                "image_load v[8:11], v[4:5], s[8:15] dmask:0xf unorm",
                Kind::Load(16),
            ),
            ("buffer_atomic_xor v1, v2, s[0:3], 0 offen", Kind::Atomic),
            (
                "s_buffer_load_dwordx4 s[0:3], s[4:7], 0x1c",
                Kind::ScalarLoad,
            ),
            ("ds_read_b128 v[0:3], v4", Kind::Shared),
            ("scratch_store_dword off, v1, s2", Kind::Private),
            (
                "buffer_store_dword v1, off, s[0:3], s9 offset:4",
                Kind::Private,
            ),
            ("buffer_wbinvl1", Kind::Other),
            (
                "v_cvt_f32_u32_e32 v1, s1",
                Kind::Vector(Arithmetic::Convert),
            ),
            (
                "v_add_u32_e32 v1, v2, v3",
                Kind::Vector(Arithmetic::Integer),
            ),
            ("v_readfirstlane_b32 s0, v1", Kind::Vector(Arithmetic::Move)),
            ("s_barrier", Kind::Other),
        ];
        for (line, expected) in lines {
            let blocks = blocks(&format!("BB0:\n\t{line}\n"));
            assert_eq!(blocks[0].kinds, [expected], "{line}");
        }
    }
}
