//! Which dispatches an operation is made of.

use super::Operation;
use super::asked::{Asked, ImageTensor};
use super::params::{Params, flags};
use crate::config::{Affine, Config};
use crate::element::Element;
use crate::plan::{Grid, Piece, Schedule};
use crate::shaders::{Constants, Kernel, Role, Storage, Variant, Walk};

/// What a dispatch does with the tensor, and so which of the schedule's grids is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reduces it to partials: a dispatch for each piece.
    Reduce,
    /// Merges partials and writes a tensor: a dispatch for each piece.
    Map,
    /// Writes a tensor, with nothing to merge: a dispatch for each piece.
    Apply,
    /// Writes a tensor by words, with nothing to merge: a dispatch for each piece.
    Flat,
    /// Leaves it alone, and merges partials: one dispatch.
    Merge,
    /// The same for a stage behind, which merges none and writes nothing that there is one of a channel.
    Finish,
    /// Reduces it and writes a tensor: one dispatch.
    Resident(Grid),
}

/// One dispatch, before its buffers are bound.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) variant: Variant,
    pub(crate) constants: Constants,
    /// The part of the tensors that is bound.
    pub(crate) piece: Piece,
    /// Bytes of what the piece counts.
    pub(crate) bytes_each: u64,
    pub(crate) grid: Grid,
    pub(crate) params: Params,
}

impl Operation {
    /// The kernels that it runs, in order, and what each does with the tensor. A render pass is a draw
    /// and runs none.
    pub(crate) fn kernels(self, schedule: &Schedule, asked: &Asked) -> Vec<(Kernel, Stage)> {
        let first = |kernel| (kernel, Stage::Reduce);
        let weighted = asked.weights.is_some();
        let split = |kernel, finish, then| match schedule.folds || weighted {
            true => vec![first(kernel), (finish, Stage::Finish), (then, Stage::Map)],
            false => vec![first(kernel), (then, Stage::Map)],
        };
        if !schedule.flat.is_empty() {
            return self.flat_kernels(asked);
        }
        match self {
            Self::Train | Self::ImageTrain => match schedule.resident_train {
                Some(grid) if grid.held > 0 => vec![(Kernel::TrainHeld, Stage::Resident(grid))],
                Some(grid) => vec![(Kernel::TrainResident, Stage::Resident(grid))],
                None => split(Kernel::Moments, Kernel::TrainFinish, Kernel::Normalize),
            },
            // A batch that is empty in this part alone moves this part's statistics with the others'.
            Self::TrainPart if schedule.view.is_empty() => match asked.count {
                Some(0.0) => vec![],
                _ => vec![(Kernel::TrainFinish, Stage::Merge)],
            },
            Self::TrainPart if weighted => vec![
                (Kernel::TrainFinish, Stage::Finish),
                (Kernel::Normalize, Stage::Map),
            ],
            Self::TrainPart => vec![(Kernel::Normalize, Stage::Map)],
            Self::Inference | Self::ImageInference | Self::Normalize => {
                vec![(Kernel::Inference, Stage::Apply)]
            }
            Self::Moments => vec![
                first(Kernel::Moments),
                (Kernel::MomentsFinish, Stage::Merge),
            ],
            Self::MergeMoments => vec![(Kernel::MomentsMerge, Stage::Merge)],
            // Nothing maps an empty batch, whose sums are zeroed all the same.
            Self::Backward => match (
                asked.has(Role::Out) && !schedule.view.is_empty(),
                // With weights, these have no binding left for a residual.
                schedule
                    .resident_backward
                    .filter(|_| !(weighted && asked.through_residual)),
            ) {
                (true, Some(grid)) if grid.held > 0 => {
                    vec![(Kernel::BackwardHeld, Stage::Resident(grid))]
                }
                (true, Some(grid)) => vec![(Kernel::BackwardResident, Stage::Resident(grid))],
                (true, None) => split(Kernel::BackwardSums, Kernel::Gradients, Kernel::BackwardDx),
                (false, _) => vec![
                    first(Kernel::BackwardSums),
                    (Kernel::Gradients, Stage::Merge),
                ],
            },
            Self::BackwardPart if weighted => vec![
                (Kernel::Gradients, Stage::Finish),
                (Kernel::BackwardDx, Stage::Map),
            ],
            Self::BackwardPart => vec![(Kernel::BackwardDx, Stage::Map)],
            Self::BackwardFrozen => vec![
                first(Kernel::BackwardFrozen),
                (Kernel::Gradients, Stage::Merge),
            ],
            Self::ImageStatistics if weighted => {
                vec![first(Kernel::Moments), (Kernel::TrainFinish, Stage::Merge)]
            }
            // The second is the kernel of training, over no pixels: all that is left are the statistics.
            Self::ImageStatistics => {
                vec![first(Kernel::Moments), (Kernel::Normalize, Stage::Merge)]
            }
            Self::ImageToTensor | Self::ImageFromTensor => vec![(Kernel::Texels, Stage::Apply)],
            Self::ImageRenderSaved | Self::ImageRenderRunning => vec![],
        }
    }

