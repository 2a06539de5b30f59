// What one dispatch is told. Mirrored by `src/operation/params.rs`; a test compares the layouts.
//
// A dispatch sees one piece of the tensor, itself a dense (outer, channels, inner) view: all of it
// where one binding holds it.
struct Params {
    // Channels of the piece.
    channels: u32,
    // Contiguous values of one channel.
    inner: u32,
    // Values per channel of the piece.
    count: u32,
    // Where the piece starts in its binding.
    base: u32,
    // The piece's first channel among all C.
    first_channel: u32,
    all_channels: u32,
    // Values per channel behind the statistics, m.
    total: f32,
    // Lanes that share a contiguous stream, and the channels side by side in it.
    team: u32,
    columns: u32,
    // Lanes of a team that walk the same channel, and how many of them are adjacent.
    rows: u32,
    adjacent: u32,
    // Lanes of a workgroup that walk the same channel.
    slots: u32,
    // Groups of `columns` channels, and workgroups to each.
    groups: u32,
    splits: u32,
    // Positions of a channel that one team walks.
    span: u32,
    // What a lane adds to its address and its place in a run to go `rows` positions on,
    // and what it adds to the address when that leaves the run.
    address_step: u32,
    inner_step: u32,
    wrap_step: u32,
    // Partials per channel of the whole tensor, and the first that is this piece's.
    partials: u32,
    first_partial: u32,
    // Where the partials to merge start in scratch: behind others where these were folded to one a channel.
    partials_start: u32,
    flags: u32,
    // Always 0, unknown to the compiler: see `hidden`.
    zero: u32,
    eps: f32,
    momentum: f32,
    // m/(m-1) where the running variance is unbiased, else 1.
    correction: f32,
    // Values per channel behind given moments.
    given_total: f32,
    // The activation's two numbers: a slope, or the ends of a hard tanh.
    activation_a: f32,
    activation_b: f32,
    // Of a flat map: values after which channels repeat; values before the first, which are not the piece's; and where
    // it ends, counted with these.
    period: u32,
    skip: u32,
    end: u32,
    // Of an image: its width, and the texels of x and y that it begins at: x in the lower half, y in the upper.
    width: u32,
    x_origin: u32,
    y_origin: u32,
    // Of a tensor of an image: from a texel to the next, and from a channel to the next.
    texel_step: u32,
    channel_step: u32,
    // Of weights: the tensor's element at address 0, how many axes they have, and from one weight to the next within a load
    // along a run.
    weights_first: u32,
    weight_axes: u32,
    weight_step: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

const HAS_WEIGHT = 1u;
const HAS_BIAS = 2u;
const HAS_RUNNING = 4u;
const CUMULATIVE = 8u;
const SKIP_NON_FINITE = 16u;
const HAS_GRADS = 32u;
const ACCUMULATE = 64u;
const HAS_DX = 128u;
// The statistics are rows of pivot, offset and m2 instead of mean and variance.
const FROM_MOMENTS = 256u;
// The sums of backward are given as gradients.
const FROM_SUMS = 512u;
// An image's alpha is copied.
const KEEP_ALPHA = 1024u;
// The dispatch's first workgroup takes the last one's work, and so on.
const REVERSED = 2048u;
// What is merged is left behind the partials, for a pass over the tensor.
const FOLDS = 4096u;
// Statistics are of an image's luminance alone.
const LUMINANCE = 8192u;
// A tensor of an image has an alpha.
const HAS_ALPHA = 16384u;
// Statistics are running ones, and stay so.
const FROM_RUNNING = 32768u;
// Where the weight is 0 there is padding.
const ZERO_OUTSIDE = 65536u;
// A load along a run has weights that lie apart.
const WEIGHTS_APART = 131072u;
// Running statistics take the unbiased variance.
const UNBIASED = 262144u;
// Moments have the biased variance in place of the sum of squares.
const PER_WEIGHT = 524288u;

fn has(flag: u32) -> bool {
    return (params.flags & flag) != 0u;
}

override WORKGROUP: u32;
