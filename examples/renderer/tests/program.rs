//! The program, from its options to the pictures on disk.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::Command;

use renderer::histogram;

fn picture(path: &Path) -> (u32, u32, Vec<[u8; 3]>) {
    let file = BufReader::new(File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgb);
    (info.width, info.height, bytes.as_chunks::<3>().0.to_vec())
}

#[test]
fn three_pictures_are_written() {
    let out = std::env::temp_dir().join(format!("renderer-{}", std::process::id()));
    let output = Command::new(env!("CARGO_BIN_EXE_renderer"))
        .args(["--no-window", "--size", "160x90", "--out"])
        .arg(&out)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for word in ["adapter:", "red", "green", "blue", "wrote"] {
        assert!(text.contains(word), "{text}");
    }
    let [before, after, plot] =
        ["before", "after", "histogram"].map(|name| picture(&out.join(format!("{name}.png"))));
    std::fs::remove_dir_all(&out).unwrap();
    assert_eq!((before.0, before.1), (160, 90));
    assert_eq!((after.0, after.1), (160, 90));
    assert_ne!(before.2, after.2);
    assert_eq!([plot.0, plot.1], histogram::SIZE);
    assert_eq!(plot.2, histogram::plot(&before.2, &after.2));
}

#[test]
fn bad_options_are_refused() {
    for options in [&["--size", "16"][..], &["--size"], &["--quiet"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_renderer"))
            .args(options)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{options:?}");
    }
}
