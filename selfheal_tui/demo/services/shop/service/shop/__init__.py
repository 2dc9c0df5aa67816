"""The shop's web application; `create_app` ties the blueprints together."""

from flask import Flask

from shop import basket, catalog, checkout, customers, delivery, errors, logs, storage, suppliers


def create_app(database=None):
    logs.configure()
    app = Flask("shop")
    app.config["ORDERS"] = storage.Orders(database or storage.default_path())
    for module in (catalog, customers, basket, checkout, delivery, suppliers):
        app.register_blueprint(module.blueprint)
    errors.register(app)

    @app.get("/health")
    def health():
        return {"status": "ok"}

    return app
