"""What gunicorn imports."""

from shop import create_app

app = create_app()
