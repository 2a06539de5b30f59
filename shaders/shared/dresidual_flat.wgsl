// needs: element, flat
// Gradient of the residual, a word at a time, as in `out_flat`.
@group(0) @binding(11) var<storage, read_write> dresidual: array<Word>;

override DRESIDUAL: bool;

fn store_dresidual(at: u32, value: Mapped, finite: vec2<bool>) {
    if (DRESIDUAL) {
        var word = packed(value, finite);
        if (at_an_end(at)) {
            let own = own_bits(at);
            word = (dresidual[at] & ~own) | (word & own);
        }
        dresidual[at] = word;
    }
}
