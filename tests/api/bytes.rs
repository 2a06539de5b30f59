//! Tensors up and down as they are stored.

use half::{bf16, f16};
use wgpu_batchnorm::error::ShapeError;
use wgpu_batchnorm::{Element, Error, Tensor};

use crate::support::bits;
use testkit::gpu::gpu;

/// Every f16 or bf16 there is: NaN of every payload, subnormals, both zeros.
fn patterns() -> Vec<u8> {
    (0..=u16::MAX).flat_map(u16::to_le_bytes).collect()
}

/// The last of an odd number has a word to itself.
#[test]
fn halves_come_back_bit_for_bit() {
    let gpu = gpu();
    for element in [Element::F16, Element::Bf16] {
        for len in [1, 2, 3, 65_535, 65_536] {
            // From the end, so that a length of one is a NaN with a payload.
            let all = patterns();
            let bytes = &all[all.len() - 2 * len..];
            let tensor = Tensor::upload_bytes(&gpu, &[1, len], element, bytes).unwrap();
            assert_eq!(tensor.element(), element);
            assert_eq!(
                tensor.read_bytes_blocking().unwrap(),
                bytes,
                "{element:?} {len}"
            );
        }
    }
}

#[test]
fn singles_come_back_bit_for_bit() {
    let gpu = gpu();
    let odd = [
        0x7f80_0001,
        0xffc1_2345,
        1,
        0x8000_0000,
        0x7f80_0000,
        0x3f80_0000u32,
    ];
    let bytes: Vec<u8> = odd.into_iter().flat_map(u32::to_le_bytes).collect();
    let tensor = Tensor::upload_bytes(&gpu, &[2, 3], Element::F32, &bytes).unwrap();
    assert_eq!(tensor.read_bytes_blocking().unwrap(), bytes);
    assert_eq!(bits(&tensor.read_blocking().unwrap()), odd);
}

/// Stored bytes are the values that [`Tensor::write`] rounds to and [`Tensor::read`] widens.
#[test]
fn bytes_and_values_are_the_same_tensor() {
    let gpu = gpu();
    let values = [1.0, -0.0, 0.333_333_34, 65_504.0, 1e-7];
    let f16s: Vec<u8> = values
        .iter()
        .flat_map(|&v| f16::from_f32(v).to_le_bytes())
        .collect();
    let bf16s: Vec<u8> = values
        .iter()
        .flat_map(|&v| bf16::from_f32(v).to_le_bytes())
        .collect();
    for (element, bytes) in [(Element::F16, f16s), (Element::Bf16, bf16s)] {
        let by_value = Tensor::upload_as(&gpu, &[5, 1], element, &values).unwrap();
        let by_bytes = Tensor::upload_bytes(&gpu, &[5, 1], element, &bytes).unwrap();
        assert_eq!(by_value.read_bytes_blocking().unwrap(), bytes);
        let read = |tensor: &Tensor| bits(&tensor.read_blocking().unwrap());
        assert_eq!(read(&by_bytes), read(&by_value));
    }
}

#[test]
fn another_number_of_bytes_is_refused() {
    let gpu = gpu();
    for (element, got, expected) in [
        (Element::F16, 8, 6),
        (Element::Bf16, 4, 6),
        (Element::F32, 6, 12),
        (Element::F16, 0, 6),
    ] {
        let refused = Tensor::upload_bytes(&gpu, &[1, 3], element, &vec![0; got]);
        match refused {
            Err(Error::Shape(error)) => {
                let tensor = "values";
                let wrong = ShapeError::Bytes {
                    tensor,
                    got,
                    expected,
                };
                assert_eq!(error, wrong);
                assert_eq!(
                    error.to_string(),
                    format!("values has {got} bytes, expected {expected}")
                );
            }
            other => panic!("{other:?}"),
        }
    }
    assert_refused!(
        Tensor::upload_bytes(&gpu, &[3, 0], Element::F16, &[]),
        Error::Shape(ShapeError::Empty { .. })
    );
}
