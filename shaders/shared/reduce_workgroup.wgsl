// needs: lanes
// Partials folded in a fixed order: first a lane's own, then a workgroup's.

// A lane folds sixteen parts, then sixteen of those, and so on, so that no chain is longer than 16 as
// long as it folds at most 4,096 parts, and none than 32 up to 8,192.
struct Cascade {
    units: Partial,
    // Of a lane that walks several channels. One that walks one keeps it in workgroup memory, at its own place.
    sixteens: Partial,
    rest: Partial,
    pushed: u32,
}

var<workgroup> shared_partials: array<Partial, WORKGROUP>;

// Where the lane, if it is live, keeps a partial in workgroup memory.
fn place_in_workgroup(lane: Lane) -> u32 {
    return lane.slot * params.columns + lane.column;
}

fn sixteens_of(cascade: Cascade, pushed: u32, lane: Lane) -> Partial {
    var sixteens = cascade.sixteens;
    if (COLUMNS == 1u && (pushed & 0xf0u) != 0u) {
        sixteens = shared_partials[place_in_workgroup(lane)];
    }
    return sixteens;
}

// Only live lanes push.
fn push(before: Cascade, part: Partial, lane: Lane) -> Cascade {
    var cascade = before;
    cascade.units = merge(cascade.units, part);
    cascade.pushed += 1u;
    if ((cascade.pushed & 15u) == 0u) {
        var sixteens = merge(sixteens_of(cascade, cascade.pushed - 16u, lane), cascade.units);
        cascade.units = Partial();
        if ((cascade.pushed & 255u) == 0u) {
            cascade.rest = merge(cascade.rest, sixteens);
            sixteens = Partial();
        }
        if (COLUMNS == 1u) {
            shared_partials[place_in_workgroup(lane)] = sixteens;
        } else {
            cascade.sixteens = sixteens;
        }
    }
    return cascade;
}

fn total(cascade: Cascade, lane: Lane) -> Partial {
    return merge(cascade.rest, merge(sixteens_of(cascade, cascade.pushed, lane), cascade.units));
}

// Folds the first `slots` lanes of every channel as a tree and gives every lane of the channel the
// result. All lanes of the workgroup must call it, as often as they like; it is uniform in `slots`.
fn reduce(lane: Lane, part: Partial, slots: u32) -> Partial {
    var whole = part;
    // A lane that walks several channels is the only one to walk them.
    if (COLUMNS == 1u) {
        let at = place_in_workgroup(lane);
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
