//! Where the tiles stand: the layout that fits a size, and the way between the plain layout that is
//! remembered and the tree that egui_tiles works on.

use warden_toolkit::egui::{Id, Vec2};
use warden_toolkit::egui_tiles::{Container, Linear, LinearDir, Tabs, Tile, TileId, Tiles, Tree};
use warden_view::{Layout, Node, NodeKind, Panel};

/// Between tiles, which together with it fill the room: so each is as large as is asked for.
const GAP: f32 = 8.0;
/// From this width on the GPUs have a tile of their own.
const THREE_COLUMNS: f32 = 1_600.0;
/// Below this height of the board, or this width, detail stands behind holders.
const LOW: f32 = 520.0;
const NARROW: f32 = 1_000.0;
/// And below this height of what stands over a tab that was given more room than the others.
const LOW_MAIN: f32 = 400.0;
/// The part of the board that a tab to read and work in takes while it is in front, and what the
/// queue keeps over it: its heads and four rows.
const READ: f32 = 0.58;
const QUEUE_MIN: f32 = 200.0;

/// The layout to draw in this much room.
pub(crate) fn in_room(remembered: &Layout, room: Vec2) -> Layout {
    if remembered.root != 0 {
        let layout = completed(remembered.clone());
        if is_sound(&layout) {
            return layout;
        }
    }
    let mut layout = fitting(room, in_front(remembered));
    for node in &mut layout.nodes {
        let NodeKind::Tabs { children, active } = &mut node.kind else {
            continue;
        };
        let chosen = remembered.nodes.iter().find(|other| other.id == node.id);
        if let Some(Node {
            kind: NodeKind::Tabs { active: chosen, .. },
            ..
        }) = chosen
            && children.contains(chosen)
        {
            *active = *chosen;
        }
    }
    layout
}

/// The panel that was chosen among the tabs at the foot.
fn in_front(remembered: &Layout) -> Option<Panel> {
    let foot = remembered.nodes.iter().find(|node| node.id == FOOT)?;
    let NodeKind::Tabs { active, .. } = foot.kind else {
        return None;
    };
    let of_active = |panel: &Panel| pane_id(*panel) == active;
    Panel::ALL.into_iter().find(of_active)
}

/// The height of the tabs at the foot: figures are glanced at, what is read and worked in has more.
fn foot(room: Vec2, front: Option<Panel>) -> f32 {
    let glance = if room.y < LOW {
        172.0
    } else {
        (room.y * 0.31).clamp(196.0, 260.0)
    };
    match front {
        Some(Panel::Reload | Panel::Settings) => {
            let most = room.y - QUEUE_MIN - GAP;
            (room.y * READ).min(most).max(glance).round()
        }
        _ => glance,
    }
}

/// A layout from before there was some panel has it among the tabs that it would stand among.
fn completed(mut layout: Layout) -> Layout {
    let among = [Panel::Reload, Panel::Events, Panel::Timeline];
    let tabs = among
        .into_iter()
        .find_map(|panel| tabs_node(&layout, panel).map(|tabs| tabs.id));
    for panel in Panel::ALL {
        if pane_node(&layout, panel).is_some() {
            continue;
        }
        let id = layout.nodes.iter().map(|node| node.id).max().unwrap_or(0) + 1;
        let tabs = layout.nodes.iter_mut().find(|node| Some(node.id) == tabs);
        if let Some(Node {
            kind: NodeKind::Tabs { children, .. },
            ..
        }) = tabs
        {
            children.push(id);
            let kind = NodeKind::Pane(panel);
            layout.nodes.push(Node { id, kind });
        }
    }
    layout
}

/// A panel's tile has the panel's place in [`Panel::ALL`] as its id, from 1; containers follow.
fn pane_id(panel: Panel) -> u64 {
    Panel::ALL
        .iter()
        .position(|other| *other == panel)
        .map_or(0, |at| at as u64 + 1)
}

const MAIN: u64 = 11;
const SIDE: u64 = 12;
const FOOT: u64 = 13;
const ROOT: u64 = 14;

