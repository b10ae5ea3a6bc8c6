//! Preloaded into a program: its wall clock is off by as many milliseconds as are written in the file
//! that `WARDEN_TEST_WALL_CLOCK` names. Its other clocks are the system's. Built by `wall.rs`, with
//! nothing beside it.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicUsize, Ordering};

const CLOCK_REALTIME: c_int = 0;
const O_RDONLY: c_int = 0;
const PROT_READ: c_int = 1;
const MAP_SHARED: c_int = 1;
const RTLD_NEXT: *mut c_void = -1_isize as *mut c_void;

const VARIABLE: &CStr = c"WARDEN_TEST_WALL_CLOCK";
const NAME: &CStr = c"clock_gettime";

/// As 64-bit Linux has it.
#[repr(C)]
pub struct Timespec {
    s: i64,
    ns: i64,
}

unsafe extern "C" {
    fn getenv(name: *const c_char) -> *const c_char;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn mmap(at: *mut c_void, length: usize, prot: c_int, flags: c_int, fd: c_int, offset: i64)
    -> *mut c_void;
    fn close(fd: c_int) -> c_int;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn abort() -> !;
}

/// The file, as memory.
static BY_MS: AtomicPtr<AtomicI64> = AtomicPtr::new(null_mut());
/// The system's own function.
static SYSTEMS: AtomicUsize = AtomicUsize::new(0);

/// The system's call of that name.
///
/// # Safety
/// `time` is there to be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int {
    // SAFETY: what the system has under this name is a function of this type; `time` is the caller's.
    unsafe {
        if SYSTEMS.load(Ordering::Relaxed) == 0 {
            SYSTEMS.store(dlsym(RTLD_NEXT, NAME.as_ptr()).addr(), Ordering::Relaxed);
        }
        let systems: unsafe extern "C" fn(c_int, *mut Timespec) -> c_int =
            std::mem::transmute(SYSTEMS.load(Ordering::Relaxed));
        let failed = systems(clock, time);
        if failed == 0 && clock == CLOCK_REALTIME {
            let by_ms = by_ms();
            let ns = (*time).ns + by_ms.rem_euclid(1_000) * 1_000_000;
            (*time).s += by_ms.div_euclid(1_000) + ns / 1_000_000_000;
            (*time).ns = ns % 1_000_000_000;
        }
        failed
    }
}

/// Threads that come first at once map it each, which does no harm.
unsafe fn by_ms() -> i64 {
    let mut file = BY_MS.load(Ordering::Acquire);
    if file.is_null() {
        // SAFETY: the variable holds a path of a file of eight bytes, which stays as long.
        unsafe {
            let fd = open(getenv(VARIABLE.as_ptr()), O_RDONLY);
            let length = size_of::<AtomicI64>();
            file = mmap(null_mut(), length, PROT_READ, MAP_SHARED, fd, 0).cast();
            if file.addr() == usize::MAX {
                abort();
            }
            close(fd);
        }
        BY_MS.store(file, Ordering::Release);
    }
    // SAFETY: mapped above, for good.
    unsafe { (*file).load(Ordering::Relaxed) }
}
