// needs: entry, store, saved, lane_sums, write_sums, affine, saved_rows, stored_sums, visit_dresidual
// Backward through batch statistics, first dispatch: partial Σdz and Σdz·x̂ of every channel, where dz is
// dy behind the activation.
//
// Each lane reads its share of x and dy, once, and of the residual where there is an activation to find its
// place on; it writes dresidual where that is wanted. The lanes of a team read neighbouring words at a
// time: those of one run, or of channels side by side.
// One lane of each workgroup writes a partial for each of the workgroup's channels.
// Barriers: those of `reduce`.
// Registers a lane on Ampere (NVK, f32, no activation): 38 by values, 66 by fours of a run, 98 by fours of
// channels.
