//! The library's own way to a file behind a URL: a file driver that reads ranges.
//!
//! The declarations follow `H5FDdevelop.h` of the bundled library, whose structures the binding has as they were before some
//! members were added; the library compares the version of the class when it is registered. The driver reads and nothing else.

use std::cell::RefCell;
use std::ffi::{CString, c_char, c_int, c_uint, c_ulong, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{null, null_mut};
use std::sync::{Arc, OnceLock};

use hdf5_metno as hdf5;
use hdf5_metno_sys::h5f::{H5F_ACC_RDONLY, H5Fopen};
use hdf5_metno_sys::h5i::hid_t;
use hdf5_metno_sys::h5p::{H5Pclose, H5Pcreate, H5Pset_driver};

use super::locked;
use crate::remote::Object;

/// The part of an open file that belongs to the library.
#[repr(C)]
struct Public {
    driver: hid_t,
    class: *const Class,
    number: c_ulong,
    access: c_uint,
    features: c_ulong,
    most: u64,
    base: u64,
    threshold: u64,
    alignment: u64,
    paged: bool,
}

/// An open file: what the library sees, then what it does not.
#[repr(C)]
struct Open {
    public: Public,
    /// End of the addresses in use.
    end: u64,
    object: Arc<Object>,
}

type Unused = Option<unsafe extern "C" fn()>;

/// What the library calls. Members that this driver does not have are null.
#[repr(C)]
struct Class {
    version: c_uint,
    value: c_int,
    name: *const c_char,
    most: u64,
    close_degree: c_int,
    terminate: Unused,
    superblock: [Unused; 3],
    access_size: usize,
    access: [Unused; 3],
    transfer_size: usize,
    transfer: [Unused; 2],
    open: unsafe extern "C" fn(*const c_char, c_uint, hid_t, u64) -> *mut Open,
    close: unsafe extern "C" fn(*mut Open) -> c_int,
    compare: unsafe extern "C" fn(*const Open, *const Open) -> c_int,
    query: unsafe extern "C" fn(*const Open, *mut c_ulong) -> c_int,
    type_map: Unused,
    allocate: Unused,
    free: Unused,
    end_of_addresses: unsafe extern "C" fn(*const Open, c_int) -> u64,
    set_end_of_addresses: unsafe extern "C" fn(*mut Open, c_int, u64) -> c_int,
    end_of_file: unsafe extern "C" fn(*const Open, c_int) -> u64,
    handle: Unused,
    read: unsafe extern "C" fn(*mut Open, c_int, hid_t, u64, usize, *mut c_void) -> c_int,
    write: unsafe extern "C" fn(*mut Open, c_int, hid_t, u64, usize, *const c_void) -> c_int,
    vectors_and_selections: [Unused; 4],
    flush: Unused,
    truncate: Unused,
    lock: Unused,
    unlock: Unused,
    delete: Unused,
    control: Unused,
    free_lists: [c_int; 7],
}

// It holds pointers to constants.
unsafe impl Sync for Class {}

/// `H5FD_CLASS_VERSION`.
const VERSION: c_uint = 1;

/// Among the numbers for drivers that are not registered with the makers of the library.
const VALUE: c_int = 473;

/// `H5F_CLOSE_WEAK`.
const CLOSE_WEAK: c_int = 1;

static CLASS: Class = Class {
    version: VERSION,
    value: VALUE,
    name: c"zensaibo-remote".as_ptr(),
    most: i64::MAX as u64,
    close_degree: CLOSE_WEAK,
    terminate: None,
    superblock: [None; 3],
    access_size: 0,
    access: [None; 3],
    transfer_size: 0,
    transfer: [None; 2],
    open,
    close,
    compare,
    query,
    type_map: None,
    allocate: None,
    free: None,
    end_of_addresses,
    set_end_of_addresses,
    end_of_file,
    handle: None,
    read,
    write,
    vectors_and_selections: [None; 4],
    flush: None,
    truncate: None,
    lock: None,
    unlock: None,
    delete: None,
    control: None,
    // Metadata and data apart, as for files on disk; nothing is ever allocated.
    free_lists: [1, 1, 1, 3, 3, 1, 1],
};

thread_local! {
    /// The object that this thread is about to open: the library hands on a name and no more.
    static OPENING: RefCell<Option<Arc<Object>>> = const { RefCell::new(None) };
}

unsafe extern "C" fn open(_: *const c_char, _: c_uint, _: hid_t, _: u64) -> *mut Open {
    let Ok(Some(object)) = OPENING.try_with(|opening| opening.borrow().clone()) else { return null_mut() };
    let public = Public {
        driver: 0,
        class: null(),
        number: 0,
        access: 0,
        features: 0,
        most: 0,
        base: 0,
        threshold: 0,
        alignment: 0,
        paged: false,
    };
    Box::into_raw(Box::new(Open { public, end: 0, object }))
}

unsafe extern "C" fn close(file: *mut Open) -> c_int {
    // It came from `open`, and the library lets go of it.
    drop(unsafe { Box::from_raw(file) });
    0
}

unsafe extern "C" fn compare(a: *const Open, b: *const Open) -> c_int {
    // One object may be open twice; then the library shares what it knows of it.
    let (a, b) = unsafe { (Arc::as_ptr(&(*a).object), Arc::as_ptr(&(*b).object)) };
    a.cmp(&b) as c_int
}

unsafe extern "C" fn query(_: *const Open, features: *mut c_ulong) -> c_int {
    if !features.is_null() {
        unsafe { *features = 0 };
    }
    0
}

unsafe extern "C" fn end_of_addresses(file: *const Open, _: c_int) -> u64 {
    unsafe { (*file).end }
}

unsafe extern "C" fn set_end_of_addresses(file: *mut Open, _: c_int, end: u64) -> c_int {
    unsafe { (*file).end = end };
    0
}

unsafe extern "C" fn end_of_file(file: *const Open, _: c_int) -> u64 {
    unsafe { (*file).object.len() }
}

unsafe extern "C" fn read(file: *mut Open, _: c_int, _: hid_t, place: u64, size: usize, out: *mut c_void) -> c_int {
    if size == 0 {
        return 0;
    }
    let (object, out) = unsafe { (&(*file).object, std::slice::from_raw_parts_mut(out.cast::<u8>(), size)) };
    // A panic must not go through the library. What failed is kept by the object.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // Beyond the end of the file there are zeros, as of a file on disk.
        let there = object.len().saturating_sub(place).min(size as u64) as usize;
        out[there..].fill(0);
        there == 0 || object.read_exact_at(&mut out[..there], place).is_ok()
    }));
    if outcome.unwrap_or(false) { 0 } else { -1 }
}

