//! Every element is visited exactly once.

use super::super::figures::Lane;
use super::super::machine::ALIGNMENT;
use super::*;

/// The addresses of `shaders/shared/walk_dense.wgsl`. Stepping past the end may wrap.
pub(super) fn dense_walk(
    piece: &Piece,
    grid: &Grid,
    lane: &Lane,
) -> impl Iterator<Item = u32> + use<> {
    let (channels, inner) = (piece.view.channels() as u32, piece.view.inner() as u32);
    let outer = lane.first / inner;
    let mut place = lane.first % inner;
    // A lane with nothing to do has an address that nobody reads.
    let mut address = (outer.wrapping_mul(channels).wrapping_add(lane.channel))
        .wrapping_mul(inner)
        .wrapping_add(place)
        .wrapping_add(piece.base as u32);
    let (step, inner_step, wrap) = (grid.address_step, grid.inner_step, grid.wrap_step);
    (0..lane.len).map(move |_| {
        let here = address;
        address = address.wrapping_add(step);
        place += inner_step;
        if place >= inner {
            place -= inner;
            address = address.wrapping_add(wrap);
        }
        here
    })
}

/// The addresses of `shaders/shared/walk_strided.wgsl`.
fn strided_walk(axes: &Axes, grid: &Grid, lane: &Lane) -> impl Iterator<Item = u32> + use<> {
    let address = |table: [[u32; 4]; AXES], mut rest: u32| -> u32 {
        let digits = table.into_iter().map(|[len, stride, ..]| {
            let digit = rest % len;
            rest /= len;
            digit * stride
        });
        digits.sum()
    };
    let (axes, rows, first) = (*axes, grid.rows, lane.first);
    let base = address(axes.kept, lane.channel);
    (0..lane.len).map(move |k| base + address(axes.reduced, first + k * rows))
}

/// Every element is visited exactly once, by a lane of its own channel; every partial is written
/// once, one lane speaks for each channel, and every workgroup lies in the dispatch.
pub(super) fn assert_covers(schedule: &Schedule, over: Over, channel_of: &dyn Fn(usize) -> usize) {
    let at = format!("{:?} {over:?}", schedule.view);
    if over.grids(schedule).is_empty() {
        return;
    }
    let channels = schedule.loads.channels();
    let elements = schedule.load_bytes() as usize / 4;
    let together = schedule.view.channels() / channels;
    let partials = match over {
        Over::Reduce => schedule.partials as usize,
        _ => 1,
    };
    let mut visits = vec![0u8; schedule.loads.len()];
    let mut written = vec![0u8; channels * partials];
    let mut spoken = vec![0u8; channels];
    for (piece, grid) in over.grids(schedule) {
        let workgroups = grid.groups * grid.splits;
        let [width, height] = grid.dispatch;
        assert!(workgroups <= width * height);
        assert_eq!(grid.workgroup % grid.team, 0);
        assert_eq!(grid.slots, grid.rows * (grid.workgroup / grid.team));
        assert!(grid.slots * grid.columns <= grid.workgroup);
        // `reduce` counts on it.
        assert!(grid.lane_columns == 1 || grid.slots == 1);
        for workgroup in 0..workgroups {
            for index in 0..grid.workgroup {
                let lane = Lane::locate(&piece, &grid, workgroup, index);
                // Registers have to hold all of it.
                assert!(grid.held == 0 || lane.len <= grid.held, "{at}");
                for k in 0..grid.lane_columns {
                    let beside = k * grid.columns;
                    let channel = piece.first_channel + (lane.channel + beside) as usize;
                    if lane.live && lane.slot == 0 {
                        let partial = (piece.first_partial + lane.split) as usize;
                        spoken[channel] += u8::from(partial == 0);
                        if let Over::Reduce = over {
                            written[channel * partials + partial] += 1;
                        }
                    }
                    let mut visit = |address: u32| {
                        let address = piece.binding_start() + (address + beside) as usize;
                        let of = channel_of(address * elements) / together;
                        assert_eq!(of, channel, "{at}");
                        visits[address] += 1;
                    };
                    match &schedule.axes {
                        None => dense_walk(&piece, &grid, &lane).for_each(&mut visit),
                        Some(axes) => strided_walk(axes, &grid, &lane).for_each(&mut visit),
                    }
                }
            }
        }
    }
    assert!(visits.iter().all(|&n| n == 1), "{at}");
    let each = u8::from(matches!(over, Over::Reduce));
    assert!(written.iter().all(|&n| n == each), "{at}");
    assert!(spoken.iter().all(|&n| n == 1), "{at}");
}

