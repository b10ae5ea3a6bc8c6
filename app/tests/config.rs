//! The host without a window and its folder of configuration: what is saved goes live, what is broken
//! is told of and changes nothing, what is set in the window is in the file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so when it fails"
)]

mod stand;

use std::fs;
use std::path::Path;

use stand::{configured, until, window};
use warden_app::{Drawing, Functions, Host, Options};
use warden_hot::Panicked;
use warden_toolkit as _;
use warden_toolkit::egui::{self, Key, Modifiers};
use warden_toolkit::egui_kittest::Harness;
use warden_toolkit::egui_kittest::kittest::Queryable as _;
use warden_view::{
    Action, Form, Module, ModuleState, Phase, Picture, SHIPPED, Setting, Text, Theme, UiMemory,
    Verdict,
};

fn style(_: &egui::Context, _: &Theme) -> Result<(), Panicked> {
    Ok(())
}

/// What is typed in the filter, `FILE KEY VALUE`, is checked or set by its button.
fn draw(
    ui: &mut egui::Ui,
    _: &Picture,
    _: &Theme,
    memory: &mut UiMemory,
    actions: &mut Vec<Action>,
) -> Result<(), Panicked> {
    let label = ui.label("Setting");
    ui.text_edit_singleline(&mut memory.filter)
        .labelled_by(label.id);
    let mut words = memory.filter.splitn(3, ' ').map(Text::from);
    let mut word = || words.next().unwrap_or_default();
    let (file, key, value) = (word(), word(), word());
    if ui.button("Check").clicked() {
        let (file, key, value) = (file.clone(), key.clone(), value.clone());
        actions.push(Action::CheckSetting { file, key, value });
    }
    if ui.button("Set").clicked() {
        actions.push(Action::SetSetting { file, key, value });
    }
    Ok(())
}

const FUNCTIONS: Functions = Functions {
    draw: Drawing::Plain(draw),
    style: Some(style),
    memory: None,
};

struct Places {
    data: tempfile::TempDir,
    config: tempfile::TempDir,
}

impl Places {
    fn new() -> Self {
        let place = || tempfile::tempdir().unwrap();
        Self {
            data: place(),
            config: place(),
        }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.config.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // As an editor saves: whole or not at all.
        let fresh = path.with_extension("new");
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, path).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.config.path().join(name)).unwrap_or_default()
    }

    fn window(&self) -> Harness<'static, Host> {
        self.window_in(None)
    }

    /// The window with a theme from the command line.
    fn window_in(&self, theme: Option<&str>) -> Harness<'static, Host> {
        let options = Options {
            config_dir: Some(self.config.path().to_owned()),
            theme: theme.map(str::to_owned),
            ..Options::default()
        };
        let mut window = window(configured(FUNCTIONS, self.data.path(), &options));
        window.step();
        window
    }
}

fn theme(host: &Host) -> &str {
    &host.picture().window.theme
}

fn module<'a>(host: &'a Host, name: &str) -> Option<&'a Module> {
    let mut modules = host.picture().reload.modules.iter();
    modules.find(|module| &*module.name == name)
}

fn has_failed(host: &Host, name: &str) -> bool {
    module(host, name).is_some_and(|module| module.state == ModuleState::Failed)
}

fn setting<'a>(host: &'a Host, file: &str, key: &str) -> &'a Setting {
    let files = &host.picture().settings.files;
    let file = files.iter().find(|one| &*one.name == file).unwrap();
    file.keys.iter().find(|one| &*one.key == key).unwrap()
}

fn verdict(host: &Host) -> Option<&Verdict> {
    let checked = host.picture().settings.checked.as_ref()?;
    Some(&checked.verdict)
}

/// Types `FILE KEY VALUE` and presses the button.
fn press(window: &mut Harness<'_, Host>, words: &str, button: &str) {
    let field = egui::accesskit::Role::TextInput;
    window.get_by_role(field).focus();
    window.step();
    window.key_press_modifiers(Modifiers::COMMAND, Key::A);
    window.step();
    window.get_by_role(field).type_text(words);
    window.step();
    window.get_by_label(button).click();
    window.step();
    window.step();
}

