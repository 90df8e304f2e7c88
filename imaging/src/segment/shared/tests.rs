use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use zensaibo_core::exchange::{Outbox, Turn};
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::*;
use crate::phantom::{Phantom, PhantomOptions};
use crate::segment::segment_nuclei;

type Bytes = BTreeMap<usize, Vec<u8>>;

/// What processes have handed over: units and what they kept, by pass.
#[derive(Default)]
struct Board {
    units: Mutex<BTreeMap<String, Bytes>>,
    kept: Mutex<BTreeMap<String, Bytes>>,
}

struct Stored(Bytes);

impl StoredBlocks for Stored {
    fn visit(&self, block: usize, read: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        read(self.0.get(&block).ok_or_else(|| Error::Internal(format!("unit {block} of another process")))?)
    }
}

/// One process; it sees no more of what was kept than its own part.
struct Process {
    board: Arc<Board>,
    part: Option<(usize, usize)>,
    wanted: usize,
    passed: AtomicUsize,
}

struct Letter<'a>(&'a Process, String, usize);

impl Process {
    fn own(&self, units: usize) -> Range<usize> {
        self.part.map_or(0..units, |(part, of)| part * units / of..(part + 1) * units / of)
    }
}

impl Outbox for Letter<'_> {
    fn put(&mut self, unit: &[u8]) -> Result<()> {
        self.0.board.units.lock().unwrap().entry(self.1.clone()).or_default().insert(self.2, unit.to_vec());
        self.2 += 1;
        Ok(())
    }
    fn keep(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.board.kept.lock().unwrap().entry(self.1.clone()).or_default().insert(self.2 - 1, bytes.to_vec());
        Ok(())
    }
    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

impl Exchange for Process {
    fn turn(&self, stage: &str, units: usize, _: bool, _: &Ctx) -> Result<Turn<'_>> {
        if self.passed.fetch_add(1, Ordering::Relaxed) == self.wanted {
            let range = self.own(units);
            return Ok(Turn::Compute(range.clone(), Box::new(Letter(self, stage.into(), range.start))));
        }
        let found = self.board.units.lock().unwrap()[stage].clone();
        assert_eq!(found.len(), units, "{stage}");
        Ok(Turn::Merge(Box::new(Stored(found))))
    }
    fn kept(&self, stage: &str, units: usize) -> Result<Box<dyn StoredBlocks>> {
        let (own, all) = (self.own(units), self.board.kept.lock().unwrap()[stage].clone());
        Ok(Box::new(Stored(all.into_iter().filter(|(unit, _)| own.contains(unit)).collect())))
    }
}

/// All passes in `parts` parts on blocks of a given size, and the merge.
fn in_parts(
    volume: &dyn VolumeBlocks,
    frames: &[Frame],
    options: &NucleiOptions,
    block: [usize; 3],
    parts: usize,
) -> SharedNuclei {
    let spacing = Spacing::new(volume.info().spacing.unwrap_or([1.0; 3])).unwrap();
    let board = Arc::new(Board::default());
    let run = |part, wanted| {
        let process = Process { board: board.clone(), part, wanted, passed: AtomicUsize::new(0) };
        let exchange: Arc<dyn Exchange> = Arc::new(process);
        let scales = Scales::new(options, spacing).unwrap();
        let plan = Plan::with_block(volume.info().space(), block, [0; 3]);
        let work = Work { volume, frames, spacing, options, scales, plan };
        in_work(&work, &exchange, &Ctx::quiet())
    };
    for pass in 0..4 {
        for part in 0..parts {
            let outcome = with_threads(Some(1 + part % 2), || run(Some((part, parts)), pass));
            assert!(matches!(outcome, Err(Error::PartDone)), "pass {pass}, part {part}: {:?}", outcome.err());
        }
    }
    run(None, usize::MAX).unwrap()
}

