//! Finding a broker, and who gets its token.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is a test")]

mod scripted;

use std::net::TcpListener;

use scripted::{Answer, DataDir, TOKEN, serve, serve_socket, status};
use warden_client::{Address, Error, Find};

fn yes(_: &scripted::Asked) -> Answer {
    Answer::Json(200, "", status(1))
}

/// An address on which nobody listens.
fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// A process that is over.
fn dead_pid() -> u32 {
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

#[tokio::test]
async fn the_socket_comes_first_and_needs_no_token() {
    let data = DataDir::new();
    let socket = data.dir.path().join("warden.sock");
    let (address, over_tcp) = serve(yes);
    let over_socket = serve_socket(&socket, yes);
    data.publish(address, Some(&socket));
    data.client(None).status().await.unwrap();
    let asked = over_socket.recv().unwrap();
    assert_eq!(asked.path, "/v1/gpu/status");
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(asked.header("host"), Some("localhost"));
    assert!(over_tcp.try_recv().is_err());
}

#[tokio::test]
async fn tcp_is_tried_where_the_socket_is_gone_and_gets_the_token() {
    let data = DataDir::new();
    let (address, asked) = serve(yes);
    data.publish(address, Some(&data.dir.path().join("gone.sock")));
    data.client(None).status().await.unwrap();
    let asked = asked.recv().unwrap();
    assert_eq!(
        asked.header("authorization"),
        Some(format!("Bearer {TOKEN}").as_str())
    );
    assert_eq!(asked.header("host"), Some(address.to_string().as_str()));
}

#[tokio::test]
async fn every_way_to_write_the_brokers_own_address_gets_the_token() {
    let data = DataDir::new();
    let (address, asked) = serve(yes);
    data.publish(address, None);
    let port = address.port();
    for text in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("http://127.0.0.1:{port}"),
        format!("http://localhost:{port}/"),
    ] {
        data.client(Some(text)).status().await.unwrap();
        let asked = asked.recv().unwrap();
        assert!(asked.header("authorization").is_some());
        // A name may lead elsewhere too: to `[::1]`, where a stranger has the same port.
        assert_eq!(asked.header("host"), Some(address.to_string().as_str()));
    }
}

#[tokio::test]
async fn a_stranger_on_the_port_is_named_and_never_sent_the_token() {
    let mut data = DataDir::new();
    let (stranger, asked) = serve(yes);
    // The broker of the directory listens elsewhere.
    data.publish(nobody(), None);
    let elsewhere = data
        .client(Some(stranger.to_string()))
        .status()
        .await
        .unwrap_err();
    // It was killed, its successor has the lock and has not published yet.
    data.publish_as(dead_pid(), stranger, None);
    let replaced = data
        .client(Some(stranger.to_string()))
        .status()
        .await
        .unwrap_err();
    // It was killed, and somebody else has its port.
    data.publish(stranger, None);
    data.unlock();
    let gone = data.client(None).status().await.unwrap_err();
    for error in [elsewhere, replaced, gone] {
        assert!(matches!(error, Error::Stranger { .. }), "{error:?}");
        assert!(error.to_string().contains(&stranger.to_string()), "{error}");
    }
    // Anybody may be asked how he is, without a token.
    data.client(None).healthz().await.unwrap();
    let only = asked.recv().unwrap();
    assert_eq!(
        (only.path.as_str(), only.header("authorization")),
        ("/healthz", None)
    );
    assert!(
        asked.try_recv().is_err(),
        "the stranger was asked something else"
    );
}

#[tokio::test]
async fn a_token_file_that_the_caller_names_is_for_whom_the_caller_names() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mine");
    std::fs::write(&file, "named\n").unwrap();
    let (address, asked) = serve(yes);
    let find = || Find {
        addr: Some(address.to_string()),
        data_dir: Some(dir.path().to_owned()),
        token_file: Some(file.clone()),
    };
    let client = warden_client::Client::new(find().endpoint().unwrap());
    client.status().await.unwrap();
    assert_eq!(
        asked.recv().unwrap().header("authorization"),
        Some("Bearer named")
    );
    for bad in ["", "two words", "two\nlines\n", "\u{7}"] {
        std::fs::write(&file, bad).unwrap();
        let error = client.status().await.unwrap_err();
        assert!(matches!(error, Error::Token { .. }), "{bad:?}: {error:?}");
    }
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(client.status().await, Err(Error::Token { .. })));
    assert!(asked.try_recv().is_err());
}

#[tokio::test]
async fn a_broker_that_comes_back_on_another_port_is_found_there() {
    let data = DataDir::new();
    let client = data.client(None);
    let missing = client.status().await.unwrap_err();
    assert!(matches!(&missing, Error::Unreachable { reason, .. } if reason.contains("serve")));
    for _ in 0..2 {
        let (address, asked) = serve(yes);
        data.publish(address, None);
        client.status().await.unwrap();
        asked.recv().unwrap();
    }
    data.publish(nobody(), None);
    assert!(matches!(
        client.status().await,
        Err(Error::Unreachable { .. })
    ));
}

#[test]
fn addresses_are_parsed_or_refused() {
    let tcp = |host: &str, port| Address::Tcp {
        host: host.to_owned(),
        port,
    };
    for (text, address) in [
        ("127.0.0.1:80", tcp("127.0.0.1", 80)),
        ("[::1]:8080", tcp("[::1]", 8080)),
        ("http://localhost:9/", tcp("localhost", 9)),
        ("http://localhost", tcp("localhost", 80)),
        ("unix:/run/w.sock", Address::Unix("/run/w.sock".into())),
        ("unix:relative.sock", Address::Unix("relative.sock".into())),
        ("unix:///run/w.sock", Address::Unix("/run/w.sock".into())),
    ] {
        assert_eq!(text.parse::<Address>().unwrap(), address, "{text}");
    }
    for bad in [
        "",
        "localhost",
        "localhost:",
        "localhost:0",
        "localhost:70000",
        ":80",
        "unix:",
        "https://localhost:1",
        "ftp://localhost:1",
        "http://a@localhost:1",
        "http://localhost:1/path",
        "http://localhost:1/?q",
        "a b:1",
        "127.0.0.1:80/x",
    ] {
        let error = bad.parse::<Address>().unwrap_err();
        assert!(matches!(error, Error::BadAddress { .. }), "{bad}");
    }
}
