//! Everything that the window can do, as entries.

use ui_kit::scene::{Scene, Selected};
use ui_kit::wish::Wish;
use warden_view::{
    Action, Column, Dialog, Form, GenerationRow, GenerationState, Module, ModuleKind, ModuleState,
    Panel, Phase, Setting, SettingsFile, Sort, Target, Text, Watch,
};

use crate::entry::{Deed, Entry, Kind, Zoom};

const NO_BROKER: &str = "the broker does not answer";

/// In the order in which equal matches stand.
pub(crate) fn all(scene: &Scene<'_>) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(64);
    acts(scene, &mut entries);
    reloads(scene, &mut entries);
    panels(&mut entries);
    themes(scene, &mut entries);
    window(scene, &mut entries);
    for module in scene.picture.reload.modules.iter() {
        of_module(module, &mut entries);
    }
    settings(scene, &mut entries);
    entries
}

fn acts(scene: &Scene<'_>, entries: &mut Vec<Entry>) {
    let act = |key, title: &str, deed| Entry::new(Kind::Act, key, title, deed);
    let gone = (!scene.acting).then_some(NO_BROKER);
    entries.extend(of_selected(scene));
    entries.push(
        act("reset", "Reset what is stale…", Deed::Ask(Dialog::Reset))
            .cap("Ctrl+Shift+S")
            .unless(gone),
    );
    let nobody = scene.picture.holders.is_empty();
    let off = gone.or(nobody.then_some("nobody holds a GPU"));
    let ask = Deed::Ask(Dialog::ForceAll { clear_queue: false });
    entries.push(
        act("force all", "Force all leases to end…", ask)
            .cap("Ctrl+Shift+Del")
            .unless(off),
    );
    if !scene.acting {
        entries.push(act(
            "retry",
            "Try the broker again now",
            Deed::Push(Action::Retry),
        ));
    }
    let ended = |phase: &Phase| *phase != Phase::Pending;
    if let Some(run) = scene.picture.actions.iter().rfind(|run| ended(&run.phase)) {
        let deed = Deed::Push(Action::Dismiss { run: run.id });
        entries.push(act("dismiss", "Dismiss the last result", deed).about(&*run.title));
    }
}

/// What can be done with the selected row.
fn of_selected(scene: &Scene<'_>) -> Vec<Entry> {
    let act = |key, title: &str, deed| Entry::new(Kind::Act, key, title, deed);
    let selected = scene.selected();
    let gone = (!scene.acting).then_some(NO_BROKER);
    let being_ended = |target| {
        let pending = scene.pending(&target).is_some();
        gone.or(pending.then_some("is being done"))
    };
    let mut entries = Vec::new();
    if let Some(id) = selected.id() {
        let text = id.to_owned();
        let deed = Deed::Push(Action::CopyText { text });
        entries.push(
            act("copy id", "Copy the selected id", deed)
                .about(id)
                .cap("Ctrl+C"),
        );
    }
    if let Some(text) = selected.command() {
        let about = text.clone();
        let deed = Deed::Push(Action::CopyText { text });
        entries.push(
            act("copy command", "Copy its command", deed)
                .about(about)
                .cap("Ctrl+Shift+C"),
        );
    }
    // Last: the first line is what Enter would choose when nothing is typed yet.
    match selected {
        Selected::Waiter(_, waiter) => entries.push(
            act(
                "cancel",
                "Cancel the selected waiter…",
                Deed::Ask(Dialog::Cancel(waiter.request.to_string())),
            )
            .about(&*waiter.client)
            .cap("Del")
            .unless(being_ended(Target::Request(waiter.request.clone()))),
        ),
        Selected::Holder(holder) => entries.push(
            act(
                "release",
                "Release the selected lease…",
                Deed::Ask(Dialog::Release(holder.lease.to_string())),
            )
            .about(format!(
                "{} on {}",
                holder.client,
                scene.gpu_labels(&holder.gpus)
            ))
            .cap("Del")
            .unless(being_ended(Target::Lease(holder.lease.clone()))),
        ),
        Selected::Nothing | Selected::Gpu(_) => {}
    }
    entries
}