#[test]
fn saved_settings_go_live_and_broken_ones_change_nothing() {
    let places = Places::new();
    places.write("settings.ron", "(theme: \"light\", zoom: 1.5)");
    let mut window = places.window();
    assert_eq!(theme(window.state()), "light");
    until(&mut window, "the zoom", |host| {
        setting(host, "settings.ron", "zoom").value.as_ref() == "1.5"
    });

    places.write("settings.ron", "(theme: \"dark\",\n zoom: 99)");
    until(&mut window, "the fault", |host| {
        has_failed(host, "settings.ron")
    });
    window.step();
    assert_eq!(theme(window.state()), "light");
    window.get_by_label_contains("FILE NOT TAKEN  settings.ron");
    window.get_by_label("line 2, column 2");
    window.get_by_label_contains("must be 0.2 to 5");
    window.get_by_label("Open settings.ron in the editor");
    let failure = module(window.state(), "settings.ron")
        .unwrap()
        .failure
        .clone();
    let (file, line, _) = failure.unwrap().place.unwrap();
    assert!(file.ends_with("settings.ron") && line == 2);

    places.write("settings.ron", "(theme: \"dark\")");
    until(&mut window, "the mended file", |host| theme(host) == "dark");
    window.step();
    assert!(window.query_by_label_contains("FILE NOT TAKEN").is_none());
}

#[test]
fn what_was_broken_at_the_start_is_told_of_and_watched_on() {
    let places = Places::new();
    places.write("settings.ron", "(");
    let mut window = places.window();
    assert_eq!(theme(window.state()), "nerv");
    assert!(has_failed(window.state(), "settings.ron"));
    places.write("settings.ron", "(theme: \"light\")");
    until(&mut window, "the mended file", |host| {
        theme(host) == "light"
    });
}

#[test]
fn a_theme_is_live_when_it_is_saved_and_stays_when_it_vanishes() {
    let places = Places::new();
    places.write("settings.ron", "(theme: \"mine\")");
    let mut window = places.window();
    assert_eq!(
        theme(window.state()),
        "nerv",
        "there is none of that name yet"
    );
    let named = |name: &str| SHIPPED[1].1.replacen("name: \"Light\"", name, 1);
    places.write("themes/mine.ron", &named("name: \"Mine\""));
    until(&mut window, "the new theme", |host| theme(host) == "mine");

    let name = |host: &Host| {
        let themes = &host.picture().window.themes;
        let mine = themes.iter().find(|theme| &*theme.id == "mine");
        mine.map(|mine| mine.name.to_string())
    };
    assert_eq!(name(window.state()).as_deref(), Some("Mine"));
    places.write("themes/mine.ron", &named("name: \"Mine too\""));
    until(&mut window, "the saved theme", |host| {
        name(host).as_deref() == Some("Mine too")
    });

    fs::remove_file(places.config.path().join("themes/mine.ron")).unwrap();
    until(&mut window, "the theme's absence", |host| {
        module(host, "themes/mine.ron").is_some_and(|mine| mine.noticed.contains("is gone"))
    });
    assert_eq!(
        theme(window.state()),
        "mine",
        "its last content stays in use"
    );
    window.key_press_modifiers(Modifiers::CTRL | Modifiers::SHIFT, Key::T);
    until(&mut window, "it to be forgotten", |host| {
        name(host).is_none()
    });
    assert_eq!(theme(window.state()), "nerv");
}

#[test]
fn the_theme_key_saves_what_it_chose() {
    let places = Places::new();
    let mut window = places.window();
    window.key_press_modifiers(Modifiers::CTRL | Modifiers::SHIFT, Key::T);
    window.step();
    until(&mut window, "the file", |_| {
        places.read("settings.ron").contains("theme: \"light\"")
    });
    let saved = places.read("settings.ron");
    assert!(saved.contains("// The window's design"), "{saved}");
    until(&mut window, "the file to be live", |host| {
        module(host, "settings.ron").is_some_and(|settings| settings.generation > 0)
    });
    assert_eq!(theme(window.state()), "light");
}

