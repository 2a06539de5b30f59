// needs: weights, weight_element
// The weight of a load of one value.
alias Weight = f32;
const LOAD = 1u;

fn weight_at(at: u32) -> Weight {
    return weights[weight_place(element_at(at))];
}

fn are_weights(weight: Weight) -> ValueFlag {
    return is_weight(weight);
}

fn are_something(weight: Weight) -> ValueFlag {
    return is_something(weight);
}

fn sum_of(weight: Weight) -> f32 {
    return weight;
}

// The heaviest value of the load, and the weights of its first and of that.
fn heaviest_of(value: Value, weight: Weight) -> PerChannel {
    return value;
}

fn first_weight(weight: Weight) -> f32 {
    return weight;
}

fn heaviest(weight: Weight) -> f32 {
    return weight;
}

// What is no weight counts as 1 beside the NaN that it makes.
fn sound(weight: Weight) -> Weight {
    return select(1.0, weight, is_weight(weight));
}
