"""How the desk says no."""

from flask import jsonify


class Problem(Exception):
    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status
        self.reason = reason


def install(app):
    @app.errorhandler(Problem)
    def tell(problem):
        return jsonify(problem=problem.reason), problem.status
