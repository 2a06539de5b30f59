//! The frame that comes out has the statistics that were asked for.

use renderer::picture::{Picture, Statistics};
use renderer::{Look, MEAN, Renderer, STD};

fn pictures(size: [u32; 2]) -> [Picture; 2] {
    let (device, queue) = renderer::device().expect("an adapter");
    let mut renderer = Renderer::new(&device, size, Look::default()).unwrap();
    renderer.pictures(&device, &queue, 0.0).unwrap()
}

#[test]
fn the_normalized_frame_has_the_mean_and_deviation_asked_for() {
    // Rows that are padded when they are read back.
    let [before, after] = pictures([420, 236]);

    // Half floats: not clamped, and rounded to 11 bits.
    let rounding = 5e-4;
    for channel in 0..3 {
        let values = || after.texels.iter().map(|t| f64::from(t[channel]));
        let count = after.texels.len() as f64;
        let mean = values().sum::<f64>() / count;
        let std = (values().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt();
        assert!(
            (mean - f64::from(MEAN)).abs() < rounding,
            "channel {channel}: mean {mean}"
        );
        assert!(
            (std - f64::from(STD)).abs() < rounding,
            "channel {channel}: std {std}"
        );
    }

    // What people get to see: eight bits, clamped. A clamped pixel moves the mean by less than the
    // scene's brightest value lies beyond 1.
    for channel in 0..3 {
        let b = Statistics::of(&before.rgb8(), channel);
        let a = Statistics::of(&after.rgb8(), channel);
        assert!(a.clamped < 0.01, "channel {channel}: {} clamped", a.clamped);
        assert!(
            (a.mean - f64::from(MEAN)).abs() < 2e-3,
            "channel {channel}: mean {}",
            a.mean
        );
        assert!(
            (a.std - f64::from(STD)).abs() < 4e-3,
            "channel {channel}: std {}",
            a.std
        );
        // There was something to do.
        assert!(
            b.mean < 0.45 && b.std < 0.12,
            "channel {channel}: {} {}",
            b.mean,
            b.std
        );
    }
}

#[test]
fn alpha_is_left_alone() {
    let [before, after] = pictures([200, 120]);
    let alpha =
        |picture: &Picture| -> Vec<u32> { picture.texels.iter().map(|t| t[3].to_bits()).collect() };
    let (before, after) = (alpha(&before), alpha(&after));
    assert_eq!(before, after);
    let mut distinct = before;
    distinct.sort_unstable();
    distinct.dedup();
    assert!(
        distinct.len() > 100,
        "alpha has only {} values",
        distinct.len()
    );
}

/// Between bars: the bars stay black, and the statistics are those of what lies between.
#[test]
fn a_letterboxed_view_is_normalized_alone() {
    let (device, queue) = renderer::device().expect("an adapter");
    let look = Look {
        letterbox: true,
        ..Look::default()
    };
    let size = [420, 236];
    let mut renderer = Renderer::new(&device, size, look).unwrap();
    let [before, after] = renderer.pictures(&device, &queue, 0.0).unwrap();
    let view = look.view(size);
    assert_eq!((view.origin, view.size), ([0, 28], [420, 180]));
    let width = size[0] as usize;
    let first = view.origin[1] as usize * width;
    let last = first + view.size[1] as usize * width;
    for picture in [&before, &after] {
        let bars = picture.texels[..first]
            .iter()
            .chain(&picture.texels[last..]);
        assert!(bars.into_iter().all(|t| t[..3] == [0.0; 3]));
    }
    for channel in 0..3 {
        let values = || {
            after.texels[first..last]
                .iter()
                .map(|t| f64::from(t[channel]))
        };
        let count = (last - first) as f64;
        let mean = values().sum::<f64>() / count;
        let std = (values().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt();
        assert!((mean - f64::from(MEAN)).abs() < 5e-4, "{channel}: {mean}");
        assert!((std - f64::from(STD)).abs() < 5e-4, "{channel}: {std}");
    }
}

/// The first frame is exposed rightly, and each frame after it moves the exposure by a twentieth.
#[test]
fn an_exposure_follows_slowly_and_keeps_hues() {
    let (device, queue) = renderer::device().expect("an adapter");
    let look = Look {
        exposure: true,
        ..Look::default()
    };
    let mut renderer = Renderer::new(&device, [160, 90], look).unwrap();
    let luminance = |t: &[f32; 4]| 0.2126 * t[0] + 0.7152 * t[1] + 0.0722 * t[2];
    let mean = |texels: &[[f32; 4]]| {
        texels.iter().map(|t| f64::from(luminance(t))).sum::<f64>() / texels.len() as f64
    };
    let [before, first] = renderer.pictures(&device, &queue, 0.0).unwrap();
    assert!((mean(&first.texels) - f64::from(MEAN)).abs() < 1e-3);
    // One line for all channels: their differences keep their proportions.
    let (b, a) = (&before.texels[7000], &first.texels[7000]);
    let proportion = |t: &[f32; 4]| (t[2] - t[0]) / (t[1] - t[0]);
    assert!((proportion(b) - proportion(a)).abs() < 0.05 * proportion(b).abs());
    // A scene of another brightness.
    let other = 8.0;
    let off = |renderer: &mut Renderer| {
        let [_, after] = renderer.pictures(&device, &queue, other).unwrap();
        (mean(&after.texels) - f64::from(MEAN)).abs()
    };
    let second = off(&mut renderer);
    let mut last = second;
    for _ in 0..40 {
        last = off(&mut renderer);
    }
    // 0.95^40 is an eighth.
    assert!(second > 1e-4, "{second}");
    assert!(
        last < second / 5.0 && last > second / 20.0,
        "{second} {last}"
    );
}
