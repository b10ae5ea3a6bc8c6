//! Bodies in: bounded in size and time, declared as JSON, parsed into the type that the route
//! takes, and refused with the name of the field that is wrong.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http::request::Parts;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::time::{sleep, timeout};
use warden::Code;

use crate::http::answer::{Extra, Failure};
use crate::http::service::Guest;

/// Larger bodies are refused.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;
/// From the end of the headers to the end of the body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a body that is on its way may take once connections are to come to rest.
const LAST_MOMENT: Duration = Duration::from_millis(200);
/// So much of a body that is too large is read and dropped, so that its sender gets to read why.
const MAX_DRAINED_BYTES: usize = 32 * 1024 * 1024;

/// Reads a body that must be there.
pub(crate) async fn read<T: DeserializeOwned>(
    request: Request<axum::body::Body>,
) -> Result<T, Failure> {
    let (head, body) = request.into_parts();
    let bytes = collect(&head, body).await?;
    if !is_json(&head.headers) {
        return Err(unsupported());
    }
    parse(&bytes)
}

/// Reads a body that may be missing: then it counts as `{}`.
pub(crate) async fn read_or_default<T: DeserializeOwned + Default>(
    request: Request<axum::body::Body>,
) -> Result<T, Failure> {
    let (head, body) = request.into_parts();
    let bytes = collect(&head, body).await?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    if !is_json(&head.headers) {
        return Err(unsupported());
    }
    parse(&bytes)
}

fn unsupported() -> Failure {
    Failure::new(
        Code::UnsupportedMediaType,
        "send a JSON body with `Content-Type: application/json`",
    )
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else {
        return false;
    };
    let essence = value.as_bytes().split(|byte| *byte == b';').next();
    essence.is_some_and(|text| text.trim_ascii().eq_ignore_ascii_case(b"application/json"))
}

async fn collect(head: &Parts, body: axum::body::Body) -> Result<Bytes, Failure> {
    let headers = &head.headers;
    let declared = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let too_large = declared.is_some_and(|bytes| bytes > MAX_BODY_BYTES);
    // Whoever asks first whether to send it is told no, and sends nothing.
    if too_large && headers.contains_key(EXPECT) {
        return Err(body_too_large());
    }
    let collected = tokio::select! {
        biased;
        collected = timeout(BODY_TIMEOUT, collect_all(body, too_large)) => collected,
        () = last_moment(head) => return Err(Failure::shutting_down()),
    };
    match collected {
        Ok(collected) => collected,
        Err(_) if too_large => Err(body_too_large()),
        Err(_) => Err(Failure::new(
            Code::RequestTimeout,
            "the body did not arrive in time; send it again",
        )),
    }
}

/// Everyone else waits for the last connection to come to rest, so this request is broken off.
async fn last_moment(head: &Parts) {
    let Some(guest) = head.extensions.get::<Guest>() else {
        return std::future::pending().await;
    };
    guest.closing.cancelled().await;
    sleep(LAST_MOMENT).await;
    guest.line.break_off();
}

async fn collect_all(mut body: axum::body::Body, mut too_large: bool) -> Result<Bytes, Failure> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    let mut seen = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Failure::new(Code::BadRequest, "the body broke off"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        seen = seen.saturating_add(data.len());
        too_large |= seen > MAX_BODY_BYTES;
        if seen > MAX_DRAINED_BYTES {
            break;
        }
        if too_large {
            all = BytesMut::new();
        } else if first.is_empty() && all.is_empty() {
            // Nearly every body comes in one piece, which then need not be copied.
            first = data;
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
    }
    if too_large {
        return Err(body_too_large());
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

fn body_too_large() -> Failure {
    Failure::new(
        Code::BodyTooLarge,
        format!("a body has at most {MAX_BODY_BYTES} bytes"),
    )
}

/// Parses a body. Text that is no JSON is one failure, JSON that is no such body another.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let error = match serde_json::from_slice(bytes) {
        // A derived struct also reads an array, field by field; nobody means that.
        Ok(value) if bytes.trim_ascii_start().first() == Some(&b'{') => return Ok(value),
        Ok(_) => None,
        Err(error) if error.is_data() => Some(error),
        Err(error) => {
            return Err(Failure::new(
                Code::BadJson,
                format!("the body is not JSON: {error}"),
            ));
        }
    };
    // What comes after the field that was wrong has not been looked at yet.
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| Failure::new(Code::BadJson, format!("the body is not JSON: {error}")))?;
    let Value::Object(fields) = value else {
        return Err(Failure::new(
            Code::InvalidRequest,
            "the body must be a JSON object",
        ));
    };
    let said = error.map(|error| error.to_string()).unwrap_or_default();
    Err(Failure {
        code: Code::InvalidRequest,
        extra: Box::new(Extra {
            field: wrong_field::<T>(&fields, &said),
            ..Extra::default()
        }),
        detail: match wrong_field::<T>(&fields, &said) {
            Some(field) => format!("{field}: {said}"),
            None => said,
        },
    })
}

/// Which field serde means: it names the ones that are missing, unknown or double, and for the
/// rest each field is tried alone.
fn wrong_field<T: DeserializeOwned>(fields: &Map<String, Value>, said: &str) -> Option<String> {
    let named = ["missing field `", "unknown field `", "duplicate field `"];
    if let Some(rest) = named.iter().find_map(|start| said.strip_prefix(start)) {
        return rest.split('`').next().map(str::to_owned);
    }
    let alone = |(name, value): (&String, &Value)| {
        let one = Value::Object([(name.clone(), value.clone())].into_iter().collect());
        let error = serde_json::from_value::<T>(one).err()?;
        (!error.to_string().starts_with("missing field")).then(|| name.clone())
    };
    fields.iter().find_map(alone)
}

#[cfg(test)]
mod tests {
    use warden::wire::LockBody;

    use super::*;

    fn failure(body: &str) -> (Code, Option<String>) {
        let failure = parse::<LockBody>(body.as_bytes()).unwrap_err();
        (failure.code, failure.extra.field)
    }

    #[test]
    fn a_wrong_body_is_refused_by_the_name_of_its_field() {
        let invalid = |field: &str| (Code::InvalidRequest, Some(field.to_owned()));
        assert_eq!(failure("{"), (Code::BadJson, None));
        assert_eq!(failure(""), (Code::BadJson, None));
        assert_eq!(failure(r#"{"client": 1, "#), (Code::BadJson, None));
        assert_eq!(failure("[\"me\"]"), (Code::InvalidRequest, None));
        assert_eq!(failure("3"), (Code::InvalidRequest, None));
        assert_eq!(failure("{}"), invalid("client"));
        assert_eq!(failure(r#"{"client": 1}"#), invalid("client"));
        assert_eq!(failure(r#"{"client": "a", "gpu": 1}"#), invalid("gpu"));
        assert_eq!(failure(r#"{"client": "a", "gpus": -1}"#), invalid("gpus"));
        assert_eq!(
            failure(r#"{"client": "a", "priority": 1.5}"#),
            invalid("priority")
        );
        assert_eq!(
            failure(r#"{"client": "a", "client": "b"}"#),
            invalid("client")
        );
        assert!(parse::<LockBody>(br#" {"client": "a"} "#).is_ok());
    }
}
