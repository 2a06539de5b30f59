// needs: params, load, numerics
// The activation g of y = g(BN(x) + residual), and its slope.
override ACTIVATION: u32;

const RELU = 1u;
const LEAKY_RELU = 2u;
const SIGMOID = 3u;
const TANH = 4u;
const SILU = 5u;
const GELU = 6u;
const HARD_TANH = 7u;
const HARD_SIGMOID = 8u;
const HARD_SWISH = 9u;
const ELU = 10u;
const SOFTPLUS = 11u;
const GELU_TANH = 12u;

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

// e^z − 1 of what is not positive. Near zero, where the difference would cancel, a polynomial: 1e-8 off.
fn exp_less_1(z: Value) -> Value {
    var p = Value(0.0010301338);
    p = p * z + 0.00806245673;
    p = p * z + 0.0415693521;
    p = p * z + 0.166650593;
    p = p * z + 0.499999017;
    p = p * z + 1.0;
    return select(exp(z) - 1.0, z * p, z > Value(-0.7));
}

// ln(1 + e) of 0 to 1, as 2·artanh(e/(2 + e)) by a polynomial: 4e-9 off.
fn log_of_1_and(e: Value) -> Value {
    let q = e / (2.0 + e);
    let s = q * q;
    var p = Value(0.140891626);
    p = p * s + 0.139803022;
    p = p * s + 0.200124547;
    p = p * s + 0.333331585;
    p = p * s + 1.0;
    return 2.0 * q * p;
}

// From 0 to 1 between −3 and 3.
fn hard_sigmoid(z: Value) -> Value {
    return clamp((z + 3.0) * (1.0 / 6.0), Value(0.0), Value(1.0));
}

// Twice what gelu takes the tanh of, so that (1 + tanh)/2 is its sigmoid; beyond 16 nothing changes, and no cube
// overflows.
fn gelu_inner(z: Value) -> Value {
    let near = clamp(z, Value(-16.0), Value(16.0));
    return 1.59576912 * (near + 0.044715 * (near * near * near));
}

fn gelu_inner_slope(z: Value) -> Value {
    let near = clamp(z, Value(-16.0), Value(16.0));
    return 1.59576912 * (1.0 + 0.134145 * (near * near));
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
        case HARD_TANH: {
            return or_its_nan(clamp(z, Value(params.activation_a), Value(params.activation_b)), z);
        }
        case HARD_SIGMOID: {
            return or_its_nan(hard_sigmoid(z), z);
        }
        case HARD_SWISH: {
            return z * hard_sigmoid(z);
        }
        case ELU: {
            let below = params.activation_a * exp_less_1(min(z, Value(0.0)));
            return or_its_nan(select(below, z, z > Value(0.0)), z);
        }
        case SOFTPLUS: {
            return or_its_nan(max(z, Value(0.0)) + log_of_1_and(exp(-abs(z))), z);
        }
        case GELU_TANH: {
            return z * sigmoid(gelu_inner(z));
        }
        default: {
            return z;
        }
    }
}

// What comes through where it is open: otherwise nothing does, infinity neither.
fn if_open(dz: Value, open: ValueFlag, z: Value) -> Value {
    return or_its_nan(select(Value(0.0), dz, open), z);
}

// dz = dy·g'(z), at kinks as in PyTorch: relu and the hard ones are closed there (but hard swish at 3), and leaky
// relu and elu have the slope of their negative side.
fn through_activation(dy: Value, z: Value) -> Value {
    switch (ACTIVATION) {
        case RELU: {
            return if_open(dy, z > Value(0.0), z);
        }
        case HARD_TANH: {
            let open = (z > Value(params.activation_a)) & (z < Value(params.activation_b));
            return if_open(dy, open, z);
        }
        case HARD_SIGMOID: {
            return if_open(dy * (1.0 / 6.0), abs(z) < Value(3.0), z);
        }
        case HARD_SWISH: {
            let slope = select(z * (1.0 / 3.0) + 0.5, Value(1.0), z >= Value(3.0));
            return if_open(dy * slope, z > Value(-3.0), z);
        }
        default: {
            return dy * activation_slope(z);
        }
    }
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
        case ELU: {
            let below = params.activation_a * exp(min(z, Value(0.0)));
            return or_its_nan(select(below, Value(1.0), z > Value(0.0)), z);
        }
        case SOFTPLUS: {
            return or_its_nan(sigmoid(z), z);
        }
        case GELU_TANH: {
            let inner = gelu_inner(z);
            let s = sigmoid(inner);
            return s + z * ((s * sigmoid(-inner)) * gelu_inner_slope(z));
        }
        default: {
            return Value(1.0);
        }
    }
}
