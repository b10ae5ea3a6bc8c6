//! Calls, locks and leases against a server that misbehaves on purpose.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is a test")]

mod scripted;

use std::time::{Duration, Instant};

use scripted::{Answer, client_of, granted, problem, serve};
use serde_json::json;
use warden::Code;
use warden::wire::{LockBody, Outcome};
use warden_client::{Error, LeaseState};

fn body() -> LockBody {
    LockBody {
        client: "test".to_owned(),
        timeout_ms: Some(20_000),
        ..LockBody::default()
    }
}

#[tokio::test]
async fn a_refusal_keeps_its_code_its_fields_and_when_to_come_back() {
    let (address, _asked) = serve(|_| {
        let body = problem(
            410,
            "lease_ended",
            json!({"outcome": "forced", "unheard_of": 1}),
        );
        Answer::Json(410, "retry-after: 7\r\n", body)
    });
    let (client, _dir) = client_of(address);
    let error = client.reset().await.unwrap_err();
    assert_eq!(error.code(), Some(Code::LeaseEnded));
    assert_eq!(error.to_string(), "because (lease_ended)");
    let refusal = error.refusal().unwrap();
    assert_eq!(refusal.outcome(), Some(Outcome::Forced));
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn answers_that_are_no_brokers_are_named_as_such() {
    for answer in [
        Answer::Text(200, "<html>"),
        Answer::Text(502, "bad gateway"),
        Answer::Json(200, "", json!({"other": "server"})),
        Answer::Json(400, "", problem(400, "code_of_the_future", json!({}))),
    ] {
        let said = format!("{answer:?}");
        let (address, _asked) = serve(move |_| answer.clone());
        let (client, _dir) = client_of(address);
        let error = client.status().await.unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{said}: {error:?}");
        assert!(error.to_string().contains(&address.to_string()));
    }
}

#[tokio::test]
async fn a_lock_goes_on_under_the_same_id_until_there_is_an_answer() {
    let mut answers = vec![
        Answer::Json(200, "", granted()),
        Answer::Json(
            503,
            "retry-after: 0\r\n",
            problem(503, "not_ready", json!({})),
        ),
        Answer::Json(
            503,
            "retry-after: 0\r\n",
            problem(503, "shutting_down", json!({})),
        ),
        Answer::Cut,
    ];
    let (address, asked) = serve(move |_| answers.pop().unwrap());
    let (client, _dir) = client_of(address);
    let lease = client.lock(body()).await.unwrap();
    assert_eq!((lease.lease_id.as_str(), lease.token), ("l", 7));
    let ids: Vec<_> = (0..4)
        .map(|_| asked.recv().unwrap().body["request_id"].clone())
        .collect();
    assert!(
        ids[0].is_string() && ids.iter().all(|id| *id == ids[0]),
        "{ids:?}"
    );
}

#[tokio::test]
async fn a_lock_that_is_refused_or_finds_nobody_is_not_repeated() {
    for code in [
        "queue_timeout",
        "queue_full",
        "superseded",
        "request_conflict",
    ] {
        let (address, asked) = serve(move |_| Answer::Json(400, "", problem(400, code, json!({}))));
        let (client, _dir) = client_of(address);
        let error = client.lock(body()).await.unwrap_err();
        assert_eq!(error.code().map(Code::as_str), Some(code));
        assert_eq!(asked.try_iter().count(), 1);
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (client, _dir) = client_of(closed);
    let started = Instant::now();
    assert!(matches!(
        client.lock(body()).await,
        Err(Error::Unreachable { .. })
    ));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_lock_gives_up_on_a_broker_that_stays_away() {
    let (address, asked) = serve(|_| Answer::Cut);
    let (client, _dir) = client_of(address);
    let mut body = body();
    body.timeout_ms = Some(300);
    let error = client.lock(body).await.unwrap_err();
    assert!(error.is_away(), "{error:?}");
    assert!(asked.try_iter().count() > 1);
}

#[tokio::test]
async fn a_lease_is_renewed_through_trouble_until_the_broker_ends_it() {
    let mut answers = vec![
        Answer::Json(
            410,
            "",
            problem(410, "lease_ended", json!({"outcome": "expired"})),
        ),
        Answer::Json(404, "", problem(404, "unknown_lease", json!({}))),
        Answer::Text(500, "oops"),
        Answer::Cut,
        Answer::Json(
            200,
            "",
            json!({"lease_id": "l", "ttl_ms": 300, "expires_at": "", "yield_asked": true}),
        ),
        Answer::Json(200, "", granted()),
    ];
    let (address, asked) = serve(move |_| answers.pop().unwrap_or(Answer::Cut));
    let (client, _dir) = client_of(address);
    let lease = client.acquire(body()).await.unwrap();
    let mut state = lease.watch();
    state.changed().await.unwrap();
    assert!(matches!(*state.borrow_and_update(), LeaseState::YieldAsked));
    assert_eq!(lease.lost().await.outcome(), Some(Outcome::Expired));
    assert!(matches!(lease.state(), LeaseState::Lost(_)));
    drop(lease);
    let asked: Vec<_> = asked.try_iter().collect();
    // A request that was cut off is sent again by the pool where nothing of it had been answered.
    assert!(asked.len() >= 6, "{asked:?}");
    for renewal in &asked[1..] {
        assert_eq!(
            renewal.path, "/v1/gpu/renew",
            "a lost lease is not given back"
        );
        assert_eq!(renewal.body, json!({"lease_id": "l", "token": 7}));
    }
}

#[tokio::test]
async fn a_lease_is_given_back_when_closed_and_when_dropped() {
    let (address, asked) = serve(|asked| match asked.path.as_str() {
        "/v1/gpu/lock" => Answer::Json(200, "", granted()),
        _ => Answer::Json(
            200,
            "",
            json!({"lease_id": "l", "outcome": "released", "held_ms": 1}),
        ),
    });
    let (client, _dir) = client_of(address);
    let ended = client.acquire(body()).await.unwrap().close().await.unwrap();
    assert_eq!(ended.outcome, Outcome::Released);
    drop(client.acquire(body()).await.unwrap());
    let asked = tokio::task::spawn_blocking(move || {
        (0..4)
            .map(|_| asked.recv_timeout(Duration::from_secs(10)).unwrap())
            .collect::<Vec<_>>()
    });
    for unlock in asked.await.unwrap().iter().skip(1).step_by(2) {
        assert_eq!(unlock.path, "/v1/gpu/unlock");
        assert_eq!(unlock.body, json!({"lease_id": "l", "token": 7}));
    }
}

#[test]
fn the_blocking_face_does_the_same() {
    let (address, asked) = serve(|asked| match asked.path.as_str() {
        "/v1/gpu/lock" => Answer::Json(200, "", granted()),
        "/v1/gpu/requests/a%2Fb" => {
            Answer::Json(404, "", problem(404, "unknown_request", json!({})))
        }
        _ => Answer::Json(
            200,
            "",
            json!({"lease_id": "l", "outcome": "released", "held_ms": 1}),
        ),
    });
    let (client, _dir) = client_of(address);
    let client = warden_client::blocking::Client::new(client.endpoint().clone()).unwrap();
    let lease = client.acquire(body()).unwrap();
    assert_eq!(lease.granted().token, 7);
    drop(lease);
    let error = client.cancel(&"a/b".into()).unwrap_err();
    assert_eq!(error.code(), Some(Code::UnknownRequest));
    let paths: Vec<_> = asked.try_iter().map(|asked| asked.path).collect();
    assert_eq!(
        paths,
        ["/v1/gpu/lock", "/v1/gpu/unlock", "/v1/gpu/requests/a%2Fb"]
    );
}
