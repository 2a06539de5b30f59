//! Where a layer stands in a file.

use std::collections::BTreeSet;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use super::names::{Names, Part};
use crate::config::Affine;
use crate::error::StateError;

/// Which layer of a file, whose names its tensors have, and what of it to read. Its default is the only layer there is, by
/// whatever names fit.
///
/// ```
/// use wgpu_batchnorm::{Config, Lookup, Names, RunningStatistics, LayerState};
/// let running = RunningStatistics::from_parts(vec![0.5; 3], vec![2.0; 3], vec![12; 3])?;
/// let state = LayerState::default().with_running(running).with_num_batches_tracked(12);
/// let bytes = state.to_safetensors("module.bn1.")?;
/// let found = LayerState::find(&bytes, &Lookup::default(), 3, &Config::pytorch())?;
/// assert_eq!((&*found.prefix, found.names), ("module.bn1.", Names::Pytorch));
/// assert_eq!(found.state, state);
/// # Ok::<_, wgpu_batchnorm::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lookup {
    /// Whose names the tensors have.
    pub names: Names,
    /// What stands before the names; `None` for nothing where a layer's tensors are so named, else for the only prefix under
    /// which a layer stands.
    pub prefix: Option<String>,
    /// Which of γ and β to read, where the file has them.
    pub affine: Affine,
}

impl Default for Lookup {
    fn default() -> Self {
        Self {
            names: Names::Auto,
            prefix: None,
            affine: Affine::Both,
        }
    }
}

impl Lookup {
    /// Sets whose names the tensors have.
    pub fn with_names(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    /// Sets what stands before the names, or that it is to be found.
    pub fn with_prefix(mut self, prefix: impl Into<Option<String>>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets which of γ and β to read, where the file has them.
    pub fn with_affine(mut self, affine: Affine) -> Self {
        self.affine = affine;
        self
    }

    /// The names and the prefix of the layer of `channels` channels; `None` where there is none.
    pub(super) fn place(
        &self,
        file: &SafeTensors<'_>,
        channels: usize,
    ) -> Result<Option<Place>, StateError> {
        let file = File { file, channels };
        if let Some(prefix) = &self.prefix {
            return file.place(self.names, prefix);
        }
        let root = file.place(self.names, "")?;
        let root = root.filter(|place| !place.counts_alone());
        // PyTorch's names with nothing before them are a layer's, whatever else there is.
        if let Some(place) = &root
            && file.stands(place)
            && place.names == Names::Pytorch
        {
            return Ok(root);
        }
        let mut places = Vec::new();
        for prefix in file.prefixes(self.names) {
            match file.place(self.names, &prefix) {
                _ if prefix.is_empty() => {}
                Ok(place) => places.extend(place.filter(|place| file.stands(place))),
                Err(StateError::MixedNames { names }) => {
                    // Of another layer, they need not fit.
                    if names.iter().any(|name| file.is_row(name)) {
                        return Err(StateError::MixedNames { names });
                    }
                }
                Err(error) => return Err(error),
            }
        }
        // Flax's `params.bn.` has a part of what its `bn.` has.
        let all = places.clone();
        let is_part = |place: &Place, of: &Place| {
            place != of
                && place
                    .tensors
                    .iter()
                    .all(|tensor| of.tensors.contains(tensor))
        };
        places.retain(|place| !all.iter().any(|of| is_part(place, of)));
        if let Some(root) = root {
            if places.is_empty() {
                return Ok(Some(root));
            }
            // Numbers of another length are no layer's beside one that stands.
            if root.tensors.iter().any(|(_, name)| file.is_row(name)) {
                places.insert(0, root);
            }
        }
        match places.len() {
            0 | 1 => Ok(places.pop()),
            _ => Err(StateError::Prefixes {
                prefixes: places.into_iter().map(|place| place.prefix).collect(),
            }),
        }
    }
}

/// Where a layer's tensors are.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) names: Names,
    pub(super) prefix: String,
    /// The tensors that are there, by their names in the file.
    pub(super) tensors: Vec<(Part, String)>,
}

impl Place {
    /// Whether all there is is a count, which every library calls the same.
    fn counts_alone(&self) -> bool {
        self.tensors.iter().all(|(part, _)| *part == Part::Count)
    }

