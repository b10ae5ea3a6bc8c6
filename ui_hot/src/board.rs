//! The panels between strip and footer: tiles that can be moved and resized, their frames, heads
//! and tabs.

use warden_toolkit::egui::{
    CursorIcon, Id, Rect, Role, Sense, Stroke, Style, Ui, UiBuilder, Visuals, WidgetInfo,
    WidgetText, pos2,
};
use warden_toolkit::egui_tiles::{
    Behavior, EditAction, ResizeState, SimplificationOptions, TileId, Tiles, UiResponse,
};
use warden_view::{Layout, Panel};

use crate::ink::Ink;
use crate::paint::{self, Hand};
use crate::scene::{Scene, Selected};
use crate::{
    arrange, control, detail, events, gpus, holders, queue, reload, settings, timeline, words,
};

pub(crate) fn show(ui: &mut Ui, room: Rect, scene: &mut Scene<'_>) {
    let layout = arrange::in_room(&scene.memory.layout, room.size());
    let id = Id::unique("warden board");
    let mut tree = arrange::to_tree(&layout, id);
    let mut board = Board {
        scene,
        layout: &layout,
        tree: id,
        edited: false,
        front: None,
    };
    let mut child = ui.new_child(UiBuilder::new().id_salt("board").max_rect(room));
    tree.ui(&mut board, &mut child);
    let Board { edited, front, .. } = board;
    if edited
        && let Some(moved) = arrange::from_tree(&tree)
        && arrange::is_sound(&moved)
    {
        // A queue that was dropped into tabs, or anything else unsound, stays where it was.
        scene.memory.layout = moved;
    } else if let Some(panel) = front {
        self::front(scene, room, panel);
    }
}

/// The whole panel that this is the body of: what is under its head.
pub(crate) fn panel_of(ink: &Ink<'_>, body: Rect) -> Rect {
    let top = body.top() - ink.theme.spacing.head;
    body.with_min_y(top)
}

/// Brings a panel into sight.
pub(crate) fn front(scene: &mut Scene<'_>, room: Rect, panel: Panel) {
    let fits_itself = scene.memory.layout.root == 0;
    let mut layout = arrange::in_room(&scene.memory.layout, room.size());
    arrange::bring_to_front(&mut layout, panel);
    scene.memory.layout = if fits_itself {
        arrange::only_tabs(&layout)
    } else {
        layout
    };
}

/// Between a title and what is counted under it.
const COUNT: f32 = 10.0;
/// A narrower head has room for its tabs and buttons alone.
const COUNTED: f32 = 360.0;

struct Board<'a, 'b> {
    scene: &'a mut Scene<'b>,
    layout: &'a Layout,
    tree: Id,
    edited: bool,
    front: Option<Panel>,
}

impl Behavior<Panel> for Board<'_, '_> {
    fn pane_ui(&mut self, ui: &mut Ui, _tile: TileId, panel: &mut Panel) -> UiResponse {
        let panel = *panel;
        // On whole points, or a tile of a share that is none loses an edge to its neighbour.
        let rect = ui.max_rect();
        let rect = Rect::from_min_max(rect.min.ceil(), rect.max.floor());
        let ink = &self.scene.ink;
        paint::frame(ui.painter(), rect, ink, ink.panel, ink.rule());
        let mut head = rect;
        head.set_height(ink.theme.spacing.head);
        let mut body = rect;
        body.min.y = head.bottom();
        let response = self.head(ui, head, panel);
        let scene = &mut *self.scene;
        match panel {
            Panel::Gpus => gpus::show(ui, body, scene),
            Panel::Queue => queue::show(ui, body, scene),
            Panel::Holders => holders::show(ui, body, scene),
            Panel::Detail => detail::show(ui, body, scene),
            Panel::Timeline => timeline::show(ui, body, scene),
            Panel::Events => events::show(ui, body, scene),
            Panel::Reload => reload::show(ui, body, scene),
            Panel::Settings => settings::show(ui, body, scene),
        }
        paint::mend_corner(ui.painter(), rect, &self.scene.ink);
        response
    }

    fn tab_title_for_pane(&mut self, panel: &Panel) -> WidgetText {
        panel.title().into()
    }

    fn is_tab_bar_visible(&self, _tile: TileId, _tabs: &warden_toolkit::egui_tiles::Tabs) -> bool {
        // The head of the panel in front has the tabs.
        false
    }

    fn gap_width(&self, _style: &Style) -> f32 {
        self.scene.ink.theme.spacing.gap
    }

    fn min_size(&self) -> f32 {
        120.0
    }

    fn resize_stroke(&self, _style: &Style, state: ResizeState) -> Stroke {
        let ink = &self.scene.ink;
        match state {
            ResizeState::Idle => Stroke::NONE,
            ResizeState::Hovering => ink.strong(ink.line_strong),
            ResizeState::Dragging => ink.strong(ink.accent),
        }
    }

    fn drag_preview_stroke(&self, _visuals: &Visuals) -> Stroke {
        self.scene.ink.strong(self.scene.ink.accent)
    }

    fn drag_preview_color(&self, _visuals: &Visuals) -> warden_toolkit::egui::Color32 {
        self.scene.ink.accent.gamma_multiply(0.12)
    }

