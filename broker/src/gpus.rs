//! Which GPUs there are: asked of the vendors' tools and of the kernel, once, at the start; and which
//! of them are this broker's among those of the host.

mod claims;
mod drm;
mod follow;
mod nvidia;

use std::path::Path;

use warden::Gpu;
use warden::gpu::{MAX_GPUS, UNKNOWN};

pub(crate) use claims::Claims;
pub(crate) use follow::Shared;

/// What a simulated GPU says that it has.
const SIMULATED_VRAM_MIB: u64 = 24 * 1024;

/// A GPU before it has its place among the others.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    id: String,
    name: String,
    source: &'static str,
    vram_total_mib: Option<u64>,
}

/// So many GPUs behind which there is nothing.
pub(crate) fn simulated(count: u32) -> Vec<Gpu> {
    (0..count)
        .map(|index| Gpu {
            id: format!("simulated-{index}").as_str().into(),
            index,
            name: format!("Simulated GPU {index}"),
            source: "simulated".to_owned(),
            simulated: true,
            vram_total_mib: Some(SIMULATED_VRAM_MIB),
        })
        .collect()
}

/// The GPUs of this host, which shows them under `host_root`. Where none can be enumerated there is
/// one of which nothing is known, so that tools can queue for it all the same.
pub(crate) async fn enumerate(host_root: &Path) -> Vec<Gpu> {
    // A vendor's tool knows of no host but this.
    let is_this_host = host_root == Path::new("/");
    let mut found = nvidia::find(&host_root.join("proc"), is_this_host).await;
    found.extend(drm::find(&host_root.join("sys")));
    if found.len() > MAX_GPUS {
        tracing::warn!(
            found = found.len(),
            "only the first {MAX_GPUS} GPUs are handed out"
        );
        found.truncate(MAX_GPUS);
    }
    if found.is_empty() {
        tracing::warn!(
            "no GPU could be enumerated; the broker offers one of which it knows nothing"
        );
        found.push(Found {
            id: format!("{UNKNOWN}-0"),
            name: "Unknown GPU (none could be enumerated)".to_owned(),
            source: UNKNOWN,
            vram_total_mib: None,
        });
    }
    (0..)
        .zip(found)
        .map(|(index, found)| Gpu {
            id: found.id.into(),
            index,
            name: found.name,
            source: found.source.to_owned(),
            simulated: false,
            vram_total_mib: found.vram_total_mib,
        })
        .collect()
}