fn reloads(scene: &Scene<'_>, entries: &mut Vec<Entry>) {
    let reload = |key: &str, title: String, deed| Entry::new(Kind::Reload, key, title, deed);
    let modules = &scene.picture.reload.modules;
    if modules
        .iter()
        .any(|module| module.state != ModuleState::Fixed)
    {
        let title = "Reload all code and files".to_owned();
        entries.push(reload("all", title, Deed::Push(Action::Reload)).cap("Ctrl+Alt+R"));
    }
    let title = |text: &str| text.to_owned();
    let building = scene.picture.reload.restart.as_ref();
    if building.is_some_and(|restart| restart.progress.is_some()) {
        let deed = Deed::Push(Action::CancelRestart);
        entries.push(
            reload("restart", title("Stop the warm restart"), deed)
                .about("the window runs on as it is"),
        );
    } else if modules
        .iter()
        .any(|module| module.kind == ModuleKind::Code && module.state != ModuleState::Fixed)
    {
        entries.push(
            reload(
                "restart",
                title("Warm restart"),
                Deed::Push(Action::WarmRestart),
            )
            .about("build the whole window, start it in place")
            .cap("Ctrl+Alt+W"),
        );
    }
}

fn of_module(module: &Module, entries: &mut Vec<Entry>) {
    if module.state == ModuleState::Fixed {
        return;
    }
    let name = &module.name;
    let mut add = |key: &str, title: String, about: &str, action: Action| {
        let entry = Entry::new(
            Kind::Reload,
            &format!("{name}/{key}"),
            title,
            Deed::Push(action),
        );
        entries.push(entry.about(about));
    };
    let module_name = || name.clone();
    if module.state == ModuleState::Busy {
        let module = module_name();
        let action = Action::CancelBuild { module };
        let about = "what runs, runs on";
        add("cancel", format!("Stop the build of {name}"), about, action);
    } else if module.allowed == Some(false) {
        let (module, allowed) = (module_name(), true);
        let action = Action::Allow { module, allowed };
        let about = "the program on the disk can take its place";
        add("allow", format!("Allow new code for {name}"), about, action);
    } else {
        let action = Action::ReloadModule {
            module: module_name(),
        };
        let about = if module.newer {
            "a newer build is there"
        } else {
            ""
        };
        add("reload", format!("Reload {name}"), about, action);
    }
    for row in returnable(module) {
        let action = Action::RollBack {
            module: module_name(),
            generation: row.number,
        };
        let title = format!("Roll {name} back to generation {}", row.number);
        let about = [&*row.label, &*row.revision].join(" ");
        add(&format!("back/{}", row.number), title, about.trim(), action);
    }
    for (mode, title, key) in [
        (Watch::Off, "ignore changes of its file", "off"),
        (Watch::Light, "tell when its file changes", "light"),
        (Watch::Reload, "load its file when it changes", "by itself"),
    ] {
        if module.watch.is_some_and(|watch| watch != mode) {
            let module = module_name();
            let action = Action::Watch { module, mode };
            let key = format!("watch/{key}");
            add(&key, format!("Watch {name}: {title}"), "", action);
        }
    }
    if let Some(failure) = &module.failure {
        let text = failure.message.to_string();
        let title = format!("Copy the message of {name}");
        add("copy", title, &failure.title, Action::CopyText { text });
        if let Some((file, line, column)) = &failure.place {
            let title = format!("Open {file}:{line} in the editor");
            let (file, line, column) = (file.clone(), *line, *column);
            let action = Action::OpenEditor { file, line, column };
            add("open", title, &failure.title, action);
        }
    }
}

/// Former generations that are still loaded, the newest first. Each number once.
fn returnable(module: &Module) -> impl Iterator<Item = &GenerationRow> {
    /// More than anybody looks for; the panel has them all.
    const MOST: usize = 5;
    let rows = module.history.iter();
    rows.filter(|row| row.can_return && row.state != GenerationState::Running)
        .take(MOST)
}

fn panels(entries: &mut Vec<Entry>) {
    const CAPS: [&str; 8] = [
        "Ctrl+1", "Ctrl+2", "Ctrl+3", "Ctrl+4", "Ctrl+5", "Ctrl+6", "Ctrl+7", "Ctrl+8",
    ];
    for (panel, cap) in Panel::ALL.into_iter().zip(CAPS) {
        let deed = Deed::Wish(Wish::Front(panel));
        entries.push(Entry::new(Kind::Panel, panel.title(), panel.title(), deed).cap(cap));
    }
}

fn themes(scene: &Scene<'_>, entries: &mut Vec<Entry>) {
    let window = &scene.picture.window;
    let set = |id: &warden_view::Text| Deed::Push(Action::SetTheme { id: id.clone() });
    if let Some(next) = scene.next_theme() {
        let entry = Entry::new(Kind::Theme, "/next", "Next theme", set(&next.id));
        entries.push(entry.about(&*next.name).cap("Ctrl+Shift+T"));
    }
    for theme in window.themes.iter() {
        let entry = Entry::new(Kind::Theme, &theme.id, &*theme.name, set(&theme.id));
        let in_use = theme.id == window.theme;
        entries.push(entry.about(if in_use { "in use" } else { "" }));
    }
}

