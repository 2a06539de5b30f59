//! What compilers of real GPUs may do to a shader, though no driver here does it: held to the shaders'
//! text, as naga reads it. The last test runs: it needs no other driver.

use naga::{
    AddressSpace, Barrier, BinaryOperator, Block, Expression, Function, Handle, Literal,
    MathFunction, Module, ScalarKind, Statement, TypeInner,
};
use wgpu_batchnorm::internals::shaders::{
    Conversion, Kernel, Variant, proof_source, render_source,
};
use wgpu_batchnorm::wgpu;

use super::shaders::parsed;
use testkit::gpu::gpu;

/// Label and text of every shader.
fn sources() -> impl Iterator<Item = (String, String)> {
    let variants = Variant::all().into_iter();
    let kernels = variants.map(|variant| (variant.label(), variant.source()));
    let render = Conversion::ALL.map(|to| (format!("render {to:?}"), render_source(to)));
    let proof = [("proof_f16".to_owned(), proof_source())];
    kernels.chain(render).chain(proof)
}

/// Every statement of a block and of the blocks within it.
fn statements<'a>(block: &'a Block, visit: &mut impl FnMut(&'a Statement)) {
    for statement in block {
        visit(statement);
        match statement {
            Statement::Block(block) => statements(block, visit),
            Statement::If { accept, reject, .. } => {
                statements(accept, visit);
                statements(reject, visit);
            }
            Statement::Switch { cases, .. } => {
                cases.iter().for_each(|case| statements(&case.body, visit));
            }
            Statement::Loop {
                body, continuing, ..
            } => {
                statements(body, visit);
                statements(continuing, visit);
            }
            _ => {}
        }
    }
}

/// Whether the expression is `params.zero`, or a vector of it.
fn is_zero(module: &Module, function: &Function, expression: Handle<Expression>) -> bool {
    match function.expressions[expression] {
        Expression::Splat { value, .. } => is_zero(module, function, value),
        // `u32(x)` of what is a u32.
        Expression::As { expr, convert, .. } => {
            convert.is_some() && is_zero(module, function, expr)
        }
        Expression::Load { pointer } => is_zero(module, function, pointer),
        Expression::AccessIndex { base, index } => {
            let Expression::GlobalVariable(global) = function.expressions[base] else {
                return false;
            };
            let global = &module.global_variables[global];
            let TypeInner::Struct { members, .. } = &module.types[global.ty].inner else {
                return false;
            };
            let name = members[index as usize].name.as_deref();
            global.space == AddressSpace::Uniform && name == Some("zero")
        }
        _ => false,
    }
}

/// Whether the expression is a call of this function, or a vector of it.
fn is_call(module: &Module, function: &Function, expression: Handle<Expression>, of: &str) -> bool {
    match function.expressions[expression] {
        Expression::Splat { value, .. } => is_call(module, function, value, of),
        Expression::As { expr, convert, .. } => {
            convert.is_some() && is_call(module, function, expr, of)
        }
        Expression::CallResult(called) => module.functions[called].name.as_deref() == Some(of),
        _ => false,
    }
}

/// Whether the expression is a number in the text, or a vector of it.
fn literal(function: &Function, expression: Handle<Expression>) -> Option<u32> {
    match function.expressions[expression] {
        Expression::Splat { value, .. } => literal(function, value),
        Expression::As { expr, .. } => literal(function, expr),
        Expression::Literal(Literal::U32(bits)) => Some(bits),
        _ => None,
    }
}

