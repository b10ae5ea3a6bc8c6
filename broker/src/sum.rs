//! A sum over what the journal holds, so that a flipped bit in it is noticed: SQLite checks what it
//! finds in its log, but not what lies in the file proper.
//!
//! FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>) over words of 64 bits, with the upper half
//! folded into the lower after each. Each step maps one to one, so whatever differs in a single word
//! has another sum. It is no defence against a forger, who could write another journal altogether.

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

fn mix(hash: u64, word: u64) -> u64 {
    let product = (hash ^ word).wrapping_mul(PRIME);
    product ^ product >> 32
}

/// The sum of a row, as SQLite stores it.
pub(crate) fn of(numbers: [i64; 2], body: &[u8]) -> i64 {
    let mut words = body.chunks_exact(8);
    let mut hash = [numbers[0], numbers[1], body.len() as i64]
        .into_iter()
        .fold(OFFSET, |hash, number| mix(hash, number.cast_unsigned()));
    for word in &mut words {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(word);
        hash = mix(hash, u64::from_le_bytes(bytes));
    }
    let rest = words.remainder();
    let mut bytes = [0; 8];
    bytes[..rest.len()].copy_from_slice(rest);
    mix(hash, u64::from_le_bytes(bytes)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed() {
        let body = b"{\"at\":{\"clock_ms\":17},\"fact\":\"resumed\"}\n";
        let sum = of([7, 1], body);
        for bit in 0..body.len() * 8 {
            let mut flipped = *body;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(of([7, 1], &flipped), sum, "bit {bit}");
        }
        assert_ne!(of([8, 1], body), sum);
        assert_ne!(of([7, 2], body), sum);
        assert_ne!(of([7, 1], &body[..body.len() - 1]), sum);
    }

    #[test]
    fn it_is_the_same_in_every_version() {
        assert_eq!(of([1, 2], b"warden's journal"), SUM);
    }

    const SUM: i64 = 1_147_711_135_930_306_384;
}
