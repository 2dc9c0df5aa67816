from avatars import SIDE, draw


def test_pictures_differ_and_stay():
    assert len(draw("ada")) == SIDE * SIDE * 3
    assert draw("ada") is draw("ada")
    assert draw("ada") != draw("bob")
