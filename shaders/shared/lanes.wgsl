// needs: params
// Which channel and which of its positions a lane walks.
//
// A workgroup serves `columns` neighbouring channels and one split of their positions. It is cut
// into teams; a team's lanes read one contiguous stream: `columns` channels side by side, `rows`
// positions at a time. How many adjacent lanes walk one channel says what lies side by side in memory: a
// value of each channel, a short run of each, or no other channel at all.
struct Lane {
    // Among all channels, and among the piece's.
    channel: u32,
    local: u32,
    // False for lanes left over in a team and for channels past the last.
    live: bool,
    column: u32,
    // Index among the workgroup's lanes of this channel.
    slot: u32,
    split: u32,
    first: u32,
    // Positions to walk, `rows` apart.
    len: u32,
}

fn locate(workgroup: u32, index: u32) -> Lane {
    let team = index / params.team;
    let in_team = index % params.team;
    let across = in_team / params.adjacent;
    let row = (across / params.columns) * params.adjacent + in_team % params.adjacent;
    var lane: Lane;
    lane.column = across % params.columns;
    lane.split = workgroup % params.splits;
    let channel = (workgroup / params.splits) * (params.columns * COLUMNS) + lane.column;
    lane.live = row < params.rows && lane.column < params.columns && channel < params.channels;
    lane.local = min(channel, params.channels - 1u);
    lane.channel = params.first_channel + lane.local;
    lane.slot = team * params.rows + row;

    let start = (lane.split * (WORKGROUP / params.team) + team) * params.span;
    let end = min(start + params.span, params.count);
    lane.first = start + row;
    lane.len = 0u;
    if (lane.live && lane.first < end) {
        lane.len = (end - lane.first + params.rows - 1u) / params.rows;
    }
    return lane;
}

// Rounds of four positions in which a lane walks all that it may have to. The same for all lanes, and drivers
// see that: where lanes leave a loop one by one, some hold what the loop hands on twice.
fn rounds() -> u32 {
    let positions = (params.span + params.rows - 1u) / params.rows;
    return (positions + 3u) / 4u;
}

// The lane at the k-th of its columns: a lane may walk COLUMNS channels, `columns` apart.
fn column(lane: Lane, k: u32) -> Lane {
    var here = lane;
    here.channel += k * params.columns;
    here.local += k * params.columns;
    return here;
}

// Where the workgroup's partial of the lane's channel lies.
fn partial_of(lane: Lane) -> u32 {
    return lane.channel * params.partials + params.first_partial + lane.split;
}

// Whether the lane is the one that writes what there is one of a channel.
fn speaks(lane: Lane) -> bool {
    return lane.live && lane.slot == 0u && lane.split == 0u && params.first_partial == 0u;
}
