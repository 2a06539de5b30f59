// needs: walk, next4, write_four
// `out` over a lane's next words, which have the same two channels.
fn write_words(map: Map, lane: Lane, words: u32) {
    var walker = walk(lane.local, lane.first);
    var left = words;
    while (left >= 4u) {
        write_four(map, next4(&walker), 4u);
        left -= 4u;
    }
    if (left > 0u) {
        write_four(map, first_of4(next4(&walker), left), left);
    }
}
