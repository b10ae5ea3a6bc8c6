use super::*;
use warden_toolkit::egui::vec2;

const ROOMS: [Vec2; 4] = [
    vec2(884.0, 424.0),
    vec2(1_264.0, 632.0),
    vec2(1_904.0, 912.0),
    vec2(300.0, 100.0),
];

#[test]
fn what_fits_a_room_is_sound_and_survives_the_tree() {
    for room in ROOMS {
        let layout = in_room(&Layout::default(), room);
        assert!(is_sound(&layout), "{room:?}: {layout:?}");
        let back = from_tree(&to_tree(&layout, Id::unique("test"))).expect("it is ours");
        let mut sorted = layout.clone();
        sorted.nodes.sort_by_key(|node| node.id);
        assert_eq!(back, sorted, "{room:?}");
    }
}

#[test]
fn a_queue_behind_a_tab_is_not_sound() {
    let mut layout = fitting(ROOMS[1], None);
    for node in &mut layout.nodes {
        match &mut node.kind {
            NodeKind::Tabs { children, .. } => children.push(pane_id(Panel::Queue)),
            NodeKind::Row(children) => {
                children.retain(|(child, _)| *child != pane_id(Panel::Queue));
            }
            NodeKind::Pane(_) | NodeKind::Stack(_) => {}
        }
    }
    assert!(!is_sound(&layout));
}

#[test]
fn a_layout_from_elsewhere_cannot_break_the_window() {
    let pane = |id, panel| Node {
        id,
        kind: NodeKind::Pane(panel),
    };
    let broken = [
        Layout {
            root: 1,
            nodes: vec![pane(1, Panel::Queue)],
        },
        Layout {
            root: 9,
            nodes: vec![pane(1, Panel::Queue)],
        },
        Layout {
            root: 1,
            nodes: vec![Node {
                id: 1,
                kind: NodeKind::Stack(vec![(1, 1.0)]),
            }],
        },
        Layout {
            root: 1,
            nodes: vec![Node {
                id: 1,
                kind: NodeKind::Row(vec![(2, f32::NAN)]),
            }],
        },
    ];
    for layout in broken {
        assert!(!is_sound(&layout), "{layout:?}");
        assert_eq!(in_room(&layout, ROOMS[1]), fitting(ROOMS[1], None));
    }
}

#[test]
fn a_layout_from_before_there_was_a_panel_is_kept_and_has_it() {
    let mut former = fitting(ROOMS[1], None);
    let id = pane_id(Panel::Settings);
    former.nodes.retain(|node| node.id != id);
    for node in &mut former.nodes {
        if let NodeKind::Tabs { children, .. } = &mut node.kind {
            children.retain(|child| *child != id);
        }
    }
    assert!(!is_sound(&former));
    let drawn = in_room(&former, ROOMS[3]);
    assert!(is_sound(&drawn), "{drawn:?}");
    assert_ne!(
        drawn,
        fitting(ROOMS[3], None),
        "it is not what fits the room"
    );
    assert_eq!(
        tabs_of(&drawn, Panel::Settings),
        tabs_of(&drawn, Panel::Reload)
    );
}

/// How high the tabs at the foot are, and what stands over them.
fn heights(layout: &Layout) -> [f32; 2] {
    let root = layout.nodes.iter().find(|node| node.id == ROOT);
    match root.map(|node| &node.kind) {
        Some(NodeKind::Stack(shares)) => [shares[1].1, shares[0].1],
        other => panic!("the foot is under the rest: {other:?}"),
    }
}

#[test]
fn what_is_read_has_more_height_while_it_is_in_front() {
    let with = |room, panel| {
        let mut layout = in_room(&Layout::default(), room);
        bring_to_front(&mut layout, panel);
        in_room(&only_tabs(&layout), room)
    };
    // Windows of 1280 by 800, with and without a banner, and of 1920 by 1080.
    for (room, at_least) in [
        (vec2(1_264.0, 632.0), 360.0),
        (vec2(1_264.0, 484.0), 270.0),
        (vec2(1_904.0, 912.0), 520.0),
    ] {
        let [glance, _] = heights(&with(room, Panel::Timeline));
        for panel in [Panel::Reload, Panel::Settings] {
            let layout = with(room, panel);
            let [foot, main] = heights(&layout);
            assert!(foot >= at_least, "{room:?}, {panel:?}: {foot}");
            assert!(main >= QUEUE_MIN, "{room:?}, {panel:?}: {main}");
            assert!(is_sound(&layout), "{layout:?}");
        }
        let [events, _] = heights(&with(room, Panel::Events));
        assert_eq!(events, glance, "{room:?}");
    }
    // No room for more: it is as before.
    let room = vec2(884.0, 300.0);
    assert_eq!(
        heights(&with(room, Panel::Reload)),
        heights(&with(room, Panel::Events))
    );
}

#[test]
fn a_split_of_somebodys_own_is_kept_whatever_is_in_front() {
    let mut own = fitting(ROOMS[1], None);
    for node in &mut own.nodes {
        if let (ROOT, NodeKind::Stack(shares)) = (node.id, &mut node.kind) {
            shares[0].1 = 500.0;
            shares[1].1 = 132.0;
        }
    }
    bring_to_front(&mut own, Panel::Reload);
    assert_eq!(in_room(&own, ROOMS[1]), own);
}

#[test]
fn a_chosen_tab_outlives_another_size() {
    let mut layout = fitting(ROOMS[1], None);
    bring_to_front(&mut layout, Panel::Events);
    let remembered = only_tabs(&layout);
    for room in ROOMS {
        let drawn = in_room(&remembered, room);
        let tabs = tabs_node(&drawn, Panel::Events).expect("it is a tab");
        let NodeKind::Tabs { active, .. } = &tabs.kind else {
            panic!("it is a tab")
        };
        assert_eq!(*active, pane_id(Panel::Events), "{room:?}");
    }
}
