// needs: lanes
// Partials folded in a fixed order: first a lane's own, then a workgroup's.

// A lane folds sixteen parts, then sixteen of those, and so on, so that no chain is longer than 16 as
// long as it folds at most 4,096 parts, and none than 32 up to 8,192.
struct Cascade {
    units: Partial,
    sixteens: Partial,
    rest: Partial,
    pushed: u32,
}

fn push(before: Cascade, part: Partial) -> Cascade {
    var cascade = before;
    cascade.units = merge(cascade.units, part);
    cascade.pushed += 1u;
    if ((cascade.pushed & 15u) == 0u) {
        cascade.sixteens = merge(cascade.sixteens, cascade.units);
        cascade.units = Partial();
    }
    if ((cascade.pushed & 255u) == 0u) {
        cascade.rest = merge(cascade.rest, cascade.sixteens);
        cascade.sixteens = Partial();
    }
    return cascade;
}

fn total(cascade: Cascade) -> Partial {
    return merge(cascade.rest, merge(cascade.sixteens, cascade.units));
}

var<workgroup> shared_partials: array<Partial, WORKGROUP>;

// Folds the first `slots` lanes of every channel as a tree and gives every lane of the channel the
// result. All lanes of the workgroup must call it, as often as they like; it is uniform in `slots`.
fn reduce(lane: Lane, part: Partial, slots: u32) -> Partial {
    var whole = part;
    // A lane that walks several channels is the only one to walk them.
    if (COLUMNS == 1u) {
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
        whole = shared_partials[min(lane.column, WORKGROUP - 1u)];
        // A second call overwrites what the last lanes have still to read.
        workgroupBarrier();
    }
    return whole;
}
