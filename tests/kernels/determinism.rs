//! The same input on the same adapter gives the same bits, every time.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::Command;

use wgpu_batchnorm::check::POISON;
use wgpu_batchnorm::internals::plan::Tuning;
use wgpu_batchnorm::{Activation, Config, Context, Element, Gpu, MomentsBuffers, MomentsRows};

use crate::buffers::{Buffers, Place, run};
use testkit::case::Case;
use testkit::data::Kind;
use testkit::gpu::{GpuEngine, gpu, narrow, own_gpu};
use testkit::outcome::{Cpu, Engine};

const LARGE_MEAN: Kind = Kind::Normal {
    mean: 1e4,
    std: 1.0,
};

/// Large enough that every cut splits channels among workgroups, in both patterns.
fn cases() -> Vec<Case> {
    [
        (&[2, 3, 101, 103][..], 1),
        (&[206, 101, 3], -1),
        (&[9, 70, 7, 7], 1),
        (&[441, 70], -1),
    ]
    .into_iter()
    .map(|(shape, axis)| Case::new(shape, Config::pytorch().with_axis(axis), LARGE_MEAN, 5))
    .collect()
}

#[test]
fn gpu_repeats_itself() {
    let (gpu, narrow) = (gpu(), narrow(1 << 15));
    let pieces = GpuEngine::new(&narrow, "in pieces", Tuning::CPU_ADAPTER);
    let all = GpuEngine::all(&gpu).into_iter().chain([pieces]);
    let implementations: Vec<_> = all.collect();
    let fresh: Vec<_> = implementations.iter().map(|i| i.anew()).collect();
    for case in cases() {
        for (implementation, fresh) in implementations.iter().zip(&fresh) {
            let first = implementation.run(&case);
            let what = format!("{}: {}", implementation.name(), case.name);
            // New buffers, then new pipelines as well.
            first.assert_same_bits(&implementation.run(&case), &what);
            first.assert_same_bits(&fresh.run(&case), &what);
        }
    }
}

/// Splits small channels too, and does none of them in one dispatch.
const SPLIT: Tuning = Tuning {
    planar_workgroup: 64,
    planar_team: 16,
    interleaved_workgroup: 64,
    interleaved_columns: 4,
    lane_columns: 1,
    fill: 4096,
    resident_bytes: 0,
    workgroup_bytes: None,
    read_only: false,
};

/// Every operation in both patterns, each with its options.
fn operations() -> Vec<(String, Case)> {
    let mut cases = Vec::new();
    for (pattern, shape, axis) in [
        ("planar", &[4, 3, 31, 33][..], 1),
        ("interleaved", &[1364, 12], -1),
    ] {
        let config = Config::pytorch().with_axis(axis);
        let gelu = config.with_activation(Activation::Gelu);
        for (options, config) in [
            ("f32", config),
            ("f16", config.with_element(Element::F16)),
            ("residual and gelu", gelu),
            (
                "residual and gelu in bf16",
                gelu.with_element(Element::Bf16),
            ),
        ] {
            // Halves of a large mean would be all alike.
            let kind = match config.element {
                Element::F32 => LARGE_MEAN,
                _ => Kind::ALL[0],
            };
            let case = Case::new(shape, config, kind, 6);
            let case = match options.starts_with("residual") {
                true => case.with_residual(7),
                false => case,
            };
            cases.push((format!("{pattern}, {options}"), case));
        }
    }
    cases
}

fn digest(bits: &[u32]) -> u64 {
    // Of fixed keys: the same in every process.
    let mut hasher = DefaultHasher::new();
    bits.hash(&mut hasher);
    hasher.finish()
}

/// A digest for each tensor that an operation writes, in buffers of their own each time.
fn digests(
    operations: &[(String, Case)],
    gpu: &Gpu,
    implementation: &GpuEngine,
    context: &Context,
) -> Digests {
    let mut digests = Digests::new();
    for (name, case) in operations {
        for (tensor, bits) in implementation.run(case).bits() {
            if !bits.is_empty() {
                digests.insert(format!("{name}: {tensor}"), digest(&bits));
            }
        }
        if case.config.element == Element::F32 && case.residual.is_none() {
            for (what, bits) in in_parts(gpu, context, case) {
                digests.insert(format!("{name}: {what}"), digest(&bits));
            }
        }
    }
    digests
}

