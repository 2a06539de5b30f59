//! Binding of forward passes and moments.

use super::request::{count, count_of_values};
use super::{InferenceBuffers, MomentsBuffers, MomentsRows, Plan, TrainBuffers};
use crate::binding::Binding;
use crate::error::BindError;
use crate::operation::{Asked, Operation};

impl Plan {
    /// Binds training forward: one dispatch or two, as [`Plan::describe`] says; two for each piece
    /// where one binding does not hold the tensor; so below.
    ///
    /// With [moments](TrainBuffers::with_moments) it is the second half of training forward on a part of a
    /// batch, one dispatch for each piece. Running statistics move as by the whole batch then: give them to one
    /// of the parts that share them, and to no other.
    ///
    /// # Errors
    /// Options that do not allow training on this shape; moments of fewer values than this part has; weights and buffers
    /// that do not fit.
    pub fn bind_train(&self, b: &TrainBuffers<'_>) -> Result<Binding, BindError> {
        let mut buffers = vec![
            ("x", Some(b.x)),
            ("weights", b.weights.map(|weights| weights.values)),
            ("y", b.y),
            ("residual", b.residual),
            ("affine", b.affine),
            ("running", b.running),
            ("saved", Some(b.saved)),
            ("workspace", Some(b.workspace)),
        ];
        match b.running {
            None if self.config.running.is_some() && !b.keep_running && b.moments.is_none() => {
                return Err(BindError::Missing { buffer: "running" });
            }
            Some(_) if b.keep_running => return Err(BindError::Unexpected { buffer: "running" }),
            _ => {}
        }
        let mut asked = Asked::default().with_weights(self, b.weights.as_ref(), true)?;
        let Some(moments) = &b.moments else {
            return self.bind(Operation::Train, asked, &buffers);
        };
        buffers.push(("moments", Some(moments.rows)));
        asked.count = Some(count(moments.count, b.weights.as_ref())?);
        self.bind(Operation::TrainPart, asked, &buffers)
    }

    /// Binds the first half of training forward, the moments of this part of a batch: a dispatch for
    /// each piece, and one that merges.
    ///
    /// Moments of all parts, merged by [`Plan::bind_merge_moments`] or, on the host, by
    /// [`Moments::merge`](crate::Moments::merge), go to [`TrainBuffers::with_moments`] of each part.
    ///
    /// # Errors
    /// Buffers that do not fit.
    pub fn bind_moments(&self, b: &MomentsBuffers<'_>) -> Result<Binding, BindError> {
        let buffers = [
            ("x", Some(b.x)),
            ("weights", b.weights.map(|weights| weights.values)),
            ("moments", Some(b.moments)),
            ("workspace", Some(b.workspace)),
        ];
        let asked = Asked::default().with_weights(self, b.weights.as_ref(), true)?;
        self.bind(Operation::Moments, asked, &buffers)
    }

    /// Binds the merging of `other`'s moments into `into`'s, whose count is the sum of both
    /// afterwards: one dispatch. Chan's formula; the pivots stay those of `into`, unless its count is 0. Moments of no values
    /// change nothing.
    ///
    /// Each merge rounds once. Of dozens of parts, merge pairs, then pairs of those, as
    /// [`Moments::merge_all`](crate::Moments::merge_all) does: a chain of 64 left the bounds.
    ///
    /// # Errors
    /// A count below 0, above 2^53 or not finite; buffers that do not fit.
    pub fn bind_merge_moments(
        &self,
        into: &MomentsRows<'_>,
        other: &MomentsRows<'_>,
    ) -> Result<Binding, BindError> {
        let asked = Asked {
            count: Some(count_of_values(into.count)?),
            other_count: count_of_values(other.count)?,
            ..Asked::default()
        };
        let buffers = [("into", Some(into.rows)), ("other", Some(other.rows))];
        self.bind(Operation::MergeMoments, asked, &buffers)
    }

    /// Binds inference: one dispatch for each piece.
    ///
    /// # Errors
    /// A configuration without running statistics; buffers that do not fit.
    pub fn bind_inference(&self, b: &InferenceBuffers<'_>) -> Result<Binding, BindError> {
        let buffers = [
            ("x", Some(b.x)),
            ("weights", b.weights.map(|weights| weights.values)),
            ("y", b.y),
            ("residual", b.residual),
            ("affine", b.affine),
            ("running", Some(b.running)),
        ];
        let asked = Asked::default().with_weights(self, b.weights.as_ref(), false)?;
        self.bind(Operation::Inference, asked, &buffers)
    }
}
