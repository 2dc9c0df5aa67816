from bot import answer_to


def test_the_command_can_be_used():
    answer_to("!remind 20m tea")