type Digests = BTreeMap<String, u64>;

/// Moments alone, merged, normalizing with them, and all in place.
fn in_parts(gpu: &Gpu, context: &Context, case: &Case) -> Vec<(&'static str, Vec<u32>)> {
    let plan = context.plan(&case.config, &case.shape).unwrap();
    assert!(plan.schedule().partials > 1, "{}", case.name);
    let c = case.view.channels();
    let b = Buffers::apart(gpu, &plan, case);
    let [rows, other] = [0, 1].map(|_| Place::new(gpu, &vec![POISON; 3 * c]));
    let moments = |rows: &Place| {
        plan.bind_moments(&MomentsBuffers::new(
            b.x.slice(),
            rows.slice(),
            b.workspace.slice(),
        ))
    };
    let count = case.view.count() as f64;
    let given = |rows| MomentsRows::new(rows, count);
    run(gpu, &[&moments(&rows).unwrap(), &moments(&other).unwrap()]);
    let alone = rows.bits();
    let merge = plan.bind_merge_moments(&given(rows.slice()), &given(other.slice()));
    run(gpu, &[&merge.unwrap()]);
    let merged = rows.bits();
    let normalize = plan.bind_train(&b.train().with_moments(given(other.slice())));
    run(gpu, &[&normalize.unwrap()]);
    let normalized = b.y.bits();
    let in_place = b.train().with_y(None).with_running(None);
    let plan = context.plan(&case.config.without_running(), &case.shape);
    run(gpu, &[&plan.unwrap().bind_train(&in_place).unwrap()]);
    vec![
        ("moments", alone),
        ("merged moments", merged),
        ("normalized from moments", normalized),
        ("in place", b.x.bits()),
    ]
}

/// Set in the process that only prints its digests.
const INSIDE: &str = "WGBN_TEST_PRINT_DIGESTS";

#[test]
fn one_digest_for_each_operation() {
    let device = || {
        let gpu = own_gpu();
        let implementation = GpuEngine::new(&gpu, "split", SPLIT);
        let context = Context::with_tuning(gpu.device(), SPLIT).unwrap();
        (gpu, implementation, context)
    };
    let operations = operations();
    let (gpu, implementation, context) = device();
    let first = digests(&operations, &gpu, &implementation, &context);
    if std::env::var_os(INSIDE).is_some() {
        first
            .iter()
            .for_each(|(name, d)| println!("digest {d:016x} {name}"));
        return;
    }
    assert_eq!(first.len(), 2 * (16 + 16 + 18 + 18 + 4), "{first:#?}");
    for k in 1..100 {
        assert_eq!(
            digests(&operations, &gpu, &implementation, &context),
            first,
            "run {k}"
        );
    }
    // Another context of the device, another device, another process.
    let other = GpuEngine::new(&gpu, "split", SPLIT);
    let context = Context::with_tuning(gpu.device(), SPLIT).unwrap();
    assert_eq!(
        digests(&operations, &gpu, &other, &context),
        first,
        "context"
    );
    let (gpu, implementation, context) = device();
    assert_eq!(
        digests(&operations, &gpu, &implementation, &context),
        first,
        "device"
    );
    let mut process = Command::new(std::env::current_exe().unwrap());
    let test = "determinism::one_digest_for_each_operation";
    process
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1");
    let output = process.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let printed = text.lines().filter_map(|line| {
        let (digest, name) = line.split_once("digest ")?.1.split_once(' ')?;
        Some((name.to_owned(), u64::from_str_radix(digest, 16).unwrap()))
    });
    assert_eq!(printed.collect::<Digests>(), first, "process");
}

/// Digests tell bits apart.
#[test]
fn one_bit_is_another_digest() {
    let bits: Vec<u32> = (0..1000).collect();
    let mut other = bits.clone();
    other[999] ^= 1;
    assert_eq!(digest(&bits), digest(&bits.clone()));
    assert_ne!(digest(&bits), digest(&other));
}

#[test]
fn cpu_repeats_itself() {
    for case in cases() {
        let first = Cpu.run(&case);
        for _ in 0..3 {
            first.assert_same_bits(&Cpu.run(&case), &case.name);
        }
    }
}
