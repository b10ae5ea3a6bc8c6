//! Every shipped theme can be read.

use warden_view::{SHIPPED, Theme};

#[test]
fn shipped_themes_are_read() {
    for (id, text) in SHIPPED {
        if let Err(error) = Theme::parse(text) {
            panic!("themes/{id}.ron: {error}");
        }
    }
}

#[test]
fn a_broken_theme_is_told_by_line_and_column() {
    let nerv = SHIPPED[0].1;
    let cases = [
        (
            nerv.replace(
                "#FF7A1A\",\n        on_accent",
                "orange\",\n        on_accent",
            ),
            "orange",
        ),
        (nerv.replace("text: 13", "text: 4"), "8 to 96"),
        (nerv.replace("rounding: 0,", "rounding: -1,"), "0 to 240"),
        (nerv.replace("dark: true", "dark: true, moon: 3"), "moon"),
        (nerv.replace("dark: true,", ""), "dark"),
        (nerv.replacen('(', "", 1), ""),
    ];
    for (text, says) in cases {
        let error = Theme::parse(&text).expect_err("it must be refused");
        assert!(error.message.contains(says), "{error}");
        assert!(error.line >= 1 && error.column >= 1, "{error}");
    }
    let sized = nerv.replace("text: 13", "text: 4");
    let line = sized
        .lines()
        .position(|line| line.contains("text: 4"))
        .expect("it is there")
        + 1;
    let error = Theme::parse(&sized).expect_err("it must be refused");
    assert_eq!(error.line as usize, line, "{error}");
}
