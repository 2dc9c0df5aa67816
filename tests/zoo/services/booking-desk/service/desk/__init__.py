"""The meeting-room desk."""

from flask import Flask

from desk import api, problems


def create_app():
    app = Flask("desk")
    app.register_blueprint(api.blueprint)
    problems.install(app)
    return app


app = create_app()
