"""Errors that a client is told about, and how."""

import logging

from flask import jsonify
from werkzeug.exceptions import HTTPException

log = logging.getLogger(__name__)


class ShopError(Exception):
    """Something the client can act on; `status` is the HTTP status of the answer."""

    status = 400
    code = "bad_request"

    def __init__(self, message, **details):
        super().__init__(message)
        self.message = message
        self.details = details


class NotFound(ShopError):
    status = 404
    code = "not_found"


class InvalidOrder(ShopError):
    """The order is understood and cannot be fulfilled as it stands."""

    status = 422
    code = "invalid_order"


class OutOfStock(InvalidOrder):
    status = 409
    code = "out_of_stock"


def answer(code, message, status, **details):
    body = {"error": {"code": code, "message": message}}
    if details:
        body["error"]["details"] = details
    return jsonify(body), status


def register(app):
    @app.errorhandler(ShopError)
    def shop_error(error):
        log.info("%s: %s", error.code, error.message)
        return answer(error.code, error.message, error.status, **error.details)

    @app.errorhandler(HTTPException)
    def http_error(error):
        code = (error.name or "error").lower().replace(" ", "_")
        return answer(code, error.description, error.code)
