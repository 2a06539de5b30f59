// y over the lane's positions.
fn apply(lane: Lane, statistics: ptr<function, array<Statistics, COLUMNS>>) {
    var walker = walk(lane.local, lane.first);
    var left = lane.len;
    if (COLUMNS == 1u) {
        let s = (*statistics)[0];
        // All loads before all stores: x and y might overlap for all a compiler knows.
        for (; left >= 4u; left -= 4u) {
            let at = next4(&walker);
            let a = x_at(at.x);
            let b = x_at(at.y);
            let c = x_at(at.z);
            let d = x_at(at.w);
            let ya = y_of(at.x, a, s);
            let yb = y_of(at.y, b, s);
            let yc = y_of(at.z, c, s);
            let yd = y_of(at.w, d, s);
            store(at.x, ya, s.finite);
            store(at.y, yb, s.finite);
            store(at.z, yc, s.finite);
            store(at.w, yd, s.finite);
        }
    }
    for (; left > 0u; left--) {
        let at = next(&walker);
        for (var k = 0u; k < COLUMNS; k++) {
            let here = at + k * params.columns;
            store(here, y_of(here, x_at(here), (*statistics)[k]), (*statistics)[k].finite);
        }
    }
}
