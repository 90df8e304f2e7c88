//! Numbers of structures out of a volume.

use std::collections::HashMap;

use zensaibo_core::data::{Dtype, Frame, Grid, Region, VolumeBlocks};
use zensaibo_core::{DataFault, Error, Result};

use crate::blocks::read_as;

/// The ids of an annotation, whatever number type holds them: 8 bytes per voxel. With `values`, other numbers stand in the
/// annotation and are exchanged for the ids that they stand for.
///
/// # Errors
/// [`Error::Data`] for numbers that `values` does not list, ids that are negative, not whole, or too large for the type that holds them to tell them apart; what
/// reading returns.
pub fn read_ids(source: &dyn VolumeBlocks, values: Option<&HashMap<u64, u64>>) -> Result<Grid<u64>> {
    let mut grid = stored_ids(source)?;
    let Some(values) = values else { return Ok(grid) };
    let mut last = (0u64, 0u64);
    for id in &mut grid.data {
        // Neighbours mostly share their structure.
        if *id != last.0 {
            let own = if *id == 0 { Some(0) } else { values.get(id).copied() };
            let what = || format!("annotation {}", source.info().name);
            let lacking =
                || Error::data(DataFault::Invalid, what(), "values that the table lists as annotation_value", *id);
            last = (*id, own.ok_or_else(lacking)?);
        }
        *id = last.1;
    }
    Ok(grid)
}

fn stored_ids(source: &dyn VolumeBlocks) -> Result<Grid<u64>> {
    let info = source.info();
    let region = Region::whole(info.space());
    let fault = |expected: &str, found: String| {
        Error::data(DataFault::Invalid, format!("annotation {}", info.name), expected, found)
    };
    match info.dtype {
        Dtype::U64 => read_as::<u64>(source, Frame::default(), &region),
        Dtype::I64 => {
            let grid = read_as::<i64>(source, Frame::default(), &region)?;
            let data = grid
                .data
                .into_iter()
                .map(|id| u64::try_from(id).map_err(|_| fault("ids of at least 0", id.to_string())));
            Ok(Grid { shape: grid.shape, data: data.collect::<Result<_>>()? })
        }
        dtype => {
            let grid = read_as::<f64>(source, Frame::default(), &region)?;
            // From here on the type no longer tells a whole number from the next.
            let limit = match dtype {
                Dtype::F16 => 2f64.powi(11),
                Dtype::F32 => 2f64.powi(24),
                _ => 2f64.powi(53),
            };
            let data = grid.data.into_iter().map(|id| {
                if !(id >= 0.0 && id.fract() == 0.0) {
                    return Err(fault("whole numbers of at least 0", id.to_string()));
                }
                if id >= limit {
                    let expected = format!("ids below {limit}, which {} tells apart", dtype.name());
                    return Err(fault(&expected, id.to_string()));
                }
                Ok(id as u64)
            });
            Ok(Grid { shape: grid.shape, data: data.collect::<Result<_>>()? })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zensaibo_core::data::VolumeInfo;

    fn held<T: bytemuck::Pod + Send + Sync>(dtype: Dtype, data: Vec<T>) -> Result<Grid<u64>> {
        let shape = [1, 1, data.len()];
        read_ids(&(VolumeInfo::plain("ids", shape, dtype), Grid { shape, data }), None)
    }

    #[test]
    fn ids_of_any_type() {
        let big = 614_454_277u64;
        assert_eq!(held(Dtype::U64, vec![0, u64::MAX]).unwrap().data, [0, u64::MAX]);
        assert_eq!(held(Dtype::I64, vec![0, big as i64]).unwrap().data, [0, big]);
        assert_eq!(held(Dtype::U32, vec![0, big as u32]).unwrap().data, [0, big]);
        assert_eq!(held(Dtype::I16, vec![0i16, 77]).unwrap().data, [0, 77]);
        assert_eq!(held(Dtype::F32, vec![0f32, 997.0]).unwrap().data, [0, 997]);
        let volume = (VolumeInfo::plain("ids", [1, 1, 3], Dtype::U8), Grid { shape: [1, 1, 3], data: vec![0u8, 2, 1] });
        let named = HashMap::from([(1, 997), (2, big)]);
        assert_eq!(read_ids(&volume, Some(&named)).unwrap().data, [0, big, 997]);
        assert!(
            read_ids(&volume, Some(&HashMap::from([(1, 997)]))).unwrap_err().to_string().contains("annotation_value")
        );
        let refused = |grid: Result<Grid<u64>>| grid.unwrap_err().to_string();
        assert!(refused(held(Dtype::F32, vec![0f32, big as f32])).contains("tells apart"));
        assert!(refused(held(Dtype::F32, vec![16_777_216f32])).contains("below 16777216"));
        assert_eq!(held(Dtype::F32, vec![16_777_215f32]).unwrap().data, [16_777_215]);
        assert!(refused(held(Dtype::F32, vec![0f32, 1.5])).contains("whole"));
        assert!(refused(held(Dtype::I64, vec![0i64, -3])).contains("at least 0"));
        assert!(refused(held(Dtype::I16, vec![0i16, -3])).contains("at least 0"));
        assert!(refused(held(Dtype::F64, vec![f64::NAN])).contains("whole"));
    }
}
