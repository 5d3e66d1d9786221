//! Configurations of the projections' kernels: a handful, of which `monolens tune` finds the best for a device.

use crate::pipelines::Constant;
use std::fmt;
use std::str::FromStr;

/// How a workgroup of `project_many` is cut. It always has 64 rows of x: routing is by blocks of 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    columns: u32,
    lane_rows: u32,
    depth: u32,
}

impl Tile {
    /// All, the default first. Each has at most 256 threads and 16 KiB of workgroup memory, which every device has.
    pub const ALL: [Self; 5] = [
        Self::new(128, 8, 16),
        // More workgroups where an output is narrow.
        Self::new(64, 8, 16),
        // More threads, each with half the registers.
        Self::new(128, 4, 16),
        Self::new(64, 4, 16),
        // Fewer reads of x.
        Self::new(256, 8, 8),
    ];

    const fn new(columns: u32, lane_rows: u32, depth: u32) -> Self {
        Self { columns, lane_rows, depth }
    }

    /// Columns of the result that a workgroup makes; of `gate_up` half as many.
    pub(crate) const fn columns(self) -> usize {
        self.columns as usize
    }

    /// The constants of `project_rows.wgsl` and `project_many.wgsl`.
    pub(crate) fn constants(self) -> Vec<Constant> {
        vec![("0", self.columns / 4), ("1", self.lane_rows), ("2", self.depth)]
    }
}

impl Default for Tile {
    fn default() -> Self {
        Self::ALL[0]
    }
}

impl fmt::Display for Tile {
    /// Rows and columns of a workgroup, then of a lane.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "64x{}-{}x8", self.columns, self.lane_rows)
    }
}

/// How projections of many rows (prefill) are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Prefill {
    /// On matrix units (`project_matrix`), where the device is opened with such.
    Matrix,
    /// Without workgroup memory (`project_lanes`), on adapters that run on a CPU.
    Lanes,
    /// In tiles (`project_many`).
    Tiles(Tile),
}

impl fmt::Display for Prefill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Matrix => f.write_str("matrix"),
            Self::Lanes => f.write_str("lanes"),
            Self::Tiles(tile) => tile.fmt(f),
        }
    }
}

impl FromStr for Prefill {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let tiles = Tile::ALL.into_iter().map(Self::Tiles);
        [Self::Matrix, Self::Lanes].into_iter().chain(tiles).find(|p| p.to_string() == name).ok_or(())
    }
}

/// How a workgroup of `project_few` is cut (decode).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decode {
    groups: u32,
    lanes: u32,
}

impl Decode {
    /// All, the default first. Fewer lanes have less to add up, more lanes read longer pieces of a row at once.
    pub const ALL: [Self; 5] =
        [Self::new(2, 32), Self::new(1, 64), Self::new(4, 16), Self::new(8, 8), Self::new(4, 32)];

    const fn new(groups: u32, lanes: u32) -> Self {
        Self { groups, lanes }
    }

    /// Quads of weight rows that a workgroup does.
    pub(crate) const fn groups(self) -> usize {
        self.groups as usize
    }

    /// The constants of `project_few.wgsl`.
    pub(crate) fn constants(self) -> Vec<Constant> {
        vec![("0", self.groups), ("1", self.lanes)]
    }
}

impl Default for Decode {
    fn default() -> Self {
        Self::ALL[0]
    }
}

impl fmt::Display for Decode {
    /// Weight rows of a workgroup, and lanes that read a row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", 4 * self.groups, self.lanes)
    }
}

impl FromStr for Decode {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|preset| preset.to_string() == name).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_preset_is_found_by_its_name_and_has_one_of_its_own() {
        let all = [Prefill::Matrix, Prefill::Lanes].into_iter().chain(Tile::ALL.map(Prefill::Tiles));
        for preset in all {
            assert_eq!(preset.to_string().parse(), Ok(preset));
        }
        for preset in Decode::ALL {
            assert_eq!(preset.to_string().parse(), Ok(preset));
        }
        assert_eq!(Decode::ALL.map(|p| p.to_string()).into_iter().collect::<BTreeSet<_>>().len(), 5);
        assert!("64x32-8x8".parse::<Prefill>().is_err() && "".parse::<Decode>().is_err());
    }

    /// What `project_many.wgsl` and `project_few.wgsl` rely on, and the limits of every WebGPU device.
    #[test]
    fn every_preset_fits_its_shader_and_any_device() {
        for Tile { columns, lane_rows, depth } in Tile::ALL {
            let quads = columns / 4;
            let threads = 64 / lane_rows * (quads / 2);
            let (x_blocks, w_blocks) = (4 * depth, quads * depth / 8);
            assert!(threads <= 256 && x_blocks <= threads && w_blocks <= threads);
            assert!(16 * (depth * 16 + depth * quads + x_blocks) <= 16_384);
            assert!([4, 8].contains(&lane_rows) && [8, 16].contains(&depth));
        }
        for Decode { groups, lanes } in Decode::ALL {
            assert!(lanes.is_power_of_two() && lanes >= 4 && groups * lanes <= 256);
            // Four rows of x: sums, and squares for a norm.
            assert!(groups * lanes * 4 * (16 + 4) <= 16_384);
        }
    }
}
