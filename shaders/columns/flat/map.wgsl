// needs: flat, stretch
// A kernel that maps words, of whatever channels they are.
fn run(lane: Lane) {
    var here = within(lane);
    while (here.len > 0u) {
        let low = before(word_of_lane(here));
        let map = Map(map_of(flat_channel(low)), map_of(flat_channel(low + 1u)));
        let words = alike(here);
        write_words(map, here, words);
        here.first += words * params.rows;
        here.len -= words;
    }
}
