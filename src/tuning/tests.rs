use serde_json::{Value, json};

use super::*;
use crate::plan::{DeviceClass, Tuning};

fn here() -> AdapterId {
    AdapterId {
        name: "llvmpipe".to_owned(),
        backend: "vulkan".to_owned(),
        vendor: 0x10005,
        device: 0,
        driver: "llvmpipe".to_owned(),
        driver_info: "Mesa 25".to_owned(),
    }
}

fn contents(sizes: Tuning) -> Contents {
    Contents {
        schema: SCHEMA,
        adapter: here(),
        made: "2026-11-28T12:00:00Z".to_owned(),
        command: "wgbn tune -o tuned.json".to_owned(),
        sizes,
        figures: Figures {
            copy: vec![Rate {
                bytes: 1 << 20,
                gb_per_s: 12.5,
            }],
            sum: vec![],
            dispatch_us: 3.25,
            workgroups_at_once: 1056.0,
            cache_bytes: None,
            f16_proved: true,
        },
        gains: vec![Gain {
            shape: vec![256, 1024],
            layout: "nc".to_owned(),
            operation: "train".to_owned(),
            before_ms: 0.5,
            after_ms: 0.25,
        }],
    }
}

fn value(sizes: Tuning) -> Value {
    serde_json::to_value(contents(sizes)).unwrap()
}

#[test]
fn a_file_is_what_was_written() {
    for class in [
        DeviceClass::Cpu,
        DeviceClass::Integrated,
        DeviceClass::Discrete,
    ] {
        let file = TuningFile::of(contents(class.tuning())).unwrap();
        let text = file.to_json().unwrap();
        assert_eq!(TuningFile::parse(&text), Ok(file.clone()));
        assert_eq!(file.contents().sizes, class.tuning());
        assert_eq!(file.made(), "2026-11-28T12:00:00Z");
    }
}

/// Every path of the file: fields of objects, and of objects in lists.
fn paths(value: &Value, at: &str, all: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                all.push(format!("{at}/{name}"));
                paths(field, &format!("{at}/{name}"), all);
            }
        }
        Value::Array(items) => {
            for (k, item) in items.iter().enumerate() {
                paths(item, &format!("{at}/{k}"), all);
            }
        }
        _ => {}
    }
}

#[test]
fn every_field_is_needed_and_of_its_type() {
    let whole = value(Tuning::DISCRETE);
    let mut all = Vec::new();
    paths(&whole, "", &mut all);
    assert!(all.len() > 30, "{all:?}");
    for path in all {
        let (parent, name) = path.rsplit_once('/').unwrap();
        let mut without = whole.clone();
        without
            .pointer_mut(parent)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .remove(name);
        let Err(TuningError::Damaged { reason }) = TuningFile::parse(&without.to_string()) else {
            panic!("{path} may be missing");
        };
        assert!(
            reason.contains(name) && reason.contains("line 1"),
            "{reason}"
        );
        let mut wrong = whole.clone();
        *wrong.pointer_mut(&path).unwrap() = json!({ "no": "such" });
        let wrong = TuningFile::parse(&wrong.to_string());
        assert!(matches!(wrong, Err(TuningError::Damaged { .. })), "{path}");
        let mut more = whole.clone();
        more.pointer_mut(parent).unwrap()["beside"] = json!(1);
        let more = TuningFile::parse(&more.to_string());
        assert!(matches!(more, Err(TuningError::Damaged { .. })), "{path}");
    }
}

#[test]
fn cut_off_text_is_damaged() {
    let text = TuningFile::of(contents(Tuning::CPU_ADAPTER)).unwrap();
    let text = text.to_json().unwrap();
    for end in 0..text.trim_end().len() {
        let cut = TuningFile::parse(&text[..end]);
        assert!(matches!(cut, Err(TuningError::Damaged { .. })), "{end}");
    }
    let deep = "[".repeat(100_000);
    assert!(matches!(
        TuningFile::parse(&deep),
        Err(TuningError::Damaged { .. })
    ));
}

