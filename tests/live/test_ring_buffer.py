"""The ring buffer: order, one gap for all blocks lost at once, waiting, the end."""

import threading

import numpy as np
import pytest

from hybridasr.corpus.raw_audio import RawFormat
from hybridasr.live.ring_buffer import AudioBlock, Notice, RingBuffer

FORM = RawFormat("s16le", 1000)


def block(number, seconds=1.0):
    return AudioBlock(np.full(round(FORM.rate * seconds), number, "<i2").tobytes(), FORM)


def drained(ring):
    items = []
    while (item := ring.take(0.0)) is not None:
        items.append(item)
    return items


def test_blocks_come_out_in_their_order():
    ring, notice = RingBuffer(10.0), Notice("device", "gone")
    ring.put(block(1))
    ring.put_notice(notice)
    ring.put(block(2))
    assert drained(ring) == [block(1), notice, block(2)]
    assert not ring.ended
    ring.close()
    assert ring.ended


def test_what_is_lost_is_one_gap():
    """Room in between makes no second gap: the buffer is emptied first."""
    ring = RingBuffer(2.0)
    for number in range(5):
        ring.put(block(number))
    assert ring.take(0.0) == block(0)
    ring.put(block(5, 0.5))
    ring.close()
    assert not ring.ended
    first, gap = drained(ring)
    assert first == block(1)
    assert (gap.kind, gap.blocks, gap.seconds) == ("lost", 4, 3.5)
    assert gap.event()["blocks"] == 4
    assert "4 blocks (3.5 s) of audio are lost, 4 in all" in gap.message
    assert ring.ended
    ring.put(block(6))
    assert drained(ring) == [block(6)]
    assert ring.lost_blocks == 4


def test_a_file_waits_for_room():
    ring = RingBuffer(1.0, waits=True)
    thread = threading.Thread(target=lambda: [ring.put(block(n)) for n in range(20)])
    thread.start()
    items = [ring.take(5.0) for _ in range(20)]
    thread.join()
    assert items == [block(number) for number in range(20)]
    assert ring.lost_blocks == 0


def test_nobody_waits_for_a_closed_buffer():
    ring = RingBuffer(1.0, waits=True)
    ring.put(block(0))
    thread = threading.Thread(target=ring.put, args=(block(1),))
    thread.start()
    ring.close(ValueError("first"))
    ring.close()
    thread.join(10)
    assert not thread.is_alive()
    assert str(ring.error) == "first"


@pytest.mark.parametrize("seconds", [0.5, 30.0])
def test_a_single_block_always_fits(seconds):
    ring = RingBuffer(0.1)
    ring.put(block(1, seconds))
    assert drained(ring) == [block(1, seconds)]
