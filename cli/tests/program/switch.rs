//! Who may have new code taken, and which.

use std::fs;

use warden::Code;
use warden::wire::reload::ReloadState;

use crate::daemon::Daemon;
use crate::installed::set_mode;

#[test]
fn new_code_is_off_unless_an_operator_lets_it_in() {
    let broker = Daemon::start(&[]);
    broker.install(b"new");
    let refusal = broker.reload_program().unwrap_err();
    assert_eq!(refusal.code(), Some(Code::ReloadDisabled));
    assert_eq!(refusal.refusal().unwrap().problem.status, 403);
    assert!(!broker.standing().enabled);
    assert_eq!(broker.module().state, ReloadState::Disabled);
    let output = broker
        .warden(&["hot-reload", "--module", "program"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(77), "{output:?}");
    // Files go live all the same.
    let output = broker.warden(&["hot-reload"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("policy: unchanged"), "{said}");
    assert!(said.contains("program: left alone"), "{said}");
    assert_eq!(broker.module().generation, 1);

    let output = broker.warden(&["hot-reload", "--enable"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("program  live"), "{said}");
    // The decision stays: over the exec, and over a restart.
    broker.reload_program().unwrap();
    assert!(broker.standing().enabled);
    let broker = broker.start_again(&[]);
    assert!(broker.standing().enabled);
    // Also against development mode.
    assert!(!broker.client().enable_reload(false).unwrap().enabled);
    let broker = broker.start_again(&["--dev"]);
    assert!(!broker.standing().enabled);
    fs::remove_file(broker.data("hot-reload")).unwrap();
    let broker = broker.start_again(&["--dev"]);
    assert!(broker.standing().enabled, "nobody decided otherwise");
    fs::write(broker.data("hot-reload"), "{").unwrap();
    let broker = broker.start_again(&["--dev"]);
    assert!(
        !broker.standing().enabled,
        "what cannot be read lets nobody in"
    );
    let said = broker.process.until_said("hot-reload");
    assert!(said.contains("WARN") && said.contains("--enable"), "{said}");
}

#[test]
fn what_others_could_have_written_is_refused() {
    let broker = Daemon::start(&[]);
    broker.client().enable_reload(true).unwrap();
    let bin = broker.folder.path().join("bin");
    let refused = || {
        let refusal = broker.reload_program().unwrap_err();
        let refusal = refusal.refusal().unwrap().clone();
        assert_eq!(refusal.problem.code, Code::ReloadRefused);
        assert_eq!(refusal.problem.extra.stage.as_deref(), Some("untrusted"));
        refusal.problem.detail.to_string()
    };
    set_mode(&bin, 0o777);
    broker.install(b"new");
    let said = refused();
    assert!(
        said.contains("its folder") && said.contains("chmod"),
        "{said}"
    );
    set_mode(&bin, 0o775);
    refused();
    set_mode(&bin, 0o755);
    for mode in [0o757, 0o775] {
        set_mode(&broker.program(), mode);
        let said = refused();
        assert!(said.contains("the file"), "{said}");
    }
    let module = broker.module();
    assert_eq!(module.generation, 1);
    assert_eq!(module.state, ReloadState::Refused);
    assert_eq!(module.last_error.unwrap().stage, "untrusted");
    set_mode(&broker.program(), 0o755);
    broker.reload_program().unwrap();
    assert_eq!(broker.module().state, ReloadState::Live);
}
