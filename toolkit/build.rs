//! Has the linker leave a hash of the shared library in it: what a manifest names it by.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo::rustc-link-arg=-Wl,--build-id=sha1");
    }
}
