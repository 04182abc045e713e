//! Ints in two's complement, little-endian, any number of bytes: the payload of LONG1 and LONG4.

/// The value, if it fits. No bytes mean 0.
///
/// The form need not be the shortest: bytes that only repeat the sign count for nothing.
#[inline]
pub fn to_i64(bytes: &[u8]) -> Option<i64> {
    let (low, high) = bytes.split_at(bytes.len().min(8));
    let negative = low.last().is_some_and(|&byte| byte >= 0x80);
    let sign = if negative { 0xff } else { 0 };
    if high.iter().any(|&byte| byte != sign) {
        return None;
    }
    let mut value = [sign; 8];
    value[..low.len()].copy_from_slice(low);
    Some(i64::from_le_bytes(value))
}
