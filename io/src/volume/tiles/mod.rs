//! Tiles of one sample: which volumes they are, and where their metadata, a table or their names say that they lie.

mod bdv;
mod names;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zensaibo_core::data::{Frame, Region, VolumeBlocks, VolumeInfo};
use zensaibo_core::{Error, Result};

use super::open::volume_format;
use super::tiff::ome_positions;
use super::{OpenOptions, VolumeFormat, open_volume_with};

/// A volume and where it is said to lie.
#[derive(Clone)]
pub struct TileVolume {
    /// Its file, or its name in a file of several.
    pub name: String,
    /// The volume.
    pub volume: Arc<dyn VolumeBlocks>,
    /// Micrometres (z, y, x) of the centre of its first voxel; voxels where nobody says how large these are.
    pub position: [f64; 3],
}

/// In which order the tiles of a grid were taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TileOrder {
    /// Row after row, each from its first column.
    #[default]
    Rows,
    /// Row after row, every second one backwards.
    Snake,
    /// Column after column, each from its first row.
    Columns,
    /// Column after column, every second one backwards.
    SnakeColumns,
}

impl std::str::FromStr for TileOrder {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "rows" => Self::Rows,
            "snake" => Self::Snake,
            "columns" => Self::Columns,
            "snake_columns" => Self::SnakeColumns,
            _ => {
                let expected = "\"rows\", \"snake\", \"columns\" or \"snake_columns\"";
                return Err(Error::parameter("order", expected, format!("{text:?}")));
            }
        })
    }
}

/// What is said about tiles beyond what their files say.
#[derive(Clone, Debug, Default)]
pub struct TileOptions {
    /// Micrometres per voxel along z, y and x, instead of what the files say.
    pub spacing: Option<[f64; 3]>,
    /// Names of the axes, where files do not name them.
    pub axes: Option<String>,
    /// Share of a tile that its neighbour shows too, along z, y and x: where places are rows and columns.
    pub overlap: Option<[f64; 3]>,
    /// Rows and columns of a grid, where tiles are numbered or listed.
    pub grid: Option<[usize; 2]>,
    /// Their order in the grid.
    pub order: TileOrder,
}

impl TileOptions {
    fn open(&self, path: &Path, series: Option<usize>) -> Result<Arc<dyn VolumeBlocks>> {
        let options = OpenOptions { spacing: self.spacing, axes: self.axes.clone(), series, ..OpenOptions::default() };
        open_volume_with(path, &options)
    }

    /// The row and the column of tile `index` of the grid.
    ///
    /// # Errors
    /// [`Error::Parameter`] without a grid, and beyond it.
    pub fn cell(&self, index: usize) -> Result<[usize; 2]> {
        let Some([rows, columns]) = self.grid else {
            return Err(Error::parameter("grid", "rows and columns, for tiles that are numbered or listed", "none"));
        };
        if index >= rows * columns {
            let found = format!("tile {} of {rows} rows of {columns} columns", index + 1);
            return Err(Error::parameter("grid", "rows and columns for every tile", found));
        }
        let (major, minor, length) = match self.order {
            TileOrder::Rows | TileOrder::Snake => (index / columns, index % columns, columns),
            TileOrder::Columns | TileOrder::SnakeColumns => (index / rows, index % rows, rows),
        };
        let backwards = matches!(self.order, TileOrder::Snake | TileOrder::SnakeColumns) && major % 2 == 1;
        let minor = if backwards { length - 1 - minor } else { minor };
        Ok(match self.order {
            TileOrder::Rows | TileOrder::Snake => [major, minor],
            TileOrder::Columns | TileOrder::SnakeColumns => [minor, major],
        })
    }
}