/// `params.zero` is of use only where it is exclusive-or'ed: of `bits | zero` a compiler knows every bit
/// that is set in `bits`, and so that `0x7fc00000 | zero` is a NaN.
#[test]
fn no_nan_can_be_seen() {
    for (label, source) in sources() {
        let (module, _) = parsed(&label, &source);
        let mut hides = 0;
        for (_, function) in module.functions.iter() {
            let name = function.name.as_deref().unwrap_or_default();
            let zero = |expression| is_zero(&module, function, expression);
            for (_, expression) in function.expressions.iter() {
                if let Expression::Binary { op, left, right } = *expression
                    && (zero(left) || zero(right))
                {
                    assert_eq!(op, BinaryOperator::ExclusiveOr, "{label}: {name}");
                    hides += usize::from(name == "hidden");
                }
                // Numbers that are a NaN's bits are masks or arguments of `hidden`.
                let quiet = matches!(expression, Expression::Literal(Literal::U32(0x7fc0_0000)));
                assert!(!quiet || name == "nan_bits", "{label}: {name}");
            }
        }
        // A kernel that only adds asks for no NaN, and has none of this.
        assert_eq!(hides, usize::from(source.contains("fn hidden(")), "{label}");
    }
}

/// The bits of a float behind a mask are recognized as the question whether it is NaN or infinite,
/// which compilers with fast math assume not to be: where they know the mask. Two functions ask, and
/// their masks are [`hidden`](no_nan_can_be_seen).
#[test]
fn questions_are_hidden() {
    for (label, source) in sources() {
        let (module, info) = parsed(&label, &source);
        for (handle, function) in module.functions.iter() {
            let name = function.name.as_deref().unwrap_or_default();
            let asks = name == "is_finite" || name == "is_number";
            let bits = |expression: Handle<Expression>| {
                let Expression::As {
                    expr,
                    kind: ScalarKind::Uint,
                    convert: None,
                } = function.expressions[expression]
                else {
                    return false;
                };
                let ty = info[handle][expr].ty.inner_with(&module.types);
                ty.scalar_kind() == Some(ScalarKind::Float)
            };
            let hidden = |expression| is_call(&module, function, expression, "hidden");
            for (_, expression) in function.expressions.iter() {
                let Expression::Binary { op, left, right } = *expression else {
                    continue;
                };
                let masked = op == BinaryOperator::And && (bits(left) || bits(right));
                assert!(!masked || hidden(right), "{label}: {name}: a known mask");
                let infinite = literal(function, right) == Some(0x7f80_0000);
                assert!(!infinite || asks, "{label}: {name}: another question");
            }
            if asks {
                let all = function.expressions.iter();
                let masks = all.filter(|(handle, _)| hidden(*handle)).count();
                assert!(masks > 0, "{label}: {name}");
            }
        }
    }
}

/// Every difference from a pivot goes through bits: `(x - pivot) - offset` is not rearranged.
#[test]
fn centered_values_are_opaque() {
    for (label, source) in sources() {
        let (module, _) = parsed(&label, &source);
        for (_, function) in module.functions.iter() {
            let name = function.name.as_deref().unwrap_or_default();
            if !["centered", "opaque"].contains(&name) {
                continue;
            }
            let all = function.expressions.iter();
            let opaque = all.filter(|(_, expression)| match **expression {
                Expression::Binary {
                    op: BinaryOperator::ExclusiveOr,
                    right,
                    ..
                } => is_zero(&module, function, right),
                _ => false,
            });
            assert_eq!(opaque.count(), 1, "{label}: {name}");
        }
    }
}

/// `1 - (a·r)·r` is what the builtin's error leaves; a compiler that knows where `r` is from may take
/// it for nothing. Whatever arithmetic is done with the builtin's result is done behind integer bits.
#[test]
fn what_mends_the_root_does_not_see_the_builtin() {
    for (label, source) in sources() {
        let (module, _) = parsed(&label, &source);
        for (_, function) in module.functions.iter() {
            let root = |e: Handle<Expression>| {
                let fun = MathFunction::InverseSqrt;
                matches!(function.expressions[e], Expression::Math { fun: f, .. } if f == fun)
            };
            for (_, expression) in function.expressions.iter() {
                if let Expression::Binary { left, right, .. } = *expression {
                    assert!(!root(left) && !root(right), "{label}: {expression:?}");
                }
            }
        }
    }
}

