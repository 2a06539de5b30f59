// Partials folded in a fixed order: first a lane's own, then a workgroup's.

// A lane folds its partials in groups of 16, those in groups of 16, and so on, so that no chain is
// longer than 16 as long as it pushes at most 4,096.
struct Cascade {
    units: Partial,
    sixteens: Partial,
    rest: Partial,
    pushed: u32,
}

fn push(cascade: ptr<function, Cascade>, part: Partial) {
    (*cascade).units = merge((*cascade).units, part);
    (*cascade).pushed += 1u;
    if (((*cascade).pushed & 15u) == 0u) {
        (*cascade).sixteens = merge((*cascade).sixteens, (*cascade).units);
        (*cascade).units = Partial();
        if (((*cascade).pushed & 255u) == 0u) {
            (*cascade).rest = merge((*cascade).rest, (*cascade).sixteens);
            (*cascade).sixteens = Partial();
        }
    }
}

fn total(cascade: Cascade) -> Partial {
    return merge(cascade.rest, merge(cascade.sixteens, cascade.units));
}

var<workgroup> shared_partials: array<Partial, WORKGROUP>;

// Folds the first `slots` lanes of every channel as a tree and gives every lane of the channel the
// result. All lanes of the workgroup must call it; it is uniform in `slots`.
fn reduce(lane: Lane, part: Partial, slots: u32) -> Partial {
    let at = lane.slot * params.columns + lane.column;
    let takes_part = lane.live && lane.slot < slots;
    if (takes_part) {
        shared_partials[at] = part;
    }
    workgroupBarrier();
    var reach = 1u;
    while (reach < slots) {
        reach <<= 1u;
    }
    while (reach > 1u) {
        reach >>= 1u;
        if (takes_part && lane.slot < reach && lane.slot + reach < slots) {
            shared_partials[at] =
                merge(shared_partials[at], shared_partials[at + reach * params.columns]);
        }
        workgroupBarrier();
    }
    return shared_partials[min(lane.column, WORKGROUP - 1u)];
}