    /// The same, where tensors are mapped by words: all that is merged is merged before.
    fn flat_kernels(self, asked: &Asked) -> Vec<(Kernel, Stage)> {
        let mut kernels = match self {
            Self::Train | Self::Moments => vec![(Kernel::Moments, Stage::Reduce)],
            Self::Backward => vec![(Kernel::BackwardSums, Stage::Reduce)],
            Self::BackwardFrozen => vec![(Kernel::BackwardFrozen, Stage::Reduce)],
            _ => vec![],
        };
        kernels.extend(match self {
            Self::Train | Self::TrainPart => Some((Kernel::TrainFinish, Stage::Finish)),
            Self::Moments => Some((Kernel::MomentsFinish, Stage::Merge)),
            Self::MergeMoments => Some((Kernel::MomentsMerge, Stage::Merge)),
            Self::Backward | Self::BackwardPart => Some((Kernel::Gradients, Stage::Finish)),
            Self::BackwardFrozen => Some((Kernel::Gradients, Stage::Merge)),
            _ => None,
        });
        let differentiates = asked.has(Role::Out) || asked.has(Role::Dresidual);
        let map = match self {
            Self::Train | Self::TrainPart => Some(Kernel::FlatNormalize),
            Self::Inference | Self::Normalize => Some(Kernel::FlatInference),
            Self::Backward | Self::BackwardPart if differentiates => Some(Kernel::FlatDx),
            Self::BackwardFrozen if differentiates => Some(Kernel::FlatFrozenDx),
            _ => None,
        };
        kernels.extend(map.map(|kernel| (kernel, Stage::Flat)));
        kernels
    }

    /// Whether one of its dispatches writes what is bound for `role`, where `asked` is asked for.
    pub(crate) fn writes(self, role: Role, schedule: &Schedule, asked: &Asked) -> bool {
        let mut kernels = self.kernels(schedule, asked).into_iter();
        kernels.any(|(kernel, _)| {
            let place = match role {
                Role::X if goes_over_x(kernel, asked) => Role::Out,
                role => role,
            };
            kernel.writes().contains(&place)
        })
    }

    /// Its dispatches.
    pub(crate) fn steps(self, config: &Config, schedule: &Schedule, asked: &Asked) -> Vec<Step> {
        let kernels = self.kernels(schedule, asked);
        // A second pass may go backwards: over its pieces, and over each of them.
        let reduces = kernels.iter().any(|(_, stage)| *stage == Stage::Reduce);
        let reversed = reduces && schedule.reversed;
        let finishes = kernels.iter().any(|(_, stage)| *stage == Stage::Finish);
        kernels
            .into_iter()
            .flat_map(|(kernel, stage)| {
                let behind = matches!(stage, Stage::Map | Stage::Flat);
                let (reversed, finished) = (reversed && behind, finishes && behind);
                let pieces = schedule.pieces.iter();
                let mut grids: Vec<(Piece, Grid)> = match stage {
                    Stage::Reduce => pieces.map(|piece| (*piece, piece.reduce)).collect(),
                    Stage::Map => pieces.map(|piece| (*piece, piece.map)).collect(),
                    Stage::Apply => pieces.map(|piece| (*piece, piece.apply)).collect(),
                    Stage::Flat => {
                        let pieces = schedule.flat.iter();
                        pieces.map(|piece| (*piece, piece.map)).collect()
                    }
                    Stage::Merge | Stage::Finish => vec![(schedule.whole(), schedule.merge)],
                    Stage::Resident(grid) => vec![(schedule.whole(), grid)],
                };
                if reversed {
                    grids.reverse();
                }
                let storage = self.storage(schedule, stage, asked);
                let step = move |(piece, grid): (Piece, Grid)| Step {
                    variant: variant(kernel, storage, schedule, &grid, asked),
                    constants: constants(kernel, config, schedule, &grid, asked),
                    params: self
                        .params((kernel, finished), config, schedule, (&piece, &grid), asked)
                        .with_flag(flags::REVERSED, reversed)
                        .with_flag(flags::FOLDS, stage == Stage::Finish),
                    bytes_each: schedule.bytes_each(&piece),
                    piece,
                    grid,
                };
                grids.into_iter().map(step).collect::<Vec<_>>()
            })
            .collect()
    }