/// Some compilers keep an array that a loop indexes in memory, not in registers.
#[test]
fn a_lane_of_one_channel_has_no_array() {
    let mut of_several = 0;
    for variant in Variant::all() {
        let label = variant.label();
        let (module, _) = parsed(&label, &variant.source());
        let array = |(_, f): (_, &Function)| {
            let mut types = f.local_variables.iter().map(|(_, local)| local.ty);
            types.any(|ty| matches!(module.types[ty].inner, TypeInner::Array { .. }))
        };
        let arrays = module.functions.iter().any(array);
        assert!(!arrays || variant.columns > 1, "{label}");
        of_several += usize::from(arrays);
    }
    assert!(of_several > 0, "this test sees no array at all");
}

/// Two lanes never write one word, and sums have a fixed order.
#[test]
fn nothing_is_atomic() {
    for (label, source) in sources() {
        assert!(!source.contains("atomic"), "{label}");
    }
}

/// Where y lies over x, lanes store where others sampled a pivot: `workgroupBarrier` alone does not
/// order accesses of storage buffers.
#[test]
fn samples_come_before_what_is_stored_over_them() {
    let mut found = 0;
    for variant in Variant::all() {
        let samples = [Kernel::TrainResident, Kernel::TrainHeld];
        if !samples.contains(&variant.kernel) || variant.columns > 1 {
            continue;
        }
        let label = variant.label();
        let (module, _) = parsed(&label, &variant.source());
        let mut of_storage = 0;
        for (_, function) in module.functions.iter() {
            statements(&function.body, &mut |statement| {
                let barrier = Statement::ControlBarrier(Barrier::STORAGE);
                of_storage += usize::from(format!("{statement:?}") == format!("{barrier:?}"));
            });
        }
        assert_eq!(of_storage, 1, "{label}");
        found += 1;
    }
    // With weights as well, but for f16 and what is declared as only read.
    assert_eq!(found, 21 + 10);
}

/// Loops whose end `shader_module::made` proves, whatever a kernel reads.
const LOOPS: [&str; 17] = [
    "for (var first = 0u; first < params.partials; first += slots) {",
    "for (var k = 0u; k < COLUMNS; k++) {",
    "for (var left = lane.len; left > 0u; left--) {",
    "for (var load = 0u; load < count; load++) {",
    "for (var round = rounds() / 2u; round > 0u; round--) {",
    "for (var round = rounds(); round > 0u; round--) {",
    "for (var rounds = rounds() / 2u; rounds > 0u;) {",
    "for (var rounds = rounds(); rounds > 0u;) {",
    "for (var tile = 1u; tile <= now; tile++) {",
    "for (var two = 1u; two <= now; two++) {",
    "while (here.len > 0u) {",
    "while (k + 1u < params.partials && partials[first + k].moments.count == 0.0) {",
    "while (left > 0u && found.weight == 0.0) {",
    "while (left >= 4u) {",
    "while (left >= 8u) {",
    "while (reach < slots) {",
    "while (reach > 1u) {",
];

/// Divisors that are never zero: `Params::new` refuses zeros, no image is without width, and strides of weights begin at 1.
const DIVISORS: [&str; 10] = [
    "team",
    "columns",
    "rows",
    "adjacent",
    "splits",
    "inner",
    "period",
    "address_step",
    "width",
    "stride",
];

