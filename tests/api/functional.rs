//! The functional forms, as in the paper and `tf.nn`.

mod fold;
mod moments;
mod normalize;
