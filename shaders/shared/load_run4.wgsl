// needs: params
// Four neighbours of one channel's run a load. Lengths, positions and addresses count loads.
alias Value = vec4<f32>;
alias ValueBits = vec4<u32>;
alias ValueFlag = vec4<bool>;
// A value for each channel that a load touches.
alias PerChannel = f32;
alias PerChannelBits = u32;
alias Flag = bool;
// Values of a channel in a load.
const VALUES = 4.0;

fn fold(v: Value) -> PerChannel {
    return (v.x + v.y) + (v.z + v.w);
}

fn first_of(v: Value) -> PerChannel {
    return v.x;
}

// Drivers that check the bounds of each word would keep all places from loads to stores, if they saw that these are
// the same.
fn places_to_store(at: vec4<u32>) -> vec4<u32> {
    return at ^ vec4(params.zero);
}
