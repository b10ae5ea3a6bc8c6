//! Where the panels stand. Plain data; drawing turns it into a tile tree and back.

use serde::{Deserialize, Serialize};

/// A panel that can be moved and resized. The strip and the footer are fixed and not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Panel {
    /// The GPUs with what is known of each.
    Gpus,
    /// The waiters. Never closed, never hidden behind a tab.
    Queue,
    /// The leases.
    Holders,
    /// What is selected, in full.
    Detail,
    /// The last ten minutes.
    Timeline,
    /// The event stream.
    Events,
    /// What can be reloaded.
    Reload,
    /// What can be set.
    Settings,
}

impl Panel {
    /// All of them, in the order of their keys: Ctrl+1 to Ctrl+8.
    pub const ALL: [Self; 8] = [
        Self::Gpus,
        Self::Queue,
        Self::Holders,
        Self::Detail,
        Self::Timeline,
        Self::Events,
        Self::Reload,
        Self::Settings,
    ];

    /// Its heading.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Gpus => "GPUs",
            Self::Queue => "Queue",
            Self::Holders => "Holders",
            Self::Detail => "Detail",
            Self::Timeline => "Timeline",
            Self::Events => "Events",
            Self::Reload => "Reload",
            Self::Settings => "Settings",
        }
    }
}

/// The tree of tiles.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Layout {
    /// The root's id; 0 stands for "what fits the window's size", until a tile is moved or resized.
    pub root: u64,
    /// By id. With the root 0, only which tabs are in front.
    pub nodes: Vec<Node>,
}

/// One tile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Unique in the tree, from 1.
    pub id: u64,
    /// What it is.
    pub kind: NodeKind,
}

/// What a tile is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum NodeKind {
    /// A panel.
    Pane(Panel),
    /// One above the other, with their shares of the room.
    Stack(Vec<(u64, f32)>),
    /// Side by side, with their shares of the room.
    Row(Vec<(u64, f32)>),
    /// Behind one another.
    Tabs {
        /// In the order of the tabs.
        children: Vec<u64>,
        /// Which one is in front.
        active: u64,
    },
}
