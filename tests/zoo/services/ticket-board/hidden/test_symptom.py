from board import views


def test_the_list_of_new_tickets_is_answered():
    assert views.list_tickets({"state": ["new"]})[0] < 500
