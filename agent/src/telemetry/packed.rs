//! Numbers in two bytes: exact up to 2047, then with twelve significant bits (off by less than 0.05 %), up to 4 · 10¹².

/// Bits behind the leading one.
const MANTISSA_BITS: u32 = 11;
const HIDDEN: u64 = 1 << MANTISSA_BITS;

/// Packs a number; rounds down, and stops at the largest.
pub(super) fn pack(value: u64) -> u16 {
    let Some(shift) = value.checked_ilog2().and_then(|bits| bits.checked_sub(MANTISSA_BITS)) else {
        // Below 2048.
        return value as u16;
    };
    if shift > 30 {
        return u16::MAX;
    }
    let mantissa = (value >> shift) & (HIDDEN - 1);
    // Both parts fit: 5 bits and 11.
    ((shift as u16 + 1) << MANTISSA_BITS) | mantissa as u16
}

/// The number that was packed, or the next one below it that can be.
pub(super) fn unpack(packed: u16) -> u64 {
    let mantissa = u64::from(packed) & (HIDDEN - 1);
    match u32::from(packed) >> MANTISSA_BITS {
        0 => mantissa,
        shift => (HIDDEN | mantissa) << (shift - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn edges() {
        for exact in [0, 1, 2047, 2048, 4095, 4096, 4098, 4095 << 30] {
            assert_eq!(unpack(pack(exact)), exact);
        }
        assert_eq!((pack(u64::MAX), unpack(u16::MAX)), (u16::MAX, 4095 << 30));
        assert_eq!(unpack(pack(4097)), 4096);
    }

    proptest! {
        #[test]
        fn never_more_and_hardly_less(value in 0_u64..4095 << 30) {
            let back = unpack(pack(value));
            prop_assert!(back <= value && value - back <= value / 2048, "{value} {back}");
        }

        #[test]
        fn order_is_kept(one: u64, other: u64) {
            prop_assert!(pack(one.min(other)) <= pack(one.max(other)));
        }
    }
}
