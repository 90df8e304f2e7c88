//! Places as cellfinder keeps them: the XML of ImageJ's cell counter, in whole voxels.

use std::io::Write as _;
use std::path::Path;

use zensaibo_core::{DataFault, Error, Result};

/// What a marker stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// Type 1.
    Artifact,
    /// Type 2.
    Cell,
}

/// Writes cells at places (z, y, x) in voxels, rounded (halves to even), beside the target and then renamed.
///
/// # Errors
/// [`Error::Data`] for places that are not finite or lie before the first voxel; [`Error::Io`].
pub fn write_markers(path: &Path, places: &[[f64; 3]]) -> Result<()> {
    for (row, place) in places.iter().enumerate() {
        if !place.iter().all(|x| x.is_finite() && x.round_ties_even() >= 0.0) {
            let expected = "finite places at or after the first voxel";
            return Err(Error::data(DataFault::Invalid, "points", expected, format!("{place:?} in row {row}")));
        }
    }
    super::replace(path, |file| {
        let mut out = std::io::BufWriter::new(file);
        out.write_all(
            b"<?xml version='1.0' encoding='utf-8'?>\n<CellCounter_Marker_File>\n  <Image_Properties>\n    \
              <Image_Filename>placeholder.tif</Image_Filename>\n  </Image_Properties>\n  <Marker_Data>\n    \
              <Current_Type>1</Current_Type>\n    <Marker_Type>\n      <Type>1</Type>\n    </Marker_Type>\n    \
              <Marker_Type>\n      <Type>2</Type>\n",
        )?;
        for place in places {
            let [z, y, x] = place.map(|at| at.round_ties_even() as i64);
            write!(
                out,
                "      <Marker>\n        <MarkerX>{x}</MarkerX>\n        <MarkerY>{y}</MarkerY>\n        \
                 <MarkerZ>{z}</MarkerZ>\n      </Marker>\n"
            )?;
        }
        out.write_all(b"    </Marker_Type>\n  </Marker_Data>\n</CellCounter_Marker_File>")?;
        out.flush()
    })
}

/// Reads the markers of one kind: places (z, y, x) in voxels, in the order of the file.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] for other XML, a marker without a coordinate or with one that is no number.
pub fn read_markers(path: &Path, kind: Marker) -> Result<Vec<[f64; 3]>> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, "read", error))?;
    let document = roxmltree::Document::parse(&text)
        .map_err(|error| Error::format(path, "file", "XML markers", error.to_string()))?;
    let root = document.root_element();
    if root.tag_name().name() != "CellCounter_Marker_File" {
        return Err(Error::format(path, "file", "a CellCounter_Marker_File", root.tag_name().name()));
    }
    let wanted = if kind == Marker::Cell { "2" } else { "1" };
    let mut places = Vec::new();
    let child = |node: &roxmltree::Node<'_, '_>, name: &str| {
        let found =
            node.children().find(|child| child.has_tag_name(name)).and_then(|child| child.text().map(str::trim));
        found.unwrap_or_default().to_string()
    };
    let groups = root.descendants().filter(|node| node.has_tag_name("Marker_Type"));
    for group in groups.filter(|group| child(group, "Type") == wanted) {
        for (at, marker) in group.children().filter(|node| node.has_tag_name("Marker")).enumerate() {
            let mut place = [0.0; 3];
            for (axis, tag) in ["MarkerZ", "MarkerY", "MarkerX"].into_iter().enumerate() {
                let value = child(&marker, tag);
                let number = value.parse::<f64>().ok().filter(|number| number.is_finite());
                place[axis] = number.ok_or_else(|| {
                    Error::format(path, format!("marker {at}, {tag}"), "a finite number", format!("{value:?}"))
                })?;
            }
            places.push(place);
        }
    }
    Ok(places)
}
