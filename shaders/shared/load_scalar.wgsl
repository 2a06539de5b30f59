// One value a load.
alias Value = f32;
alias ValueBits = u32;
alias ValueFlag = bool;
// A value for each channel that a load touches.
alias PerChannel = f32;
alias PerChannelBits = u32;
alias Flag = bool;
// Values of a channel in a load.
const VALUES = 1.0;

fn fold(v: Value) -> PerChannel {
    return v;
}

fn first_of(v: Value) -> PerChannel {
    return v;
}

fn places_to_store(at: vec4<u32>) -> vec4<u32> {
    return at;
}