fn fitting(room: Vec2, front: Option<Panel>) -> Layout {
    let three = room.x >= THREE_COLUMNS;
    let foot = foot(room, front);
    let main = room.y - foot - GAP;
    let squeezed = foot > self::foot(room, None) && main < LOW_MAIN;
    let cramped = room.y < LOW || room.x < NARROW || squeezed;
    let side = if room.x < 1_100.0 {
        (room.x * 0.38).max(320.0)
    } else {
        400.0
    };
    let gpus = 360.0;
    let pane = pane_id;
    let (holders, detail) = (pane(Panel::Holders), pane(Panel::Detail));
    let side_kind = if cramped {
        NodeKind::Tabs {
            children: vec![holders, detail],
            active: holders,
        }
    } else {
        // Two cards are whole where there is room for them.
        let cards = (40.0 + 2.0 * crate::holders::CARD).min(main * 0.66);
        NodeKind::Stack(vec![(holders, cards), (detail, main - cards - GAP)])
    };
    let queue = room.x - side - GAP - if three { gpus + GAP } else { 0.0 };
    let mut columns = vec![(pane(Panel::Queue), queue), (SIDE, side)];
    let timeline = pane(Panel::Timeline);
    let mut tabs = vec![
        timeline,
        pane(Panel::Events),
        pane(Panel::Reload),
        pane(Panel::Settings),
    ];
    if three {
        columns.insert(0, (pane(Panel::Gpus), gpus));
    } else {
        tabs.push(pane(Panel::Gpus));
    }
    tree_of(vec![
        (MAIN, NodeKind::Row(columns)),
        (SIDE, side_kind),
        (
            FOOT,
            NodeKind::Tabs {
                children: tabs,
                active: timeline,
            },
        ),
        (ROOT, NodeKind::Stack(vec![(MAIN, main), (FOOT, foot)])),
    ])
}

/// These containers with every panel.
fn tree_of(containers: Vec<(u64, NodeKind)>) -> Layout {
    let panes = Panel::ALL
        .iter()
        .map(|panel| (pane_id(*panel), NodeKind::Pane(*panel)));
    let mut nodes: Vec<Node> = panes
        .chain(containers)
        .map(|(id, kind)| Node { id, kind })
        .collect();
    for node in &mut nodes {
        if let NodeKind::Stack(children) | NodeKind::Row(children) = &mut node.kind {
            // A room too small for them all is shared, never overdrawn.
            children
                .iter_mut()
                .for_each(|(_, share)| *share = share.max(40.0));
        }
    }
    Layout { root: ROOT, nodes }
}

/// Every panel is in the tree exactly once, what it names is there, and the queue is in sight.
pub(crate) fn is_sound(layout: &Layout) -> bool {
    let mut seen = Vec::new();
    let mut open = vec![(layout.root, false)];
    let mut steps = 0;
    while let Some((id, behind)) = open.pop() {
        steps += 1;
        if steps > 64 {
            return false;
        }
        let Some(node) = layout.nodes.iter().find(|node| node.id == id) else {
            return false;
        };
        match &node.kind {
            NodeKind::Pane(Panel::Queue) if behind => return false,
            NodeKind::Pane(panel) => seen.push(*panel),
            NodeKind::Stack(children) | NodeKind::Row(children) => {
                if children
                    .iter()
                    .any(|(_, share)| !share.is_finite() || *share <= 0.0)
                {
                    return false;
                }
                open.extend(children.iter().map(|(child, _)| (*child, behind)));
            }
            NodeKind::Tabs { children, .. } => {
                let behind = behind || children.len() > 1;
                open.extend(children.iter().map(|child| (*child, behind)));
            }
        }
    }
    seen.sort_unstable();
    seen == Panel::ALL
}

/// The panels that share a tab bar with this one, in their order, itself included.
pub(crate) fn tabs_of(layout: &Layout, panel: Panel) -> Vec<Panel> {
    let Some(tabs) = tabs_node(layout, panel) else {
        return vec![panel];
    };
    let NodeKind::Tabs { children, .. } = &tabs.kind else {
        return vec![panel];
    };
    children
        .iter()
        .filter_map(|child| panel_of(layout, *child))
        .collect()
}

/// Brings a panel to the front of its tabs. Nothing else moves.
pub(crate) fn bring_to_front(layout: &mut Layout, panel: Panel) {
    let Some(pane) = pane_node(layout, panel) else {
        return;
    };
    for node in &mut layout.nodes {
        if let NodeKind::Tabs { children, active } = &mut node.kind
            && children.contains(&pane)
        {
            *active = pane;
        }
    }
}

