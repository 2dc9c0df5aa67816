from buffer import PIECE_BYTES, Buffer


def test_a_full_buffer_is_written_out(tmp_path):
    buffer = Buffer(tmp_path / "out")
    for _ in range(4):
        buffer.add(b"x" * (PIECE_BYTES // 4))
    assert buffer.size == 0
    assert (tmp_path / "out").stat().st_size == PIECE_BYTES