/// Flat maps visit each half once, as that of its own channel: `columns/flat/map.wgsl`, what it calls of
/// `shared/flat.wgsl`, and `walk_flat.wgsl`. Says how many words of a lane shared what it knows of its channels at most.
fn assert_covers_by_words(schedule: &Schedule, channel_of: &dyn Fn(usize) -> usize) -> usize {
    let mut visits = vec![0u8; schedule.view.len()];
    let mut most = 0;
    assert_eq!(schedule.flat.len(), schedule.pieces.len());
    for (words, piece) in schedule.flat.iter().zip(&schedule.pieces) {
        let (grid, flat) = (words.map, words.flat.unwrap());
        let row = words.view.channels();
        let channel_before = |before: usize| match &schedule.axes {
            None => words.first_channel + before % flat.period / flat.inner,
            Some(axes) => kept_channel(axes, before % flat.period),
        };
        let mut visit = |word: usize, channels: [usize; 2]| {
            assert!(words.base + word < words.binding_len());
            for (half, channel) in channels.into_iter().enumerate() {
                // What is read for halves of somebody else is a channel too.
                assert!(channel < schedule.view.channels());
                let at = word * 2 + half;
                if at >= flat.skip && at < flat.end {
                    let in_tensor = piece.start + at - flat.skip;
                    assert_eq!(words.start * 2 + at, in_tensor);
                    assert_eq!(channel, channel_of(in_tensor), "{:?}", schedule.view);
                    visits[in_tensor] += 1;
                }
            }
        };
        for workgroup in 0..grid.groups * grid.splits {
            for index in 0..grid.workgroup {
                let lane = Lane::locate(words, &grid, workgroup, index);
                let word_at = |row_of: u32| row_of as usize * row + lane.channel as usize;
                let (mut first, mut len) = (lane.first, lane.len);
                let last = first + (len.max(1) - 1) * grid.rows;
                len -= u32::from(len > 0 && word_at(last) * 2 >= flat.end);
                while len > 0 {
                    let before = word_at(first) * 2 + flat.period - flat.skip;
                    let halves = flat.inner - before % flat.inner;
                    let run = (halves / 2).div_ceil(grid.address_step as usize) as u32;
                    let alike = match (2 * row).is_multiple_of(flat.period) {
                        true => len,
                        false => run.clamp(1, len),
                    };
                    most = most.max(alike as usize);
                    let channels = [before, before + 1].map(channel_before);
                    for k in 0..alike {
                        let walked = word_at(lane.first) + (first - lane.first) as usize * row;
                        visit(walked + (k * grid.address_step) as usize, channels);
                    }
                    first += alike * grid.rows;
                    len -= alike;
                }
            }
        }
    }
    assert!(visits.iter().all(|&n| n == 1), "{:?}", schedule.view);
    most
}

/// `shaders/shared/flat_channel_strided.wgsl`.
fn kept_channel(axes: &Axes, at: usize) -> usize {
    let (mut channel, mut size) = (0, 1);
    for [len, stride, ..] in axes.kept.map(|axis| axis.map(|n| n as usize)) {
        if len > 1 {
            channel += at / stride % len * size;
            size *= len;
        }
    }
    channel
}

#[test]
fn flat_maps_visit_every_half_once() {
    let mut cut = 0;
    for tuning in tunings() {
        for max_binding_bytes in [1 << 13, 50_000, 1 << 18, 1 << 27] {
            let machine = Machine {
                max_binding_bytes,
                ..machine(tuning)
            };
            for view in views() {
                let Ok(schedule) = super::super::plan_dense(view, Element::F16, &LAYER, &machine)
                else {
                    continue;
                };
                if schedule.load != Load::Scalar {
                    assert!(schedule.flat.is_empty());
                    continue;
                }
                let alike = assert_covers_by_words(&schedule, &|index| view.channel_of(index));
                if schedule.pieces.len() == 1 && view.len() > 100_000 && view.inner() > 10_000 {
                    assert!(alike >= 4, "{view:?}: {alike}");
                }
                let odd = |piece: &Piece| piece.flat.is_some_and(|flat| flat.skip == 1);
                cut += usize::from(schedule.flat.iter().any(odd));
            }
        }
    }
    // Pieces that start within a word.
    assert!(cut > 20, "{cut}");
}

#[test]
fn dense_grids_visit_every_element_once() {
    for tuning in tunings() {
        for view in views() {
            let schedule = plan_dense(view, &machine(tuning)).unwrap();
            assert_eq!(schedule.pieces.len(), 1);
            for over in DISPATCHES {
                assert_covers(&schedule, over, &|index| view.channel_of(index));
            }
        }
    }
}