/// Every setting, the files that they are in, and what a few choices can be set to at once.
fn settings(scene: &Scene<'_>, entries: &mut Vec<Entry>) {
    let mut place = 0;
    for file in scene.picture.settings.files.iter() {
        for setting in file.keys.iter() {
            let key = format!("{}/{}", file.name, setting.key);
            let title = format!("Set {}", setting.key);
            let about = format!("{}, now {}", file.title.to_lowercase(), setting.value);
            let deed = Deed::Wish(Wish::Setting(place));
            entries.push(Entry::new(Kind::Setting, &key, title, deed).about(about));
            place += 1;
            values(file, setting, entries);
        }
        let module = file.name.clone();
        let title = format!("Open {} in the editor", file.name);
        let deed = Deed::Push(Action::EditFile { module });
        entries.push(Entry::new(Kind::Setting, &file.name, title, deed).about(&*file.path));
    }
    if let Some(theme) = scene.theme() {
        let module = theme.id.clone();
        let deed = Deed::Push(Action::EditFile { module });
        let entry = Entry::new(Kind::Theme, "/edit", "Edit the theme in use", deed);
        entries.push(entry.about(&*theme.name));
    }
}

/// What a setting of the window's can be set to at once. The theme has entries of its own, and the
/// broker's rules are not changed in passing.
fn values(file: &SettingsFile, setting: &Setting, entries: &mut Vec<Entry>) {
    if !file.own || &*setting.key == "theme" || !file.locked.is_empty() {
        return;
    }
    let flag = [Text::from("true"), Text::from("false")];
    let of: &[Text] = match &setting.form {
        Form::Typed => return,
        Form::Flag => &flag,
        Form::Choice(of) => of,
    };
    for value in of.iter().filter(|value| **value != setting.value) {
        let word = match (&setting.form, &**value) {
            (Form::Flag, "true") => "on",
            (Form::Flag, _) => "off",
            (_, word) => word,
        };
        let deed = Deed::Push(Action::SetSetting {
            file: file.name.clone(),
            key: setting.key.clone(),
            value: value.clone(),
        });
        let key = format!("{}/{}/{word}", file.name, setting.key);
        let title = format!("Set {} to {word}", setting.key);
        entries.push(Entry::new(Kind::Setting, &key, title, deed).about(&*setting.meaning));
    }
}

fn window(scene: &Scene<'_>, entries: &mut Vec<Entry>) {
    let window = |key, title: &str, deed| Entry::new(Kind::Window, key, title, deed);
    entries.push(window("keys", "Show the keys", Deed::Ask(Dialog::Keys)).cap("?"));
    let filter = Deed::Wish(Wish::Filter);
    entries.push(window("filter", "Filter queue and holders", filter).cap("/"));
    let memory = &scene.memory;
    if !memory.filter.is_empty() || memory.sort != Sort::default() {
        let entry = window("unfiltered", "Clear filter and sorting", Deed::Unfiltered);
        entries.push(entry.cap("Esc"));
    }
    let entry = window("layout", "Standard layout", Deed::StandardLayout);
    entries.push(
        entry
            .about("panels as they fit the window")
            .cap("Ctrl+Shift+L"),
    );
    for (zoom, title, cap) in [
        (Zoom::In, "Larger", "Ctrl +"),
        (Zoom::Out, "Smaller", "Ctrl −"),
        (Zoom::Reset, "Standard size", "Ctrl 0"),
    ] {
        entries.push(window(title, title, Deed::Zoom(zoom)).cap(cap));
    }
    for (column, title) in [
        (Column::Place, "Sort the queue by turn"),
        (Column::Client, "Sort the queue by client"),
        (Column::Priority, "Sort the queue by priority"),
        (Column::Asks, "Sort the queue by what is asked for"),
        (Column::Waited, "Sort the queue by time waited"),
        (Column::TimeLeft, "Sort the queue by time left"),
        (Column::Passed, "Sort the queue by times passed"),
        (Column::Why, "Sort the queue by reason"),
    ] {
        let about = match (memory.sort.column == column, memory.sort.descending) {
            (false, _) => "",
            (true, false) => "turns the order round",
            (true, true) => "the other way round now",
        };
        entries.push(window(title, title, Deed::Sort(column)).about(about));
    }
}
