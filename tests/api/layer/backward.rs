//! The backward pass and what the forward pass leaves for it.

use wgpu_batchnorm::Error;
use wgpu_batchnorm::checked::Checked;
use wgpu_batchnorm::error::ShapeError;
use wgpu_batchnorm::{BackwardRequest, BatchNorm, Config, Gradients, Mode, Tensor};

use crate::support::{bits, ordinary, read, upload, wide, worst};
use testkit::gpu::gpu;

const SHAPE: [usize; 3] = [6, 3, 7];

struct Setup {
    gpu: wgpu_batchnorm::Gpu,
    layer: Checked,
    dy: Tensor,
}

fn setup() -> Setup {
    let gpu = gpu();
    let layer = BatchNorm::new(&gpu, 3, Config::pytorch()).unwrap();
    let affine = [1.5, -0.5, 0.25, 0.1, 0.2, 0.3];
    layer.affine().write(&affine).unwrap();
    let layer = Checked::new(layer);
    let dy = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 100));
    Setup { gpu, layer, dy }
}

fn all(gradients: &Gradients) -> (Vec<u32>, Vec<u32>) {
    let dx = gradients.dx.as_ref().unwrap();
    (bits(&read(dx)), bits(&read(&gradients.parameters)))
}

#[test]
fn two_forwards_before_a_backward_do_not_mix() {
    let Setup { gpu, mut layer, dy } = setup();
    let input = |seed| upload(&gpu, &SHAPE, &ordinary(&SHAPE, seed));
    let (a, b) = (input(1), input(2));
    let mut alone = |x: &Tensor| {
        let saved = layer.forward_blocking(x, Mode::Train).unwrap().saved;
        all(&layer.backward_blocking(x, &dy, &saved).unwrap())
    };
    let (of_a, of_b) = (alone(&a), alone(&b));
    assert_ne!(of_a, of_b);
    let saved_a = layer.forward_blocking(&a, Mode::Train).unwrap().saved;
    let saved_b = layer.forward_blocking(&b, Mode::Train).unwrap().saved;
    let backward = |x, saved| all(&layer.backward_blocking(x, &dy, &saved).unwrap());
    assert_eq!(backward(&a, saved_a), of_a);
    assert_eq!(backward(&b, saved_b), of_b);
}

#[test]
fn an_eval_saved_keeps_the_statistics_of_its_time() {
    let Setup { gpu, mut layer, dy } = setup();
    let x = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 3));
    let other = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 4));
    layer.forward_blocking(&other, Mode::Train).unwrap();
    let mut forward = || layer.forward_blocking(&x, Mode::Eval).unwrap().saved;
    let (at_once, later) = (forward(), forward());
    assert!(later.read_blocking().unwrap().is_none());
    let at_once = layer.backward_blocking(&x, &dy, &at_once).unwrap();
    for _ in 0..3 {
        layer.forward_blocking(&other, Mode::Train).unwrap();
    }
    layer.layer_mut().reset_running_stats().unwrap();
    let later = layer.backward_blocking(&x, &dy, &later).unwrap();
    assert_eq!(all(&later), all(&at_once));
}

#[test]
fn dx_can_be_left_out() {
    let Setup { gpu, mut layer, dy } = setup();
    let x = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 5));
    for mode in [Mode::Eval, Mode::Train] {
        let mut backward = |dx| {
            let saved = layer.forward_blocking(&x, mode).unwrap().saved;
            let request = BackwardRequest::new(&saved).with_dx(dx);
            layer.backward_blocking(&x, &dy, request).unwrap()
        };
        let with = backward(true);
        let without = backward(false);
        assert!(without.dx.is_none());
        // The check holds both to the bounds. Through batch statistics they come from different
        // pipelines, in which drivers may contract differently; through frozen ones from the same.
        if mode == Mode::Eval {
            assert_eq!(
                bits(&read(&without.parameters)),
                bits(&read(&with.parameters))
            );
        }
        let rows = read(&with.parameters);
        assert_eq!(with.dweight_blocking().unwrap(), rows[..3]);
        assert_eq!(with.dbias_blocking().unwrap(), rows[3..]);
    }
}

#[test]
fn gradients_can_be_added_into() {
    let Setup { gpu, mut layer, dy } = setup();
    let x = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 6));
    for mode in [Mode::Eval, Mode::Train] {
        let before = [10.0, -20.0, 0.5, 1e3, 0.0, -1.0];
        let grads = upload(&gpu, &[2, 3], &before);
        let saved = layer.forward_blocking(&x, mode).unwrap().saved;
        let fresh = layer.backward_blocking(&x, &dy, &saved).unwrap();
        for _ in 0..2 {
            let saved = layer.forward_blocking(&x, mode).unwrap().saved;
            let request = BackwardRequest::new(&saved).with_add_into(&grads);
            // The check takes what was there into account.
            let added = layer.backward_blocking(&x, &dy, request).unwrap();
            assert_eq!(bits(&read(&added.parameters)), bits(&read(&grads)));
        }
        let fresh = read(&fresh.parameters);
        let terms: Vec<_> = wide(&before).into_iter().zip(wide(&fresh)).collect();
        let expected: Vec<_> = terms.iter().map(|(b, f)| b + 2.0 * f).collect();
        let error = worst(&read(&grads), &expected, |i| {
            terms[i].0.abs() + 2.0 * terms[i].1.abs()
        });
        assert!(error < 1e-6, "{error:e}");
    }
}

#[test]
fn shapes_must_be_those_of_the_forward() {
    let Setup { gpu, mut layer, dy } = setup();
    let x = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 7));
    let other = Tensor::empty(&gpu, &[7, 3, 6]).unwrap();
    let same_size = Tensor::empty(&gpu, &[3, 3, 14]).unwrap();
    let wrong = Tensor::empty(&gpu, &[3, 2]).unwrap();
    for mode in [Mode::Train, Mode::Eval] {
        let mut refuse = |x: &Tensor, dy: &Tensor, grads: Option<&Tensor>, name: &str| {
            let x0 = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 7));
            let saved = layer.forward_blocking(&x0, mode).unwrap().saved;
            let mut request = BackwardRequest::new(&saved);
            if let Some(grads) = grads {
                request = request.with_add_into(grads);
            }
            let refused = layer.backward_blocking(x, dy, request);
            assert_refused!(
                refused,
                Error::Shape(ShapeError::Mismatch { tensor, .. }) if tensor == name
            );
        };
        refuse(&other, &dy, None, "x");
        refuse(&same_size, &same_size, None, "x");
        refuse(&x, &same_size, None, "dy");
        refuse(&x, &dy, Some(&wrong), "gradients");
        let saved = layer.forward_blocking(&x, mode).unwrap().saved;
        layer.backward_blocking(&x, &dy, &saved).unwrap();
    }
}

/// Written and read at once: refused before anything is recorded.
#[test]
fn gradients_cannot_be_added_into_an_input() {
    let gpu = gpu();
    let mut layer = BatchNorm::new(&gpu, 3, Config::pytorch()).unwrap();
    let x = upload(&gpu, &[2, 3], &ordinary(&[2, 3], 8));
    let saved = layer.forward(&x, Mode::Train).unwrap().saved;
    let request = BackwardRequest::new(&saved).with_add_into(&x);
    let refused = layer.backward(&x, &x, request);
    assert_refused!(
        refused,
        Error::Bind(wgpu_batchnorm::error::BindError::Overlap { .. })
    );
}
