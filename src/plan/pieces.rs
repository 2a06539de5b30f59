//! From a tensor to pieces that one binding holds.

use super::grid::Grid;
use super::machine::{ALIGNMENT, Machine};
use crate::shape::View;

/// A part of a tensor that one binding holds, itself a dense view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Piece {
    /// Its first element in the tensor.
    pub start: usize,
    /// Its first element in its binding, which has to start at a multiple of so many.
    pub base: usize,
    /// Its view.
    pub view: View,
    /// Its first channel among all.
    pub first_channel: usize,
    /// Which of its channels' partials are its own: the first.
    pub first_partial: u32,
    /// First dispatches: they reduce the piece to partials.
    pub reduce: Grid,
    /// Dispatches that merge those partials and write a tensor.
    pub map: Grid,
    /// Dispatches that write a tensor and have nothing to merge.
    pub apply: Grid,
    /// What it is to flat maps, where it counts words.
    pub flat: Option<Flat>,
}

/// A piece's halves, as flat maps see them; the fields mean what `Params` in the shaders says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flat {
    /// Halves of a run.
    pub inner: usize,
    /// Halves after which channels repeat: all, where axes alternate.
    pub period: usize,
    /// Halves of the first word that are not the piece's.
    pub skip: usize,
    /// Where the piece ends, counted from the start of its first word.
    pub end: usize,
}

impl Piece {
    /// A piece without its grids; `index` counts the pieces that share its channels.
    pub(super) fn new(
        start: usize,
        view: View,
        first_channel: usize,
        index: usize,
        load_bytes: u64,
    ) -> Self {
        let base = start % (ALIGNMENT / load_bytes as usize);
        Self {
            start,
            base,
            view,
            first_channel,
            first_partial: index as u32,
            reduce: Grid::default(),
            map: Grid::default(),
            apply: Grid::default(),
            flat: None,
        }
    }

    /// The binding's first element: the piece's, less what its offset has to be rounded down.
    pub(crate) fn binding_start(&self) -> usize {
        self.start - self.base
    }

    /// Elements of the binding.
    pub(crate) fn binding_len(&self) -> usize {
        self.base + self.len()
    }

    /// Elements of the piece. The last period of a flat one may have fewer than its view.
    pub(crate) fn len(&self) -> usize {
        match self.flat {
            Some(flat) => flat.end.div_ceil(2),
            None => self.view.len(),
        }
    }
}

/// Cuts a tensor into pieces that one binding holds, and that one dispatch walks in the time that drivers give it:
/// along the outer axis, or, where one outer index is larger than that, between channels, or, where one run is,
/// inside it. Lengths are in loads of so many bytes.
pub(super) fn cut_to_bindings(view: &View, load_bytes: u64, machine: &Machine) -> Vec<Piece> {
    let (outer, channels, inner) = view.lengths();
    let (_, bytes) = machine.piece_bytes();
    if (view.len() as u64 * load_bytes).next_multiple_of(4) <= bytes {
        return vec![Piece::new(0, *view, 0, 0, load_bytes)];
    }
    let most = (bytes as usize).saturating_sub(ALIGNMENT) / load_bytes as usize;
    let most = most.max(1);
    let view = View::of_lengths;
    let slab = channels * inner;
    let mut pieces = Vec::new();
    if slab <= most {
        for (k, (o, len)) in ranges(outer, most / slab).enumerate() {
            pieces.push(Piece::new(
                o * slab,
                view(len, channels, inner),
                0,
                k,
                load_bytes,
            ));
        }
    } else if inner <= most {
        for o in 0..outer {
            for (c, len) in ranges(channels, most / inner) {
                pieces.push(Piece::new(
                    o * slab + c * inner,
                    view(1, len, inner),
                    c,
                    o,
                    load_bytes,
                ));
            }
        }
    } else {
        let cuts = inner.div_ceil(most);
        for run in 0..outer * channels {
            for (k, (i, len)) in ranges(inner, most).enumerate() {
                let (o, c) = (run / channels, run % channels);
                pieces.push(Piece::new(
                    run * inner + i,
                    view(1, 1, len),
                    c,
                    o * cuts + k,
                    load_bytes,
                ));
            }
        }
    }
    pieces
}

/// `0..len` in as few parts of at most `most` as there can be: start and length of each. They are equally
/// long but for the last, which may be shorter by less than one for each part: however little was left, it
/// would leave as many partials as the largest.
pub(super) fn ranges(len: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let part = len.div_ceil(len.div_ceil(most));
    let starts = (0..len).step_by(part);
    starts.map(move |start| (start, part.min(len - start)))
}