/// Opens the tiles of a sample. `inputs` is one of:
///
/// - BigDataViewer's XML: every tile of it, its channels together, where its registrations put it;
/// - a table (.csv, .parquet) with a column `file` (relative to the table) and columns `y`, `x` (and `z`) in micrometres, or
///   `row`, `column` (and `layer`) from any number on, which need `overlap`;
/// - the name of a file with `{row}`, `{column}` and `{layer}` for whole numbers, `{y}`, `{x}` and `{z}` for micrometres or
///   `{tile}` for the number in the grid, and `*` for anything;
/// - several files: their place in the grid where one is given, else what OME-TIFF (the position of their first plane; numbers
///   without a unit are micrometres) and OME-Zarr (translation) say;
/// - one OME-TIFF of several images.
///
/// # Errors
/// [`Error::Parameter`] and [`Error::Format`] where nothing says where tiles lie, for two at one place of a grid, names that
/// match no file; as opening volumes.
pub fn open_tiles(inputs: &[PathBuf], options: &TileOptions) -> Result<Vec<TileVolume>> {
    if let Some(overlap) = options.overlap
        && !overlap.iter().all(|share| (0.0..1.0).contains(share))
    {
        return Err(Error::parameter("overlap", "a share of a tile of at least 0 and below 1", format!("{overlap:?}")));
    }
    match inputs {
        [] => Err(Error::parameter("tiles", "at least one name", "none")),
        [one] => {
            let text = one.to_string_lossy();
            if text.contains('{') && text.contains('}') {
                return names::open(one, options);
            }
            let ending = one.extension().and_then(|end| end.to_str()).unwrap_or_default().to_lowercase();
            if matches!(ending.as_str(), "csv" | "parquet") {
                return table::open(one, options);
            }
            match volume_format(one)? {
                VolumeFormat::BdvXml => bdv::open(one, options),
                VolumeFormat::Tiff => images(one, options),
                other => {
                    let expected = "several tiles, BDV XML, an OME-TIFF of several images, a table, or a name with {row} and {column}";
                    Err(Error::format(one.clone(), "tiles", expected, format!("one {}", other.name())))
                }
            }
        }
        several => listed(several, options),
    }
}

/// The images of one OME-TIFF.
fn images(path: &Path, options: &TileOptions) -> Result<Vec<TileVolume>> {
    let positions = ome_positions(path)?;
    if positions.len() < 2 {
        let expected = "an OME-TIFF of several images, or several tiles";
        return Err(Error::format(path, "images", expected, format!("{} images", positions.len())));
    }
    let mut tiles = Vec::new();
    for (series, position) in positions.into_iter().enumerate() {
        let volume = options.open(path, Some(series))?;
        let Some(position) = position else {
            let expected = "PositionX and PositionY of its planes";
            return Err(Error::format(path, format!("OME-XML, image {series}"), expected, "none"));
        };
        tiles.push(TileVolume { name: format!("{}, image {series}", path.display()), volume, position });
    }
    Ok(tiles)
}

/// Several files.
fn listed(paths: &[PathBuf], options: &TileOptions) -> Result<Vec<TileVolume>> {
    let mut tiles = Vec::new();
    let mut cells = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        let volume = options.open(path, None)?;
        let name = path.display().to_string();
        let position = if options.grid.is_some() {
            let [row, column] = options.cell(index)?;
            cells.push([0, row as i64, column as i64]);
            [0.0; 3]
        } else if matches!(volume_format(path)?, VolumeFormat::Tiff) {
            ome_positions(path)?.first().copied().flatten().unwrap_or(volume.info().origin)
        } else {
            volume.info().origin
        };
        tiles.push(TileVolume { name, volume, position });
    }
    if options.grid.is_some() {
        return on_grid(tiles, &cells, options);
    }
    if tiles.iter().all(|tile| tile.position == tiles[0].position) {
        let expected = "OME positions in the tiles; or rows and columns with an overlap, a table, or a name with {row} and {column}";
        return Err(Error::parameter("tiles", expected, format!("{} tiles at one place", tiles.len())));
    }
    Ok(tiles)
}