    fn storage(self, schedule: &Schedule, stage: Stage, asked: &Asked) -> Storage {
        match (self, stage) {
            (Self::ImageStatistics, Stage::Merge) => Storage::Single,
            (Self::ImageTrain | Self::ImageInference | Self::ImageStatistics, _) => {
                Storage::Texture(asked.format)
            }
            (Self::ImageToTensor, _) => Storage::TextureIn,
            (Self::ImageFromTensor, _) => Storage::TextureOut(asked.format),
            _ => match schedule.element {
                Element::F32 => Storage::Single,
                Element::F16 | Element::Bf16 => Storage::Half,
            },
        }
    }

    /// What a dispatch of `kernel` is told; `finished`, where one before has merged all partials and written what there is
    /// one of a channel. Kernels ignore what is not for them.
    fn params(
        self,
        (kernel, finished): (Kernel, bool),
        config: &Config,
        schedule: &Schedule,
        (piece, grid): (&Piece, &Grid),
        asked: &Asked,
    ) -> Params {
        let mut params = Params::new(schedule, piece, grid);
        if self == Self::ImageStatistics && kernel == Kernel::Normalize {
            params.count = 0;
        }
        params.given_total = asked.other_count as f32;
        if let Some(weights) = &asked.weights {
            params = params.with_weights(weights, schedule.first_element(piece));
        }
        let params = match asked.tensor {
            Some(ImageTensor { planar, alpha }) => {
                params.with_tensor(schedule.view.count() as u32, planar, alpha)
            }
            None => params,
        };
        let params = params
            .with_image(asked.width, asked.x_origin, asked.y_origin)
            .with_flag(
                flags::LUMINANCE,
                asked.luminance && kernel == Kernel::Moments,
            );
        let count = asked.count.unwrap_or(schedule.view.count() as f64);
        let params = params.with_count(count);
        // Only the kernels that finish training move running statistics.
        let trains = matches!(
            kernel,
            Kernel::Normalize | Kernel::TrainFinish | Kernel::TrainResident | Kernel::TrainHeld
        );
        let params = match trains && !finished && asked.has(Role::Statistics) {
            true => params.with_running(config, count),
            false => params,
        };
        let params = self.options(params, config, asked);
        match (finished, asked.weights) {
            // It lies where the first of what was merged lay.
            (true, Some(_)) => params.with_flag(flags::HAS_GRADS, false),
            (true, None) => params.with_finished(),
            (false, _) => params,
        }
    }

    /// The options of the configuration, and what was asked for.
    pub(crate) fn options(self, params: Params, config: &Config, asked: &Asked) -> Params {
        let affine = match asked.has(Role::Affine) {
            true => config.affine,
            false => Affine::None,
        };
        let sums = self == Self::BackwardPart;
        let from_moments = self == Self::TrainPart || asked.from_moments;
        params
            .with_eps(config.eps)
            .with_affine(affine)
            .with_activation(config.activation)
            .with_flag(
                flags::FROM_RUNNING,
                match self {
                    Self::ImageRenderRunning => true,
                    Self::ImageToTensor | Self::ImageFromTensor => asked.has(Role::Statistics),
                    _ => false,
                },
            )
            .with_flag(flags::HAS_GRADS, asked.has(Role::Grads) && !sums)
            .with_flag(flags::ACCUMULATE, asked.accumulate)
            .with_flag(flags::HAS_DX, asked.has(Role::Out))
            .with_flag(flags::FROM_MOMENTS, from_moments)
            .with_flag(flags::FROM_SUMS, sums)
            .with_flag(flags::KEEP_ALPHA, asked.keep_alpha)
    }
}

/// Without an output of its own, y goes over x.
fn goes_over_x(kernel: Kernel, asked: &Asked) -> bool {
    kernel.maps() && !asked.has(Role::Out)
}

fn variant(
    kernel: Kernel,
    storage: Storage,
    schedule: &Schedule,
    grid: &Grid,
    asked: &Asked,
) -> Variant {
    let walk = match schedule.axes {
        Some(_) => Walk::Strided,
        None => Walk::Dense,
    };
    let variant = Variant::new(kernel, storage, walk, schedule.load, grid.lane_columns);
    let variant = match asked.weights {
        Some(_) if kernel.takes_weights() => variant.weighted(),
        _ => variant,
    };
    match asked.apart {
        true => variant.reading(),
        false => variant,
    }
}

fn constants(
    kernel: Kernel,
    config: &Config,
    schedule: &Schedule,
    grid: &Grid,
    asked: &Asked,
) -> Constants {
    // One pipeline of a kernel without an activation serves all of them.
    let activates = kernel.activates();
    Constants {
        workgroup: grid.workgroup,
        activation: if activates {
            config.activation.code()
        } else {
            0
        },
        residual: activates && asked.has(Role::Residual),
        dresidual: activates && asked.has(Role::Dresidual),
        in_place: goes_over_x(kernel, asked),
        held: grid.held,
        bfloat: schedule.element == Element::Bf16,
    }
}
