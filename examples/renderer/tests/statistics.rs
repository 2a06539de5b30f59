//! The frame that comes out has the statistics that were asked for.

use renderer::picture::{Picture, Statistics};
use renderer::{MEAN, Renderer, STD};

fn pictures(size: [u32; 2]) -> [Picture; 2] {
    let (device, queue) = renderer::device().expect("an adapter");
    let renderer = Renderer::new(&device, size).unwrap();
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
