import pytest

from shop import create_app


@pytest.fixture
def client(tmp_path):
    app = create_app(database=str(tmp_path / "orders.db"))
    return app.test_client()
