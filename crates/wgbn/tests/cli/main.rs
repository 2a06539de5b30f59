//! `wgbn` run as a process: exit status, what it prints, and the files it leaves.

mod npy;
mod support;
mod tensors;
mod truth;

mod bench;
mod brought;
mod commands;
mod corrupt;
#[cfg(target_os = "linux")]
mod dropping;
mod files;
mod fold;
mod goldens;
mod halves;
#[cfg(unix)] // by signals and limits of the shell
mod killed;
mod machine;
mod options;
mod refused;
mod tuning;
mod weights;
#[cfg(target_os = "linux")]
mod wrong;