#[test]
fn what_a_damaged_file_says_is_quoted_briefly_and_without_control_characters() {
    let mut hostile = value(Tuning::DISCRETE);
    hostile[format!("\u{1b}[2J{}", "x".repeat(10_000))] = json!(1);
    let Err(TuningError::Damaged { reason }) = TuningFile::parse(&hostile.to_string()) else {
        panic!("an unknown field was taken");
    };
    assert!(reason.len() < 300 && !reason.contains('\u{1b}'), "{reason}");
    assert!(reason.contains("line 1 column"), "{reason}");
}

#[test]
fn another_schema_is_refused_before_its_fields_are() {
    let expected = Err(TuningError::Schema {
        got: 2,
        expected: 1,
    });
    assert_eq!(TuningFile::parse(r#"{"schema": 2, "new": {}}"#), expected);
}

#[test]
fn times_have_one_form() {
    for made in [
        "",
        "yesterday",
        "2026-11-28",
        "2026-11-28T12:00:00+",
        "2026-11-28T12:00:0\u{1b}Z",
        "2026-11-28T12:00:00Z ",
    ] {
        let mut wrong = value(Tuning::DISCRETE);
        wrong["made"] = json!(made);
        let Err(TuningError::Damaged { reason }) = TuningFile::parse(&wrong.to_string()) else {
            panic!("{made:?} was taken");
        };
        assert!(reason.starts_with("made "), "{reason}");
    }
}

#[test]
fn a_file_is_of_one_adapter_and_one_driver() {
    let file = TuningFile::of(contents(Tuning::DISCRETE)).unwrap();
    assert_eq!(file.is_of(&here()), Ok(()));
    for other in [
        AdapterId {
            name: "other".to_owned(),
            ..here()
        },
        AdapterId {
            backend: "gl".to_owned(),
            ..here()
        },
        AdapterId {
            vendor: 1,
            ..here()
        },
        AdapterId {
            device: 1,
            ..here()
        },
    ] {
        let Err(TuningError::OtherAdapter { got, expected }) = file.is_of(&other) else {
            panic!("{other:?} was taken");
        };
        assert_ne!(got, expected);
        assert!(got.contains("llvmpipe"), "{got}");
    }
    for other in [
        AdapterId {
            driver: "radv".to_owned(),
            ..here()
        },
        AdapterId {
            driver_info: "Mesa 26".to_owned(),
            ..here()
        },
    ] {
        let refused = file.is_of(&other);
        assert!(
            matches!(refused, Err(TuningError::OtherDriver { .. })),
            "{other:?}"
        );
    }
}

#[test]
fn sizes_that_cannot_be_planned_with_are_refused() {
    for (size, wrong) in [
        ("planar_workgroup", vec![0, 24, 64, 2048]),
        ("planar_team", vec![0, 3, 512]),
        ("interleaved_workgroup", vec![0, 4, 40, 2048]),
        ("interleaved_columns", vec![0, 1025]),
        ("lane_columns", vec![0, 3, 8]),
        ("fill", vec![0, 65_537]),
        ("workgroup_bytes", vec![0, 1023, (1 << 30) + 1]),
        ("piece_bytes", vec![0, (128 << 20) - 1]),
    ] {
        for got in wrong {
            let mut file = value(Tuning::DISCRETE);
            file["sizes"][size] = json!(got);
            let refused = TuningFile::parse(&file.to_string());
            let Err(TuningError::Size {
                size: of, got: was, ..
            }) = refused
            else {
                panic!("{size} of {got} gives {refused:?}");
            };
            assert_eq!((of, was), (size, got));
        }
    }
    for wrong in [json!(-1), json!(1.5), json!(1u64 << 32), json!("64")] {
        let mut file = value(Tuning::DISCRETE);
        file["sizes"]["fill"] = wrong;
        let refused = TuningFile::parse(&file.to_string());
        assert!(matches!(refused, Err(TuningError::Damaged { .. })));
    }
}