/// Where wgpu neither bounds loops nor guards divisions, these are the ones that were proved.
#[test]
fn what_is_not_guarded_was_proved() {
    let mut unguarded = 0;
    for variant in Variant::all().into_iter().filter(|v| !v.guarded()) {
        let (label, source) = (variant.label(), variant.source());
        let (module, info) = parsed(&label, &source);
        let lines = source.lines().map(str::trim);
        let loops = lines.filter(|line| LOOPS.contains(line)).count();
        let mut parsed_loops = 0;
        for (handle, function) in module.functions.iter() {
            statements(&function.body, &mut |statement| {
                parsed_loops += usize::from(matches!(statement, Statement::Loop { .. }));
            });
            for (_, expression) in function.expressions.iter() {
                let Expression::Binary {
                    op: BinaryOperator::Divide | BinaryOperator::Modulo,
                    left,
                    right,
                } = *expression
                else {
                    continue;
                };
                let kind = info[handle][left]
                    .ty
                    .inner_with(&module.types)
                    .scalar_kind();
                if kind == Some(ScalarKind::Float) {
                    continue;
                }
                let known = match literal(function, right) {
                    Some(number) => number > 0,
                    None => {
                        let name = divisor(&module, function, right);
                        name.is_some_and(|name| DIVISORS.contains(&name))
                    }
                };
                assert!(known, "{label}: {:?} divides", function.name);
            }
        }
        assert_eq!(loops, parsed_loops, "{label}: a loop that nobody proved");
        unguarded += 1;
    }
    assert!(unguarded > 100);
}

/// The name of a parameter of the dispatch or of the function.
fn divisor<'m>(
    module: &'m Module,
    function: &'m Function,
    expression: Handle<Expression>,
) -> Option<&'m str> {
    match function.expressions[expression] {
        Expression::FunctionArgument(index) => function.arguments[index as usize].name.as_deref(),
        Expression::Load { pointer } => divisor(module, function, pointer),
        Expression::AccessIndex { base, index } => {
            let Expression::GlobalVariable(global) = function.expressions[base] else {
                return None;
            };
            let global = &module.global_variables[global];
            match &module.types[global.ty].inner {
                TypeInner::Struct { members, .. } if global.space == AddressSpace::Uniform => {
                    members[index as usize].name.as_deref()
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// Lanes of a reduction that ends without a barrier read what faster lanes write in the next one.
#[test]
fn a_reduction_may_follow_a_reduction() {
    const LANES: usize = 64;
    const AROUND: &str = "
        alias PerChannel = f32;
        const COLUMNS = 1u;
        const WORKGROUP = 64u;
        struct Params { columns: u32 }
        const params = Params(1u);
        struct Lane { live: bool, slot: u32, column: u32 }

        @group(0) @binding(0) var<storage, read_write> out: array<vec2<f32>>;

        @compute @workgroup_size(WORKGROUP)
        fn main(@builtin(local_invocation_index) index: u32) {
            let lane = Lane(true, index, 0u);
            let first = reduce(lane, Partial(f32(index), 1.0), WORKGROUP);
            let second = reduce(lane, Partial(1.0, f32(index)), WORKGROUP);
            out[2u * index] = vec2(first.dz, first.dz_x);
            out[2u * index + 1u] = vec2(second.dz, second.dz_x);
        }
    ";
    let text = [
        include_str!("../../shaders/shared/partial_sums.wgsl"),
        include_str!("../../shaders/shared/reduce_workgroup.wgsl"),
        AROUND,
    ];
    let gpu = gpu();
    let device = gpu.device();
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("two reductions"),
        source: wgpu::ShaderSource::Wgsl(text.join("\n").into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("two reductions"),
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: Default::default(),
        cache: None,
    });
    let out = wgpu_batchnorm::Tensor::upload(&gpu, &[4 * LANES], &[f32::NAN; 4 * LANES]).unwrap();
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry {
            binding: 0,
            resource: out.buffer().as_entire_binding(),
        }],
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    pass.set_pipeline(&pipeline);
    pass.set_bind_group(0, &group, &[]);
    pass.dispatch_workgroups(1, 1, 1);
    drop(pass);
    gpu.queue().submit([encoder.finish()]);
    let of_indices = (LANES * (LANES - 1) / 2) as f32;
    let lanes = LANES as f32;
    for (index, lane) in out.read_blocking().unwrap().chunks(4).enumerate() {
        assert_eq!(
            lane,
            [of_indices, lanes, lanes, of_indices],
            "lane {index} of {LANES}"
        );
    }
}