#[test]
fn the_command_line_takes_a_theme_by_its_file_or_by_the_name_that_it_shows() {
    let places = Places::new();
    // What a file is called goes before what another shows.
    places.write(
        "themes/paper.ron",
        &SHIPPED[0].1.replacen("NERV", "Dark", 1),
    );
    for (said, used) in [
        ("light", "light"),
        ("Light", "light"),
        ("High contrast", "high-contrast"),
        ("high-contrast", "high-contrast"),
        ("NERV", "nerv"),
        ("dark", "dark"),
        ("sepia", "nerv"),
    ] {
        let window = places.window_in(Some(said));
        assert_eq!(theme(window.state()), used, "--theme {said}");
    }
    assert_eq!(places.read("settings.ron"), "", "it is for this run alone");
}

#[test]
fn a_broken_file_is_never_written_over() {
    let places = Places::new();
    places.write("settings.ron", "(theme: ");
    let mut window = places.window();
    window.key_press_modifiers(Modifiers::CTRL | Modifiers::SHIFT, Key::T);
    until(&mut window, "the refusal", |host| {
        let runs = &host.picture().actions;
        runs.iter()
            .any(|run| matches!(&run.phase, Phase::Refused { said, .. } if said.contains("mend")))
    });
    assert_eq!(theme(window.state()), "light", "for this run");
    assert_eq!(places.read("settings.ron"), "(theme: ");
}

#[test]
fn a_policy_is_checked_as_it_is_typed_and_saved_whole() {
    let places = Places::new();
    places.write("policy.ron", "(max_ttl_ms: 120000)");
    let mut window = places.window();
    press(&mut window, "policy.ron max_bypass 0", "Check");
    let wrong = |host: &Host| match verdict(host) {
        Some(Verdict::Wrong(said)) => said.to_string(),
        other => panic!("it should be wrong: {other:?}"),
    };
    assert_eq!(wrong(window.state()), "must be 1 or more");
    press(&mut window, "policy.ron default_ttl_ms 200000", "Check");
    assert!(
        wrong(window.state()).contains("max_ttl_ms"),
        "a rule between keys"
    );
    press(&mut window, "policy.ron default_ttl_ms 200000", "Set");
    assert_eq!(places.read("policy.ron"), "(max_ttl_ms: 120000)");

    press(&mut window, "policy.ron max_bypass 4", "Set");
    until(&mut window, "the saved policy", |host| {
        verdict(host) == Some(&Verdict::Saved)
    });
    let saved = places.read("policy.ron");
    for line in [
        "max_bypass: 4,",
        "max_ttl_ms: 120000,",
        "// So often may later",
    ] {
        assert!(saved.contains(line), "“{line}” is missing:\n{saved}");
    }
    until(&mut window, "its row", |host| {
        let row = setting(host, "policy.ron", "max_bypass");
        &*row.value == "4" && row.live.is_none() && &*row.default == "8"
    });
}

#[test]
fn every_setting_has_a_meaning_and_a_default() {
    let places = Places::new();
    let window = places.window();
    let files = &window.state().picture().settings.files;
    assert_eq!(files.len(), 2);
    for setting in files.iter().flat_map(|file| file.keys.iter()) {
        assert!(!setting.meaning.is_empty(), "{setting:?}");
        assert!(!setting.default.is_empty(), "{setting:?}");
        assert_eq!(setting.value, setting.default, "{setting:?}");
    }
    let theme = setting(window.state(), "settings.ron", "theme");
    assert!(matches!(&theme.form, Form::Choice(themes) if themes.len() == SHIPPED.len()));
    let mode = setting(window.state(), "policy.ron", "yield.mode");
    assert!(matches!(&mode.form, Form::Choice(modes) if modes.len() == 3));
}

#[test]
fn a_folder_that_others_may_write_is_not_trusted_with_the_policy() {
    let places = Places::new();
    places.write("policy.ron", "(max_bypass: 4)");
    open_to_all(places.config.path());
    let window = places.window();
    let policy = module(window.state(), "policy.ron").unwrap();
    let failure = policy.failure.as_ref().expect("it is refused");
    assert!(failure.title.contains("chmod"), "{}", failure.title);
    assert_eq!(
        &*setting(window.state(), "policy.ron", "max_bypass").value,
        "8"
    );
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
}
