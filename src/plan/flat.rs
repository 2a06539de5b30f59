//! Tensors of halves whose loads would be single ones, as words of two halves: lanes that write own their words, whatever
//! channels these are of.

use super::cuts::{Cut, MAX_POSITIONS};
use super::grid::Grid;
use super::load::Load;
use super::machine::Machine;
use super::pieces::{Flat, Piece};
use crate::element::Element;
use crate::shape::{Pattern, View};

/// Bytes of a word.
pub(super) const WORD_BYTES: u64 = 4;
/// Halves of a word.
const HALVES: usize = 2;
/// Fewest words that lie side by side in a period, where there are so many.
const BESIDE: usize = 64;
/// Words of a line of memory, at whose ends periods should end, and how often these should then lie behind each other, so
/// that what a lane knows of its channels is of use.
const LINE: usize = 32;
const BEHIND: usize = 16;

/// Whether the tensor is mapped by words: two halves that share one would else be of two lanes.
pub(super) fn is_flat(element: Element, load: Load) -> bool {
    matches!(element, Element::F16 | Element::Bf16) && load == Load::Scalar
}

/// The pieces, which count halves, in words, each with its grid for flat maps. Where axes alternate, channels do not
/// repeat.
pub(super) fn flat(pieces: &[Piece], alternating: bool, machine: &Machine) -> Vec<Piece> {
    let pieces = pieces.iter();
    pieces
        .map(|piece| flat_piece(piece, alternating, machine))
        .collect()
}

fn flat_piece(piece: &Piece, alternating: bool, machine: &Machine) -> Piece {
    let (outer, channels, inner) = piece.view.lengths();
    let skip = piece.start % HALVES;
    let end = skip + piece.view.len();
    let words = end.div_ceil(HALVES);
    let repeats = channels * inner;
    let (period, mut beside) = match outer == 1 || alternating {
        true => (HALVES * words, words),
        false if repeats.is_multiple_of(HALVES) => (repeats, repeats / HALVES),
        false => (repeats, repeats),
    };
    // Several periods are one, too.
    let few = |beside| beside < BESIDE && 2 * beside <= words;
    let ragged = |beside: usize| !beside.is_multiple_of(LINE) && 2 * BEHIND * beside <= words;
    while few(beside) || ragged(beside) {
        beside *= 2;
    }
    let view = View::of_lengths(words.div_ceil(beside), beside, 1);
    let grid = grid(view, machine);
    Piece {
        flat: Some(Flat {
            inner,
            period,
            skip,
            end,
        }),
        map: grid,
        apply: grid,
        ..Piece::new(
            piece.start / HALVES,
            view,
            piece.first_channel,
            0,
            WORD_BYTES,
        )
    }
}

/// Words that lie side by side are walked as channels are.
fn grid(view: View, machine: &Machine) -> Grid {
    let pattern = Pattern::Interleaved;
    let (load, most) = (Load::Scalar, view.count());
    Cut::new(
        view,
        pattern,
        load,
        WORD_BYTES,
        MAX_POSITIONS,
        most,
        &machine.tuning,
    )
    .unmerged(machine)
}