/// What to remember when only tabs were chosen and the layout still fits itself to the room.
pub(crate) fn only_tabs(layout: &Layout) -> Layout {
    let tabs = |node: &&Node| matches!(node.kind, NodeKind::Tabs { .. });
    Layout {
        root: 0,
        nodes: layout.nodes.iter().filter(tabs).cloned().collect(),
    }
}

fn pane_node(layout: &Layout, panel: Panel) -> Option<u64> {
    let node = layout
        .nodes
        .iter()
        .find(|node| node.kind == NodeKind::Pane(panel))?;
    Some(node.id)
}

fn panel_of(layout: &Layout, id: u64) -> Option<Panel> {
    layout.nodes.iter().find_map(|node| match node.kind {
        NodeKind::Pane(panel) if node.id == id => Some(panel),
        _ => None,
    })
}

fn tabs_node(layout: &Layout, panel: Panel) -> Option<&Node> {
    let pane = pane_node(layout, panel)?;
    layout.nodes.iter().find(
        |node| matches!(&node.kind, NodeKind::Tabs { children, .. } if children.contains(&pane)),
    )
}

/// As egui_tiles works on it.
pub(crate) fn to_tree(layout: &Layout, id: Id) -> Tree<Panel> {
    let mut tiles = Tiles::default();
    for node in &layout.nodes {
        tiles.insert(TileId(node.id), to_tile(&node.kind));
    }
    tiles.recompute_next_tile_id();
    Tree::new(id, TileId(layout.root), tiles)
}

fn to_tile(kind: &NodeKind) -> Tile<Panel> {
    let linear = |dir: LinearDir, children: &[(u64, f32)]| {
        let ids = children.iter().map(|(child, _)| TileId(*child)).collect();
        let mut linear = Linear::new(dir, ids);
        for (child, share) in children {
            linear.shares.set_share(TileId(*child), *share);
        }
        Tile::Container(Container::Linear(linear))
    };
    match kind {
        NodeKind::Pane(panel) => Tile::Pane(*panel),
        NodeKind::Stack(children) => linear(LinearDir::Vertical, children),
        NodeKind::Row(children) => linear(LinearDir::Horizontal, children),
        NodeKind::Tabs { children, active } => {
            let mut tabs = Tabs::new(children.iter().map(|child| TileId(*child)).collect());
            tabs.set_active(TileId(*active));
            Tile::Container(Container::Tabs(tabs))
        }
    }
}

/// As it is remembered; `None` where the tree holds what we never make.
pub(crate) fn from_tree(tree: &Tree<Panel>) -> Option<Layout> {
    let root = tree.root()?;
    let mut nodes = Vec::new();
    let mut open = vec![root];
    while let Some(id) = open.pop() {
        let kind = match tree.tiles.get(id)? {
            Tile::Pane(panel) => NodeKind::Pane(*panel),
            Tile::Container(Container::Linear(linear)) => {
                let shares: Vec<(u64, f32)> = linear
                    .children
                    .iter()
                    .map(|child| (child.0, linear.shares[*child]))
                    .collect();
                open.extend(&linear.children);
                match linear.dir {
                    LinearDir::Vertical => NodeKind::Stack(shares),
                    LinearDir::Horizontal => NodeKind::Row(shares),
                }
            }
            Tile::Container(Container::Tabs(tabs)) => {
                open.extend(&tabs.children);
                let children: Vec<u64> = tabs.children.iter().map(|child| child.0).collect();
                let active = tabs.active.map_or(0, |active| active.0);
                NodeKind::Tabs { children, active }
            }
            Tile::Container(Container::Grid(_)) => return None,
        };
        nodes.push(Node { id: id.0, kind });
    }
    nodes.sort_by_key(|node| node.id);
    Some(Layout {
        root: root.0,
        nodes,
    })
}

/// A panel's tile.
pub(crate) fn tile_of(layout: &Layout, panel: Panel) -> Option<TileId> {
    pane_node(layout, panel).map(TileId)
}

#[cfg(test)]
mod tests;
