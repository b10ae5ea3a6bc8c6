//! What can be set on the sample machine, in the states that the panel shows.

use std::sync::Arc;

use warden_view::{Checked, Form, Picture, Setting, Settings, SettingsFile, Text, Verdict};

use super::{busy, t, texts};

pub const WINDOW: &str = "settings.ron";
pub const POLICY: &str = "policy.ron";

/// All is live; two values are not their defaults.
pub fn quiet() -> Settings {
    Settings {
        files: Arc::new([window(), policy()]),
        checked: None,
    }
}

fn window() -> SettingsFile {
    SettingsFile {
        name: t(WINDOW),
        title: t("Window"),
        own: true,
        path: t("~/.config/warden/settings.ron"),
        keys: Arc::new([
            choice(
                "theme",
                "The window's design: a file of `themes/` by its name without the ending, or one \
                 that ships.",
                &["nerv", "light", "dark", "high-contrast"],
                "nerv",
            ),
            Setting {
                range: t("0.2 to 5"),
                ..typed(
                    "zoom",
                    "How large everything is drawn; 1 is as large as the screen says.",
                    "1.25",
                    "1.0",
                )
            },
            choice(
                "rows",
                "How close rows stand in tables.",
                &["roomy", "compact"],
                "roomy",
            ),
            choice(
                "clock",
                "Whose time of day is shown.",
                &["local", "utc"],
                "local",
            ),
            Setting {
                form: Form::Flag,
                ..typed(
                    "reduced_motion",
                    "Nothing moves by itself.",
                    "true",
                    "false",
                )
            },
            choice(
                "watch",
                "What happens when a build of the drawing code lies there that nobody asked for \
                 here.",
                &["off", "light", "reload"],
                "off",
            ),
        ]),
        ..SettingsFile::default()
    }
}

fn policy() -> SettingsFile {
    let number = |key: &str, meaning: &str, value: &str, range: &str, unit: &str| Setting {
        range: t(range),
        unit: t(unit),
        ..typed(key, meaning, value, value)
    };
    SettingsFile {
        name: t(POLICY),
        title: t("Policy"),
        path: t("~/.config/warden/policy.ron"),
        note: t("The broker takes a saved policy by itself. A lowered limit ends no lease."),
        keys: Arc::new([
            typed(
                "priorities",
                "Names that a client may write for a priority, 0 being the most urgent. `default` \
                 is what it gets without one.",
                r#"{"console":10,"default":15,"dreamer":20,"mic":0}"#,
                r#"{"console":10,"default":15,"dreamer":20,"mic":0}"#,
            ),
            Setting {
                range: t("timeout_ms at most 86,400,000 ms"),
                ..typed(
                    "operations",
                    "What a client may say that it does. `inference` and `model_load` are always \
                     allowed.",
                    r#"{"inference":(timeout_ms:60000),"model_load":(timeout_ms:180000)}"#,
                    r#"{"inference":(timeout_ms:60000),"model_load":(timeout_ms:120000)}"#,
                )
            },
            number(
                "max_bypass",
                "So often may later arrivals be served before a waiter; then it goes before \
                 everyone else.",
                "8",
                "1 or more",
                "",
            ),
            number(
                "max_queue",
                "How many may wait at once. Whoever comes when so many do is refused.",
                "100000",
                "1 to 1,000,000",
                "",
            ),
            number(
                "default_ttl_ms",
                "How long a lease lives without a renewal, where the request does not say; at \
                 most `max_ttl_ms`.",
                "60000",
                "1,000 to 3,600,000",
                "ms",
            ),
            number(
                "vram_reserve_mib",
                "How much memory shares leave unused on each GPU.",
                "512",
                "0 or more",
                "MiB",
            ),
            choice(
                "yield.mode",
                "Whether to ask, and whether asking may become taking.",
                &["never", "ask", "take"],
                "ask",
            ),
        ]),
        ..SettingsFile::default()
    }
}

fn typed(key: &str, meaning: &str, value: &str, default: &str) -> Setting {
    Setting {
        key: t(key),
        meaning: t(meaning),
        value: t(value),
        live: Some(t(value)),
        default: t(default),
        ..Setting::default()
    }
}

fn choice(key: &str, meaning: &str, of: &[&str], value: &str) -> Setting {
    Setting {
        form: Form::Choice(texts(of)),
        ..typed(key, meaning, value, of[0])
    }
}

/// One file otherwise.
fn with(place: usize, change: impl FnOnce(&mut SettingsFile)) -> Picture {
    let mut picture = busy();
    let mut files = picture.settings.files.to_vec();
    change(&mut files[place]);
    picture.settings.files = files.into();
    picture
}

/// One setting otherwise.
pub fn setting(file: usize, key: &str, change: impl FnOnce(&mut Setting)) -> Picture {
    with(file, |file| {
        let mut keys = file.keys.to_vec();
        let place = keys.iter().position(|setting| &*setting.key == key);
        change(&mut keys[place.expect("it is there")]);
        file.keys = keys.into();
    })
}

/// What is to be said about a value that was typed.
pub fn checked(file: &str, key: &str, text: &str, verdict: Verdict) -> Picture {
    let mut picture = busy();
    picture.settings.checked = Some(Checked {
        file: t(file),
        key: t(key),
        text: t(text),
        verdict,
    });
    picture
}

/// The policy's file cannot be read, and the broker does not answer.
pub fn broken() -> Picture {
    let mut picture = with(1, |file| {
        file.locked = t(
            "~/.config/warden/policy.ron:7:16: max_bypass must be 1 or more\nWhat held before \
             goes on. Mend the file, and its keys can be changed here again.",
        );
        let unknown = |setting: &Setting| Setting {
            live: None,
            ..setting.clone()
        };
        file.keys = file.keys.iter().map(unknown).collect();
    });
    picture.reload.modules = super::reload::quiet().modules;
    picture
}

/// As many themes as somebody may have, names as long as a file system allows, saved and not live.
pub fn long() -> Picture {
    let mut picture = setting(1, "max_bypass", |setting| {
        setting.value = t("4");
    });
    let long = "solarised-with-a-name-as-long-as-somebody-may-choose-when-nothing-forbids-it-0123";
    let mut files = picture.settings.files.to_vec();
    let mut keys = files[0].keys.to_vec();
    let themes: Vec<Text> = ["nerv", "light", "dark", "high-contrast", "paper", long]
        .map(t)
        .to_vec();
    keys[0].form = Form::Choice(themes.into());
    keys[0].value = t(long);
    files[0].keys = keys.into();
    files[0].path = t(&format!("/home/{long}/{long}/.config/warden/settings.ron"));
    picture.settings.files = files.into();
    picture
}

/// No folder of configuration is known.
pub fn nowhere() -> Picture {
    let mut picture = busy();
    picture.settings = Settings::default();
    picture
}