unsafe extern "C" fn write(_: *mut Open, _: c_int, _: hid_t, _: u64, _: usize, _: *const c_void) -> c_int {
    -1
}

/// The driver's number, once it is registered.
fn driver() -> Option<hid_t> {
    static DRIVER: OnceLock<hid_t> = OnceLock::new();
    unsafe extern "C" {
        fn H5FDregister(class: *const Class) -> hid_t;
    }
    let driver = *DRIVER.get_or_init(|| locked(|| unsafe { H5FDregister(&CLASS) }));
    (driver >= 0).then_some(driver)
}

/// Opens an object as a file of the library.
pub(super) fn open_object(object: &Arc<Object>) -> hdf5::Result<hdf5::File> {
    // Its error stack, with the reason, is that of the thread that calls.
    let name = CString::new(object.shown()).unwrap_or_default();
    let access_class = *hdf5::globals::H5P_FILE_ACCESS;
    let Some(driver) = driver() else { return Err("the file driver for URLs is refused by this HDF5".into()) };
    locked(|| {
        OPENING.with_borrow_mut(|opening| *opening = Some(object.clone()));
        let file = unsafe {
            let access = H5Pcreate(access_class);
            let set = H5Pset_driver(access, driver, null());
            let file = if set >= 0 { H5Fopen(name.as_ptr(), H5F_ACC_RDONLY, access) } else { -1 };
            H5Pclose(access);
            file
        };
        OPENING.with_borrow_mut(|opening| *opening = None);
        if file < 0 {
            return Err("not a whole HDF5 file".into());
        }
        unsafe { hdf5::from_id(file) }
    })
}
