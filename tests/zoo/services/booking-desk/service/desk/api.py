from flask import Blueprint, jsonify, request

from desk.problems import Problem
from desk.slots import Diary, parse_slot

blueprint = Blueprint("desk", __name__)
diary = Diary()


@blueprint.get("/slots/<code>")
def show_slot(code):
    slot = parse_slot(code)
    return jsonify(room=slot.room, at=f"{slot.hour:02}:{slot.minute:02}", holder=diary.holder(slot))


@blueprint.post("/slots/<code>/bookings")
def book_slot(code):
    slot = parse_slot(code)
    body = request.get_json(silent=True)
    if body is None or not body.get("who"):
        raise Problem(400, "say who books")
    diary.book(slot, body["who"])
    return jsonify(booked=code), 201
