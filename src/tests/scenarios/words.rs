//! What is said: fields that are refused, policies, reasons.

use serde_json::json;
use warden::policy::OperationPolicy;
use warden::wire::{LockBody, WhyCode};
use warden::{Code, Origin, Policy, Request, RequestError};

use super::{body, load, scene, shared};
use crate::world::{caller, gpu};

fn parse(fields: serde_json::Value) -> Result<Request, RequestError> {
    let mut all = json!({"client": "a client"});
    let object = all.as_object_mut().expect("an object");
    object.extend(fields.as_object().expect("an object").clone());
    let body: LockBody = serde_json::from_value(all).expect("of the right types");
    let policy = Policy {
        operations: [("training".to_owned(), OperationPolicy::default())].into(),
        ..Policy::default()
    };
    let gpus = [gpu(0, Some(8_192)), gpu(1, Some(16_384)), gpu(2, None)];
    let origin = Origin {
        door: caller().door,
        host: "here".into(),
    };
    Request::parse(&body, &origin, &policy, &gpus)
}

#[test]
fn fields_out_of_range_are_named() {
    let long = "x".repeat(129);
    let invalid = [
        ("client", json!({"client": ""})),
        ("client", json!({"client": long})),
        ("client", json!({"client": "x".repeat(10_000)})),
        ("client", json!({"client": "a\nb"})),
        ("client", json!({"client": "a\u{85}b"})),
        ("client", json!({"client": "mic\u{202e}resmaerd"})),
        ("client", json!({"client": "two\u{2028}lines"})),
        ("priority", json!({"priority": 300})),
        ("priority", json!({"priority": 256})),
        ("priority", json!({"priority": -1})),
        ("priority", json!({"priority": "nobody"})),
        ("operation", json!({"operation": "nonsense"})),
        ("operation", json!({"operation": ""})),
        ("gpus", json!({"gpus": 0})),
        ("gpus", json!({"gpus": 1, "gpu_ids": ["GPU-0", "GPU-1"]})),
        ("gpu_ids", json!({"gpu_ids": []})),
        ("gpu_ids", json!({"gpu_ids": ["GPU-0", "GPU-1", "GPU-0"]})),
        ("vram_mib", json!({"vram_mib": 0})),
        ("timeout_ms", json!({"timeout_ms": 86_400_001})),
        ("ttl_ms", json!({"ttl_ms": 0})),
        ("ttl_ms", json!({"ttl_ms": 999})),
        ("ttl_ms", json!({"ttl_ms": 31_536_000_000_u64})),
        ("pid", json!({"pid": 0})),
        ("pid_start", json!({"pid_start": 5})),
        ("request_id", json!({"request_id": ""})),
        ("request_id", json!({"request_id": long})),
        ("request_id", json!({"request_id": "a b"})),
        ("request_id", json!({"request_id": "ä"})),
        ("request_id", json!({"request_id": "a/b"})),
    ];
    for (field, fields) in invalid {
        let error = parse(fields.clone()).expect_err("out of range");
        assert_eq!(
            (error.code, error.field),
            (Code::InvalidRequest, field),
            "{fields}: {error}"
        );
    }
}

#[test]
fn what_no_gpu_can_serve_is_impossible_and_says_what_there_is() {
    let impossible = [
        ("gpus", json!({"gpus": 4}), "GPU-2"),
        ("gpus", json!({"gpus": u64::MAX}), "are 3"),
        (
            "gpu_ids",
            json!({"gpu_ids": ["GPU-9"]}),
            "GPU-0, GPU-1, GPU-2",
        ),
        (
            "vram_mib",
            json!({"vram_mib": 15_873}),
            "GPU-1 has 15872 MiB",
        ),
        (
            "vram_mib",
            json!({"vram_mib": 8_000, "gpus": 2}),
            "GPU-0 has 7680 MiB",
        ),
        (
            "vram_mib",
            json!({"vram_mib": 1, "gpu_ids": ["GPU-2"]}),
            "does not say",
        ),
        (
            "vram_mib",
            json!({"vram_mib": u64::MAX}),
            "GPU-1 has 15872 MiB",
        ),
    ];
    for (field, fields, says) in impossible {
        let error = parse(fields.clone()).expect_err("impossible");
        assert_eq!(
            (error.code, error.field),
            (Code::ImpossibleRequest, field),
            "{fields}"
        );
        assert!(error.detail.contains(says), "{fields}: {error}");
    }
}

