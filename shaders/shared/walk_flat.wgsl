// needs: params
// A walk over words that hold two halves, whatever channels these are of: a lane's words lie whole periods apart,
// so that all have the same two channels.
struct Walker {
    address: u32,
}

fn walk(word: u32, period: u32) -> Walker {
    return Walker(params.base + period * params.channels + word);
}

fn next(walker: ptr<function, Walker>) -> u32 {
    let here = (*walker).address;
    (*walker).address += params.address_step;
    return here;
}
