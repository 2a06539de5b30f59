//! The layer API as an implementation.

use wgpu_batchnorm::checked::Checked;
use wgpu_batchnorm::{
    BackwardRequest, BatchNorm, ForwardRequest, Gpu, Gradients, HostGradients, LayerState, Mode,
    Tensor,
};

use crate::case::Case;
use crate::gpu::rows;
use crate::outcome::{Engine, Frozen, Outcome};

/// Each of its passes is checked by the library itself, too.
pub struct Layer {
    pub gpu: Gpu,
}

/// What a case's layer starts from.
pub fn state_of(case: &Case) -> LayerState {
    LayerState::default()
        .with_weight(case.weight.clone())
        .with_bias(case.bias.clone())
        .with_running(case.running.clone())
}

pub fn layer_of(gpu: &Gpu, case: &Case) -> BatchNorm {
    BatchNorm::with_state(gpu, case.view.channels(), case.config, &state_of(case)).unwrap()
}

pub fn host(gradients: &Gradients) -> HostGradients {
    let parameters = gradients.parameters.read_blocking().unwrap();
    let [dweight, dbias] = rows(&parameters);
    let dx = gradients.dx.as_ref();
    HostGradients::new(
        dx.map_or(vec![], |dx| dx.read_blocking().unwrap()),
        dweight,
        dbias,
    )
}

impl Layer {
    fn step(&self, case: &Case, layer: &mut Checked, mode: Mode) -> Outcome {
        let element = case.config.element;
        let upload =
            |values: &[f32]| Tensor::upload_as(&self.gpu, &case.shape, element, values).unwrap();
        let (x, dy) = (upload(&case.x), upload(&case.dy));
        let residual = case.residual.as_deref().map(upload);
        let mut request = ForwardRequest::new(mode);
        if let Some(residual) = &residual {
            request = request.with_residual(residual);
        }
        let forward = layer.forward_blocking(&x, request).unwrap();
        let saved = forward.saved.read_blocking().unwrap();
        let all = BackwardRequest::new(&forward.saved).with_dresidual(residual.is_some());
        let gradients = layer.backward_blocking(&x, &dy, all).unwrap();
        Outcome {
            y: forward.y.read_blocking().unwrap(),
            saved: saved.unwrap_or_default(),
            running: layer.layer().state_blocking().unwrap().running,
            gradients: host(&gradients),
            dresidual: match &gradients.dresidual {
                Some(dresidual) => dresidual.read_blocking().unwrap(),
                None => vec![],
            },
            frozen: None,
        }
    }
}

impl Engine for Layer {
    fn name(&self) -> String {
        "layer".to_owned()
    }

    fn run(&self, case: &Case) -> Outcome {
        let mut layer = Checked::new(layer_of(&self.gpu, case));
        // Before training moves the statistics.
        let frozen = case.running.as_ref().map(|_| {
            let outcome = self.step(case, &mut layer, Mode::Eval);
            Frozen {
                y: outcome.y,
                gradients: outcome.gradients,
                dresidual: outcome.dresidual,
            }
        });
        Outcome {
            frozen,
            ..self.step(case, &mut layer, Mode::Train)
        }
    }
}
