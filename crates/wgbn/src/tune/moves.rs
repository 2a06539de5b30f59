//! Sizes beside given ones: one way at a time, up and down.

use wgpu_batchnorm::internals::plan::Tuning;

/// A change, and what comes of it.
pub struct Move {
    pub what: String,
    pub tuning: Tuning,
}

/// Every move from these sizes, those first that change the most. Sizes that do not go together are left out.
/// `cache` is the last cache's bytes, where one was found.
pub fn moves(from: &Tuning, cache: Option<u64>) -> Vec<Move> {
    let mut all = Vec::new();
    let mut add = |what: String, tuning: Tuning| {
        if tuning != *from && goes_together(&tuning) {
            all.push(Move { what, tuning });
        }
    };
    for team in halved_and_doubled(from.planar_team) {
        let tuning = Tuning {
            planar_team: team,
            planar_workgroup: team.max(from.planar_workgroup),
            ..*from
        };
        add(format!("planar teams of {team}"), tuning);
        let tuning = Tuning {
            planar_workgroup: team,
            ..tuning
        };
        add(format!("planar workgroups of one team of {team}"), tuning);
    }
    for planar_workgroup in halved_and_doubled(from.planar_workgroup) {
        let tuning = Tuning {
            planar_workgroup,
            ..*from
        };
        add(format!("planar workgroups of {planar_workgroup}"), tuning);
    }
    for interleaved_workgroup in halved_and_doubled(from.interleaved_workgroup) {
        let tuning = Tuning {
            interleaved_workgroup,
            ..*from
        };
        add(
            format!("interleaved workgroups of {interleaved_workgroup}"),
            tuning,
        );
    }
    for interleaved_columns in halved_and_doubled(from.interleaved_columns) {
        let tuning = Tuning {
            interleaved_columns,
            ..*from
        };
        add(format!("{interleaved_columns} columns a team"), tuning);
    }
    for lane_columns in halved_and_doubled(from.lane_columns) {
        let tuning = Tuning {
            lane_columns,
            ..*from
        };
        add(format!("{lane_columns} columns a lane"), tuning);
    }
    match from.workgroup_bytes {
        Some(bytes) => {
            for bytes in [bytes * 2, bytes / 2] {
                let tuning = Tuning {
                    workgroup_bytes: Some(bytes),
                    ..*from
                };
                add(format!("workgroups of {} KiB", bytes >> 10), tuning);
            }
            let tuning = Tuning {
                workgroup_bytes: None,
                ..*from
            };
            add("cut to fill the device".to_owned(), tuning);
        }
        None => {
            // Whole teams: the narrowest that is cut by bytes has 128 lanes.
            let planar_workgroup = from.planar_workgroup.max(256);
            let tuning = Tuning {
                workgroup_bytes: Some(32 << 10),
                planar_workgroup,
                ..*from
            };
            add("cut by bytes, 32 KiB a workgroup".to_owned(), tuning);
        }
    }
    for fill in [from.fill * 2, from.fill / 2] {
        let tuning = Tuning { fill, ..*from };
        add(format!("{fill} workgroups fill the device"), tuning);
    }
    for resident_bytes in [from.resident_bytes * 4, from.resident_bytes / 4] {
        let tuning = Tuning {
            resident_bytes,
            ..*from
        };
        add(
            format!("resident channels of {} KiB", resident_bytes >> 10),
            tuning,
        );
    }
    for cache_bytes in [0].into_iter().chain(cache) {
        let tuning = Tuning {
            cache_bytes,
            ..*from
        };
        let what = match cache_bytes {
            0 => "second passes in the order of the first".to_owned(),
            bytes => format!("a cache of {} KiB", bytes >> 10),
        };
        add(what, tuning);
    }
    let tuning = Tuning {
        read_only: !from.read_only,
        ..*from
    };
    let what = match tuning.read_only {
        true => "inputs bound read-only",
        false => "inputs bound as writable",
    };
    add(what.to_owned(), tuning);
    all
}

fn halved_and_doubled(n: u32) -> [u32; 2] {
    [n / 2, n * 2]
}

/// Narrower than what files may hold: sizes that are worth a trial.
fn goes_together(tuning: &Tuning) -> bool {
    let Tuning {
        planar_workgroup,
        planar_team,
        interleaved_workgroup,
        interleaved_columns,
        lane_columns,
        fill,
        resident_bytes,
        workgroup_bytes,
        ..
    } = *tuning;
    let narrowest = if workgroup_bytes.is_some() { 128 } else { 4 };
    (narrowest..=1024).contains(&planar_workgroup)
        && (4..=planar_workgroup).contains(&planar_team)
        && planar_workgroup.is_multiple_of(planar_team)
        && (8..=1024).contains(&interleaved_workgroup)
        && (4..=interleaved_workgroup).contains(&interleaved_columns)
        && [1, 2, 4].contains(&lane_columns)
        && (4..=1 << 14).contains(&fill)
        && (1 << 10..=4 << 20).contains(&resident_bytes)
        && workgroup_bytes.is_none_or(|bytes| (4 << 10..=1 << 20).contains(&bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use wgpu_batchnorm::TuningFile;
    use wgpu_batchnorm::internals::tuning::{AdapterId, Contents, Figures, SCHEMA};

    use super::*;

    /// Whether a file may hold these sizes.
    fn accepted(sizes: Tuning) -> bool {
        let name = String::new;
        let adapter = AdapterId {
            name: name(),
            backend: name(),
            vendor: 0,
            device: 0,
            driver: name(),
            driver_info: name(),
        };
        let file = TuningFile::new(Contents {
            schema: SCHEMA,
            adapter,
            made: "2026-11-28T12:00:00Z".to_owned(),
            command: name(),
            sizes,
            figures: Figures::default(),
            gains: vec![],
        });
        file.is_ok()
    }

    #[test]
    fn whatever_is_reached_a_file_may_hold() {
        let classes = [Tuning::CPU_ADAPTER, Tuning::INTEGRATED, Tuning::DISCRETE];
        for class in classes {
            let (mut seen, mut next) = (HashSet::from([class]), vec![class]);
            while let Some(from) = next.pop() {
                for to in moves(&from, Some(8 << 20)) {
                    assert!(accepted(to.tuning), "{}: {:?}", to.what, to.tuning);
                    if seen.len() < 3000 && seen.insert(to.tuning) {
                        next.push(to.tuning);
                    }
                }
            }
            // Every other size of the class is reached, the pieces' aside.
            for way in [
                "by bytes",
                "fill the device",
                "columns a lane",
                "KiB",
                "order",
            ] {
                let all = seen.iter().flat_map(|from| moves(from, Some(8 << 20)));
                assert!({ all }.any(|to| to.what.contains(way)), "{way}");
            }
        }
    }
}
