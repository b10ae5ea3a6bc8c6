//! Names that are made here, out of the one counter that fencing tokens come from: so they are
//! as unique as those, across restarts too.
//!
//! The number is scrambled, which hides the token from readers of the status. It is no secret.

use crate::id::{LeaseId, RequestId};

/// Tokens stay below 2^53, so that every JSON reader holds them exactly.
const BITS: u32 = 53;
const MASK: u64 = (1 << BITS) - 1;
/// Odd, so that multiplying by it modulo 2^53 maps numbers one to one.
const FACTOR: u64 = 0x0015_9E37_79B9_7F4B;
/// The inverse of [`FACTOR`] modulo 2^53.
const INVERSE: u64 = inverse(FACTOR);
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 11;
const NO_DIGIT: u8 = u8::MAX;
const VALUES: [u8; 256] = values();

const fn values() -> [u8; 256] {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < DIGITS.len() {
        values[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    values
}

/// Newton's iteration doubles the right bits each time: 3, 6, 12, 24, 48, 96.
const fn inverse(odd: u64) -> u64 {
    let mut result = odd;
    let mut round = 0;
    while round < 5 {
        result = result.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(result)));
        round += 1;
    }
    result & MASK
}

fn scramble(prefix: u8, number: u64) -> [u8; LENGTH + 2] {
    let mut text = [b'-'; LENGTH + 2];
    text[0] = prefix;
    let mut rest = number.wrapping_mul(FACTOR) & MASK;
    for digit in text[2..].iter_mut().rev() {
        *digit = DIGITS[(rest & 31) as usize];
        rest >>= 5;
    }
    text
}

/// The id of the lease with this token.
#[must_use]
pub fn lease_id(token: u64) -> LeaseId {
    let text = scramble(b'L', token);
    LeaseId::from(std::str::from_utf8(&text).unwrap_or_default())
}

/// The id of a request whose client gave none.
#[must_use]
pub(crate) fn request_id(number: u64) -> RequestId {
    let text = scramble(b'R', number);
    RequestId::from(std::str::from_utf8(&text).unwrap_or_default())
}

/// The token of the lease with this id; nothing where no lease ever has such an id.
#[must_use]
pub fn token_of(lease_id: &LeaseId) -> Option<u64> {
    let digits = lease_id.as_str().strip_prefix("L-")?;
    if digits.len() != LENGTH {
        return None;
    }
    let mut scrambled = 0;
    for byte in digits.bytes() {
        let value = VALUES[usize::from(byte)];
        if value == NO_DIGIT {
            return None;
        }
        scrambled = scrambled << 5 | u64::from(value);
    }
    (scrambled <= MASK).then(|| scrambled.wrapping_mul(INVERSE) & MASK)
}