    /// A tensor's name in the file, or what it would be.
    pub(super) fn name(&self, part: Part) -> String {
        let there = self.tensors.iter().find(|(other, _)| *other == part);
        let named = || format!("{}{}", self.prefix, self.names.name_of(part));
        there.map_or_else(named, |(_, name)| name.clone())
    }
}

struct File<'a, 'f> {
    file: &'a SafeTensors<'f>,
    channels: usize,
}

impl File<'_, '_> {
    fn has(&self, name: &str) -> bool {
        self.file.tensor(name).is_ok()
    }

    /// What `names` finds under a prefix.
    fn under(&self, names: Names, prefix: &str) -> Place {
        let parts = names.parts().iter();
        let tensors = parts.filter_map(|(part, name)| {
            let roots = names.roots().iter();
            let mut full = roots.flat_map(|root| {
                let endings = names.endings().iter();
                endings.map(move |ending| format!("{root}{prefix}{name}{ending}"))
            });
            full.find(|name| self.has(name)).map(|name| (*part, name))
        });
        Place {
            names,
            prefix: prefix.to_owned(),
            tensors: tensors.collect(),
        }
    }

    /// The layer under a prefix by these names, or by those that fit.
    fn place(&self, names: Names, prefix: &str) -> Result<Option<Place>, StateError> {
        let there = |place: &Place| !place.tensors.is_empty();
        if names != Names::Auto {
            return Ok(Some(self.under(names, prefix)).filter(there));
        }
        let places = Names::ALL.map(|names| self.under(names, prefix));
        // Others number their layers, and Caffe's scale layer has two blobs: a batch norm of Caffe's has three.
        let caffe = |place: &Place| {
            let has = |part| place.tensors.iter().any(|(other, _)| *other == part);
            let all = [Part::Mean, Part::Variance, Part::Factor];
            place.names != Names::Caffe || all.into_iter().all(has)
        };
        let places: Vec<_> = places.into_iter().filter(caffe).filter(there).collect();
        let found = places.iter().flat_map(|place| &place.tensors);
        let all: BTreeSet<_> = found.map(|(_, name)| name).collect();
        let fits = places.iter().find(|place| place.tensors.len() == all.len());
        match fits {
            Some(place) => Ok(Some(place.clone())),
            None if all.is_empty() => Ok(None),
            None => Err(StateError::MixedNames {
                names: all.into_iter().cloned().collect(),
            }),
        }
    }

    /// Every prefix under which a tensor has one of the names. It ends with a dot or a slash.
    fn prefixes(&self, names: Names) -> BTreeSet<String> {
        let all = match names {
            Names::Auto => Names::ALL.to_vec(),
            names => vec![names],
        };
        let mut prefixes = BTreeSet::new();
        for name in self.file.names() {
            for names in &all {
                for ((_, part), ending) in names.parts().iter().flat_map(|part| {
                    let endings = names.endings().iter();
                    endings.map(move |ending| (part, ending))
                }) {
                    let rest = name.strip_suffix(ending).and_then(|n| n.strip_suffix(part));
                    let Some(rest) = rest.filter(|r| r.is_empty() || r.ends_with(['.', '/']))
                    else {
                        continue;
                    };
                    // The longest root first: the empty one fits all.
                    let roots = names.roots().iter().rev();
                    let rest = roots.filter_map(|root| rest.strip_prefix(root)).next();
                    prefixes.extend(rest.map(str::to_owned));
                }
            }
        }
        prefixes
    }

    /// Whether a tensor has one value for each channel.
    fn is_row(&self, name: &str) -> bool {
        let shape = self.file.tensor(name).map(|view| view.shape().to_vec());
        shape.is_ok_and(|shape| shape == [self.channels])
    }

    /// Whether these are the tensors of a batch norm of so many channels, and not those of another layer.
    fn stands(&self, place: &Place) -> bool {
        let shaped = |(part, name): &(Part, String)| {
            matches!(part, Part::Count | Part::Factor) || self.is_row(name)
        };
        let tells =
            |(part, _): &(Part, String)| matches!(part, Part::Weight | Part::Mean | Part::Variance);
        place.tensors.iter().all(shaped) && place.tensors.iter().any(tells)
    }
}

/// Whether a tensor may be one of a layer's: as many numbers as there are channels, in whatever shape.
pub(super) fn per_channel(view: &TensorView<'_>, channels: usize) -> bool {
    view.shape().iter().product::<usize>() == channels
        && super::values::width(view.dtype()).is_some()
}
