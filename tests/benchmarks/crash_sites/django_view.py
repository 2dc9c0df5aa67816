# run: {bin}/gunicorn -b 127.0.0.1:{port} service:application
# post: /orders/7/refund application/json {"lines": [{"sku": "a", "cents": "1,50"}]}
import json

import django
from django.conf import settings

settings.configure(SECRET_KEY="x", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], DEBUG=False)
django.setup()
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.views import View  # noqa: E402


class Refund(View):
    def post(self, request, number):
        lines = json.loads(request.body)["lines"]
        return JsonResponse({"order": number, "cents": self.total(lines)})

    def total(self, lines):
        return sum(int(line["cents"]) for line in lines)  # crash


urlpatterns = [
    path("", lambda request: HttpResponse("ok")),
    path("orders/<int:number>/refund", Refund.as_view()),
]
application = get_wsgi_application()
