//! Mesa's drivers for GPUs that are not there: they compile as for that GPU, and execute nothing.
//! Whatever a program reads back is what the memory held before.

use std::path::Path;
use std::process::Command;

use crate::debian::{self, Unpacked};

/// Mesa with its null devices, and a Vulkan loader of the same age.
const PACKAGES: [&str; 3] = ["mesa-vulkan-drivers", "mesa-drm-shim", "libvulkan1"];

/// A GPU, or those with the same instruction set, that a driver takes to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name on our command lines: AMD's as Mesa spells it.
    pub name: &'static str,
    /// Its driver.
    pub maker: Maker,
}

/// Whose GPU it is, which decides the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// RADV.
    Amd,
    /// NVK, by the number of the chip.
    Nvidia(&'static str),
}

/// All families, oldest first.
pub const FAMILIES: [Family; 10] = [
    amd("polaris12"),
    amd("vega10"),
    amd("raven"),
    amd("renoir"),
    amd("navi10"),
    amd("navi21"),
    amd("navi31"),
    amd("gfx1150"),
    nvidia("turing", "0x164"),
    nvidia("ampere", "0x172"),
];

const fn amd(name: &'static str) -> Family {
    Family {
        name,
        maker: Maker::Amd,
    }
}

const fn nvidia(name: &'static str, chip: &'static str) -> Family {
    Family {
        name,
        maker: Maker::Nvidia(chip),
    }
}

/// The drivers, in `target/debian` once they were fetched.
pub struct NullDevices(Unpacked);

impl NullDevices {
    /// Fetches them unless they are there: 60 MB over the network, 260 MB unpacked.
    ///
    /// # Errors
    /// In one line, what this system lacks for it.
    pub fn get() -> Result<Self, String> {
        debian::unpack(&PACKAGES).map(Self)
    }

    /// A command that runs `program` where this family's GPU, which is not there, is the one device of
    /// Vulkan. The arguments that are added to the command are the program's.
    pub fn command(&self, family: Family, program: &Path) -> Command {
        let (shim, driver) = match family.maker {
            Maker::Amd => ("libamdgpu_noop_drm_shim.so", "radeon"),
            Maker::Nvidia(_) => ("libnouveau_noop_drm_shim.so", "nouveau"),
        };
        let manifest = format!("/usr/share/vulkan/icd.d/{driver}_icd.json");
        let manifest = self.0.file(&manifest);
        let mut command = self.0.command(program, &[shim]);
        // Both names of the variable, of newer loaders and of older ones.
        for variable in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
            command.env(variable, &manifest);
        }
        command
            .env("WGPU_BACKEND", "vulkan")
            // Layers that the system has were built for its own libraries.
            .env("VK_LOADER_LAYERS_DISABLE", "~implicit~")
            .env("MESA_SHADER_CACHE_DISABLE", "true");
        match family.maker {
            Maker::Amd => command.env("AMDGPU_GPU_ID", family.name),
            Maker::Nvidia(chip) => command
                .env("NOUVEAU_CHIPSET", chip)
                // NVK refuses chips that it was not tested on.
                .env("NVK_I_WANT_A_BROKEN_VULKAN_DRIVER", "1"),
        };
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_one_name() {
        for (at, family) in FAMILIES.iter().enumerate() {
            assert!(FAMILIES[..at].iter().all(|other| other.name != family.name));
        }
    }
}