#[test]
fn pieces_visit_every_element_once_and_fit_their_bindings() {
    let mut cut = 0;
    for tuning in tunings() {
        for max_binding_bytes in [1 << 13, 50_000, 1 << 18] {
            let machine = Machine {
                max_binding_bytes,
                ..machine(tuning)
            };
            for view in views() {
                let Ok(schedule) = plan_dense(view, &machine) else {
                    // Statistics or partials of so many channels in so many pieces do not fit.
                    let pieces = view.len() as u64 * 4 / max_binding_bytes + 1;
                    assert!(view.channels() as u64 * 64 * pieces > max_binding_bytes);
                    continue;
                };
                cut += usize::from(schedule.pieces.len() > 1);
                for piece in &schedule.pieces {
                    let load = schedule.load_bytes() as usize;
                    let bytes = piece.binding_len() * load;
                    assert!(bytes as u64 <= max_binding_bytes, "{view:?} {piece:?}");
                    assert_eq!(piece.binding_start() * load % ALIGNMENT, 0);
                    let end = piece.binding_start() + piece.binding_len();
                    assert!(end <= schedule.loads.len());
                }
                assert!(schedule.workspace_bytes() <= max_binding_bytes);
                for over in DISPATCHES {
                    assert_covers(&schedule, over, &|index| view.channel_of(index));
                }
            }
        }
    }
    assert!(cut > 150, "{cut}");
}

#[test]
fn strided_grids_visit_every_element_once() {
    let shapes: [&[usize]; 8] = [
        &[2; 2 * AXES],
        &[3, 5, 7],
        &[2, 3, 4, 5],
        &[2, 3, 2, 3, 2, 3, 2, 3],
        &[1, 3000, 2, 7],
        &[40, 2, 221],
        &[257, 3, 2, 9],
        &[5, 1, 1, 64],
    ];
    for tuning in tunings() {
        for shape in shapes {
            for first_kept in [true, false] {
                let (view, axes, innermost) = alternating(shape, first_kept);
                // The channel of an element: its digits along kept axes.
                let channel_of = |index: usize| {
                    let (mut rest, mut channel, mut weight) = (index, 0, 1);
                    for (k, len) in shape.iter().enumerate().rev() {
                        if k.is_multiple_of(2) == first_kept {
                            channel += rest % len * weight;
                            weight *= len;
                        }
                        rest /= len;
                    }
                    channel
                };
                let schedule = plan_strided(view, axes, innermost, &machine(tuning)).unwrap();
                for over in DISPATCHES {
                    assert_covers(&schedule, over, &channel_of);
                }
                let (half, machine) = (Element::Bf16, machine(tuning));
                let by_words =
                    super::super::plan_strided(view, half, axes, innermost, &MOMENTS, &machine);
                assert_covers_by_words(&by_words.unwrap(), &channel_of);
            }
        }
    }
}

/// Lanes at the edges of the grid walk what 64-bit arithmetic gives them, through every address,
/// to the end.
pub(super) fn assert_lanes_are_where_they_should(
    schedule: &Schedule,
    piece: &Piece,
    grid: &Grid,
    over: Over,
) {
    let (view, wide) = (&piece.view, |n: u32| n as usize);
    let (last_group, last_split) = (grid.groups - 1, grid.splits - 1);
    for group in [0, grid.groups / 2, last_group] {
        for split in [0, grid.splits / 2, last_split] {
            for index in [0, grid.workgroup / 2, grid.workgroup - 1] {
                let at = format!("{view:?} {over:?} {grid:?} {group} {split} {index}");
                let lane = Lane::locate(piece, grid, group * grid.splits + split, index);
                let (team, in_team) = (wide(index / grid.team), wide(index % grid.team));
                let teams = wide(grid.workgroup / grid.team);
                let start = (wide(split) * teams + team) * wide(grid.span);
                let end = view.count().min(start + wide(grid.span));
                let (adjacent, columns) = (wide(grid.adjacent), wide(grid.columns));
                let row = in_team / (adjacent * columns) * adjacent + in_team % adjacent;
                let first = start + row;
                assert_eq!(wide(lane.first), first, "{at}");
                if lane.live {
                    let positions = (first..end).step_by(wide(grid.rows));
                    assert_eq!(wide(lane.len), positions.len(), "{at}");
                }
                if matches!(over, Over::Merge) {
                    // Of the tensor, which no binding has to hold, it reads nothing.
                    continue;
                }
                for (k, address) in dense_walk(piece, grid, &lane).enumerate() {
                    let (channel, position) = (wide(lane.channel), first + k * wide(grid.rows));
                    let run = position / view.inner() * view.channels() + channel;
                    let expected = piece.base + run * view.inner() + position % view.inner();
                    assert_eq!(wide(address), expected, "{at}");
                    let element = piece.binding_start() + expected;
                    let of = schedule.loads.channel_of(element);
                    assert_eq!(of, piece.first_channel + channel, "{at}");
                }
            }
        }
    }
}