/// The same nuclei in blocks of several sizes as in one piece.
fn same(volume: &dyn VolumeBlocks, options: &NucleiOptions, blocks: &[[usize; 3]], least: usize) {
    let spacing = Spacing::new(volume.info().spacing.unwrap_or([1.0; 3])).unwrap();
    let frames: Vec<Frame> = (0..volume.info().shape[0]).map(|time| Frame { time, channel: 0 }).collect();
    let whole: Vec<Nuclei> = frames
        .iter()
        .map(|&frame| segment_nuclei(volume, frame, spacing, options, None, &Ctx::quiet()).unwrap())
        .collect();
    assert!(whole.iter().all(|whole| whole.table.len() >= least), "{:?}", whole[0].table.len());
    for (at, &block) in blocks.iter().enumerate() {
        let shared = in_parts(volume, &frames, options, block, [1, 2, 5][at % 3]);
        for (frame, whole) in whole.iter().enumerate() {
            assert!(shared.labels_in_memory(frame).unwrap() == whole.labels, "{block:?}");
            assert_eq!(shared.tables[frame], whole.table, "{block:?}");
            assert_eq!((shared.noise[frame], shared.min_contrast[frame]), (whole.noise, whole.min_contrast));
        }
    }
}

#[test]
fn nuclei_of_blocks_are_those_of_the_whole() {
    let options = PhantomOptions {
        shape: [24, 70, 90],
        spacing: [4.0, 2.0, 2.0],
        nuclei: 90,
        diameter: 14.0,
        pairs: 0.4,
        tears: 1,
        ..PhantomOptions::default()
    };
    let phantom = Phantom::new(&options).unwrap();
    let settings = NucleiOptions { diameter: 14.0, ..NucleiOptions::default() };
    same(&phantom, &settings, &[[24, 70, 90], [10, 33, 41], [12, 19, 23], [24, 7, 90]], 50);
    // Much is joined, much is broken into pieces, and all of it reaches over many blocks.
    let wide =
        NucleiOptions { merge_depth: 0.8, contour_level: 0.7, min_rim: 0.3, min_contrast: Some(1.0), ..settings };
    same(&phantom, &wide, &[[11, 17, 23]], 5);
}

#[test]
fn noise_and_plateaus_over_several_time_points() {
    let mut random = Stream::new(5, 0);
    let shape = [2, 1, 9, 14, 17];
    let mut info = VolumeInfo::plain("few values", [18, 14, 17], Dtype::U16);
    // Two time points of one grid, one below the other.
    let n = shape.iter().product();
    let grid = Grid { shape: [18, 14, 17], data: (0..n).map(|_| random.below(4) as u16 * 100).collect() };
    info.shape = [1, 1, 18, 14, 17];
    let stacked = (info.clone(), grid);
    struct Times((VolumeInfo, Grid<u16>), VolumeInfo);
    impl VolumeBlocks for Times {
        fn info(&self) -> &VolumeInfo {
            &self.1
        }
        fn read(&self, frame: Frame, region: &Region, out: &mut [u8]) -> Result<()> {
            let [z, y, x] = region.start;
            let moved = Region { start: [z + 9 * frame.time, y, x], size: region.size };
            self.0.read(Frame::default(), &moved, out)
        }
    }
    info.shape = shape;
    let volume = Times(stacked, info);
    let settings = NucleiOptions {
        diameter: 4.0,
        min_contrast: Some(1.0),
        min_rim: 0.2,
        min_volume: Some(2.0),
        smoothing: 0.01,
        scale: 0.05,
        ..NucleiOptions::default()
    };
    same(&volume, &settings, &[[4, 5, 6], [9, 14, 17], [2, 3, 2], [1, 1, 1]], 5);
}

#[test]
fn nothing_to_find_and_what_is_not_finite() {
    let settings = NucleiOptions { diameter: 6.0, ..NucleiOptions::default() };
    let flat = (VolumeInfo::plain("flat", [6, 7, 2], Dtype::U16), Grid::filled([6, 7, 2], 9u16));
    same(&flat, &settings, &[[3, 3, 3]], 0);
    let holes = (VolumeInfo::plain("holes", [6, 7, 8], Dtype::F32), Grid::filled([6, 7, 8], f32::NAN));
    let process = Process { board: Arc::default(), part: Some((0, 1)), wanted: 0, passed: AtomicUsize::new(0) };
    let board = process.board.clone();
    let frames = [Frame::default()];
    let run = |process: Process| {
        let exchange: Arc<dyn Exchange> = Arc::new(process);
        segment_shared(&holes, &exchange, &frames, Spacing::voxels(), &settings, None, &Ctx::quiet()).err().unwrap()
    };
    assert!(matches!(run(process), Error::PartDone));
    let process = Process { board, part: Some((0, 1)), wanted: 1, passed: AtomicUsize::new(0) };
    assert!(run(process).to_string().contains("finite"));
}
