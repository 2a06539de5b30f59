// needs: params, load, numerics
// The activation g of y = g(BN(x) + residual), and its slope.
override ACTIVATION: u32;

const RELU = 1u;
const LEAKY_RELU = 2u;
const SIGMOID = 3u;
const TANH = 4u;
const SILU = 5u;
const GELU = 6u;

// Exponentials are of what is not positive, so none overflows.
fn sigmoid(z: Value) -> Value {
    let e = exp(-abs(z));
    return select(e, Value(1.0), z >= Value(0.0)) / (1.0 + e);
}

// Near zero, where the quotient would cancel, the odd polynomial nearest to tanh up to 0.6: 9e-9 off.
fn tanh_of(z: Value) -> Value {
    let e = exp(-2.0 * abs(z));
    let far = sign(z) * ((1.0 - e) / (1.0 + e));
    let s = z * z;
    var p = Value(-0.00598451489);
    p = p * s + 0.0208678096;
    p = p * s - 0.0538034781;
    p = p * s + 0.13332132;
    p = p * s - 0.333333046;
    return select(far, z + z * s * p, abs(z) < Value(0.6));
}

// What is left of the normal distribution beyond |z|, erfc(|z|/√2)/2, and its density times √(2π).
struct Tail {
    beyond: Value,
    density: Value,
}

// erfc(t) = exp(−t²)·erfcx(t), and erfcx is a polynomial of 1/(1 + 0.38·t): 2e-8 off.
fn tail_of(z: Value) -> Tail {
    let t = abs(z) * 0.70710678;
    let u = 1.0 / (1.0 + 0.38 * t);
    var p = Value(0.0588743114);
    p = p * u - 0.26181028;
    p = p * u + 0.362838978;
    p = p * u - 0.160223709;
    p = p * u + 0.229118744;
    p = p * u + 0.139062262;
    p = p * u + 0.203793394;
    p = p * u + 0.213936452;
    p = p * u + 0.214409875;
    let density = exp(-t * t);
    return Tail(0.5 * density * (p * u), density);
}

// Φ(z), the normal distribution.
fn normal_below(z: Value, tail: Tail) -> Value {
    return select(1.0 - tail.beyond, tail.beyond, z < Value(0.0));
}

// NaN stays NaN: comparisons and maxima may lose it.
fn or_its_nan(result: Value, z: Value) -> Value {
    return select(z, result, is_number(z));
}

// By integers, which keep NaN of either sign: this far on, the bits of what is negative and no NaN are the
// largest.
fn relu(z: Value) -> Value {
    let bits = bitcast<ValueBits>(z);
    let stays = bits + ValueBits(0x007fffffu) < ValueBits(hidden(0x807fffffu));
    return bitcast<Value>(select(ValueBits(0u), bits, stays));
}

// A product or a sum with z is NaN where z is.
fn activate(z: Value) -> Value {
    switch (ACTIVATION) {
        case RELU: {
            return relu(z);
        }
        case LEAKY_RELU: {
            return z * select(Value(params.activation_a), Value(1.0), z > Value(0.0));
        }
        case SIGMOID: {
            return or_its_nan(sigmoid(z), z);
        }
        case TANH: {
            return or_its_nan(tanh_of(z), z);
        }
        case SILU: {
            return z * sigmoid(z);
        }
        case GELU: {
            return z * normal_below(z, tail_of(z));
        }
        default: {
            return z;
        }
    }
}

// dz = dy·g'(z): nothing at the kink of relu, its slope at leaky relu's, as in PyTorch. Through
// a closed relu nothing comes, infinity neither.
fn through_activation(dy: Value, z: Value) -> Value {
    if (ACTIVATION == RELU) {
        return or_its_nan(select(Value(0.0), dy, z > Value(0.0)), z);
    }
    return dy * activation_slope(z);
}

// dg/dz of the others.
fn activation_slope(z: Value) -> Value {
    switch (ACTIVATION) {
        case LEAKY_RELU: {
            return or_its_nan(select(Value(params.activation_a), Value(1.0), z > Value(0.0)), z);
        }
        case SIGMOID: {
            let s = sigmoid(z);
            return or_its_nan(s * sigmoid(-z), z);
        }
        case TANH: {
            let e = exp(-2.0 * abs(z));
            return or_its_nan(4.0 * e / ((1.0 + e) * (1.0 + e)), z);
        }
        case SILU: {
            let s = sigmoid(z);
            return s + z * (s * sigmoid(-z));
        }
        case GELU: {
            let tail = tail_of(z);
            return normal_below(z, tail) + z * (0.398942280 * tail.density);
        }
        default: {
            return Value(1.0);
        }
    }
}
