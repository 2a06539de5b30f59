// needs: weights, weight_element
// The weights of a load of four neighbours.
alias Weight = vec4<f32>;
const LOAD = 4u;

// Of four neighbours that are alike to the weights, one place tells all four.
fn weight_at(at: u32) -> Weight {
    let element = element_at(at);
    let place = weight_place(element);
    if (has(WEIGHTS_APART)) {
        return vec4(
            weights[place],
            weights[weight_place(element + 1u)],
            weights[weight_place(element + 2u)],
            weights[weight_place(element + 3u)],
        );
    }
    let step = params.weight_step;
    return vec4(
        weights[place],
        weights[place + step],
        weights[place + 2u * step],
        weights[place + 3u * step],
    );
}

fn are_weights(weight: Weight) -> ValueFlag {
    return vec4(is_weight(weight.x), is_weight(weight.y), is_weight(weight.z), is_weight(weight.w));
}

fn are_something(weight: Weight) -> ValueFlag {
    return vec4(
        is_something(weight.x),
        is_something(weight.y),
        is_something(weight.z),
        is_something(weight.w),
    );
}

fn sum_of(weight: Weight) -> f32 {
    return (weight.x + weight.y) + (weight.z + weight.w);
}

// The heaviest value of the load, and the weights of its first and of that.
fn heaviest_of(value: Value, weight: Weight) -> PerChannel {
    let near = select(value.y, value.x, weight.x >= weight.y);
    let far = select(value.w, value.z, weight.z >= weight.w);
    return select(far, near, max(weight.x, weight.y) >= max(weight.z, weight.w));
}

fn first_weight(weight: Weight) -> f32 {
    return weight.x;
}

fn heaviest(weight: Weight) -> f32 {
    return max(max(weight.x, weight.y), max(weight.z, weight.w));
}

// What is no weight counts as 1 beside the NaN that it makes.
fn sound(weight: Weight) -> Weight {
    return select(vec4(1.0), weight, are_weights(weight));
}