#[test]
fn the_ends_of_the_ranges_are_in_them() {
    let valid = [
        json!({"client": "ä".repeat(128)}),
        json!({"priority": 0}),
        json!({"priority": 255}),
        json!({"priority": "dreamer"}),
        json!({"operation": "training"}),
        json!({"gpus": 3}),
        json!({"gpus": 2, "gpu_ids": ["GPU-2", "GPU-0"]}),
        json!({"vram_mib": 15_872}),
        json!({"vram_mib": 7_680, "gpus": 2}),
        json!({"timeout_ms": 0}),
        json!({"timeout_ms": 86_400_000}),
        json!({"ttl_ms": 1_000}),
        json!({"ttl_ms": 3_600_000}),
        json!({"request_id": "Az09._:-"}),
        json!({"request_id": "x".repeat(128)}),
        json!({"pid": 1, "pid_start": 0}),
    ];
    for fields in valid {
        parse(fields.clone()).unwrap_or_else(|error| panic!("{fields}: {error}"));
    }
}

#[test]
fn defaults_are_those_of_the_contract() {
    let request = parse(json!({})).expect("all but the client is optional");
    assert_eq!(request.priority.0, 15);
    assert_eq!(request.operation.as_str(), "inference");
    assert_eq!(request.wanted, warden::request::Wanted::Any(1));
    assert_eq!((request.timeout_ms, request.ttl_ms), (60_000, 60_000));
    assert!(request.wait && request.vram_mib.is_none() && request.id.is_none());
    for operation in ["model_load", "training"] {
        let request = parse(json!({"operation": operation})).expect("it is allowed");
        assert_eq!(request.timeout_ms, 120_000);
    }
    let unknown = serde_json::from_str::<LockBody>(r#"{"client": "a", "colour": "red"}"#);
    assert!(unknown.is_err());
}

#[test]
fn a_policy_is_ron_and_every_key_is_optional() {
    let read = |text: &str| ron::from_str::<Policy>(text);
    assert_eq!(read("()"), Ok(Policy::default()));
    let text = r#"(
        priorities: {"mic": 1, "default": 30},
        operations: {"training": (timeout_ms: 5), "other": ()},
        max_bypass: 3,
        yield: (mode: take, gap: 2),
    )"#;
    let policy = read(text).expect("valid");
    assert_eq!(policy.validate(), Ok(()));
    assert_eq!(policy.default_priority().0, 30);
    assert_eq!(policy.timeout_ms("training"), Some(5));
    assert_eq!(policy.timeout_ms("other"), Some(120_000));
    assert_eq!(policy.timeout_ms("inference"), Some(60_000));
    assert_eq!(policy.timeout_ms("unheard"), None);
    assert_eq!(policy.r#yield.gap, 2);
    assert_eq!(policy.r#yield.after_ms, 5_000);
    let again = ron::to_string(&policy).expect("it serialises");
    assert_eq!(read(&again), Ok(policy));
    for broken in [
        "(max_bypas: 3)",
        "(max_bypass: -1)",
        "(yield: (gap: 256))",
        "(",
        "(max_bypass: 1",
    ] {
        assert!(read(broken).is_err(), "{broken}");
    }
}

#[test]
fn a_policy_that_cannot_hold_names_its_keys() {
    let policy = Policy {
        priorities: [("two words".to_owned(), 1)].into(),
        operations: [(
            "x".to_owned(),
            OperationPolicy {
                timeout_ms: u64::MAX,
            },
        )]
        .into(),
        max_bypass: 0,
        model_loads_at_once: 0,
        max_queue: 0,
        default_ttl_ms: 999,
        max_ttl_ms: 3_600_001,
        reconnect_grace_ms: u64::MAX,
        ..Policy::default()
    };
    let errors = policy.validate().expect_err("nothing of it holds");
    let keys: Vec<&str> = errors.iter().map(|error| error.key.as_str()).collect();
    let expected = [
        "priorities.two words",
        "operations.x.timeout_ms",
        "max_bypass",
        "model_loads_at_once",
        "max_queue",
        "max_ttl_ms",
        "default_ttl_ms",
        "reconnect_grace_ms",
    ];
    assert_eq!(keys, expected);
    assert_eq!(Policy::default().validate(), Ok(()));
}

#[test]
fn reasons_say_for_whom() {
    scene(2, |world| {
        for body in [load("loading"), body("held"), body("first")] {
            world.posts(&body);
        }
        let why = world.why("first");
        assert_eq!(why.code, WhyCode::Held);
        assert_eq!(why.holders.len(), 2);
        assert!(why.behind.is_empty());
        assert!(
            why.text.contains("client of loading and client of held"),
            "{}",
            why.text
        );
        world.posts(&body("second"));
        let why = world.why("second");
        assert_eq!(why.code, WhyCode::Turn);
        assert_eq!(why.behind.len(), 1);
        assert!(why.text.contains("1 comes before it"), "{}", why.text);
        world.posts(&shared("share", 100));
        assert!(world.why("share").text.contains("no room for 100 MiB"));
        let connection = world.posts(&body("away"));
        world.loses("away", connection);
        assert_eq!(world.why("away").code, WhyCode::Disconnected);
        for number in 0..20 {
            world.posts(&body(&format!("more-{number}")));
        }
        let why = world.why("more-19");
        assert_eq!(why.behind.len(), 8, "at most the first eight are named");
        assert_eq!(why.behind[0].as_str(), "first");
        assert!(why.text.contains("8 or more"), "{}", why.text);
    });
}

#[test]
fn events_are_flat() {
    let status: warden::wire::LeaseStatus = serde_json::from_value(json!({
        "lease_id": "L-1", "client": "a", "priority": 15, "operation": "inference",
        "gpu_ids": ["GPU-0"], "vram_mib": null, "pid": null, "host": "here", "granted_at": "now",
        "held_ms": 0, "ttl_ms": 1, "expires_in_ms": 1, "yield_asked": false,
    }))
    .expect("a lease as in the status");
    let granted = warden::StreamEvent::Granted(warden::stream::GrantedRow {
        request_id: "a".into(),
        passed: Some("b".into()),
        lease: status.clone(),
    });
    assert_eq!(granted.name(), "granted");
    let data = serde_json::to_value(&granted).expect("it serialises");
    assert_eq!(
        (&data["request_id"], &data["passed"]),
        (&json!("a"), &json!("b"))
    );
    assert_eq!(data["lease_id"], json!("L-1"));
    let ended = warden::StreamEvent::Ended(warden::stream::EndedRow {
        drains_until: None,
        outcome: warden::wire::Outcome::Expired,
        row: warden::stream::Row::Lease(status),
    });
    let data = serde_json::to_value(&ended).expect("it serialises");
    assert_eq!(
        (&data["outcome"], &data["lease_id"]),
        (&json!("expired"), &json!("L-1"))
    );
    let read = warden::StreamEvent::parse("ended", data).expect("it parses");
    assert_eq!(read, Some(ended));
    let later = warden::StreamEvent::parse("of a later version", json!({}));
    assert_eq!(later.expect("it is not an error"), None);
}

#[test]
fn a_priority_of_no_kind_is_told_what_kinds_there_are() {
    for body in [
        r#"{"client":"a","priority":1.5}"#,
        r#"{"client":"a","priority":[1]}"#,
    ] {
        let said = serde_json::from_str::<LockBody>(body)
            .unwrap_err()
            .to_string();
        assert!(said.contains("whole number or a policy's name"), "{said}");
    }
}
