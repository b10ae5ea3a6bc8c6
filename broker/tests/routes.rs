//! Every route's answers and codes, as the contract lists them.

// Helpers of tests are tests too.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod stand;

use serde_json::{Value, json};
use stand::{Stand, answer};
use tokio::io::AsyncWriteExt;

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_taken_renewed_and_given_back() {
    let stand = Stand::new().await;
    assert_eq!(stand.call("GET", "/healthz", None).await.status, 200);

    let granted = stand.lock(json!({"client": "a", "ttl_ms": 5_000})).await;
    assert_eq!(granted.status, 200, "{granted:?}");
    let granted = granted.json();
    for field in ["request_id", "lease_id", "granted_at", "expires_at"] {
        assert!(granted[field].is_string(), "{field} in {granted}");
    }
    assert_eq!(granted["gpu_ids"], json!(["simulated-0"]));
    assert_eq!(granted["ttl_ms"], 5_000);
    let lease = json!({"lease_id": granted["lease_id"], "token": granted["token"]});

    let status = stand.status().await;
    assert_eq!(status["leases"][0]["lease_id"], granted["lease_id"]);
    assert_eq!(
        status["leases"][0]["token"],
        Value::Null,
        "told to the holder only"
    );
    assert_eq!(status["gpus"][0]["state"], "held");
    assert_eq!(status["gpus"][1]["state"], "free");
    assert_eq!(status["gpus"][0]["simulated"], true);

    let renewed = stand.post("/v1/gpu/renew", lease.clone()).await;
    assert_eq!(
        (renewed.status, &renewed.json()["yield_asked"]),
        (200, &json!(false))
    );

    let mut stale = lease.clone();
    stale["token"] = json!(1_000_000);
    for route in ["/v1/gpu/renew", "/v1/gpu/unlock"] {
        let refused = stand.post(route, stale.clone()).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (409, "stale_token")
        );
    }

    let ended = stand.unlock(&lease).await;
    assert_eq!(
        (ended.status, &ended.json()["outcome"]),
        (200, &json!("released"))
    );
    for route in ["/v1/gpu/renew", "/v1/gpu/unlock"] {
        let gone = stand.post(route, lease.clone()).await;
        assert_eq!((gone.status, gone.code().as_str()), (410, "lease_ended"));
        assert_eq!(gone.json()["outcome"], "released");
    }
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_have_one_clear_code_each() {
    let stand = Stand::new().await;
    let invalid = |body: Value, field: &str| (body, 422, "invalid_request", field.to_owned());
    let impossible = |body: Value, field: &str| (body, 422, "impossible_request", field.to_owned());
    let cases = [
        invalid(json!({}), "client"),
        invalid(json!({"client": ""}), "client"),
        invalid(json!({"client": "x".repeat(10_000)}), "client"),
        invalid(json!({"client": "a\u{7}b"}), "client"),
        invalid(json!({"client": "a", "priority": 300}), "priority"),
        invalid(json!({"client": "a", "priority": "nobody"}), "priority"),
        invalid(json!({"client": "a", "priority": 1.5}), "priority"),
        invalid(json!({"client": "a", "gpus": 0}), "gpus"),
        invalid(json!({"client": "a", "gpus": "two"}), "gpus"),
        invalid(json!({"client": "a", "gpu_ids": []}), "gpu_ids"),
        invalid(json!({"client": "a", "ttl_ms": 0}), "ttl_ms"),
        invalid(
            json!({"client": "a", "ttl_ms": 31_536_000_000_u64}),
            "ttl_ms",
        ),
        invalid(
            json!({"client": "a", "timeout_ms": 86_400_001}),
            "timeout_ms",
        ),
        invalid(json!({"client": "a", "operation": "juggling"}), "operation"),
        invalid(json!({"client": "a", "request_id": "a b"}), "request_id"),
        invalid(json!({"client": "a", "vram_mib": 0}), "vram_mib"),
        invalid(json!({"client": "a", "pid": 4_000_000_000_u32}), "pid"),
        invalid(json!({"client": "a", "colour": "red"}), "colour"),
        impossible(json!({"client": "a", "gpus": 3}), "gpus"),
        impossible(json!({"client": "a", "gpu_ids": ["gpu-x"]}), "gpu_ids"),
        impossible(json!({"client": "a", "vram_mib": 24_576}), "vram_mib"),
    ];
    let count = cases.len();
    for (body, status, code, field) in cases {
        let refused = stand.lock(body.clone()).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (status, code),
            "{body}"
        );
        assert_eq!(refused.json()["field"], field, "{body}: {}", refused.json());
    }
    let refused = &stand.status().await["counters"]["refused"];
    let counted = refused["invalid_request"].as_u64().unwrap()
        + refused["impossible_request"].as_u64().unwrap();
    assert_eq!(counted, count as u64);
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_a_problem() {
    let stand = Stand::new().await;
    let lease = json!({"lease_id": "l-77", "token": 77});
    let cases = [
        ("GET", "/nothing", None, 404, "not_found"),
        ("GET", "/v1/gpu/lock", None, 405, "method_not_allowed"),
        ("DELETE", "/healthz", None, 405, "method_not_allowed"),
        (
            "POST",
            "/v1/gpu/unlock",
            Some(lease.clone()),
            404,
            "unknown_lease",
        ),
        ("POST", "/v1/gpu/renew", Some(lease), 404, "unknown_lease"),
        (
            "POST",
            "/v1/gpu/force-release",
            Some(json!({"lease_id": "l-77"})),
            404,
            "unknown_lease",
        ),
        (
            "GET",
            "/v1/gpu/requests/nobody",
            None,
            404,
            "unknown_request",
        ),
        ("GET", "/v1/gpu/requests/%ff", None, 404, "unknown_request"),
        (
            "DELETE",
            "/v1/gpu/requests/nobody",
            None,
            404,
            "unknown_request",
        ),
    ];
    for (method, path, body, status, code) in cases {
        let refused = stand.call(method, path, body).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (status, code),
            "{method} {path}"
        );
        if status == 405 {
            assert!(refused.header("allow").is_some(), "{refused:?}");
        }
    }

    let head = stand.head("POST", "/v1/gpu/lock");
    let typed = format!("{head}Content-Type: application/json\r\n");
    let long = "x".repeat(70_000);
    let bytes = [
        (
            format!("{typed}Content-Length: 1\r\n\r\n{{"),
            400,
            "bad_json",
        ),
        (
            format!("{head}Content-Length: 2\r\n\r\n{{}}"),
            415,
            "unsupported_media_type",
        ),
        (format!("{head}\r\n"), 415, "unsupported_media_type"),
        (
            format!("{typed}Content-Length: 70000\r\n\r\n{long}"),
            413,
            "body_too_large",
        ),
        (
            format!("{typed}Transfer-Encoding: chunked\r\n\r\n11170\r\n{long}\r\n0\r\n\r\n"),
            413,
            "body_too_large",
        ),
        (format!("{head}X: {long}\r\n\r\n"), 431, "headers_too_large"),
        ("what is this?\r\n\r\n".to_owned(), 400, "bad_request"),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), 400, "bad_request"),
    ];
    for (bytes, status, code) in bytes {
        let refused = stand.say(bytes.as_bytes()).await;
        let start = &bytes[..bytes.len().min(60)];
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (status, code),
            "{start}"
        );
    }
    // A body of 10 MB is read to its end, so that its sender gets to read the answer.
    let mut stream = stand.connect().await;
    let head = format!("{typed}Content-Length: 10000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; 10_000_000]).await.unwrap();
    let refused = answer(&mut stream).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (413, "body_too_large")
    );
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_in_every_way_that_the_contract_has() {
    let stand = Stand::with(|config| config.simulate_gpus = Some(1)).await;
    let held = stand.lock(json!({"client": "holder"})).await.json();

    let now = stand.lock(json!({"client": "b", "timeout_ms": 0})).await;
    assert_eq!((now.status, now.code().as_str()), (504, "queue_timeout"));
    assert_eq!(now.json()["place"], 1);
    assert_eq!(now.json()["holders"], json!([held["lease_id"]]));

    let now = json!({"client": "b", "timeout_ms": 0, "wait": false});
    assert_eq!(stand.lock(now).await.code(), "queue_timeout");

    let poll = json!({"client": "b", "request_id": "poll", "wait": false});
    let queued = stand.lock(poll.clone()).await;
    assert_eq!(queued.status, 202, "{queued:?}");
    let queued = queued.json();
    assert_eq!(
        (&queued["state"], &queued["place"]),
        (&json!("waiting"), &json!(1))
    );
    assert_eq!(queued["why"]["code"], "held");
    assert_eq!(queued["why"]["holders"], json!([held["lease_id"]]));

    let mut other = poll.clone();
    other["priority"] = json!(3);
    let conflict = stand.lock(other).await;
    assert_eq!(
        (conflict.status, conflict.code().as_str()),
        (409, "request_conflict")
    );

    let mut waiting = stand.wait(json!({"client": "c", "request_id": "c"})).await;
    let again = json!({"client": "c", "request_id": "c"});
    let mut newer = stand.connect().await;
    let request = stand.request("POST", "/v1/gpu/lock", Some(&again));
    newer.write_all(&request).await.unwrap();
    let superseded = answer(&mut waiting).await;
    assert_eq!(
        (superseded.status, superseded.code().as_str()),
        (409, "superseded")
    );

    let cancelled = stand.call("DELETE", "/v1/gpu/requests/c", None).await;
    assert_eq!(
        (cancelled.status, &cancelled.json()["state"]),
        (200, &json!("ended"))
    );
    let told = answer(&mut newer).await;
    assert_eq!((told.status, told.code().as_str()), (409, "request_ended"));
    assert_eq!(told.json()["outcome"], "cancelled");
    let after = stand.lock(again).await;
    assert_eq!(
        (after.status, after.code().as_str()),
        (409, "request_ended")
    );

    let mut cleared = stand.wait(json!({"client": "d"})).await;
    let forced = stand
        .post("/v1/gpu/force-release-all", json!({"clear_queue": true}))
        .await;
    assert_eq!(forced.status, 200);
    assert_eq!(forced.json()["ended"], json!([held["lease_id"]]));
    assert_eq!(forced.json()["cleared"].as_array().unwrap().len(), 2);
    assert_eq!(answer(&mut cleared).await.json()["outcome"], "cleared");
    let lost = json!({"lease_id": held["lease_id"], "token": held["token"]});
    assert_eq!(stand.unlock(&lost).await.json()["outcome"], "forced");

    // Empty bodies do where every field is optional.
    for route in ["/v1/gpu/reset", "/v1/gpu/force-release-all"] {
        let answer = stand.call("POST", route, None).await;
        assert_eq!(
            (answer.status, &answer.json()["ended"]),
            (200, &json!([])),
            "{route}"
        );
    }
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_is_granted_and_looked_at() {
    let stand = Stand::new().await;
    let lease = stand.hold_all().await;
    let poll = json!({"client": "p", "request_id": "p", "wait": false});
    assert_eq!(stand.lock(poll.clone()).await.status, 202);
    stand.unlock(&lease).await;
    let look = stand.call("GET", "/v1/gpu/requests/p", None).await.json();
    assert_eq!(look["state"], "granted");
    let again = stand.lock(poll).await;
    assert_eq!(
        (again.status, &again.json()["token"]),
        (200, &look["lease"]["token"])
    );
    let done = stand
        .call("DELETE", "/v1/gpu/requests/p", None)
        .await
        .json();
    assert_eq!(
        (&done["state"], &done["outcome"]),
        (&json!("ended"), &json!("released"))
    );
    // Whichever way its client heard of it, a lease lives for its ttl from then on.
    for (wait, ttl_ms) in [(false, 8_000), (false, 60_000), (true, 60_000)] {
        let free = json!({"client": "q", "wait": wait, "ttl_ms": ttl_ms});
        let granted = stand.lock(free).await;
        assert_eq!(granted.status, 200, "granted at once");
        let told = stand.status().await["leases"][0]["expires_in_ms"].as_u64();
        assert!(
            told.is_some_and(|told| (ttl_ms / 2..=ttl_ms).contains(&told)),
            "{told:?} of {ttl_ms}"
        );
        let granted = granted.json();
        let lease = json!({"lease_id": granted["lease_id"], "token": granted["token"]});
        assert_eq!(stand.unlock(&lease).await.status, 200);
    }
    stand.stop().await;
}
