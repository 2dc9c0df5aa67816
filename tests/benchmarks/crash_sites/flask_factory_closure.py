# run: {bin}/gunicorn -b 127.0.0.1:{port} service:create_app()
# post: /join application/x-www-form-urlencoded name=Ada&team=blue
from flask import Flask, request
from flask.views import MethodView


def create_app(limits=None):
    app = Flask(__name__)
    app.config["LIMITS"] = limits or {"red": 2}
    members = []

    class Join(MethodView):
        def post(self):
            limit = app.config["LIMITS"][request.form["team"]]  # crash
            if len(members) < limit:
                members.append(request.form["name"])
            return {"members": members}

    app.add_url_rule("/join", view_func=Join.as_view("join"))
    app.add_url_rule("/", view_func=lambda: "ok")
    return app
