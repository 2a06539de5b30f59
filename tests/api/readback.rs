//! A device that goes away, and tensors of two devices.

use wgpu_batchnorm::checked::{self, Checked};
use wgpu_batchnorm::error::{BindError, RunError};
use wgpu_batchnorm::functional::{AffineStep, moments, normalize};
use wgpu_batchnorm::{BatchNorm, Config, Error, Mode};

use crate::support::{ordinary, read, upload};
use testkit::gpu::own_gpu;

const SHAPE: [usize; 3] = [4, 3, 5];

#[test]
fn a_destroyed_device_is_an_error() {
    let gone = own_gpu();
    let mut layer = BatchNorm::new(&gone, 3, Config::pytorch()).unwrap();
    let x = upload(&gone, &SHAPE, &ordinary(&SHAPE, 1));
    let forward = layer.forward(&x, Mode::Train).unwrap();
    gone.device().destroy();
    for _ in 0..2 {
        assert_refused!(x.read_blocking(), RunError::DeviceLost { .. });
        assert_refused!(forward.y.read_blocking(), RunError::DeviceLost { .. });
        assert_refused!(
            layer.state_blocking(),
            Error::Run(RunError::DeviceLost { .. })
        );
        // Without a check a forward reads nothing back: the fault is met by who reads.
        for mode in [Mode::Train, Mode::Eval] {
            let y = layer.forward(&x, mode);
            let y = y.and_then(|forward| Ok(forward.y.read_blocking()?));
            assert_refused!(y, Error::Run(RunError::DeviceLost { .. }));
            let judged = checked::forward_blocking(&mut layer, &x, mode);
            assert_refused!(judged, Error::Run(RunError::DeviceLost { .. }));
        }
        let found = moments(&x, &[0], false);
        let found = found.and_then(|moments| moments.read_blocking());
        assert_refused!(found, Error::Run(RunError::DeviceLost { .. }));
        let judged = checked::moments_blocking(&x, &[0], false);
        assert_refused!(judged, Error::Run(RunError::DeviceLost { .. }));
    }
    let saved = pollster::block_on(forward.saved.read());
    assert_refused!(saved, Error::Run(RunError::DeviceLost { .. }));
    let gradients = layer.backward(&x, &forward.y, &forward.saved);
    assert_refused!(gradients, Error::Run(RunError::DeviceLost { .. }));
    let _ = layer.reset_running_stats();
    let _ = layer.affine().write(&[0.0; 6]);

    let fresh = own_gpu();
    let mut layer = Checked::new(BatchNorm::new(&fresh, 3, Config::pytorch()).unwrap());
    let x = upload(&fresh, &SHAPE, &ordinary(&SHAPE, 1));
    layer.forward_blocking(&x, Mode::Train).unwrap();
}

/// Other devices do not notice.
#[test]
fn a_destroyed_device_takes_no_other_with_it() {
    let (gone, stays) = (own_gpu(), own_gpu());
    let x = upload(&stays, &SHAPE, &ordinary(&SHAPE, 2));
    gone.device().destroy();
    let mut layer = Checked::new(BatchNorm::new(&stays, 3, Config::pytorch()).unwrap());
    layer.forward_blocking(&x, Mode::Train).unwrap();
}

#[test]
fn tensors_of_another_device_are_an_error() {
    let (here, there) = (own_gpu(), own_gpu());
    let mut layer = BatchNorm::new(&here, 3, Config::pytorch()).unwrap();
    let x = upload(&there, &SHAPE, &ordinary(&SHAPE, 3));
    let refused = layer.forward(&x, Mode::Train);
    assert_refused!(refused, Error::Bind(BindError::OtherDevice { tensor: "x" }));
    let dy = upload(&there, &SHAPE, &ordinary(&SHAPE, 4));
    let own = upload(&here, &SHAPE, &ordinary(&SHAPE, 3));
    let saved = layer.forward(&own, Mode::Train).unwrap().saved;
    let refused = layer.backward(&own, &dy, &saved);
    assert_refused!(
        refused,
        Error::Bind(BindError::OtherDevice { tensor: "dy" })
    );
    let statistics = moments(&x, &[0, 2], true).unwrap();
    let refused = normalize(&own, &statistics, AffineStep::default(), 1e-5);
    assert_refused!(
        refused,
        Error::Bind(BindError::OtherDevice { tensor: "moments" })
    );
    let x = upload(&here, &SHAPE, &ordinary(&SHAPE, 3));
    let y = layer.forward(&x, Mode::Train).unwrap().y;
    assert_eq!(read(&y).len(), 60);
}
