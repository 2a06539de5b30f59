//! Kept and reduced axes that alternate, as the functional forms have them: moments, and
//! normalization by them.

use wgpu_batchnorm::functional::{AffineStep, Statistics, bind_moments, bind_normalize};
use wgpu_batchnorm::{Element, Parameters, Tensor, check, reference};

use crate::buffers::run;
use testkit::axes::{gather, groups};
use testkit::case::stored;
use testkit::data::Random;
use testkit::gpu::gpu;

#[test]
fn moments_and_normalization_through_strides() {
    const EPS: f32 = 1e-3;
    let gpu = gpu();
    let (shape, axes) = ([5, 6, 20, 7], [1, 3]);
    let groups = groups(&shape, &axes);
    for element in [Element::F32, Element::F16, Element::Bf16] {
        let x = stored(element, &Random::new(1).normals(5 * 6 * 20 * 7, 0.3, 1.5));
        let tensor = Tensor::upload_as(&gpu, &shape, element, &x).unwrap();
        let (binding, moments) = bind_moments(&tensor, &axes, false).unwrap();
        run(&gpu, &[&binding]);
        let got = moments.read_blocking().unwrap();
        let narrow = |v: Vec<f64>| v.into_iter().map(|v| v as f32).collect::<Vec<f32>>();
        let (gathered, view) = gather(&x, &groups);
        let (mean, variance) = (narrow(got.mean()), narrow(got.variance()));
        let report = check::moments(&view, &gathered, &mean, &variance).unwrap();
        report
            .enforce()
            .unwrap_or_else(|e| panic!("{element:?}: {e}"));

        let given = Statistics::Moments(&moments);
        let (binding, y) = bind_normalize(&tensor, given, AffineStep::default(), EPS).unwrap();
        run(&gpu, &[&binding]);
        let input = check::Input::new(view, &gathered, Parameters::default(), EPS)
            .with_epilogue(check::Epilogue::default().with_element(element));
        let given = reference::Moments::new(got.mean(), got.variance()).unwrap();
        let (y, _) = gather(&y.read_blocking().unwrap(), &groups);
        let report = check::normalize(&input, &given, &y).unwrap();
        report
            .enforce()
            .unwrap_or_else(|e| panic!("{element:?}: {e}"));
    }
}
