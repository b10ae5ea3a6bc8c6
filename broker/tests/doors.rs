//! Who may come in: every method and path, before routing.

// Helpers of tests are tests too.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod stand;

use serde_json::json;
use stand::{Stand, answer};
use tokio::io::AsyncWriteExt;

const METHODS: [&str; 6] = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
const PATHS: [&str; 4] = ["/v1/gpu/status", "/v1/gpu/lock", "/nothing", "/v1/events"];

#[tokio::test(flavor = "multi_thread")]
async fn only_our_own_hosts_are_answered() {
    let stand = Stand::with(|config| config.allowed_hosts = vec!["gpu.example".into()]).await;
    let port = stand.address().rsplit_once(':').unwrap().1.to_owned();
    let ours = [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "gpu.example",
    ];
    for host in ours {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
        assert_eq!(stand.say(request.as_bytes()).await.status, 200, "{host}");
    }
    let foreign = [
        "127.0.0.1".to_owned(),
        "localhost:1".to_owned(),
        format!("127.0.0.1.evil.example:{port}"),
        format!("localhost.evil.example:{port}"),
        format!("evil.example:{port}"),
        format!("user@127.0.0.1:{port}"),
        format!("127.0.0.2:{port}"),
        format!("2130706433:{port}"),
        format!("localhost.:{port}"),
        String::new(),
    ];
    for host in foreign {
        for (method, path) in [("GET", "/healthz"), ("POST", "/v1/gpu/lock"), ("PUT", "/x")] {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\n\r\n",
                stand.token
            );
            let refused = stand.say(request.as_bytes()).await;
            assert_eq!(
                (refused.status, refused.code().as_str()),
                (403, "bad_host"),
                "{host:?}"
            );
        }
    }
    let cases = [
        (
            format!(
                "GET /healthz HTTP/1.1\r\nHost: localhost:{port}\r\nHost: localhost:{port}\r\n\r\n"
            ),
            400,
            "bad_request",
        ),
        (
            "GET /healthz HTTP/1.1\r\n\r\n".to_owned(),
            400,
            "bad_request",
        ),
        ("GET /healthz HTTP/1.0\r\n\r\n".to_owned(), 403, "bad_host"),
        (
            format!("GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"),
            403,
            "bad_host",
        ),
        (
            format!(
                "GET http://127.0.0.1:{port}/healthz HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"
            ),
            403,
            "bad_host",
        ),
        (
            format!(
                "GET https://localhost:{port}/healthz HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"
            ),
            403,
            "bad_host",
        ),
    ];
    for (request, status, code) in cases {
        let refused = stand.say(request.as_bytes()).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (status, code),
            "{request}"
        );
    }
    let agreeing =
        format!("GET http://localhost:{port}/healthz HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
    assert_eq!(stand.say(agreeing.as_bytes()).await.status, 200);
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_invited_origins_are_answered() {
    let allowed = "https://page.example";
    let stand = Stand::with(|config| config.allowed_origins = vec![allowed.into()]).await;
    let port = stand.address().rsplit_once(':').unwrap().1.to_owned();
    let own = format!("http://localhost:{port}");
    for origin in [allowed, &own] {
        let request = format!(
            "{}Origin: {origin}\r\n\r\n",
            stand.head("GET", "/v1/gpu/status")
        );
        let answered = stand.say(request.as_bytes()).await;
        assert_eq!(answered.status, 200);
        assert_eq!(answered.header("access-control-allow-origin"), Some(origin));

        let preflight = format!(
            "OPTIONS /v1/gpu/lock HTTP/1.1\r\nHost: localhost:{port}\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: POST\r\n\r\n"
        );
        let answered = stand.say(preflight.as_bytes()).await;
        assert_eq!(answered.status, 204);
        assert_eq!(answered.header("access-control-allow-origin"), Some(origin));
        assert_eq!(answered.header("access-control-max-age"), Some("600"));
        assert_eq!(answered.header("vary"), Some("Origin"));
    }
    let strangers = [
        "null",
        "",
        "https://evil.example",
        "http://page.example",
        "HTTPS://page.example",
        "https://page.example.evil.example",
        "file://",
    ];
    for origin in strangers {
        for method in METHODS {
            let head = stand.head(method, "/healthz");
            let request =
                format!("{head}Origin: {origin}\r\nAccess-Control-Request-Method: GET\r\n\r\n");
            let refused = stand.say(request.as_bytes()).await;
            assert_eq!(
                (refused.status, refused.code().as_str()),
                (403, "bad_origin"),
                "{origin}"
            );
            assert_eq!(refused.header("access-control-allow-origin"), None);
        }
    }
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_every_route_looks_alike() {
    let stand = Stand::new().await;
    let head = |method, path| format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", stand.address());
    for path in PATHS {
        for method in METHODS {
            let refused = stand
                .say(format!("{}\r\n", head(method, path)).as_bytes())
                .await;
            assert_eq!(
                (refused.status, refused.code().as_str()),
                (401, "no_token"),
                "{path}"
            );
            assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
            for wrong in ["Bearer wrong", "Bearer ", "Basic abc", "Bearer"] {
                let request = format!("{}Authorization: {wrong}\r\n\r\n", head(method, path));
                let refused = stand.say(request.as_bytes()).await;
                assert_eq!(
                    (refused.status, refused.code().as_str()),
                    (401, "bad_token")
                );
            }
        }
    }
    assert_eq!(
        stand
            .say(format!("{}\r\n", head("GET", "/healthz")).as_bytes())
            .await
            .status,
        200
    );
    let pairing = stand
        .say(format!("{}\r\n", head("GET", "/pair/abc")).as_bytes())
        .await;
    assert_eq!(pairing.code(), "not_found");
    stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_asks_for_no_token_and_takes_no_page() {
    use std::os::unix::fs::PermissionsExt;
    let stand = Stand::new().await;
    let mode = std::fs::metadata(stand.socket())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut stream = stand.connect_unix().await;
    stream
        .write_all(b"GET /v1/gpu/status HTTP/1.1\r\nHost: whatever\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(answer(&mut stream).await.status, 200);
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nOrigin: http://localhost\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(answer(&mut stream).await.code(), "bad_origin");

    // Who posted a request over the socket is another than who came with the token.
    let mut stream = stand.connect_unix().await;
    let body = json!({"client": "s", "pid": std::process::id()}).to_string();
    let request = format!(
        "POST /v1/gpu/lock HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(answer(&mut stream).await.status, 200);
    stand.stop().await;
}