/// Places tiles by layer, row and column.
fn on_grid(mut tiles: Vec<TileVolume>, cells: &[[i64; 3]], options: &TileOptions) -> Result<Vec<TileVolume>> {
    let Some(overlap) = options.overlap else {
        let expected = "the share of a tile that its neighbour shows too, where tiles lie by rows and columns";
        return Err(Error::parameter("overlap", expected, "none"));
    };
    let mut seen = std::collections::BTreeMap::new();
    for (cell, tile) in cells.iter().zip(&tiles) {
        if let Some(other) = seen.insert(*cell, &tile.name) {
            let found =
                format!("{other} and {} both in layer {}, row {}, column {}", tile.name, cell[0], cell[1], cell[2]);
            return Err(Error::parameter("tiles", "one tile at each place", found));
        }
    }
    let least: [i64; 3] = std::array::from_fn(|a| cells.iter().map(|cell| cell[a]).min().unwrap_or(0));
    let Some(info) = tiles.first().map(|tile| tile.volume.info().clone()) else { return Ok(tiles) };
    let um = info.spacing.unwrap_or([1.0; 3]);
    for (tile, cell) in tiles.iter_mut().zip(cells) {
        tile.position =
            std::array::from_fn(|a| (cell[a] - least[a]) as f64 * info.space()[a] as f64 * (1.0 - overlap[a]) * um[a]);
    }
    Ok(tiles)
}

/// Volumes of one channel each as one of several.
struct Channels {
    info: VolumeInfo,
    parts: Vec<Arc<dyn VolumeBlocks>>,
}

impl Channels {
    /// # Errors
    /// [`Error::Format`] for parts that differ in shape or type.
    fn together(path: &Path, parts: Vec<Arc<dyn VolumeBlocks>>) -> Result<Arc<dyn VolumeBlocks>> {
        let mut info = parts[0].info().clone();
        let space = info.space();
        for part in &parts {
            let own = part.info();
            if (own.shape, own.dtype) != (info.shape, info.dtype) || own.shape[1] != 1 {
                let expected = format!("channels of {space:?} voxels of {}", info.dtype.name());
                return Err(Error::format(
                    path,
                    "channels",
                    expected,
                    format!("{:?} of {}", own.shape, own.dtype.name()),
                ));
            }
        }
        if parts.len() == 1 {
            return Ok(parts[0].clone());
        }
        info.shape[1] = parts.len();
        info.axes = super::open::axes_over(info.shape[0], parts.len());
        info.channels = parts.iter().map(|part| part.info().channels.first().cloned().unwrap_or_default()).collect();
        Ok(Arc::new(Self { info, parts }))
    }
}

impl VolumeBlocks for Channels {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, frame: Frame, region: &Region, out: &mut [u8]) -> Result<()> {
        self.info.check(frame, region)?;
        self.parts[frame.channel].read(Frame { time: frame.time, channel: 0 }, region, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_of_a_grid() {
        let cells = |order: &str| -> Vec<[usize; 2]> {
            let options = TileOptions { grid: Some([2, 3]), order: order.parse().unwrap(), ..Default::default() };
            (0..6).map(|index| options.cell(index).unwrap()).collect()
        };
        assert_eq!(cells("rows"), [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]);
        assert_eq!(cells("snake"), [[0, 0], [0, 1], [0, 2], [1, 2], [1, 1], [1, 0]]);
        assert_eq!(cells("columns"), [[0, 0], [1, 0], [0, 1], [1, 1], [0, 2], [1, 2]]);
        assert_eq!(cells("snake_columns"), [[0, 0], [1, 0], [1, 1], [0, 1], [0, 2], [1, 2]]);
        let options = TileOptions { grid: Some([2, 3]), ..Default::default() };
        assert!(options.cell(6).unwrap_err().to_string().contains("tile 7 of 2 rows of 3 columns"));
        assert!("zigzag".parse::<TileOrder>().unwrap_err().to_string().contains("snake_columns"));
    }
}
