from bot import answer_to


def test_commands_answer():
    assert answer_to("!echo hello there") == "hello there"
    assert 2 <= int(answer_to("!roll 2d6")) <= 12


def test_wrong_use_is_explained():
    assert answer_to("!roll many") == "usage: !roll 2d6"


def test_the_rest_is_silence():
    assert answer_to("just talking") == ""
    assert answer_to("!fly") == "I know no fly"
