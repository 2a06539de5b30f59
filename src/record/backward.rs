//! Binding of backward passes.

use super::request::count;
use super::{BackwardBuffers, Plan, StatisticsRows};
use crate::binding::Binding;
use crate::error::BindError;
use crate::operation::{Asked, Operation};

impl Plan {
    /// Binds backward: through the batch's own statistics, or through frozen ones.
    ///
    /// Through batch statistics it is one dispatch or two, as [`Plan::describe`] says, and two without `dx`; through
    /// frozen ones it is a dispatch for each piece, and one that merges.
    ///
    /// A batch in parts goes through it twice. Without `dx` it gives the sums of a part in `grads`; those of all
    /// parts add up to the sums of the batch, by [`with_accumulate`](BackwardBuffers::with_accumulate) from the second part on (each
    /// addition rounds once, so of more than 32 parts add up several `grads`). Then
    /// [`with_sums`](BackwardBuffers::with_sums) gives each part's `dx`, one dispatch for each piece.
    ///
    /// ```
    /// use wgpu_batchnorm::{
    ///     Affine, BackwardBuffers, Config, MomentsBuffers, MomentsRows, StatisticsRows, SumsRows,
    ///     Tensor, TrainBuffers,
    /// };
    ///
    /// # let gpu = wgpu_batchnorm::Gpu::new_blocking(&wgpu_batchnorm::Adapter::Best)?;
    /// # let upload = |shape: &[usize], values: &[f32]| Tensor::upload(&gpu, shape, values);
    /// # let config = Config::pytorch().with_affine(Affine::None).without_running();
    /// // Two parts of a batch, [2, 1] each: x is -3, -1 and 1, 3; dy is 1, 0 and 0, 0.
    /// let plan = gpu.context().plan(&config, &[2, 1])?;
    /// let x = [upload(&[2, 1], &[-3.0, -1.0])?, upload(&[2, 1], &[1.0, 3.0])?];
    /// let dy = [upload(&[2, 1], &[1.0, 0.0])?, upload(&[2, 1], &[0.0, 0.0])?];
    /// # let empty = |shape: &[usize]| Tensor::empty(&gpu, shape);
    /// # let (dx, y) = ([empty(&[2, 1])?, empty(&[2, 1])?], empty(&[2, 1])?);
    /// # let buffer = |bytes: u64| empty(&[bytes as usize / 4]);
    /// # let (grads, saved) = (buffer(plan.grads_bytes())?, buffer(plan.saved_bytes())?);
    /// # let moments = [buffer(plan.moments_bytes())?, buffer(plan.moments_bytes())?];
    /// # let workspace = buffer(plan.workspace_bytes())?;
    /// let mut bindings = Vec::new();
    /// // Forward: the moments of each part, merged; then each part with the moments of both.
    /// for (x, moments) in x.iter().zip(&moments) {
    ///     bindings.push(plan.bind_moments(&MomentsBuffers::new(x.slice(), moments.slice(), workspace.slice()))?);
    /// }
    /// let rows = |k: usize| MomentsRows::new(moments[k].slice(), 2.0);
    /// bindings.push(plan.bind_merge_moments(&rows(0), &rows(1))?);
    /// for x in &x {
    ///     let train = TrainBuffers::new(x.slice(), saved.slice(), workspace.slice())
    ///         .with_y(y.slice())
    ///         .with_moments(MomentsRows::new(moments[0].slice(), 4.0));
    ///     bindings.push(plan.bind_train(&train)?);
    /// }
    /// // Backward: the sums of each part, added up; then dx of each part from the sums of both.
    /// let part = |k: usize| {
    ///     let statistics = StatisticsRows::Saved(saved.slice()); // of the whole batch
    ///     BackwardBuffers::new(x[k].slice(), dy[k].slice(), statistics, workspace.slice())
    /// };
    /// for k in 0..2 {
    ///     let sums = part(k).with_grads(grads.slice()).with_accumulate(k > 0);
    ///     bindings.push(plan.bind_backward(&sums)?);
    /// }
    /// for k in 0..2 {
    ///     let sums = SumsRows::new(grads.slice(), 4.0); // of 4 values per channel
    ///     bindings.push(plan.bind_backward(&part(k).with_dx(dx[k].slice()).with_sums(sums))?);
    /// }
    /// # let mut encoder = gpu.device().create_command_encoder(&Default::default());
    /// # {
    /// #     let mut pass = encoder.begin_compute_pass(&Default::default());
    /// #     bindings.iter().for_each(|binding| binding.encode(&mut pass));
    /// # }
    /// # gpu.queue().submit([encoder.finish()]);
    /// let [dweight, dbias] = grads.read_blocking()?.try_into().unwrap();
    /// assert_eq!(dbias, 1.0); // Σdy of both parts
    /// assert!((dweight + 3.0 / 5f32.sqrt()).abs() < 1e-5); // Σdy·x̂, where x̂ is x/√5
    /// let dx = [dx[0].read_blocking()?, dx[1].read_blocking()?].concat();
    /// let expected = [0.3, -0.4, -0.1, 0.2].map(|v| v / 5f32.sqrt());
    /// assert!(dx.iter().zip(expected).all(|(got, v)| (got - v).abs() < 1e-5));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Nothing to write; batch statistics where the options do not allow training on this shape; running
    /// statistics where the configuration keeps none; `accumulate` without `grads`; sums without `dx`, with
    /// `grads`, `dresidual` or running statistics, or of fewer values than this part has; weights together with a residual
    /// before an activation, where no binding is left for both; weights and buffers that do not fit.
    pub fn bind_backward(&self, b: &BackwardBuffers<'_>) -> Result<Binding, BindError> {
        if b.accumulate && b.grads.is_none() {
            return Err(BindError::Missing { buffer: "grads" });
        }
        let mut buffers = vec![
            ("x", Some(b.x)),
            ("weights", b.weights.map(|weights| weights.values)),
            ("dy", Some(b.dy)),
            ("dx", b.dx),
            ("residual", b.residual),
            ("dresidual", b.dresidual),
            ("affine", b.affine),
            ("grads", b.grads),
            ("workspace", Some(b.workspace)),
        ];
        let mut asked = Asked {
            accumulate: b.accumulate,
            ..Asked::default()
        };
        let through_batch = matches!(b.statistics, StatisticsRows::Saved(_));
        asked = asked.with_weights(self, b.weights.as_ref(), through_batch)?;
        let operation = match (b.statistics, &b.sums) {
            (StatisticsRows::Saved(saved), Some(sums)) => {
                buffers.extend([("saved", Some(saved)), ("sums", Some(sums.rows))]);
                asked.count = Some(count(sums.count, b.weights.as_ref())?);
                Operation::BackwardPart
            }
            (StatisticsRows::Running(_), Some(_)) => {
                return Err(BindError::Unexpected { buffer: "sums" });
            }
            _ if [b.dx, b.dresidual, b.grads].iter().all(Option::is_none) => {
                return Err(BindError::NothingAsked);
            }
            (StatisticsRows::Saved(saved), None) => {
                buffers.push(("saved", Some(saved)));
                Operation::Backward
            }
            (StatisticsRows::Running(running), None) => {
                buffers.push(("running", Some(running)));
                Operation::BackwardFrozen
            }
        };
        self.bind(operation, asked, &buffers)
    }
}
