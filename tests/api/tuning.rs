//! Tuning files: what a context and a `Gpu` take, refuse and say.

use wgpu_batchnorm::error::TuningError;
use wgpu_batchnorm::internals::plan::Tuning;
use wgpu_batchnorm::internals::tuning::{AdapterId, Contents, Figures, SCHEMA};
use wgpu_batchnorm::{BatchNorm, Config, Context, Gpu, Mode, Tensor, TuningFile};

use testkit::gpu::{gpu, limited};

const MADE: &str = "2026-11-28T12:00:00Z";

/// A file for the adapter of `gpu`, changed by `change`.
fn file(gpu: &Gpu, sizes: Tuning, change: impl FnOnce(&mut Contents)) -> TuningFile {
    let mut contents = Contents {
        schema: SCHEMA,
        adapter: AdapterId::from(gpu.info()),
        made: MADE.to_owned(),
        command: "wgbn tune -o tuned.json".to_owned(),
        sizes,
        figures: Figures::default(),
        gains: vec![],
    };
    change(&mut contents);
    let text = TuningFile::new(contents).unwrap().to_json().unwrap();
    TuningFile::parse(&text).unwrap()
}

/// Neither of these is a class's.
fn sizes() -> [Tuning; 2] {
    let by_bytes = Tuning {
        workgroup_bytes: Some(8 << 10),
        planar_workgroup: 128,
        planar_team: 128,
        ..Tuning::DISCRETE
    };
    let to_fill = Tuning {
        planar_team: 16,
        planar_workgroup: 64,
        interleaved_workgroup: 32,
        interleaved_columns: 16,
        fill: 7,
        ..Tuning::CPU_ADAPTER
    };
    [by_bytes, to_fill]
}

#[test]
fn a_device_works_by_the_sizes_of_a_file_and_says_so() {
    let gpu = gpu();
    assert_eq!(gpu.context().tuned_on(), None);
    for sizes in sizes() {
        let tuned = gpu.with_tuning_file(&file(&gpu, sizes, |_| ())).unwrap();
        assert_eq!(tuned.context().tuned_on(), Some(MADE));
        for (shape, axis) in [([50, 6, 70], 1), ([70, 9, 120], -1)] {
            let config = Config::pytorch().with_axis(axis);
            let plan = tuned.context().plan(&config, &shape).unwrap();
            let said = plan.describe();
            assert!(
                said.contains(&format!("sizes of a tuning file made on {MADE}")),
                "{said}"
            );
            let by_class = gpu.context().plan(&config, &shape).unwrap();
            assert!(!by_class.describe().contains("tuning file"));
            assert_ne!(plan.schedule(), by_class.schedule());

            let values: Vec<f32> = (0..shape.iter().product())
                .map(|k| (k * 7 % 31) as f32 * 0.25 - 2.0)
                .collect();
            let view = plan.view();
            let mut layer = BatchNorm::new(&tuned, view.channels(), config).unwrap();
            let x = Tensor::upload(&tuned, &shape, &values).unwrap();
            let y = layer.forward(&x, Mode::Train).unwrap().y;
            let y = y.read_blocking().unwrap();
            let channel =
                |c| (0..values.len()).filter(move |&k| k / view.inner() % view.channels() == c);
            for c in 0..view.channels() {
                let count = view.count() as f64;
                let mean = channel(c).map(|k| f64::from(y[k])).sum::<f64>() / count;
                let square = channel(c).map(|k| f64::from(y[k]).powi(2)).sum::<f64>() / count;
                assert!(mean.abs() < 1e-5, "{mean}");
                assert!((square - 1.0).abs() < 1e-3, "{square}");
            }
        }
        let image = tuned.context().plan_image(&Config::pytorch(), 8, 8);
        let said = image.unwrap().describe();
        assert!(said.contains(&format!("made on {MADE}")), "{said}");
    }
}

#[test]
fn another_adapter_and_another_driver_are_refused() {
    let gpu = gpu();
    let refused = |change: fn(&mut Contents)| {
        let file = file(&gpu, Tuning::DISCRETE, change);
        let of_context = Context::with_tuning_file(gpu.device(), &file).unwrap_err();
        let of_gpu = gpu.with_tuning_file(&file).unwrap_err();
        assert_eq!(of_context, of_gpu);
        of_gpu
    };
    let adapter = refused(|contents| contents.adapter.name += " of another");
    let TuningError::OtherAdapter { got, expected } = &adapter else {
        panic!("{adapter}");
    };
    assert!(got.contains("of another") && expected.contains(&gpu.info().name));
    let driver = refused(|contents| contents.adapter.driver_info += ", newer");
    let TuningError::OtherDriver { got, expected } = &driver else {
        panic!("{driver}");
    };
    assert!(got.contains("newer") && expected.contains(&gpu.info().driver));
}

#[test]
fn workgroups_beyond_the_device_are_refused() {
    let narrow = limited(|_| wgpu_batchnorm::wgpu::Limits::default());
    let wide = Tuning {
        planar_workgroup: 512,
        ..Tuning::DISCRETE
    };
    let refused = narrow.with_tuning_file(&file(&narrow, wide, |_| ()));
    let expected = TuningError::Limit {
        limit: "max_compute_invocations_per_workgroup",
        needed: 512,
        max: 256,
    };
    assert_eq!(refused.unwrap_err(), expected);
    narrow
        .with_tuning_file(&file(&narrow, Tuning::DISCRETE, |_| ()))
        .unwrap();
}

#[test]
fn a_context_takes_a_files_word_for_f16_and_a_gpu_its_own() {
    // Nobody calibrated this one.
    let unproved = limited(|offered| offered);
    assert!(!unproved.context().f16_proved());
    for proved in [false, true] {
        let file = file(&unproved, Tuning::DISCRETE, |contents| {
            contents.figures.f16_proved = proved;
        });
        let context = Context::with_tuning_file(unproved.device(), &file).unwrap();
        assert_eq!(context.f16_proved(), proved);
        let tuned = unproved.with_tuning_file(&file).unwrap();
        assert!(!tuned.context().f16_proved());
        let opened = gpu().with_tuning_file(&file).unwrap();
        assert_eq!(opened.context().f16_proved(), gpu().context().f16_proved());
    }
}
