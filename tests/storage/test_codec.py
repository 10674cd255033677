"""Token keys keep their direction when they are packed with four bits for each number."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from titans_core.storage import decode_keys, encode_keys, unpack_codes


@given(st.integers(0, 40), st.sampled_from([2, 8, 384]), st.integers(0, 10_000))
def test_decoded_keys_point_where_the_keys_did(count, dim, seed):
    keys = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    packed = encode_keys(keys)
    decoded = decode_keys(packed, dim)
    assert len(packed) == count * dim // 2
    assert decoded.shape == keys.shape
    np.testing.assert_allclose(np.linalg.norm(decoded, axis=1), 1, rtol=1e-5)
    # The error of each number is at most half a level. A level is a seventh of the key's largest number.
    level = np.abs(keys).max(axis=1, keepdims=True) / 7
    assert (np.abs(unpack_codes(packed, dim) * level - keys) <= level * 0.5001).all()
    # So the angle has a bound too: in each number the error is at most half a level.
    error = 0.5001 * level[:, 0] * np.sqrt(dim)
    assert ((decoded * keys).sum(axis=1) >= np.sqrt(np.maximum(1 - error**2, 0)) - 1e-5).all()


def test_the_keys_of_a_real_reader_hardly_turn(reader):
    [reading] = reader.read(["The secret code is X-8-DELTA-9, and the meeting is at 3pm on Friday."])
    decoded = decode_keys(encode_keys(reading.keys), reader.dim)
    assert ((decoded * reading.keys).sum(axis=1) > 0.98).all()


def test_packing_is_stable(reader):
    [reading] = reader.read(["The secret code is X-8-DELTA-9."])
    once = decode_keys(encode_keys(reading.keys), reader.dim)
    assert encode_keys(once) == encode_keys(reading.keys)
