"""float32 as ordered whole numbers, and the search for the last one that a rule lets go left."""
import numpy as np

LOWEST, HIGHEST = np.finfo(np.float32).min, np.finfo(np.float32).max


def floor_float32(values):
    """The largest float32 that is not above each double: decides every float32 x as the double does."""
    with np.errstate(over="ignore"):
        low = values.astype(np.float32)
    above = low.astype(np.float64) > values
    low[above] = np.nextafter(low[above], np.float32(-np.inf))
    return low


def below_float32(values):
    """The largest float32 that is below each double."""
    low = floor_float32(values)
    return np.where(low == values, np.nextafter(low, np.float32(-np.inf)), low).astype(np.float32)


def key_of(floats):
    """int64 that grow with the float32."""
    bits = np.asarray(floats, np.float32).view(np.uint32).astype(np.int64)
    return np.where(bits & 0x80000000, 0xFFFFFFFF - bits, bits + 0x80000000)


def float_of(keys):
    bits = np.where(keys >= 0x80000000, keys - 0x80000000, 0xFFFFFFFF - keys)
    return bits.astype(np.uint32).view(np.float32)


def last_left(goes_left, shape):
    """The largest finite float32 for which `goes_left(candidates)` holds, -infinity where it holds for none.

    goes_left takes float32 of `shape` and gives bool of it; in each place it is true up to somewhere and false after.
    """
    low = np.full(shape, int(key_of(LOWEST)) - 1, np.int64)  # the last that is known to go left; one before all
    high = np.full(shape, int(key_of(HIGHEST)), np.int64)
    while (low < high).any():
        middle = (low + high + 1) // 2
        left = goes_left(float_of(middle))
        low, high = np.where(left, middle, low), np.where(left, high, middle - 1)
    found = float_of(np.maximum(low, int(key_of(LOWEST))))
    return np.where(low < int(key_of(LOWEST)), np.float32(-np.inf), found).astype(np.float32)
