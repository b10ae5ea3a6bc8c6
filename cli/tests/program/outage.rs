//! While the journal cannot be written, what it lacks is in this process alone.

use std::fs;

use warden::Code;
use warden::wire::LockBody;
use warden::wire::reload::{ReloadOutcome, ReloadState};
use warden_client::Submitted;
use warden_client::blocking::Client;

use crate::daemon::{Daemon, only_program};
use crate::space::{Filler, on_a_small_disk};
use crate::stand::until;
use crate::trial::TAKE_OVER;

fn body(client: &str) -> LockBody {
    LockBody {
        client: client.to_owned(),
        ..LockBody::default()
    }
}

/// Asks for leases until the journal is found full: what is left of the log's last page takes some
/// facts still.
fn lock_until_refused(client: &Client) {
    let refused = loop {
        match client.submit(body("more")) {
            Ok(Submitted::Granted(granted)) => {
                drop(client.unlock(&granted.lease_id, granted.token));
            }
            Ok(Submitted::Queued(queued)) => panic!("{queued:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.code(), Some(Code::JournalUnwritable), "{refused}");
}

fn until_it_grants(client: &Client) {
    until("it can be written again", || {
        match client.submit(body("again")) {
            Ok(Submitted::Granted(granted)) => {
                client.unlock(&granted.lease_id, granted.token).is_ok()
            }
            _ => false,
        }
    });
}

#[test]
fn a_program_is_not_replaced_while_the_journal_lacks_something() {
    let name = "outage::a_program_is_not_replaced_while_the_journal_lacks_something";
    let Some(folder) = on_a_small_disk(name, "64m") else {
        return;
    };
    let broker = Daemon::start_over(&folder.join("data"));
    let client = broker.client();
    client.enable_reload(true).unwrap();
    let lease = client.lock(body("holder")).unwrap();
    broker.install(b"new");

    let filler = Filler::fill(&folder.join("data"));
    lock_until_refused(&client);
    client.unlock(&lease.lease_id, lease.token).unwrap();
    let refused = broker.reload_program().unwrap_err();
    assert_eq!(refused.code(), Some(Code::JournalUnwritable), "{refused}");
    assert_eq!(broker.module().generation, 1);
    drop(filler);

    until_it_grants(&client);
    let results = broker.reload_program().unwrap().results;
    assert_eq!(results[0].outcome, ReloadOutcome::Reloaded);
    assert!(
        client.status().unwrap().leases.is_empty(),
        "its end was kept"
    );
    assert_eq!(fs::read_dir(broker.data("programs")).unwrap().count(), 3);
}

#[test]
fn a_disk_that_fills_while_a_program_is_looked_at_loses_nothing() {
    let name = "outage::a_disk_that_fills_while_a_program_is_looked_at_loses_nothing";
    let Some(folder) = on_a_small_disk(name, "64m") else {
        return;
    };
    let broker = Daemon::start_over(&folder.join("data"));
    let client = broker.client();
    client.enable_reload(true).unwrap();
    let lease = client.lock(body("holder")).unwrap();
    let (asked, go) = (folder.join("asked"), folder.join("go"));
    // The first time that it runs, the built one looks at the journal, in a process of its own; and
    // what it found is told once it may be. Then it is the built one.
    broker.install_script(&format!(
        "if ! [ -e '{asked}' ]; then\n\
         sh -c 'WARDEN_HANDOVER=\"$$:${{WARDEN_HANDOVER#*:}}\" exec \"$0\" \"$@\"' \"$REAL\" \"$@\" || exit\n\
         : >'{asked}'\nwhile ! [ -e '{go}' ]; do sleep 0.01; done\nexit\nfi\n{TAKE_OVER}",
        asked = asked.display(),
        go = go.display(),
    ));

    let other = broker.client();
    let reload = std::thread::spawn(move || other.reload(&only_program()));
    until("it is looked at", || asked.exists());
    let filler = Filler::fill(&folder.join("data"));
    lock_until_refused(&client);
    client.unlock(&lease.lease_id, lease.token).unwrap();
    fs::write(&go, "").unwrap();
    let refused = reload.join().unwrap().unwrap_err();
    assert_eq!(refused.code(), Some(Code::ReloadRefused), "{refused}");
    let problem = &refused.refusal().unwrap().problem;
    assert_eq!(problem.extra.stage.as_deref(), Some("journal"), "{refused}");
    assert!(problem.detail.contains("full"), "{refused}");
    let module = broker.module();
    assert_eq!((module.generation, module.state), (1, ReloadState::Refused));
    assert_eq!(module.last_error.unwrap().stage, "journal");
    assert_eq!(broker.copies().len(), 1, "only the one that runs");
    drop(filler);

    until_it_grants(&client);
    let results = broker.reload_program().unwrap().results;
    assert_eq!(results[0].outcome, ReloadOutcome::Reloaded);
    assert!(
        client.status().unwrap().leases.is_empty(),
        "its end was kept"
    );
}
