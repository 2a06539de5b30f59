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
/// Fewest words of a row, where there are so many.
const ROW: usize = 64;
/// Words of a line of memory. Rows of a multiple of these end with a line.
const LINE: usize = 32;
/// Fewest rows that are worth it: a lane reads what belongs to its two channels once for a word of each.
const ROWS: usize = 16;
/// Halves of a run that is long: lanes then walk along runs, where channels do not repeat so often.
const LONG: usize = 1024;
/// Words of a row there: few, so that a lane has many in each run.
const ALONG: usize = 8;

/// The pieces, which count halves, in words, each with its grid for flat maps; none where no two lanes would share a
/// word. Where axes alternate, each lane has one word.
pub(super) fn flat(
    pieces: &[Piece],
    (element, load): (Element, Load),
    alternating: bool,
    machine: &Machine,
) -> Vec<Piece> {
    let halves = matches!(element, Element::F16 | Element::Bf16);
    let single = pieces.iter().filter(|_| halves && load == Load::Scalar);
    single
        .map(|piece| flat_piece(piece, alternating, machine))
        .collect()
}

fn flat_piece(piece: &Piece, alternating: bool, machine: &Machine) -> Piece {
    let (_, channels, inner) = piece.view.lengths();
    let skip = piece.start % HALVES;
    let end = skip + piece.view.len();
    let words = end.div_ceil(HALVES);
    // A 32×512×7×7 tensor has 25,088 halves for each of its 32 images, and rows of 12,544 words.
    let repeats = channels * inner;
    let period = if repeats.is_multiple_of(HALVES) {
        repeats / HALVES
    } else {
        repeats
    };
    let row = match () {
        () if alternating => words,
        () if words < ROWS * period && inner >= LONG => ALONG.min(words),
        () => repeating_row(period.min(words), words),
    };
    let view = View::of_lengths(words.div_ceil(row), row, 1);
    let grid = grid(view, machine);
    Piece {
        flat: Some(Flat {
            inner,
            period: if alternating {
                piece.view.len()
            } else {
                repeats
            },
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

/// The shortest row of whole periods of so many words that is wide enough, and that ends with a line where there are
/// rows enough.
fn repeating_row(period: usize, words: usize) -> usize {
    let mut row = period;
    let narrow = |row| row < ROW && 2 * row <= words;
    let ragged = |row: usize| !row.is_multiple_of(LINE) && 2 * ROWS * row <= words;
    while narrow(row) || ragged(row) {
        row *= 2;
    }
    row
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
        // Each may be a round of two loops.
        MAX_POSITIONS / 2,
        most,
        &machine.tuning,
    )
    .unmerged(machine)
}
