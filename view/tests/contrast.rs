//! Every shipped theme can be read by whom it is for: contrast as WCAG 2.2 defines it, and colours
//! that stay apart for eyes that see fewer of them.

#![allow(
    clippy::expect_used,
    reason = "a test stops at what is not as it should be"
)]

use warden_view::{Colours, Rgba, SHIPPED, Theme};

type Linear = [f64; 3];

/// Simulation of dichromacy at severity 1.0, on linear RGB: Machado, Oliveira and Fernandes 2009,
/// "A Physiologically-based Model for Simulation of Color Vision Deficiency".
const DEFICIENCIES: [(&str, [[f64; 3]; 3]); 3] = [
    (
        "protanopia",
        [
            [0.152_286, 1.052_583, -0.204_868],
            [0.114_503, 0.786_281, 0.099_216],
            [-0.003_882, -0.048_116, 1.051_998],
        ],
    ),
    (
        "deuteranopia",
        [
            [0.367_322, 0.860_646, -0.227_968],
            [0.280_085, 0.672_501, 0.047_413],
            [-0.011_820, 0.042_940, 0.968_881],
        ],
    ),
    (
        "tritanopia",
        [
            [1.255_528, -0.076_749, -0.178_779],
            [-0.078_411, 0.930_809, 0.147_602],
            [0.004_733, 0.691_367, 0.303_900],
        ],
    ),
];

fn themes() -> impl Iterator<Item = (&'static str, Colours)> {
    SHIPPED
        .iter()
        .map(|(id, text)| (*id, Theme::parse(text).expect("it is read").colours))
}

fn linear(colour: Rgba) -> Linear {
    [colour.r, colour.g, colour.b].map(|channel| {
        let c = f64::from(channel) / 255.0;
        if c <= 0.040_45 {
            c / 12.92
        } else {
            ((c + 0.055) / 1.055).powf(2.4)
        }
    })
}

fn contrast(a: Rgba, b: Rgba) -> f64 {
    let luminance = |colour| {
        let [r, g, b] = linear(colour);
        0.2126 * r + 0.7152 * g + 0.0722 * b
    };
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// What is seen of a colour through one that lies over it.
fn under(over: Rgba, colour: Rgba) -> Rgba {
    let alpha = f64::from(over.a) / 255.0;
    let mix = |over: u8, under: u8| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 255"
        )]
        {
            (f64::from(over) * alpha + f64::from(under) * (1.0 - alpha)).round() as u8
        }
    };
    Rgba {
        r: mix(over.r, colour.r),
        g: mix(over.g, colour.g),
        b: mix(over.b, colour.b),
        a: u8::MAX,
    }
}

/// CIE L*a*b* under D65.
fn lab([r, g, b]: Linear) -> [f64; 3] {
    let f = |t: f64| {
        if t > 0.008_856 {
            t.cbrt()
        } else {
            7.787 * t + 16.0 / 116.0
        }
    };
    let x = f((0.412_4 * r + 0.357_6 * g + 0.180_5 * b) / 0.950_47);
    let y = f(0.212_6 * r + 0.715_2 * g + 0.072_2 * b);
    let z = f((0.019_3 * r + 0.119_2 * g + 0.950_5 * b) / 1.088_83);
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

fn delta_e_76(a: Linear, b: Linear) -> f64 {
    let (a, b) = (lab(a), lab(b));
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).powi(2))
        .sum::<f64>()
        .sqrt()
}

fn seen_with(matrix: &[[f64; 3]; 3], colour: Rgba) -> Linear {
    let [r, g, b] = linear(colour);
    matrix.map(|row| (row[0] * r + row[1] * g + row[2] * b).clamp(0.0, 1.0))
}

/// Every text token with every surface that it stands on.
fn texts(c: &Colours) -> Vec<(&'static str, Rgba, &'static str, Rgba)> {
    let everywhere = [
        ("ground", c.ground),
        ("panel", c.panel),
        ("raised", c.raised),
        ("hovered", c.hovered),
        ("pressed", c.pressed),
        ("selected", c.selected),
        ("row_hovered", c.row_hovered),
        ("field", c.field),
    ];
    let rows = [
        ("panel", c.panel),
        ("raised", c.raised),
        ("selected", c.selected),
        ("row_hovered", c.row_hovered),
    ];
    let mut pairs = Vec::new();
    for (name, colour) in [
        ("text", c.text),
        ("dim", c.dim),
        ("accent", c.accent),
        ("alarm", c.alarm),
    ] {
        pairs.extend(everywhere.map(|(surface, on)| (name, colour, surface, on)));
    }
    pairs.push(("warn", c.warn, "field", c.field));
    for (name, colour) in [("good", c.good), ("warn", c.warn)] {
        pairs.extend(rows.map(|(surface, on)| (name, colour, surface, on)));
    }
    for colour in c.series {
        pairs.extend(rows.map(|(surface, on)| ("series", colour, surface, on)));
        // Bars of the timeline are laid on the panel at 92 %.
        let bar = under(Rgba { a: 235, ..colour }, c.panel);
        pairs.push(("on_series", c.on_series, "series", bar));
    }
    for (surface, on) in [("accent", c.accent), ("warn", c.warn), ("alarm", c.alarm)] {
        pairs.push(("on_accent", c.on_accent, surface, on));
    }
    pairs.push(("on_alarm", c.on_alarm, "alarm", c.alarm));
    pairs
}

#[test]
fn text_is_read_on_every_surface() {
    for (id, colours) in themes() {
        for (name, colour, surface, on) in texts(&colours) {
            let plain = contrast(colour, on);
            assert!(
                plain >= 4.5,
                "{id}: {name} {colour} on {surface} {on}: {plain:.2} : 1"
            );
            let tint = colours.tint;
            let tinted = contrast(under(tint, colour), under(tint, on));
            assert!(
                tinted >= 3.0,
                "{id}: {name} {colour} on {surface} {on} under the tint: {tinted:.2} : 1"
            );
        }
    }
}

#[test]
fn marks_are_seen_on_the_ground() {
    for (id, c) in themes() {
        for colour in c
            .series
            .into_iter()
            .chain([c.good, c.warn, c.alarm, c.accent])
        {
            for on in [c.ground, c.panel] {
                let ratio = contrast(colour, on);
                assert!(ratio >= 3.0, "{id}: {colour} on {on}: {ratio:.2} : 1");
            }
        }
    }
}

/// Colours of one set are told apart by colour. Between the sets the word beside them tells.
#[test]
fn colours_stay_apart_for_every_eye() {
    for (id, c) in themes() {
        let states = [c.good, c.warn, c.alarm, c.accent];
        for set in [&c.series[..], &states[..]] {
            for (at, a) in set.iter().enumerate() {
                for b in &set[at + 1..] {
                    for (name, matrix) in &DEFICIENCIES {
                        let apart = delta_e_76(seen_with(matrix, *a), seen_with(matrix, *b));
                        assert!(
                            apart >= 12.0,
                            "{id}: {a} and {b} under {name}: ΔE {apart:.1}"
                        );
                    }
                }
            }
        }
    }
}
