//! Opens the window and runs it.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, anyhow};
use warden_client::{Endpoint, Find};
use warden_toolkit::{eframe, egui};

use crate::config::Config;
use crate::feed::{Feed, Setup, Wake};
use crate::host::{Host, Parts, absolute};
use crate::hot::Hot;
use crate::keep::{Keeper, Kept};
use crate::options::Options;
use crate::{broker, hot, repaint};

/// Opens the window and blocks until it is closed.
///
/// # Errors
/// When the options lead nowhere, or no window can be opened here.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let endpoint = endpoint(options)?;
    let config_dir = match &options.config_dir {
        Some(directory) => Some(absolute(directory)),
        None => warden_client::default_config_dir().ok(),
    };
    let data_dir = absolute(endpoint.data_dir());
    let (mut kept, complaint) = Kept::read(&data_dir);
    if let Some(complaint) = complaint {
        tracing::warn!("{complaint}");
    }
    let keeper = Keeper::new(data_dir.clone(), kept.clone());
    kept.size = options.size.unwrap_or(kept.size);
    let setup = Setup {
        may_start: !options.no_broker && broker::may_start(&endpoint),
        endpoint,
        config_dir: options.config_dir.as_deref().map(absolute),
    };
    let context: Arc<OnceLock<egui::Context>> = Arc::default();
    let wake: Wake = {
        let context = Arc::clone(&context);
        // Before there is a window nothing needs a frame: the first one takes everything in.
        Wake::new(move || {
            if let Some(context) = context.get() {
                repaint::once(context);
            }
        })
    };
    // The broker is sought and the code is loaded while the window opens.
    let hot = start_hot(options, &data_dir, &kept, &wake)?;
    let feed = Feed::start(setup, wake.clone()).context("starting the feed")?;
    let config = Config::open(config_dir.as_deref(), &kept, &wake);
    let native = native_options(&kept);
    let options = options.clone();
    let opened = eframe::run_native(
        "Warden",
        native,
        Box::new(move |creation| {
            let ctx = &creation.egui_ctx;
            ctx.set_zoom_factor(config.settings().zoom);
            // The first to set it is the only one.
            let _ = context.set(ctx.clone());
            let mut parts = Parts {
                hot,
                feed,
                config,
                kept,
                keeper,
                wake,
            };
            parts.hot.settle();
            let host = Host::new(parts, &options);
            let drawn_to = creation.wgpu_render_state.as_ref();
            Ok(Box::new(Window {
                host,
                linear: drawn_to.is_some_and(|state| state.target_format.is_srgb()),
            }))
        }),
    );
    opened.map_err(|error| anyhow!("no window can be opened here: {error}"))
}

fn endpoint(options: &Options) -> anyhow::Result<Endpoint> {
    let find = Find {
        addr: options.addr.clone(),
        data_dir: options.data_dir.as_deref().map(absolute),
        ..Find::from_env()
    };
    Ok(find.endpoint()?)
}

#[cfg(feature = "static")]
fn start_hot(_: &Options, _: &Path, _: &Kept, _: &Wake) -> anyhow::Result<Hot> {
    Ok(Hot::fixed(hot::MODULES))
}

#[cfg(not(feature = "static"))]
fn start_hot(options: &Options, data_dir: &Path, kept: &Kept, wake: &Wake) -> anyhow::Result<Hot> {
    let program = std::env::current_exe().context("finding this program's own file")?;
    let mut place = hot::Place::find(&program, data_dir);
    place.rehearser = options.paranoid.then_some(program);
    let wake = wake.clone();
    Ok(Hot::start(place, hot::MODULES, &kept.modules, move || {
        wake.call();
    })?)
}

fn native_options(kept: &Kept) -> eframe::NativeOptions {
    let (width, height) = kept.size;
    let mut viewport = egui::ViewportBuilder::default()
        .with_app_id("warden")
        .with_title("Warden")
        .with_inner_size([width, height])
        .with_min_inner_size([320.0, 240.0]);
    // Only a window that was restarted stands where it stood; any other the system places.
    if let Some((x, y)) = kept.resume.as_ref().and_then(|resume| resume.position) {
        viewport = viewport.with_position([x, y]);
    }
    eframe::NativeOptions {
        viewport,
        renderer: eframe::Renderer::Wgpu,
        persist_window: false,
        // Every face that is shown ships with the themes.
        system_font_fallback: false,
        ..eframe::NativeOptions::default()
    }
}

/// The host as eframe has it.
#[derive(Debug)]
struct Window {
    host: Host,
    /// What is drawn to takes light, not values as a theme has them.
    linear: bool,
}

impl eframe::App for Window {
    fn raw_input_hook(&mut self, ctx: &egui::Context, _raw_input: &mut egui::RawInput) {
        self.host.before_frame(ctx);
    }

    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        self.host.logic(ctx);
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        self.host.ui(ui);
    }

    fn clear_color(&self, _visuals: &egui::Visuals) -> [f32; 4] {
        let ground = self.host.ground();
        if self.linear {
            egui::Rgba::from(ground).to_array()
        } else {
            ground.to_normalized_gamma_f32()
        }
    }

    fn on_exit(&mut self) {
        self.host.close();
    }
}