    fn simplification_options(&self) -> SimplificationOptions {
        SimplificationOptions {
            all_panes_must_have_tabs: false,
            ..SimplificationOptions::default()
        }
    }

    fn cycle_tabs_with_keyboard(&self) -> bool {
        false
    }

    fn is_tile_draggable(&self, _tiles: &Tiles<Panel>, _tile: TileId) -> bool {
        true
    }

    fn on_edit(&mut self, edit: EditAction) {
        self.edited |= matches!(edit, EditAction::TileResized | EditAction::TileDropped);
    }
}

impl Board<'_, '_> {
    /// A panel's head: its title or tabs on the left, what it offers on the right.
    fn head(&mut self, ui: &mut Ui, head: Rect, panel: Panel) -> UiResponse {
        let tabs = arrange::tabs_of(self.layout, panel);
        let grip = ui.interact(head, ui.scope_id().with("grip"), Sense::DRAG);
        let grip = grip.on_hover_and_drag_cursor(CursorIcon::Grab);
        let title = title(self.scene, panel);
        grip.widget_info(|| WidgetInfo::labeled(Role::Heading, true, &title));
        let dragged = grip.drag_started();
        let ink = &self.scene.ink;
        paint::head_rule(ui.painter(), head, head.bottom() - 0.5, ink);
        let x = head.left() + ink.theme.spacing.pad;
        let x = if tabs.len() > 1 {
            self.tabs(ui, head, panel, &tabs, x)
        } else {
            let at = pos2(x, head.center().y);
            let hand = Hand::head(ink, ink.accent);
            paint::left(ui.painter(), at, &title, &hand).right()
        };
        let right = head.right() - 16.0;
        let mut room = head;
        room.min.x = x + 14.0;
        room.max.x = right;
        let scene = &mut *self.scene;
        match panel {
            Panel::Queue => queue::head(ui, room, scene),
            Panel::Holders => holders::head(ui, room, scene, tabs.len() == 1),
            Panel::Detail => detail::head(ui, room, scene),
            Panel::Timeline => timeline::head(ui, room, scene),
            Panel::Events => events::head(ui, room, scene),
            Panel::Reload => reload::head(ui, room, scene),
            Panel::Gpus | Panel::Settings => {}
        }
        if dragged {
            UiResponse::DragStarted
        } else {
            UiResponse::None
        }
    }

    fn tabs(&mut self, ui: &mut Ui, head: Rect, panel: Panel, tabs: &[Panel], x: f32) -> f32 {
        let mut x = x;
        for tab in tabs {
            let ink = &self.scene.ink;
            let active = *tab == panel;
            let size = paint::width(ui.painter(), tab.title(), &Hand::head(ink, ink.dim));
            // What is counted stands beside its own title, whichever tab is in front.
            let count = match tab {
                Panel::Holders if head.width() >= COUNTED => holders::count(self.scene),
                _ => String::new(),
            };
            let figure = Hand::new(ink.title(), if active { ink.text } else { ink.dim });
            let counted = match count.is_empty() {
                true => 0.0,
                false => COUNT + paint::width(ui.painter(), &count, &figure),
            };
            let mut rect = head;
            rect.min.x = x;
            rect.max.x = x + size + counted;
            // A panel with many tabs and much on the right: the tabs end where the head does.
            if rect.right() > head.right() - 16.0 {
                break;
            }
            let id = self.tree.with(("tab", tab.title()));
            let response = ui
                .interact(
                    rect.expand2(warden_toolkit::egui::vec2(8.0, 0.0)),
                    id,
                    Sense::click_and_drag(),
                )
                .on_hover_cursor(CursorIcon::PointingHand);
            response.widget_info(|| WidgetInfo::selected(Role::Tab, true, active, tab.title()));
            let colour = if active || response.hovered() {
                ink.accent
            } else {
                ink.dim
            };
            let at = pos2(x, head.center().y);
            let hand = Hand::head(ink, colour);
            paint::left(ui.painter(), at, tab.title(), &hand);
            let at = pos2(x + size + COUNT, at.y);
            paint::left(ui.painter(), at, &count, &figure);
            if active {
                let y = head.bottom() - 2.0;
                ui.painter()
                    .hline(x..=(x + size), y, ink.strong(ink.accent));
            }
            control::focus(
                ui,
                ink,
                rect.shrink2(warden_toolkit::egui::vec2(-6.0, 5.0)),
                &response,
            );
            if response.clicked() && !active {
                self.front = Some(*tab);
            }
            if response.drag_started() {
                self.drag(ui, *tab);
            }
            x = rect.right() + 20.0;
        }
        x - 20.0
    }

    fn drag(&self, ui: &Ui, panel: Panel) {
        if let Some(tile) = arrange::tile_of(self.layout, panel) {
            ui.ctx().set_dragged_id(tile.egui_id(self.tree));
        }
    }
}

fn title(scene: &Scene<'_>, panel: Panel) -> String {
    match (panel, scene.selected()) {
        (Panel::Detail, Selected::Waiter(place, _)) => {
            format!("Waiter {}", words::number(place as u64))
        }
        (Panel::Detail, Selected::Holder(_)) => "Lease".to_owned(),
        (Panel::Detail, Selected::Gpu(gpu)) => words::gpu(gpu.index),
        _ => panel.title().to_owned(),
    }
}
