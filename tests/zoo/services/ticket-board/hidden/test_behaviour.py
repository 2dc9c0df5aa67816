from board import views


def test_every_new_ticket_is_listed_with_all_its_fields():
    status, body = views.list_tickets({"state": ["new"]})
    assert status == 200
    assert body["count"] == 2
    first, second = body["tickets"]
    assert (first["id"], second["id"]) == (105, 106)
    assert set(first) == set(second)
    assert second["owner"] == "Anna Nowak"
    assert not first["owner"] or first["owner"].lower().strip("()-") in ("nobody", "unassigned", "none", "unknown", "n/a", "")


def test_the_whole_list_holds_all():
    assert views.list_tickets({})[1]["count"] == 6
